package e2e

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	_ "modernc.org/sqlite"
)

// place is an expression of how far below the top of the window a row ends. It
// may begin elsewhere: the first of a run says more than those after it.
func place(text string) string { return `(` + row(text) + `).getBoundingClientRect().bottom` }

// inView is an expression of whether a row shows whole in the box of messages.
func inView(text string) string {
	return `(() => {
		const r = (` + row(text) + `).getBoundingClientRect(), box = document.getElementById("scroller").getBoundingClientRect();
		return r.top >= box.top - 1 && r.bottom <= box.bottom + 1;
	})()`
}

// scroll turns the wheel over the messages until the page has moved.
func (p *person) scroll(t *testing.T, by float64) {
	t.Helper()
	before := ask[float64](t, p, `document.getElementById("scroller").scrollTop`)
	ask[bool](t, p, `document.getElementById("scroller").scrollBy({top: `+fmt.Sprint(by)+`, behavior: "instant"}), true`)
	p.waitFor(t, `document.getElementById("scroller").scrollTop !== `+fmt.Sprint(before))
	// The page hears of it with the next frame.
	ask[bool](t, p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
}

// wantPlace fails the test if what is read has moved on the screen.
func (p *person) wantPlace(t *testing.T, text string, want float64) {
	t.Helper()
	if got := ask[float64](t, p, place(text)); got < want-1 || got > want+1 {
		t.Errorf("%q has moved from %v to %v", text, want, got)
	}
}

// readingNow is the text of a row near the top of what shows.
func readingNow(t *testing.T, p *person) string {
	t.Helper()
	return ask[string](t, p, `(() => {
		const top = document.getElementById("scroller").getBoundingClientRect().top;
		return [...document.querySelectorAll("#messages > li[id]")].find(r => r.getBoundingClientRect().top > top + 100).querySelector(".body").textContent.trim();
	})()`)
}

// TestFollow keeps at the newest who is there, and leaves alone who reads
// further up.
func TestFollow(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe := newVisitor(t, s, "Zoe")
	zoe.post(t, "general", numbered(150)...)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.want(t, inView("message 150"))
	hidden := `document.getElementById("to-newest").hidden`
	ann.want(t, hidden)

	// At the newest: it follows, and keeps as many rows as a fresh page.
	for i := range 5 {
		text := fmt.Sprintf("live %d", i)
		zoe.post(t, "general", text)
		ann.waitRow(t, text)
		ann.waitFor(t, inView(text))
		ann.waitFor(t, `document.querySelectorAll("#messages > li[id]").length === 100`)
	}
	ann.want(t, hidden)
	ann.want(t, `document.querySelector("#messages > li[id] .body").textContent.trim() === "message 56"`)

	// Further up: what is read stays where it is.
	ann.scroll(t, -900)
	reading := readingNow(t, ann)
	at := ask[float64](t, ann, place(reading))
	zoe.post(t, "general", "news 1", "news 2\nin\nmany\nlines")
	ann.waitRow(t, "news 2\nin\nmany\nlines")
	ann.see(t, "#to-newest", "New messages")
	ann.wantPlace(t, reading, at)
	ann.want(t, `!`+inView("news 1"))

	// The button leads to the newest, where it follows again.
	ann.click(t, "#to-newest")
	ann.waitFor(t, inView("news 2\nin\nmany\nlines")+` && `+hidden)
	ann.want(t, `document.activeElement.id === "body"`)
	zoe.post(t, "general", "news 3")
	ann.waitRow(t, "news 3")
	ann.waitFor(t, inView("news 3"))
	ann.want(t, hidden)
	ann.want(t, `document.querySelectorAll("#messages > li[id]").length <= 100`)

	// Scrolling back to the newest takes the button away, too.
	ann.scroll(t, -900)
	zoe.post(t, "general", "news 4")
	ann.see(t, "#to-newest", "New messages")
	ann.scroll(t, 5000)
	ann.waitFor(t, hidden+` && `+inView("news 4"))

	// An own post goes to the newest, wherever one was.
	ann.scroll(t, -900)
	ann.post(t, "here I am")
	ann.waitFor(t, inView("here I am"))

	// What is deleted, before and after what is read, moves nothing either.
	ann.scroll(t, -900)
	reading = readingNow(t, ann)
	at = ask[float64](t, ann, place(reading))
	for _, gone := range []string{"news 4", "message 70"} {
		id := ask[string](t, ann, `(`+row(gone)+`).id.slice(2)`)
		zoe.send(t, "/channels/general/messages/"+id+"/delete", nil)
		ann.waitFor(t, count(gone)+" === 0")
		ann.wantPlace(t, reading, at)
	}
}

// TestEarlier goes back to the first message, one page at a time.
func TestEarlier(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe := newVisitor(t, s, "Zoe")
	all := numbered(250)
	zoe.post(t, "general", all...)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.wantRows(t, all[150:]...)
	ask[bool](t, ann, `(window.quiet = [], new MutationObserver(() => quiet.push(document.getElementById("scroller").getAttribute("aria-live"))).observe(document.getElementById("messages"), {childList: true}), true)`)

	for _, first := range []int{50, 0} {
		ann.scroll(t, -100000)
		reading := all[first+100]
		if first == 0 {
			reading = all[50]
		}
		at := ask[float64](t, ann, place(reading))
		ann.click(t, "#earlier a")
		ann.waitRow(t, all[first])
		ann.waitFor(t, fmt.Sprintf(`document.querySelectorAll("#messages > li[id]").length === %d`, 250-first))
		ann.wantRows(t, all[first:]...)
		ann.wantPlace(t, reading, at)
	}
	ann.want(t, `!document.querySelector("#earlier a")?.checkVisibility()`)

	// A screen reader was told nothing of it, and hears what comes next.
	if told := ask[[]string](t, ann, `quiet`); len(told) == 0 || slices.ContainsFunc(told, func(v string) bool { return v != "off" }) {
		t.Errorf("while earlier rows came, aria-live was %q", told)
	}
	ann.waitFor(t, `document.getElementById("scroller").getAttribute("aria-live") !== "off"`)

	// Back at the newest the page is as long as a fresh one, and the way to
	// earlier ones begins where it ends.
	ann.scroll(t, 100000)
	zoe.post(t, "general", "live")
	ann.waitRow(t, "live")
	ann.waitFor(t, `document.querySelectorAll("#messages > li[id]").length === 100`)
	ann.wantRows(t, append(slices.Clone(all[151:]), "live")...)
	ann.scroll(t, -100000)
	ann.click(t, "#earlier a")
	ann.waitFor(t, `document.querySelectorAll("#messages > li[id]").length === 200`)
	ann.wantRows(t, append(slices.Clone(all[51:]), "live")...)
}

// TestEarlierByKeyboard keeps the focus when the link goes.
func TestEarlierByKeyboard(t *testing.T) {
	t.Parallel()
	s := quick(t)
	newVisitor(t, s, "Zoe").post(t, "general", numbered(130)...)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.tabTo(t, "#earlier a")
	ann.press(t, kb.Enter)
	ann.waitRow(t, "message 1")
	ann.waitFor(t, `document.activeElement !== document.body && document.getElementById("scroller").contains(document.activeElement)`)
}

// normal is an expression of the messages' HTML with attributes in order.
const normal = `(() => {
	const list = document.getElementById("messages").cloneNode(true);
	for (const e of list.querySelectorAll("*")) {
		const attributes = [...e.attributes].sort((a, b) => a.name < b.name ? -1 : 1);
		for (const a of attributes) e.removeAttribute(a.name);
		for (const a of attributes) e.setAttribute(a.name, a.value);
	}
	return list.innerHTML.replaceAll(" data-htmx-powered=\"true\"", "").replace(/>\s+</g, "><");
})()`

// TestLiveAsFresh shows that rows which came by themselves stand as they do
// in a fresh page: days, runs, times and all.
func TestLiveAsFresh(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe, dan := newVisitor(t, s, "Zoe"), newVisitor(t, s, "Dan")
	for i := range 12 {
		v := zoe
		if i%4 == 3 {
			v = dan
		}
		v.post(t, "general", fmt.Sprintf("old %d", i))
	}
	// Age them: two days, with runs and pauses.
	s.edit(t,
		`UPDATE messages SET posted_at = posted_at - (12 - id) * 4 * 3600000000`,
		`UPDATE messages SET posted_at = (SELECT posted_at FROM messages WHERE id = 5) + id * 1000000 WHERE id IN (6, 7, 8)`)

	ann := newUser(t, s, "Ann", inZone("Asia/Kolkata"))
	ann.open(t, s, "general")
	days := ask[int](t, ann, `document.querySelectorAll("#messages > .day").length`)
	same := ask[int](t, ann, `document.querySelectorAll("#messages > .same").length`)
	if days < 2 || same != 2 {
		t.Fatalf("the page has %d days and %d rows in runs, not the case to test", days, same)
	}
	zoe.post(t, "general", "new 1", "new 2")
	ann.waitRow(t, "new 2")
	dan.post(t, "general", "new 3")
	ann.post(t, "new 4")
	ann.post(t, "new 5 https://example.com/")
	zoe.post(t, "general", "new 6", "new 7")
	ann.waitRow(t, "new 7")
	ann.remove(t, "new 4")
	dan.post(t, "general", "new 8")
	ann.waitRow(t, "new 8")
	ann.want(t, `(`+row("new 2")+`).classList.contains("same") && !(`+row("new 5 https://example.com/")+`).classList.contains("same")`)
	live := ask[string](t, ann, normal)
	ann.do(t, chromedp.Reload(), chromedp.Reload()) // at the second look nothing is new
	if fresh := ask[string](t, ann, normal); live != fresh {
		t.Errorf("live and fresh rows differ:\n%s\n%s", strings.ReplaceAll(live, "<li", "\n<li"), strings.ReplaceAll(fresh, "<li", "\n<li"))
	}
	ann.want(t, `[...document.querySelectorAll("#messages > li[id] time")].every(e => e.textContent === new Intl.DateTimeFormat("en", {hour: "2-digit", minute: "2-digit", hourCycle: "h23"}).format(new Date(e.dateTime)))`)

	// Without script the days are those of the server's zone.
	bob := newUser(t, s, "Bob", withoutScript, inZone("Asia/Kolkata"))
	bob.open(t, s, "general")
	bob.want(t, `(() => {
		const days = [...document.querySelectorAll("#messages > .day time")].map(e => e.dateTime);
		return days.length > 1 && new Set(days).size === days.length;
	})()`)
}

// edit stops the server, changes its database, and starts it again.
func (s *server) edit(t *testing.T, statements ...string) {
	t.Helper()
	s.kill(t, syscall.SIGTERM)
	files, err := filepath.Glob(filepath.Join(s.Data, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the databases are %q, %v", files, err)
	}
	db, err := sql.Open("sqlite", files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
}

// TestRowsComeOnce counts what a screen reader is told of: each new row once,
// an own one too, which comes by post and by push.
func TestRowsComeOnce(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, bob := newUser(t, s, "Ann"), newUser(t, s, "Bob")
	const watch = `(window.added = [], new MutationObserver(changes => {
		for (const c of changes) for (const n of c.addedNodes) {
			if (n.id) added.push(n.querySelector(".body").textContent.trim());
			else if (n.nodeType === 1 && !n.matches(".day")) added.push(n.outerHTML);
		}
	}).observe(document.getElementById("messages"), {childList: true, subtree: true, characterData: true}), true)`
	for _, p := range []*person{ann, bob} {
		p.open(t, s, "general")
		ask[bool](t, p, watch)
	}
	var want []string
	for i := range 10 {
		text := fmt.Sprintf("row %d", i)
		ann.post(t, text)
		bob.waitRow(t, text)
		want = append(want, text)
	}
	bob.post(t, "done")
	ann.waitRow(t, "done")
	want = append(want, "done")
	for _, p := range []*person{ann, bob} {
		if got := ask[[]string](t, p, `added`); !slices.Equal(got, want) {
			t.Errorf("the rows added are %q, want %q", got, want)
		}
		p.want(t, `document.querySelector("[role=log] #messages") && !document.querySelector("#messages").closest("[aria-live=off]")`)
	}
}
