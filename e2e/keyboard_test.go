package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestKeyboardAlone is the whole story without a mouse.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		newVisitor(t, s, "Zoe").post(t, "general", numbered(110)...)
		ann := newPerson(t, newBrowser(t), options...)
		ann.expect("status of 409")
		ann.visit(t, s.URL+"/")

		// The form has the focus.
		ann.waitFor(t, `document.activeElement.id === "name"`)
		ann.insert(t, "Zoe")
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.waitFor(t, `document.activeElement.id === "name" && document.activeElement.value === "Zoe"`)
		ask[bool](t, ann, `document.activeElement.select(), true`)
		ann.insert(t, "Ann")
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.see(t, ".notice", "Welcome, Ann.")

		// Dismiss the greeting, make a channel.
		ann.tabTo(t, ".notice button")
		ann.press(t, " ")
		ann.waitFor(t, `!document.querySelector(".notice[open]")`)
		ann.tabTo(t, "#name")
		ann.insert(t, "garden")
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.see(t, ".head", "You are now in channel [garden].")
		ann.tabTo(t, `#channels a[href$="/general"]`)
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.see(t, ".head", "You are now in channel [general].")
		ann.waitFor(t, settled)

		// The first two stops lead past the side: to the composer and to the list.
		for _, stops := range [][]string{{"#body"}, {"#body", "#log"}} {
			ann.open(t, s, "general")
			for _, target := range stops {
				ann.press(t, kb.Tab)
				ann.want(t, `document.activeElement.matches(".skip") && document.activeElement.hash === `+js(target))
			}
			ann.press(t, kb.Enter)
			ann.waitFor(t, `document.activeElement.matches(`+js(stops[len(stops)-1])+`)`)
		}

		// Read, by the keys that scroll.
		ann.tabTo(t, "#scroller")
		before := ask[float64](t, ann, list+`.getElementById("scroller").scrollTop`)
		ann.press(t, kb.PageUp)
		ann.waitFor(t, list+`.getElementById("scroller").scrollTop < `+js(before))

		// Write, delete, and never lose the way.
		ann.tabTo(t, "#body")
		if ann.noScript {
			ann.insert(t, "by hand")
			ann.tabTo(t, "#composer .send")
			ann.turn(t, func() { ann.press(t, kb.Enter) })
			ann.waitFor(t, settled)
			ann.waitRow(t, "by hand")
			ann.tabTo(t, "#messages .delete")
			ann.turn(t, func() { ann.press(t, " ") })
		} else {
			ann.insert(t, "by hand")
			ann.press(t, kb.Enter, chromedp.ModifierShift)
			ann.waitRow(t, "by hand")
			ann.waitFor(t, `document.activeElement.id === "body" && document.activeElement.value === ""`)
			ann.insert(t, "by hand, too")
			ann.tabTo(t, "#composer .send")
			ann.press(t, kb.Enter)
			ann.waitRow(t, "by hand, too")
			ann.waitFor(t, `document.activeElement.id === "body"`)
			ann.tabTo(t, "#messages li:last-child .delete", chromedp.ModifierShift)
			ann.press(t, kb.Enter)
			ann.waitFor(t, count("by hand, too")+` === 0`)
			ann.want(t, `document.activeElement.id === "scroller"`)
			ann.tabTo(t, "#messages li:last-child .delete")
			ann.press(t, " ")
		}
		ann.waitFor(t, count("by hand")+` === 0`)
		if !ann.noScript {
			ann.want(t, `document.activeElement.id === "scroller"`)
		}
		ann.waitFor(t, settled)

		ann.tabTo(t, "#earlier a")
		if ann.noScript {
			ann.turn(t, func() { ann.press(t, kb.Enter) })
		} else {
			ann.press(t, kb.Enter)
		}
		ann.waitRow(t, "message 1")

		ann.tabTo(t, ".self", chromedp.ModifierShift)
		ann.press(t, kb.Enter)
		ann.tabTo(t, ".leave button")
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.see(t, "h1", "Sign out?")
		ann.tabTo(t, "main button.danger")
		ann.turn(t, func() { ann.press(t, kb.Enter) })
		ann.see(t, ".notice", "You’re signed out.")
	})
}
