package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const send = "#composer .send"

// TestTalk is two people talking, and a third who is somewhere else.
func TestTalk(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bob, cleo := newUser(t, s, "Ann"), newUser(t, s, "Bob"), newUser(t, s, "Cleo")
	newVisitor(t, s, "Dan").send(t, "/channels", map[string][]string{"name": {"garden"}})
	ann.open(t, s, "general")
	bob.open(t, s, "general")
	cleo.open(t, s, "garden")

	// Each post has a key of its own, which begins with the time as the page's does.
	ann.want(t, `(window.firstKey = document.getElementById("key").value) !== ""`)
	ann.post(t, "good morning")
	ann.waitFor(t, `(key => key > firstKey && key.length <= 64)(document.getElementById("key").value)`)
	bob.waitRow(t, "good morning")
	bob.post(t, "and to you")
	ann.waitRow(t, "and to you")
	for _, p := range []*person{ann, bob} {
		p.wantRows(t, "good morning", "and to you")
		p.want(t, `document.querySelectorAll("#messages li[id]").length === new Set([...document.querySelectorAll("#messages li[id]")].map(r => r.id)).size`)
	}

	// Own rows look different, and only they can be deleted.
	looks := func(p *person, text string) string {
		return ask[string](t, p, `(() => { const s = getComputedStyle(`+row(text)+`); return s.backgroundColor + s.borderInlineStartColor })()`)
	}
	canDelete := func(p *person, text string) bool {
		return p.holds(t, `getComputedStyle((`+row(text)+`).querySelector(".delete")).display !== "none"`)
	}
	for _, tt := range []struct {
		p           *person
		own, others string
	}{{ann, "good morning", "and to you"}, {bob, "and to you", "good morning"}} {
		if looks(tt.p, tt.own) == looks(tt.p, tt.others) {
			t.Errorf("%q and %q look the same to the author of the first", tt.own, tt.others)
		}
		if !canDelete(tt.p, tt.own) || canDelete(tt.p, tt.others) {
			t.Errorf("Delete is on %q: %t, on %q: %t", tt.own, canDelete(tt.p, tt.own), tt.others, canDelete(tt.p, tt.others))
		}
	}
	if looks(ann, "good morning") != looks(bob, "and to you") {
		t.Error("own rows do not look the same to their two authors")
	}

	// Deleted, it is gone for both, and stays so.
	ann.remove(t, "good morning")
	bob.waitFor(t, count("good morning")+" === 0")
	for _, p := range []*person{ann, bob} {
		p.wantRows(t, "and to you")
		p.do(t, chromedp.Reload())
		p.wantRows(t, "and to you")
	}
	// Cleo's page has had the time; hers is another channel.
	cleo.post(t, "roses")
	cleo.wantRows(t, "roses")
	ann.wantRows(t, "and to you")
}

// TestKeysThatSend posts by every key that should, and by none that should not.
func TestKeysThatSend(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bob := newUser(t, s, "Ann"), newUser(t, s, "Bob")
	ann.open(t, s, "general")
	bob.open(t, s, "general")
	var want []string
	sends := func(text string, with ...chromedp.Modifier) {
		t.Helper()
		ann.fill(t, "#body", text)
		ann.press(t, kb.Enter, with...)
		ann.waitRow(t, text)
		ann.waitFor(t, `document.getElementById("body").value === "" && document.activeElement.id === "body"`)
		bob.waitRow(t, text)
		want = append(want, text)
		ann.wantRows(t, want...)
	}
	breaks := func(text string, with ...chromedp.Modifier) {
		t.Helper()
		ann.fill(t, "#body", text)
		ann.press(t, kb.Enter, with...)
		ann.want(t, `document.getElementById("body").value === `+js(text+"\n"))
	}
	breaks("Enter breaks the line")
	sends("Shift+Enter sends", chromedp.ModifierShift)
	sends("Ctrl+Enter sends", chromedp.ModifierCtrl)
	sends("Meta+Enter sends", chromedp.ModifierMeta)
	ann.see(t, "button.keys", "Shift+Enter to send")

	// The switch is remembered.
	ann.click(t, "button.keys")
	ann.click(t, ".switch")
	ann.waitFor(t, `document.getElementById("enter-sends").checked`)
	ann.do(t, chromedp.Reload())
	ann.want(t, `document.getElementById("enter-sends").checked`)
	ann.want(t, `document.querySelector("button.keys").innerText === "Enter to send, Shift+Enter for a new line"`)
	breaks("Shift+Enter breaks the line", chromedp.ModifierShift)
	sends("Enter sends")
	sends("Ctrl+Enter sends still", chromedp.ModifierCtrl)

	// An input method's Enter is the input method's.
	ask[bool](t, ann, `(window.enters = [], document.getElementById("body").addEventListener("keydown", e => { if (e.key === "Enter") enters.push(e.isComposing + "/" + e.keyCode) }), true)`)
	ann.fill(t, "#body", "")
	ann.do(t, command(input.ImeSetComposition, input.ImeSetCompositionParams{Text: "ni hao", SelectionStart: 6, SelectionEnd: 6}))
	ann.enter(t, 13, "") // as most browsers tell it
	ann.insert(t, "你好")
	ann.enter(t, 229, "") // as Safari does, after the composition
	if got := ask[[]string](t, ann, `enters`); !slices.Equal(got, []string{"true/13", "false/229"}) {
		t.Errorf("the keys were not those of an input method: %q", got)
	}
	ann.want(t, `document.getElementById("body").value === "你好"`)
	ann.wantRows(t, want...)
	ann.press(t, kb.Enter)
	ann.waitRow(t, "你好")
	want = append(want, "你好")

	// The switch goes back.
	ann.click(t, "button.keys")
	ann.click(t, ".switch")
	ann.do(t, chromedp.Reload())
	ann.want(t, `!document.getElementById("enter-sends").checked`)
	breaks("Enter breaks again")
	ann.wantRows(t, want...)
	bob.wantRows(t, want...)
}

// TestWhatCannotBeSent keeps blank and too long texts back.
func TestWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.expect("status of 422")
		ann.open(t, s, "general")
		try := func(text string) {
			ann.fill(t, "#body", text)
			if ann.noScript && text != "" {
				ann.follow(t, send)
			} else {
				ann.click(t, send)
			}
		}
		kept := `document.getElementById("body").value.replaceAll("\r", "") === `

		try("")
		try(" \n\t ")
		if ann.noScript {
			ann.see(t, "#composer-error", "Write something first.")
		} else {
			ann.press(t, kb.Enter, chromedp.ModifierShift)
			ann.settle(t)
			if n := ann.sent("POST", "/messages"); n != 0 {
				t.Errorf("blank text was sent %d times", n)
			}
		}

		long := strings.Repeat("多", 4001)
		try(long)
		ann.see(t, "#composer-error", "1 character too long (limit 4,000).")
		ann.want(t, kept+js(long))
		ann.want(t, described("#body")+`.includes("too long")`)
		ann.want(t, `document.getElementById("body").getAttribute("aria-invalid") === "true"`)
		ann.want(t, `document.querySelectorAll(".notice").length === 0 || !document.querySelector(".notice").textContent.includes("long")`)

		longest := strings.Repeat("多", 4000)
		ann.post(t, longest)
		ann.wantRows(t, longest)
		ann.want(t, `document.getElementById("composer-error").textContent === "" && !document.getElementById("body").hasAttribute("aria-invalid")`)
	})
}

// TestDoubleClick posts once.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.open(t, s, "general")
		ann.fill(t, "#body", "once")
		x, y := ann.point(t, send)
		if ann.noScript {
			ann.turn(t, func() { ann.do(t, chromedp.MouseClickXY(x, y), chromedp.MouseClickXY(x, y)) })
		} else {
			ann.intercept(t, fetch.RequestStageRequest)
			ann.do(t, chromedp.MouseClickXY(x, y))
			ann.caught(t)
			ann.do(t, chromedp.MouseClickXY(x, y))
			ann.press(t, kb.Enter, chromedp.ModifierCtrl)
			ann.settle(t)
			if n := ann.sent("POST", "/messages"); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			ann.release(t)
		}
		ann.waitRow(t, "once")
		ann.post(t, "twice")
		ann.wantRows(t, "once", "twice")
		ann.do(t, chromedp.Reload())
		ann.wantRows(t, "once", "twice")
	})
}

// TestTypingWhileSending keeps what is typed while a post is under way.
func TestTypingWhileSending(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.intercept(t, fetch.RequestStageRequest)
	ann.fill(t, "#body", "first")
	ann.press(t, kb.Enter, chromedp.ModifierShift)
	ann.caught(t)
	ann.insert(t, " and second")
	ann.release(t)
	ann.waitRow(t, "first")
	ann.waitFor(t, `document.getElementById("body").value.trim() === "and second"`)
	ann.press(t, kb.Enter, chromedp.ModifierShift)
	ann.waitRow(t, "and second")
	ann.wantRows(t, "first", "and second")
}

// TestAnswerLost posts once what is sent again because its answer never came.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bob := newUser(t, s, "Ann"), newUser(t, s, "Bob")
	ann.expect("net::ERR_CONNECTION_RESET")
	ann.expect("Failed to fetch")
	ann.open(t, s, "general")
	bob.open(t, s, "general")
	ann.intercept(t, fetch.RequestStageResponse)
	ann.fill(t, "#body", "is this on?")
	ann.press(t, kb.Enter, chromedp.ModifierShift)
	ann.lose(t, ann.caught(t))
	bob.waitRow(t, "is this on?")
	ann.waitFor(t, `document.getElementById("body").value === "" && !document.querySelector("#outbox li")`)
	ann.post(t, "it is")
	bob.waitRow(t, "it is")
	for _, p := range []*person{ann, bob} {
		p.wantRows(t, "is this on?", "it is")
	}
}

// TestText shows a text as it was written.
func TestText(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.open(t, s, "general")

		ann.post(t, "if x:\n    y  =  1\n\n\tend")
		ann.want(t, `(`+row("if x:\n    y  =  1\n\n\tend")+`).querySelector(".body").innerText.trim() === "if x:\n    y  =  1\n\n\tend"`)

		ann.post(t, "see https://example.com/a?b=1&c=(2) or http://x.example. Write to mailto:me@example.com, not javascript:alert(1) <b>&amp;")
		links := ask[[]string](t, ann, `[...`+list+`.querySelectorAll("#messages .body a")].map(a => a.getAttribute("href"))`)
		if want := []string{"https://example.com/a?b=1&c=(2)", "http://x.example", "mailto:me@example.com"}; !slices.Equal(links, want) {
			t.Errorf("the links are %q, want %q", links, want)
		}
		ann.want(t, `[...`+list+`.querySelectorAll("#messages .body a")].every(a => a.relList.contains("noopener") || !a.target)`)
		ann.want(t, `!`+list+`.querySelector("#messages .body b")`)

		ann.emulate(t, 320, "")
		ann.post(t, strings.Repeat("w", 600))
		ann.post(t, "https://example.com/"+strings.Repeat("long", 200))
		ann.want(t, `document.documentElement.scrollWidth <= innerWidth`)
		ann.want(t, `[...`+list+`.querySelectorAll("#scroller, #messages .body")].every(e => e.scrollWidth <= e.clientWidth + 1)`)
	})
}

// TestScriptOff is the story of two people without script.
func TestScriptOff(t *testing.T) {
	t.Parallel()
	s := quick(t)
	visitor := newVisitor(t, s, "Zoe")
	visitor.post(t, "general", numbered(120)...)
	ann, bob := newUser(t, s, "Ann", withoutScript), newUser(t, s, "Bob")
	bob.open(t, s, "general")
	ann.open(t, s, "general")
	ann.waitFor(t, shows("message 120"))
	ann.post(t, "no script here")
	bob.waitRow(t, "no script here")
	ann.waitFor(t, shows("no script here"))
	bob.post(t, "script here")
	ann.waitRow(t, "script here")
	ann.remove(t, "no script here")
	ann.see(t, "#flash", "Message deleted.")
	bob.waitFor(t, count("no script here")+" === 0")

	// All the way to the first, page by page, and back.
	ann.follow(t, "#earlier a")
	if got := ann.rows(t); len(got) != 21 || got[0] != "message 1" || got[20] != "message 21" {
		t.Errorf("the earlier rows are %d: %q", len(got), got)
	}
	ann.want(t, `!document.querySelector("#earlier a")?.checkVisibility()`)
	ann.follow(t, "#newer a")
	ann.waitRow(t, "script here")
	ann.see(t, "noscript p", "Times are in ")
}

// TestKilled kills the server under two people's pages and starts it again.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bob := newUser(t, s, "Ann"), newUser(t, s, "Bob")
	cleo := newVisitor(t, s, "Cleo")
	for _, p := range []*person{ann, bob} {
		p.expect("net::ERR_CONNECTION_")
		p.expect("Failed to fetch")
		p.expect("WebSocket connection to")
		p.expect("net::ERR_EMPTY_RESPONSE")
		p.expect("htmx:ws:error")
		p.open(t, s, "general")
	}
	cleo.post(t, "general", "to go") // message 1
	ann.post(t, "before")
	bob.waitRow(t, "before")
	want := []string{"before"}
	for round := range 2 {
		after := ask[int](t, ann, `Math.max(...[...document.querySelectorAll("[data-revision]")].map(e => +e.dataset.revision))`)
		s.kill(t, syscall.SIGKILL)
		lost := fmt.Sprintf("while it was down, %d", round)
		ann.fill(t, "#body", lost)
		ann.click(t, send)
		ann.waitFor(t, `!document.querySelector(".htmx-request")`)
		ann.waitFor(t, `document.querySelector("#outbox li p")?.textContent === `+js(lost))
		ann.want(t, `document.getElementById("body").value === ""`)
		s.restart(t)
		meanwhile := fmt.Sprintf("meanwhile, %d", round)
		cleo.send(t, "/channels/general/messages/1/delete", nil)
		cleo.post(t, "general", meanwhile)
		for _, p := range []*person{ann, bob} {
			p.waitRow(t, meanwhile)
			p.waitRow(t, lost) // it went out by itself
		}
		ann.waitFor(t, `!document.querySelector("#outbox li")`)
		// What they have already is not asked for again.
		if resumed := fmt.Sprintf("/live?after=%d", after); ann.sent("GET", resumed) == 0 {
			t.Errorf("nothing came back to %s", resumed)
		}
		// Which of the two came first is for the server to say.
		rows := ann.rows(t)
		came := rows[len(rows)-2:]
		if !slices.Contains(came, meanwhile) || !slices.Contains(came, lost) {
			t.Errorf("%q came", came)
		}
		want = append(want, came...)
		for _, p := range []*person{ann, bob} {
			p.wantRows(t, want...)
		}
	}
	for _, p := range []*person{ann, bob} {
		p.do(t, chromedp.Reload())
		p.wantRows(t, want...)
	}
}
