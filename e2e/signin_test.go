package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// described is an expression of the text that describes a field to a screen
// reader.
func described(selector string) string {
	return `(document.querySelector(` + js(selector) + `).getAttribute("aria-describedby") || "").split(" ").map(id => document.getElementById(id)?.textContent).join(" ")`
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		newVisitor(t, s, "Ann")
		bob := newPerson(t, newBrowser(t), options...)
		bob.expect("status of 409")
		bob.expect("status of 422")
		bob.visit(t, s.URL+"/")

		// The form is the page, and the cursor stands in it.
		bob.see(t, "h2", "What should people call you?")
		bob.want(t, `document.activeElement.id === "name"`)

		// What is wrong stands beside the field, with what was typed kept.
		tooLong := strings.Repeat("a", 33)
		for _, tt := range []struct{ name, want string }{
			{"ann", "ann is in use"},
			{"ＡＮＮ", "is in use"},
			{tooLong, "That name is too long: use 32 characters at most."},
			{"a\u202eb", "characters that cannot be used"},
		} {
			bob.signIn(t, tt.name)
			bob.see(t, "#name-error", tt.want)
			bob.want(t, `document.getElementById("name").value === `+js(tt.name))
			bob.want(t, `document.getElementById("name").getAttribute("aria-invalid") === "true"`)
			bob.want(t, described("#name")+`.includes(`+js(tt.want)+`)`)
			bob.want(t, `document.activeElement.id === "name"`)
		}

		bob.signIn(t, "Bob")
		bob.see(t, "#flash .success", "Welcome, Bob.")
		bob.see(t, "h1", "Channels")
		bob.see(t, "a.channel", "general")

		// The greeting comes once.
		bob.do(t, chromedp.Reload())
		bob.want(t, `document.querySelectorAll(".notice").length === 0`)
		bob.openMenu(t)
		bob.see(t, ".welcome", "Welcome, Bob.")
		bob.see(t, "#me button", "Sign out")
	})
}

// TestSignInFirst leads from a page asked for to sign-in and back to it.
func TestSignInFirst(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newPerson(t, newBrowser(t), options...)
		ann.visit(t, s.channelURL("general"))
		ann.see(t, "#flash .warning", "Sign in to continue.")
		ann.signIn(t, "Ann")
		ann.see(t, ".head", "You are now in channel [general].")
		ann.want(t, `location.pathname === "/channels/general"`)
	})
}

// TestReturn shows that a name with a password comes back to its channel, in
// this browser and in another, and that one without is not given up unasked.
func TestReturn(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.visit(t, s.URL+"/channels")
		ann.fill(t, "#name", "garden")
		ann.follow(t, "#create button.primary")
		ann.post(t, "tulips")
		ann.visit(t, s.URL+"/")
		ann.want(t, `location.pathname === "/channels/garden"`)
		ann.visit(t, s.URL+"/channels")
		ann.see(t, `[aria-labelledby="latest-title"]`, "garden")

		ann.leave(t)
		ann.see(t, "main", "The name Ann has no password.")
		ann.fill(t, "#password", "rain in may")
		ann.follow(t, `main form[action="/logout"] button.primary`)
		ann.see(t, "#flash .info", "You’re signed out.")
		ann.visit(t, s.channelURL("garden"))
		ann.see(t, "#flash .warning", "Sign in to continue.")

		for _, browser := range []string{"the same", "another"} {
			if browser == "another" {
				ann = newPerson(t, newBrowser(t), options...)
			}
			ann.expect("status of 409")
			ann.expect("status of 422")
			ann.visit(t, s.URL+"/")
			ann.signIn(t, "ann")
			ann.see(t, "#name-error", "ann is in use. If that’s you, enter your password.")
			ann.fill(t, "#password", "not this one")
			ann.follow(t, "#signin button.primary")
			ann.see(t, "#password-error", "That password is wrong.")
			ann.want(t, `document.getElementById("name").value === "ann" && document.activeElement.id === "password"`)
			ann.fill(t, "#password", "rain in may")
			ann.follow(t, "#signin button.primary")
			ann.see(t, ".head", "You are now in channel [garden].")
			ann.wantRows(t, "tulips")
			ann.leave(t)
			ann.see(t, "#flash .info", "You’re signed out.")
		}
	})
}

// TestGiveUpName logs out of a name without a password.
func TestGiveUpName(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.expect("status of 409")
		ann.leave(t)
		ann.see(t, "h1", "Sign out?")
		ann.follow(t, "main button.danger")
		ann.see(t, "#flash .info", "You’re signed out.")
		ann.signIn(t, "Ann")
		ann.see(t, "#name-error", "Ann is in use")
	})
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newPerson(t, newBrowser(t), append(options, withLanguage("zh-CN"))...)
		ann.visit(t, s.URL+"/")
		ann.want(t, `document.documentElement.lang.startsWith("zh-Hans") && /\p{Script=Han}/u.test(document.querySelector("main").textContent)`)
		ann.signIn(t, "Ann")
		ann.open(t, s, "general")
		ann.want(t, `/\p{Script=Han}/u.test(document.querySelector(".head p").textContent)`)

		// The choice leads back to the same page and stays.
		ann.openMenu(t)
		ann.follow(t, ".languages button")
		ann.want(t, `location.pathname === "/channels/general" && document.documentElement.lang === "en"`)
		ann.see(t, ".head", "You are now in channel [general].")
		ann.visit(t, s.URL+"/channels")
		ann.want(t, `document.documentElement.lang === "en"`)
		ann.openMenu(t)
		ann.follow(t, ".languages button")
		ann.want(t, `document.documentElement.lang.startsWith("zh")`)
	})
}

// TestFlash shows that a flash message fades by itself, but never while it is
// pointed at or focused, and that the keyboard dismisses it.
func TestFlash(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		state := func(p *person) string {
			return ask[string](t, p, `document.querySelector(".notice").getAnimations()[0]?.playState ?? "none"`)
		}
		ann := newUser(t, s, "Ann", options...)
		ann.hover(t, ".notice p")
		eventually(t, "it stays while it is pointed at", func() bool { return state(ann) == "paused" })
		ann.hover(t, "h1")
		eventually(t, "it goes on fading", func() bool { return state(ann) == "running" })
		ask[bool](t, ann, `document.querySelector(".notice button").focus(), true`)
		eventually(t, "it stays while it has the focus", func() bool { return state(ann) == "paused" })
		ask[bool](t, ann, `document.activeElement.blur(), true`)
		ann.waitFor(t, `!document.querySelector(".notice").checkVisibility({visibilityProperty: true, opacityProperty: true})`)

		bob := newUser(t, s, "Bob", options...)
		bob.tabTo(t, ".notice button")
		eventually(t, "it stays for the keyboard", func() bool { return state(bob) == "paused" })
		bob.press(t, kb.Enter)
		bob.waitFor(t, `!document.querySelector(".notice")?.open`)
	})
}
