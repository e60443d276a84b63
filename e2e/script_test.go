package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// module calls a function of one of our modules in the person's browser. It is
// the engine that runs them for people, and nothing else has to be installed.
func module[T any](t *testing.T, p *person, file, call string) T {
	t.Helper()
	return ask[T](t, p, `import("/static/`+file+`.js").then(m => m.`+call+`)`)
}

// TestModules asks the functions of our modules that need no page.
func TestModules(t *testing.T) {
	t.Parallel()
	p := newPerson(t, newBrowser(t))
	p.visit(t, quick(t).URL+"/")

	// What an answer means.
	for _, tt := range []struct{ statuses, header, want string }{
		{"200 201 204", "{Hubbub: 1}", "done"},
		{"400 401 403 404 409 413 422", "{Hubbub: 1}", "refused"},
		{"405 408 429 500 502 503 504 511", "{Hubbub: 1}", "waits"},
		{"200 201 204 400 401 403 404 409 413 422 429 500 502 503 504 511", "{}", "waits"},
	} {
		for status := range strings.FieldsSeq(tt.statuses) {
			if got := module[string](t, p, "answers", `judge(new Response(null, {status: `+status+`, headers: `+tt.header+`}))`); got != tt.want {
				t.Errorf("an answer of %s with the header %s: %s, want %s", status, tt.header, got, tt.want)
			}
		}
	}
	if got := module[string](t, p, "answers", `judge({redirected: true, ok: true, status: 200, headers: new Headers({Hubbub: 1})})`); got != "waits" {
		t.Errorf("an answer of ours that somebody else has led to: %s", got)
	}

	// How long to wait.
	const now = `Date.parse("2026-01-01T00:00:00Z")`
	for call, want := range map[string]float64{
		`pause(0, "", 0.5)`:        500,
		`pause(1, "", 0.5)`:        1000,
		`pause(3, "", 0)`:          2800,
		`pause(3, "", 1)`:          5200,
		`pause(99, "", 0.5)`:       10000,
		`pause(0, "7", 0.5)`:       7000,
		`pause(6, "7", 0.5)`:       10000,
		`pause(0, "9999999", 0.5)`: 60000,
		`pause(0, "soon", 0.5)`:    500,
		`pause(0, "Thu, 01 Jan 2026 00:00:20 GMT", 0.5, ` + now + `)`: 20000,
		`pause(0, "Wed, 31 Dec 2025 23:00:00 GMT", 0.5, ` + now + `)`: 500,
		`pause(0, "Fri, 01 Jan 2027 00:00:00 GMT", 0.5, ` + now + `)`: 60000,
	} {
		if got := module[float64](t, p, "answers", call); got < want-0.001 || got > want+0.001 {
			t.Errorf("%s is %v, want %v", call, got, want)
		}
	}

	// What becomes of a draft that another tab has changed.
	for call, want := range map[string]string{
		`reconcile("a", "a", "")`:    "take",
		`reconcile("a", "a", "ab")`:  "take",
		`reconcile("ab", "a", "")`:   "part",
		`reconcile("ab", "a", "c")`:  "part",
		`reconcile("ab", "a", "ab")`: "keep",
		`reconcile("", "", "")`:      "keep",
	} {
		if got := module[string](t, p, "drafts", call); got != want {
			t.Errorf("%s is %q, want %q", call, got, want)
		}
	}

	// What stays in the box of what was typed.
	for _, tt := range []struct{ typed, sent, want string }{
		{"a", "a", ""}, {"a and b", "a", " and b"}, {"b", "a", "b"}, {"a\r\nb\nc", "a\nb", "\nc"}, {"", "a", ""},
	} {
		if got := module[string](t, p, "composer", `rest(`+js(tt.typed)+`, `+js(tt.sent)+`)`); got != tt.want {
			t.Errorf("of %q stays %q once %q is sent, want %q", tt.typed, got, tt.sent, tt.want)
		}
	}

	// Keys begin with the time, and none comes twice.
	if keys := module[[]string](t, p, "outbox", `newKey && Array.from({length: 1000}, m.newKey)`); !slices.IsSorted(func() []string {
		times := make([]string, len(keys))
		for i, key := range keys {
			times[i] = key[:8]
		}
		return times
	}()) || len(slices.Compact(slices.Sorted(slices.Values(keys)))) != 1000 || slices.ContainsFunc(keys, func(key string) bool { return len(key) > 64 || len(key) < 30 }) {
		t.Errorf("keys such as %q", keys[:3])
	}

	// Days and runs.
	type placed struct{ NewDay, Same bool }
	const hour = 3_600_000
	for _, tt := range []struct {
		about string
		rows  string
		want  []placed
	}{
		{"nothing", ``, []placed{}},
		{"a run, a pause, another author", `["1", 0], ["1", 60], ["1", 360], ["2", 361]`, []placed{{true, false}, {false, true}, {false, false}, {false, false}}},
		{"a time before the one above", `["1", 60], ["1", 0]`, []placed{{true, false}, {false, false}}},
		{"midnight", `["1", 12 * 3600 - 1], ["1", 12 * 3600]`, []placed{{true, false}, {true, false}}},
		{"no time", `["1", NaN], ["1", 0], ["1", NaN], ["1", 1]`, []placed{{false, false}, {true, false}, {false, false}, {false, false}}},
		{"what is new", `["1", 0], ["1", 1, true], ["1", 2]`, []placed{{true, false}, {false, false}, {false, true}}},
	} {
		call := `arrangement([` + tt.rows + `].map(([author, s, isNew]) => ({author, at: new Date(new Date(2026, 0, 1, 12).getTime() + s * 1000), isNew: !!isNew})), 300000)`
		if got := module[[]placed](t, p, "rows", call); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.about, got, tt.want)
		}
	}
	for call, want := range map[string]string{`total([])`: "", `total(["1", "2"])`: "3", `total(["99", "1"])`: "99+", `total(["99+"])`: "99+"} {
		if got := module[string](t, p, "counts", call); got != want {
			t.Errorf("%s is %q, want %q", call, got, want)
		}
	}
}

// interceptor stands between browsers and a server. What answer does not answer
// passes through.
type interceptor struct {
	URL string

	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// intercepted returns an interceptor, and the server as it is to be visited
// through it.
func intercepted(t *testing.T, s *server) (*interceptor, *server) {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	i := &interceptor{}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		answer := i.answer
		i.mu.Unlock()
		if answer == nil || !answer(w, r) {
			behind.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	i.URL = front.URL
	through := *s
	through.URL = front.URL
	return i, &through
}

// set has an interceptor answer so from now on, nil for not at all.
func (i *interceptor) set(answer func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// isPost reports whether a request is a post to a room.
func isPost(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/messages")
}

// inBox is an expression of whether the composer holds a text.
func inBox(text string) string {
	return `document.getElementById("body").value === ` + js(text)
}

// Where posts wait.
const (
	outboxEmpty = `!document.querySelector("#outbox li")`
	outboxTexts = `[...document.querySelectorAll("#outbox li > :first-child")].map(p => p.textContent)`
)

// TestForeignAnswers has something on the way answer in our place, in every way
// that a proxy, a portal or a sign-in page does, to each request that script
// makes. Nothing of it is shown or taken for an answer.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	s := quick(t)
	cleo := newVisitor(t, s, "Cleo")
	cleo.post(t, "general", numbered(130)...)
	front, through := intercepted(t, s)
	ann := newUser(t, through, "Ann")
	ann.expectBadLine()
	ann.expect("Failed to load resource")
	ann.open(t, through, "general")
	ann.waitFor(t, isLive)
	ann.post(t, "to go")
	id := ask[string](t, ann, `(`+row("to go")+`).id.slice(2)`)
	for n, answer := range foreignAnswers {
		t.Logf("answer %d: %d %q", n, answer.status, answer.location)
		var answered atomic.Int32
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			if !ofScript(r) {
				return false
			}
			answer.give(w, r)
			answered.Add(1)
			return true
		})
		isIntact := func() {
			t.Helper()
			ann.want(t, `!document.documentElement.outerHTML.includes("`+foreignMark+`") && !document.title.includes("`+foreignMark+`")`)
		}
		says := func(what string, act func()) {
			t.Helper()
			ask[bool](t, ann, `(document.getElementById("flash").replaceChildren(), true)`)
			before := answered.Load()
			act()
			ann.see(t, "#flash", "did not come through")
			if answered.Load() == before {
				t.Fatalf("%s was not answered by the proxy", what)
			}
			isIntact()
		}
		text, second := fmt.Sprint("post ", n), fmt.Sprint("second ", n)
		ann.fill(t, "#body", text)
		ann.click(t, send)
		ann.waitFor(t, inBox("")+` && JSON.stringify(`+outboxTexts+`) === `+js(js([]string{text})))
		ann.fill(t, "#body", second)
		ann.click(t, send)
		ann.waitFor(t, `JSON.stringify(`+outboxTexts+`) === `+js(js([]string{text, second})))
		isIntact()
		says("a delete", func() { ask[bool](t, ann, `(document.querySelector("#m-`+id+` .delete").click(), true)`) })
		ann.want(t, count("to go")+" === 1")
		before := ask[int](t, ann, `document.querySelectorAll("#messages > li[id]").length`)
		says("earlier messages", func() { ask[bool](t, ann, `(document.querySelector("#earlier a").click(), true)`) })
		ann.want(t, fmt.Sprintf(`document.querySelectorAll("#messages > li[id]").length === %d`, before))
		says("a mark", func() {
			ann.hover(t, "#messages > li:last-child")
			ann.click(t, "#mark-here")
		})
		front.set(nil)
		ask[bool](t, ann, `dispatchEvent(new Event("online"))`)
		ann.waitFor(t, outboxEmpty)
		ann.waitRow(t, second)
		rows := ann.rows(t)
		if got := rows[len(rows)-2:]; !slices.Equal(got, []string{text, second}) {
			t.Errorf("after answer %d the last rows are %q", n, got)
		}
		isIntact()
	}
	// What failed can be tried again.
	ask[bool](t, ann, `(document.querySelector("#m-`+id+` .delete").click(), true)`)
	ann.waitFor(t, count("to go")+" === 0")
	ask[bool](t, ann, `(document.querySelector("#earlier a").click(), true)`)
	ann.waitRow(t, "message 31")
	ann.hover(t, "#messages > li:last-child")
	ann.click(t, "#mark-here")
	ann.waitFor(t, `document.querySelector("#messages > .new") !== null || document.querySelector("#messages > li:last-child").dataset.author === document.getElementById("composer").dataset.user`)
}

// TestOwnRefusalsWait has the server itself be away for posts while the socket
// stays: they wait in their order, and go on by themselves.
func TestOwnRefusalsWait(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			front, through := intercepted(t, s)
			ann := newUser(t, through, "Ann")
			ann.expect("Failed to load resource")
			ann.open(t, through, "general")
			ann.waitFor(t, isLive+` && `+hasSocket)
			front.set(func(w http.ResponseWriter, r *http.Request) bool {
				if isPost(r) {
					w.Header().Set("Hubbub", "1")
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(status)
				}
				return isPost(r)
			})
			for _, text := range numbered(3) {
				ann.fill(t, "#body", text)
				ann.click(t, send)
				ann.waitFor(t, inBox(""))
			}
			ann.see(t, "#outbox li small", "Not sent yet")
			ann.waitFor(t, `document.querySelectorAll("#outbox li").length === 3`)
			front.set(nil)
			ann.waitFor(t, outboxEmpty)
			ann.wantRows(t, numbered(3)...)
			ann.want(t, isLive+` && `+hasSocket)
		})
	}
}

// TestSlowLine answers posts after three seconds. Each Enter is taken at once: the
// box is free, and what is under way shows.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := intercepted(t, s)
	ann := newUser(t, through, "Ann")
	ann.open(t, through, "general")
	ann.waitFor(t, isLive)
	front.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPost(r) {
			time.Sleep(3 * time.Second)
		}
		return false
	})
	began := time.Now()
	for _, text := range numbered(3) {
		ann.fill(t, "#body", text)
		ann.press(t, kb.Enter, chromedp.ModifierCtrl)
		ann.waitFor(t, inBox(""))
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the box is free after %v", took)
	}
	ann.see(t, "#outbox li small", "Sending…")
	front.set(nil)
	ann.waitFor(t, outboxEmpty)
	ann.wantRows(t, numbered(3)...)
}

// TestUsedKey posts another text under a key that was used, as a page does that
// a browser has kept. It is posted all the same.
func TestUsedKey(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := intercepted(t, s)
	ann := newUser(t, through, "Ann")
	ann.expect("status of 409")
	ann.open(t, through, "general")
	ann.waitFor(t, isLive)
	// A page that comes back has a key of its own.
	key := `document.getElementById("key").value`
	before := ask[string](t, ann, key)
	ask[bool](t, ann, `dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)
	ann.want(t, key+` !== `+js(before))
	ann.waitFor(t, isLive)
	// The server's answer to a key that is another text's.
	var refusals atomic.Int32
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if isPost(r) && refusals.Add(1) == 1 {
			w.Header().Set("Hubbub", "1")
			w.WriteHeader(http.StatusConflict)
			return true
		}
		return false
	})
	ann.post(t, "another text")
	ann.want(t, outboxEmpty)
	ann.wantRows(t, "another text")
}

// TestDraftsOfTabs has two tabs of one window write in one room. What is sent in
// one does not touch what is written in the other, and what both hold is sent once.
func TestDraftsOfTabs(t *testing.T) {
	t.Parallel()
	s := quick(t)
	one := newUser(t, s, "Ann")
	one.open(t, s, "general")
	two := one.tab(t)
	two.open(t, s, "general")
	one.waitFor(t, isLive)
	two.waitFor(t, isLive)

	// Each its own.
	one.fill(t, "#body", "of the first tab")
	two.fill(t, "#body", "of the second tab")
	two.click(t, send)
	one.waitRow(t, "of the second tab")
	one.want(t, inBox("of the first tab"))
	one.do(t, chromedp.Reload())
	one.waitFor(t, inBox("of the first tab"))

	// A draft that an open tab holds is not offered to another.
	two.do(t, chromedp.Reload())
	two.waitFor(t, isLive)
	ask[bool](t, two, `new Promise(done => setTimeout(() => done(true), 400))`) // others are asked first
	two.want(t, inBox(""))

	// Where both hold it all the same, as after a tab is duplicated, it is sent once.
	ask[bool](t, two, `(() => {
		const own = Object.keys(localStorage).find(name => name.includes(":draft:"));
		const drawer = own.slice(0, own.indexOf("draft:"));
		sessionStorage.setItem("hubbub:draft:" + drawer, JSON.stringify(own.slice(own.indexOf("draft:") + 6)));
		return true;
	})()`)
	two.do(t, chromedp.Reload())
	two.waitFor(t, inBox("of the first tab"))
	two.waitFor(t, isLive)
	one.click(t, send)
	two.waitRow(t, "of the first tab")
	two.waitFor(t, inBox(""))
	two.do(t, chromedp.Reload())
	two.waitRow(t, "of the first tab")
	two.want(t, inBox(""))
	one.wantRows(t, "of the second tab", "of the first tab")

	// A tab that is closed leaves its draft for the next.
	one.fill(t, "#body", "left behind")
	one.visit(t, "about:blank")
	two.do(t, chromedp.Reload())
	two.waitFor(t, inBox("left behind"))
}

// TestOneModuleLost has one file of script fail. The page stays one of forms: it
// does not say that it is live, and what is sent is sent by the form.
func TestOneModuleLost(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := intercepted(t, s)
	for _, part := range []string{"/static/outbox", "/static/vendor/hx-ws", "/static/times"} {
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, part) && !strings.HasPrefix(r.URL.Path, "/static/live") {
				return false
			}
			if strings.HasPrefix(r.URL.Path, part) {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		})
		ann := newUserOfForms(t, through, "Ann "+part[len("/static/"):])
		ann.expect("Failed to load resource")
		ann.visit(t, through.channelURL("general"))
		ann.fill(t, "#body", part)
		ann.follow(t, send)
		ann.waitFor(t, count(part)+" === 1")
		ann.want(t, `document.getElementById("state").textContent === "" && document.getElementById("body").value === ""`)
	}
}

// newUserOfForms is somebody in whose browser script may have failed.
func newUserOfForms(t *testing.T, s *server, name string) *person {
	t.Helper()
	p := newPerson(t, newBrowser(t))
	p.become(t, newVisitor(t, s, name))
	p.expect("Failed to load resource")
	return p
}

// TestLateScript loads a page again and again while its scripts come late, and in
// another order each time. It goes live by the socket at once, and not by a lower
// rung after it has waited for one.
func TestLateScript(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := intercepted(t, s)
	var asked atomic.Int32
	front.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".js") {
			time.Sleep(time.Duration(100+asked.Add(1)*37%300) * time.Millisecond)
		}
		return false
	})
	ann := newUser(t, through, "Ann")
	began, slowest := time.Now(), 0.0
	const loads = 20
	for range loads {
		ann.do(t, command(network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}))
		ann.open(t, through, "general")
		ann.waitFor(t, isLive)
		ann.want(t, hasSocket)
		slowest = max(slowest, ask[float64](t, ann, `performance.now()`))
	}
	t.Logf("%d loads in %v, live by the socket %v ms after the start of the slowest", loads, time.Since(began).Round(time.Millisecond), slowest)
	if slowest > 4000 {
		t.Errorf("it was live after %v ms", slowest)
	}
	if streams := ann.sent("GET", "/live"); streams != 0 {
		t.Errorf("%d plain requests for what is live", streams)
	}
}
