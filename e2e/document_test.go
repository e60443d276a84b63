package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestDocument is a page that is live without script: rows come and go in its
// frame by themselves, and nothing that one is doing is disturbed.
func TestDocument(t *testing.T) {
	t.Parallel()
	for tag, words := range map[string]struct{ list, gone, signIn string }{
		"en-US": {"Messages in general", "Sign in to continue.", "Sign in"},
		"zh-CN": {"“general”中的消息", "请先登录。", "登录"},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			bob := newVisitor(t, s, "Bob")
			bob.post(t, "general", numbered(110)...)
			ann := newUser(t, s, "Ann", withoutScript, withLanguage(tag))
			ann.open(t, s, "general")
			ann.want(t, `document.readyState === "complete"`) // though a frame is still being loaded
			ann.want(t, `document.getElementById("stream").title === `+js(words.list)+` && !document.getElementById("scroller").checkVisibility()`)
			ann.post(t, "mine")
			ann.waitFor(t, settled)
			const draft = "a draft\nof two lines"
			ann.fill(t, "#body", draft)

			// At the newest, it follows.
			bob.post(t, "general", "first", "second", "third")
			ann.waitRow(t, "third")
			ann.want(t, shows("third"))
			name := func(text string) string {
				return `(` + row(text) + `).querySelector("b").getBoundingClientRect().width > 20`
			}
			ann.want(t, `(`+row("second")+`).className === "same" && (`+row("third")+`).className === "same" && `+name("first"))
			ann.want(t, `!(`+name("second")+`)`)

			// What is deleted goes, and does not leave its author's rows to others.
			bob.send(t, "/channels/general/messages/112/delete", url.Values{})
			ann.waitFor(t, count("first")+` === 0`)
			ann.want(t, name("second"))
			ann.want(t, `!(`+name("third")+`)`)
			bob.send(t, "/channels/general/messages/113/delete", url.Values{})
			ann.waitFor(t, count("second")+` === 0`)
			ann.want(t, name("third"))

			// Further up, one is not moved.
			top := `(` + row("message 60") + `).getBoundingClientRect().top`
			ask[bool](t, ann, `((`+row("message 60")+`).scrollIntoView(), true)`)
			ann.waitFor(t, shows("message 60"))
			before := ask[float64](t, ann, top)
			bob.post(t, "general", "fourth", "fifth\nof\nsix\nlines\nor\nso", "sixth")
			ann.waitRow(t, "sixth")
			if after := ask[float64](t, ann, top); after < before-1 || after > before+1 {
				t.Errorf("the view moved by %v pixels", after-before)
			}
			ann.want(t, `!(`+shows("sixth")+`)`)
			ann.want(t, `document.activeElement.id === "body" && document.activeElement.value === `+js(draft))

			// Own rows, and no others, can be deleted.
			ann.want(t, `[...`+list+`.querySelectorAll(".delete")].filter(e => e.checkVisibility()).length === 1`)
			ann.remove(t, "mine")
			ann.waitFor(t, settled)
			ann.waitRow(t, "sixth")
			want := append(numbered(110)[13:], "third", "fourth", "fifth\nof\nsix\nlines\nor\nso", "sixth")
			if got := ann.rows(t); !slices.Equal(got[len(got)-50:], want[len(want)-50:]) {
				t.Errorf("the rows are %q", got)
			}

			// The session ends in another window.
			ann.see(t, "#messages", "sixth")
			v := newVisitor(t, s, "Cleo")
			v.post(t, "general", "seventh")
			ann.waitRow(t, "seventh")
			ann.logOut(t, s)
			ann.see(t, "#messages .over", words.gone)
			v.post(t, "general", "not for her")
			ann.see(t, "#messages .over a", words.signIn)
			ann.want(t, count("not for her")+` === 0`)
			ann.follow(t, "#messages .over a")
			ann.want(t, `!!document.getElementById("signin")`)
		})
	}
}

// shows is an expression of whether a row can be seen.
func shows(text string) string {
	return `(() => {
		const r = (` + row(text) + `).getBoundingClientRect(), box = ` + list + `.getElementById("scroller").getBoundingClientRect();
		return r.top >= box.top - 1 && r.bottom <= box.bottom + 1;
	})()`
}

// logOut ends the person's session from a second window.
func (p *person) logOut(t *testing.T, s *server) {
	t.Helper()
	ask[bool](t, p, `fetch(`+js(s.URL+"/logout")+`, {method: "POST", body: new URLSearchParams({confirm: "yes"})}).then(r => r.ok)`)
}

// TestDocumentKilled kills the server under a page without script and leaves it
// dead for a while: the frame comes back by itself, and what is typed stays.
func TestDocumentKilled(t *testing.T) {
	t.Parallel()
	s := quick(t)
	bob := newVisitor(t, s, "Bob")
	bob.post(t, "general", "before", "to go")
	ann := newUser(t, s, "Ann", withoutScript)
	ann.expectBadLine()
	ann.expect("GET data:") // a picture on the browser's own page
	ann.open(t, s, "general")
	ann.fill(t, "#body", "a draft")
	want := []string{"before"}
	for round, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM} {
		s.kill(t, signal)
		// It has found nobody, more than once.
		ann.waitFor(t, `!document.getElementById("stream").contentDocument.querySelector("iframe").contentDocument`)
		s.restart(t)
		bob.send(t, "/channels/general/messages/2/delete", nil)
		meanwhile := fmt.Sprint("meanwhile ", round)
		bob.post(t, "general", meanwhile)
		want = append(want, meanwhile)
		ann.waitFor(t, streams)
		ann.wantRows(t, want...)
		bob.post(t, "general", meanwhile+" and after")
		want = append(want, meanwhile+" and after")
		ann.wantRows(t, want...)
		ann.want(t, `document.getElementById("body").value === "a draft"`)
	}
	ann.open(t, s, "general")
	ann.wantRows(t, want...)
}

// TestDocumentCut cuts the line in the middle of a document, which browsers do
// not take for its end.
func TestDocumentCut(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := behindProxy(t, s, nothing)
	ann := newUser(t, through, "Ann", withoutScript)
	ann.expectBadLine()
	ann.open(t, through, "general")
	ann.see(t, "#messages .empty", "No messages yet.")
	ask[bool](t, ann, list+`.cut = true`)
	front.CloseClientConnections()
	newVisitor(t, s, "Bob").post(t, "general", "after the cut")
	ann.waitFor(t, `!`+list+`.cut && `+streams)
	ann.wantRows(t, "after the cut")
	ann.want(t, `!`+list+`.querySelector(".empty")?.checkVisibility()`)
}

// TestDocumentHeldBack is behind a proxy that holds answers back until they are
// complete: the frame shows what there is, and looks again from time to time.
func TestDocumentHeldBack(t *testing.T) {
	t.Parallel()
	s := quick(t)
	bob := newVisitor(t, s, "Bob")
	bob.post(t, "general", "before")
	front, through := behindProxy(t, s, buffers)
	ann := newUser(t, through, "Ann", withoutScript)
	ann.visit(t, through.channelURL("general"))
	ann.wantRows(t, "before")
	ann.fill(t, "#body", "a draft")
	bob.post(t, "general", "by and by")
	ann.wantRows(t, "before", "by and by")
	ann.want(t, list+`.location.pathname.endsWith("/document")`)
	front.obstacle.Store(int32(nothing))
	ann.waitFor(t, streams)
	bob.post(t, "general", "at once")
	ann.wantRows(t, "before", "by and by", "at once")
	ann.want(t, `document.getElementById("body").value === "a draft"`)
}

// TestDocumentByKeyboard goes into the frame, through it and out of it.
func TestDocumentByKeyboard(t *testing.T) {
	t.Parallel()
	s := quick(t)
	newVisitor(t, s, "Bob").post(t, "general", numbered(110)...)
	ann := newUser(t, s, "Ann", withoutScript)
	ann.open(t, s, "general")
	ann.post(t, "mine")
	ann.waitFor(t, settled)
	for _, way := range [][]chromedp.Modifier{nil, {chromedp.ModifierShift}} {
		stops := []string{".self", "#scroller", "#earlier a", "#messages .delete", "#body"}
		if way != nil {
			slices.Reverse(stops)
		}
		for _, stop := range stops {
			ann.tabTo(t, stop, way...)
		}
	}
	ann.tabTo(t, "#scroller")
	ann.press(t, kb.Home)
	ann.waitFor(t, shows("message 12"))
	ann.press(t, kb.End)
	ann.waitFor(t, shows("mine"))
}

// TestDocumentNotWithScript leaves out what script does better.
func TestDocumentNotWithScript(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ann.post(t, "hello")
	ann.want(t, `!document.querySelector("iframe") && document.getElementById("scroller").checkVisibility()`)
	if n := ann.sent("GET", "/document") + ann.sent("GET", "/live?document"); n > 0 {
		t.Errorf("the frame was asked for %d times", n)
	}
}
