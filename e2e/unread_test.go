package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hide makes a tab think that it is in the background, or in front again.
func (p *person) hide(t *testing.T, hidden bool) {
	t.Helper()
	ask[bool](t, p, `(Object.defineProperty(document, "hidden", {configurable: true, value: `+js(hidden)+`}),
		document.dispatchEvent(new Event("visibilitychange")))`)
}

// badge is an expression of the count beside a channel in the list, "" for
// none.
func badge(channel string) string {
	return `([...document.querySelectorAll("#channels > li")].find(li => li.querySelector("bdi").textContent === ` + js(channel) + `)?.querySelector(".count")?.textContent.trim() ?? "no channel")`
}

// isFirstNew is an expression of whether the line before what is new stands above
// the row with a text.
func isFirstNew(text string) string {
	return `(` + row(text) + `).previousElementSibling?.className === "new"`
}

// TestUnread counts what others write elsewhere, with and without script, in
// the list and in the title, and draws a line before the first new message.
func TestUnread(t *testing.T) {
	t.Parallel()
	for tag, words := range map[string]struct{ three, line, marked string }{
		"en-US": {"3 unread", "New", "Marked unread in #dev."},
		"zh-CN": {"3 条未读", "以下为新消息", "已标为未读。"},
	} {
		withAndWithoutScript(t, func(t *testing.T, options ...option) {
			s := quick(t)
			bob := newVisitor(t, s, "Bob")
			bob.send(t, "/channels", map[string][]string{"name": {"dev"}})
			bob.post(t, "dev", "before")
			ann := newUser(t, s, "Ann", append(options, withLanguage(tag))...)
			ann.open(t, s, "dev")
			ann.open(t, s, "general")
			bob.post(t, "dev", "one", "two", "three")
			bob.send(t, "/channels/dev/messages/2/delete", nil)
			bob.post(t, "dev", "four")
			if ann.noScript {
				ann.open(t, s, "general")
			}
			ann.waitFor(t, badge("dev")+` === `+js(words.three))
			ann.waitFor(t, `document.title === "(3) general · Hubbub"`)
			ann.want(t, badge("general")+` === ""`)
			ann.visit(t, s.URL+"/channels")
			ann.want(t, badge("dev")+` === `+js(words.three)+` && document.title.startsWith("(3) ")`)

			ann.open(t, s, "dev")
			ann.wantRows(t, "before", "two", "three", "four")
			const line = `document.querySelector("#messages > .new")`
			ann.want(t, line+`.textContent === `+js(words.line))
			ann.want(t, isFirstNew("two"))
			ann.want(t, `document.title === "dev · Hubbub" && `+badge("dev")+` === ""`)

			// Set back by the page that has a button for each message.
			ann.click(t, ".head .more")
			ann.follow(t, ".marking")
			ann.follow(t, `.mark button[value="4"]`)
			ann.see(t, "#flash .notice", words.marked)
			ann.want(t, badge("dev")+`.startsWith("2 ")`)
			ann.open(t, s, "dev")
			ann.want(t, isFirstNew("three"))
			ann.open(t, s, "dev")
			ann.want(t, line+` === null`)
		})
	}
}

// TestReading opens one user's tabs and browsers side by side: what is read in
// one is read in all, and what comes while nobody looks is new.
func TestReading(t *testing.T) {
	t.Parallel()
	s := quick(t)
	bob := newVisitor(t, s, "Bob")
	bob.send(t, "/channels", map[string][]string{"name": {"dev"}})
	account := newVisitor(t, s, "Ann")
	tabs := map[string]*person{}
	for name, channel := range map[string]string{"dev": "dev", "general": "general", "list": ""} {
		p := newPerson(t, newBrowser(t))
		p.become(t, account)
		if channel == "" {
			p.visit(t, s.URL+"/channels")
		} else {
			p.open(t, s, channel)
			p.waitFor(t, isLive)
		}
		tabs[name] = p
	}
	dev, others := tabs["dev"], []*person{tabs["general"], tabs["list"]}

	// What somebody looks at is not unread, in no tab.
	bob.post(t, "dev", "seen at once")
	dev.waitRow(t, "seen at once")
	bob.post(t, "general", "a sign that news have come") // told together with what came before
	tabs["list"].hide(t, true)
	tabs["general"].hide(t, true)
	for _, p := range others {
		p.want(t, badge("dev")+` === ""`)
	}
	dev.waitFor(t, `document.querySelectorAll("#messages > .new").length === 0`)

	// In the background it is, and there is a line before it.
	dev.hide(t, true)
	bob.post(t, "dev", "unseen", "unseen too")
	for _, p := range append(others, dev) {
		p.waitFor(t, badge("dev")+` === "2 unread"`)
		p.waitFor(t, `document.title.startsWith("(")`)
	}
	dev.want(t, `document.querySelector("#messages > .new").nextElementSibling === `+row("unseen"))

	// Looked at again, it is read everywhere; the line stays where it helps.
	dev.hide(t, false)
	for _, p := range append(others, dev) {
		p.waitFor(t, badge("dev")+` === ""`)
	}
	dev.want(t, `document.querySelector("#messages > .new").nextElementSibling === `+row("unseen"))

	// Set back at a row, by the mouse.
	dev.hover(t, "#messages > li:last-child")
	dev.click(t, "#mark-here")
	for _, p := range append(others, dev) {
		p.waitFor(t, badge("dev")+` === "1 unread"`)
	}
	dev.want(t, `document.querySelector("#messages > .new").nextElementSibling === `+row("unseen too"))

	// Deleted in one tab, gone in all, whoever looks.
	second := newPerson(t, newBrowser(t))
	second.become(t, account)
	second.open(t, s, "dev")
	second.post(t, "her own")
	dev.waitRow(t, "her own")
	second.remove(t, "her own")
	dev.waitFor(t, count("her own")+" === 0")
	dev.wantRows(t, "seen at once", "unseen", "unseen too")
}

// TestNewChannel shows a channel that somebody has just made, in its place, to
// those who look at a list and to those in a channel.
func TestNewChannel(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bea := newUser(t, s, "Ann"), newUser(t, s, "Bea")
	ann.open(t, s, "general")
	bea.visit(t, s.URL+"/channels")
	newVisitor(t, s, "Bob").send(t, "/channels", map[string][]string{"name": {"Design & <b>"}})
	for _, p := range []*person{ann, bea} {
		p.waitFor(t, `[...document.querySelectorAll("#channels bdi")].map(b => b.textContent).join("|") === "Design & <b>|general"`)
		p.follow(t, `#channels a[href*="Design"]`)
		p.waitFor(t, `document.querySelector("h1").textContent === "Design & <b>"`)
	}
}

// TestPresence shows who is in the channel and who types, in both languages,
// and says nothing of it to a screen reader that is not asked.
func TestPresence(t *testing.T) {
	t.Parallel()
	for tag, words := range map[string]struct{ here, typing string }{
		"en-US": {"Here now", `" is typing…"`},
		"zh-CN": {"在线", `" 正在输入…"`},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			ann := newUser(t, s, "Ann", withLanguage(tag))
			ann.open(t, s, "general")
			ann.waitFor(t, isLive)
			const here, typing = `[...document.querySelectorAll("#here bdi")].map(e => e.textContent).join(", ")`, `document.getElementById("typing").textContent`
			ann.want(t, here+` === "Ann"`)
			bob := newUser(t, s, "张伟")
			bob.open(t, s, "general")
			bob.waitFor(t, isLive)
			for _, p := range []*person{ann, bob} {
				p.waitFor(t, here+` === "Ann, 张伟" && document.getElementById("present").textContent === "2"`)
			}
			ann.click(t, ".people")
			ann.see(t, "#presence", words.here)
			ann.see(t, "#presence", "张伟")
			ann.press(t, kb.Escape)

			// Who types is told to others, till it is written.
			bob.fill(t, "#body", "")
			bob.insert(t, "I am wri")
			ann.waitFor(t, typing+` === "张伟"`)
			ann.want(t, `getComputedStyle(document.getElementById("typing"), "::after").content === `+js(words.typing))
			bob.want(t, typing+` === ""`)
			bob.insert(t, "ting.")
			bob.click(t, send)
			ann.waitRow(t, "I am writing.")
			ann.waitFor(t, typing+` === ""`)

			// Or till the typing stops.
			bob.insert(t, "Never mind")
			ann.waitFor(t, typing+` === "张伟"`)
			ann.waitFor(t, typing+` === ""`)

			// Elsewhere is not here.
			bob.visit(t, s.URL+"/channels")
			ann.waitFor(t, here+` === "Ann"`)

			// None of it is in a region that is read out when it changes; the
			// state of the connection is.
			for _, id := range []string{"here", "typing", "news", "channels", "waiting"} {
				ann.want(t, `document.getElementById(`+js(id)+`).closest("[aria-live], [role=status], [role=alert], [role=log]") === null`)
			}
			ann.want(t, `document.getElementById("state").getAttribute("role") === "status"`)
			axe(t, ann, everything)
		})
	}
}

// TestTyping tells at once that somebody types, again while they go on, and at
// once for their next message.
func TestTyping(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	// Time goes on as the test says, and what is told is counted.
	ask[bool](t, ann, `(window.time = Date.now(), Date.now = () => time, window.told = 0, window.send = fetch, window.fetch = (url, options) => {
		told += url.endsWith("/typing");
		return send(url, options);
	}, true)`)
	ann.fill(t, "#body", "")
	text := ""
	write := func(more string, after, want int) {
		t.Helper()
		ask[bool](t, ann, fmt.Sprintf(`(time += %d, true)`, after))
		text += more
		ann.insert(t, more)
		ann.waitFor(t, `document.getElementById("body").value === `+js(text))
		if n := ask[int](t, ann, `told`); n != want {
			t.Errorf("%q: it was told %d times, want %d", text, n, want)
		}
	}
	write(" ", 0, 0)
	write("a", 0, 1)
	write("b", 0, 1)
	write("c", 2999, 1)
	write("d", 1, 2)
	write("e", 0, 2)
	write("f", 10_000, 3)
	write("g", 0, 3)
	ann.click(t, send)
	ann.waitRow(t, "abcdefg")
	ann.waitFor(t, `document.getElementById("body").value === "" && document.querySelector("#composer:not(.htmx-request)") !== null`)
	text = ""
	write("h", 0, 4)
}

// TestFrozen freezes a tab, as browsers do with those that nobody looks at,
// for longer than the server keeps a silent connection's place, and thaws it.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := quick(t)
	bob := newVisitor(t, s, "Bob")
	bob.post(t, "general", "before")
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ann.do(t, command(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateFrozen}))
	bob.post(t, "general", numbered(120)...)
	bob.send(t, "/channels/general/messages/1/delete", nil)
	s.kill(t, syscall.SIGTERM)
	s.restart(t)
	bob.post(t, "general", "after the restart")
	ann.expectBadLine()
	ann.do(t, command(page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateActive}))
	ann.waitRow(t, "after the restart")
	ann.waitFor(t, isLive)
	live := ask[string](t, ann, normal)
	ann.do(t, chromedp.Reload(), chromedp.Reload())
	if fresh := ask[string](t, ann, normal); live != fresh {
		t.Errorf("a thawed page and a fresh one differ:\n%s\n%s", live, fresh)
	}
}

// TestBack leaves a channel by a link and comes back by the browser's button,
// from its back/forward cache where it has one.
func TestBack(t *testing.T) {
	t.Parallel()
	s := quick(t)
	bob := newVisitor(t, s, "Bob")
	bob.post(t, "general", "before", "deleted")
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ann.click(t, ".head .more")
	ann.follow(t, ".marking")
	bob.post(t, "general", numbered(5)...)
	bob.send(t, "/channels/general/messages/2/delete", nil)
	ann.do(t, chromedp.NavigateBack())
	ann.waitRow(t, "message 5")
	ann.waitFor(t, isLive)
	bob.post(t, "general", "live again")
	ann.waitRow(t, "live again")
	ann.wantRows(t, append([]string{"before"}, append(numbered(5), "live again")...)...)

	// As a browser does it that keeps pages with a closed connection.
	ann.offline(t, true)
	ann.expectBadLine()
	bob.post(t, "general", "while away")
	ann.offline(t, false)
	ask[bool](t, ann, `dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)
	began := time.Now()
	ann.waitRow(t, "while away")
	if waited := time.Since(began); waited > 10*time.Second {
		t.Errorf("back after %v", waited)
	}
}
