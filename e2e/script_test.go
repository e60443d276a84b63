package e2e

import (
	"database/sql"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/coder/websocket"
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

// TestAnyList arranges a list that holds what it never should. Nothing throws, and
// rows go on coming.
func TestAnyList(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe := newVisitor(t, s, "Zoe")
	zoe.post(t, "general", "before")
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ask[bool](t, ann, `(document.getElementById("messages").insertAdjacentHTML("afterbegin",
		"text<p id=p>not a row</p><li>no id<li id=x>no time<li id=m-x data-author=1><time datetime=never>never</time><li class=day>no day<li id=m-0><a class=when><time>no date</time></a>"), true)`)
	zoe.post(t, "general", "after")
	ann.waitFor(t, `document.getElementById("messages").textContent.includes("after")`)
	ann.want(t, `!!document.querySelector("#messages > .day + li > .when > time[data-local]")`)
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
	ann.expect("EventSource's response has a MIME type")
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
		text, second := fmt.Sprint("post ", n), fmt.Sprint("second ", n)
		ann.fill(t, "#body", text)
		ann.click(t, send)
		ann.waitFor(t, inBox("")+` && JSON.stringify(`+outboxTexts+`) === `+js(js([]string{text})))
		ann.fill(t, "#body", second)
		ann.click(t, send)
		ann.waitFor(t, `JSON.stringify(`+outboxTexts+`) === `+js(js([]string{text, second})))
		isIntact()
		// A delete, earlier messages and a mark say that they have failed.
		shown, before := ask[int](t, ann, `document.querySelectorAll("#messages > li[id]").length`), answered.Load()
		ask[bool](t, ann, `(document.getElementById("flash").replaceChildren(),
			document.querySelector("#m-`+id+` .delete").click(), document.querySelector("#earlier a").click(), true)`)
		ann.hover(t, "#messages > li:last-child")
		ann.click(t, "#mark-here")
		ann.waitFor(t, `[...document.querySelectorAll("#flash .notice")].filter(n => n.textContent.includes("did not come through")).length === 3`)
		if got := answered.Load() - before; got < 3 {
			t.Errorf("only %d requests were answered by the proxy", got)
		}
		isIntact()
		ann.want(t, count("to go")+fmt.Sprintf(` === 1 && document.querySelectorAll("#messages > li[id]").length === %d`, shown))
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

// TestAdversary has two people talk while something on each one's way answers
// at random in our place. At the end all that they have sent is there once, in
// their order, what they were told is gone is gone, and nothing else shows.
func TestAdversary(t *testing.T) {
	t.Parallel()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: go test ./e2e -run '^TestAdversary$' -seed=%[1]d", seed)
	s := quick(t)
	newVisitor(t, s, "Cleo").post(t, "general", numbered(130)...)
	type talker struct {
		*person
		name    string
		front   *interceptor
		sent    []string
		foreign atomic.Int32
	}
	var talkers []*talker
	for i, name := range []string{"Ann", "Bob"} {
		front, through := intercepted(t, s)
		who := &talker{person: newUser(t, through, name), name: name, front: front}
		who.expectBadLine()
		who.expect("Failed to load resource")
		who.expect("EventSource's response has a MIME type")
		who.open(t, through, "general")
		who.waitFor(t, isLive)
		random, mu := rand.New(rand.NewPCG(seed, uint64(i))), sync.Mutex{}
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			luck, n := random.IntN(2), random.IntN(len(foreignAnswers))
			mu.Unlock()
			if luck == 0 || !ofScript(r) {
				return false
			}
			who.foreign.Add(1)
			foreignAnswers[n].give(w, r)
			return true
		})
		talkers = append(talkers, who)
	}
	random := rand.New(rand.NewPCG(seed, 9))
	for n := range 30 {
		for _, who := range talkers {
			text := fmt.Sprintf("%d by %s", n, who.name)
			who.fill(t, "#body", text)
			who.press(t, kb.Enter, chromedp.ModifierCtrl)
			who.sent = append(who.sent, text)
			who.waitFor(t, inBox(""))
			switch random.IntN(8) {
			case 0: // one of their own, which is gone if the page says so
				ask[bool](t, who.person, `([...document.querySelectorAll("#messages > li[data-author='" + document.getElementById("composer").dataset.user + "'] .delete")].at(-1)?.click(), true)`)
			case 1:
				ask[bool](t, who.person, `(document.querySelector("#earlier a")?.click(), true)`)
			case 2:
				who.do(t, chromedp.Reload())
				who.waitFor(t, `!!document.getElementById("live")?.dataset.tab`)
			}
		}
	}
	for _, who := range talkers {
		who.front.set(nil)
		ask[bool](t, who.person, `dispatchEvent(new Event("online"))`)
		who.waitFor(t, outboxEmpty+` && `+isLive)
		if who.foreign.Load() < 20 {
			t.Errorf("only %d foreign answers", who.foreign.Load())
		}
	}
	_, html := newVisitor(t, s, "Dan").page(t, "/channels/general")
	for _, who := range talkers {
		at := -1
		for _, text := range who.sent {
			if n := strings.Count(html, ">"+text+"<"); n > 1 {
				t.Errorf("%q is there %d times", text, n)
			} else if n == 1 {
				if here := strings.Index(html, ">"+text+"<"); here < at {
					t.Errorf("%q came before what was sent before it", text)
				} else {
					at = here
				}
			}
		}
	}
	// What is missing was deleted: each page says the same as a fresh one.
	for _, who := range talkers {
		who.waitFor(t, `document.querySelectorAll("#messages > li[id]").length >= 100`)
		live := who.rows(t)
		who.do(t, chromedp.Reload())
		fresh := who.rows(t)
		if len(live) > 100 {
			live = live[len(live)-100:]
		}
		if !slices.Equal(live[max(0, len(live)-60):], fresh[max(0, len(fresh)-60):]) {
			t.Errorf("a page that was live and a fresh one end differently:\n%q\n%q", live, fresh)
		}
		who.want(t, `!document.documentElement.outerHTML.includes("`+foreignMark+`") && !document.title.includes("`+foreignMark+`")`)
	}
	s.kill(t, syscall.SIGTERM)
	deleted := s.deleted(t)
	missing := 0
	for _, who := range talkers {
		for _, text := range who.sent {
			if !strings.Contains(html, ">"+text+"<") {
				missing++
			}
		}
	}
	if missing != deleted {
		t.Errorf("%d texts are missing, and %d were deleted", missing, deleted)
	}
	t.Logf("%d and %d foreign answers, %d deleted", talkers[0].foreign.Load(), talkers[1].foreign.Load(), deleted)
}

// deleted returns how many messages are deleted in the database of a server that
// has stopped.
func (s *server) deleted(t *testing.T) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.Data, "hubbub.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM messages WHERE deleted = 1`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
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
			ann.see(t, "#outbox li small", "Waiting for the connection")
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
	ann.waitFor(t, outboxEmpty)
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
	two.waitFor(t, inBox(""))

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

	// It is taken back where a busy tab says late that it holds the draft, unless it
	// was changed meanwhile.
	late := `new BroadcastChannel("hubbub:drafts").postMessage({holds: document.getElementById("key").value}) ?? true`
	three := two.tab(t)
	two.visit(t, "about:blank")
	three.open(t, s, "general")
	three.waitFor(t, inBox("left behind"))
	ask[bool](t, three, late)
	three.waitFor(t, inBox(""))
	three.do(t, chromedp.Reload())
	three.waitFor(t, inBox("left behind"))
	three.insertInto(t, ", and changed")
	changed := ask[string](t, three, `document.getElementById("body").value`)
	ask[bool](t, three, late)
	three.do(t, chromedp.Reload())
	three.waitFor(t, inBox(changed))
}

// TestOneModuleLost has one file of script fail. The page stays one of forms: it
// does not say that it is live, and what is sent is sent by the form.
func TestOneModuleLost(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := intercepted(t, s)
	for _, part := range []string{"/static/outbox", "/static/vendor/hx-ws", "/static/times"} {
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			lost := strings.HasPrefix(r.URL.Path, part)
			if lost {
				w.WriteHeader(http.StatusBadGateway)
			}
			return lost
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
	if streams := ann.sent("GET", "/live"); streams != 0 {
		t.Errorf("%d plain requests for what is live", streams)
	}
}

// evaluate has a script run in each document before its own.
func evaluate(source string) option {
	return func(s *settings) {
		s.steps = append(s.steps, command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: source}))
	}
}

// withoutAnchors is a browser that neither keeps what is read in its place nor
// makes a box as high as its text, as some do not.
var withoutAnchors = evaluate(`
	const supports = CSS.supports.bind(CSS);
	CSS.supports = (...what) => !/overflow-anchor|field-sizing/.test(what[0]) && supports(...what);
	document.addEventListener("readystatechange", () => {
		const sheet = new CSSStyleSheet();
		sheet.replaceSync("* { overflow-anchor: none !important; field-sizing: fixed !important }");
		document.adoptedStyleSheets.push(sheet);
	}, {once: true});
`)

// TestPlaceIsHeld changes what is above and below what somebody reads, in browsers
// that keep its place and in those that do not. It does not move.
func TestPlaceIsHeld(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"by the browser": nil, "by script": {withoutAnchors}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			zoe := newVisitor(t, s, "Zoe")
			zoe.post(t, "general", numbered(150)...)
			ann := newUser(t, s, "Ann", options...)
			ann.open(t, s, "general")
			ann.waitFor(t, isLive)
			ann.scroll(t, -900)
			reading := readingNow(t, ann)
			at := ask[float64](t, ann, place(reading))
			stays := func(what string, act func()) {
				t.Helper()
				act()
				ask[bool](t, ann, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
				if got := ask[float64](t, ann, place(reading)); got <= at-1 || got >= at+1 { // they scroll by whole pixels
					t.Errorf("%s has moved what is read by %v px", what, got-at)
				}
			}
			remove := func(text string) func() {
				return func() {
					id := ask[string](t, ann, `(`+row(text)+`).id.slice(2)`)
					zoe.send(t, "/channels/general/messages/"+id+"/delete", nil)
					ann.waitFor(t, count(text)+" === 0")
				}
			}
			stays("a row", func() {
				zoe.post(t, "general", "one\nof\nmany\nlines")
				ann.waitRow(t, "one\nof\nmany\nlines")
			})
			stays("five rows", func() {
				zoe.post(t, "general", "1", "2", "3", "4", "5")
				ann.waitRow(t, "5")
			})
			stays("a row gone below", remove("message 150"))
			stays("a row gone above", remove("message 60"))
			height := func(text, px string) func() {
				return func() { ask[bool](t, ann, `((`+row(text)+`).style.height = "`+px+`", true)`) }
			}
			stays("a picture loaded below", height("message 149", "300px"))
			stays("a picture loaded above", height("message 62", "300px"))
			stays("a row altered below", func() {
				ask[bool](t, ann, `(r => {
					const other = r.cloneNode(true);
					other.style.height = "90px";
					r.replaceWith(other);
					return true;
				})(`+row("message 148")+`)`)
			})
			stays("earlier rows", func() {
				ask[bool](t, ann, `(document.querySelector("#earlier a").click(), true)`)
				ann.waitRow(t, "message 1")
			})
			stays("the row gone that shows first", func() {
				first := ask[string](t, ann, `[...document.querySelectorAll("#messages > li[id]")].find(r => r.getBoundingClientRect().bottom > document.getElementById("scroller").getBoundingClientRect().top).id.slice(2)`)
				zoe.send(t, "/channels/general/messages/"+first+"/delete", nil)
				ann.waitFor(t, `!document.getElementById("m-`+first+`")`)
			})

			// A keyboard takes the lower part of the window, and gives it back.
			size := ann.size
			size.Height -= 250
			stays("a keyboard", func() { ann.do(t, command(emulation.SetDeviceMetricsOverride, size)) })
			stays("a keyboard gone", func() { ann.do(t, command(emulation.SetDeviceMetricsOverride, ann.size)) })
			ann.click(t, "#to-newest")
			ann.waitFor(t, inView("5"))
			ann.do(t, command(emulation.SetDeviceMetricsOverride, size))
			ann.waitFor(t, inView("5"))

			// The box grows with its text.
			one := ask[float64](t, ann, `document.getElementById("body").offsetHeight`)
			ann.fill(t, "#body", "1\n2\n3\n4")
			four := ask[float64](t, ann, `document.getElementById("body").offsetHeight`)
			ann.fill(t, "#body", "")
			again := ask[float64](t, ann, `document.getElementById("body").offsetHeight`)
			if one > 45 || four < one+40 || again != one {
				t.Errorf("the box is %v px high for a line, %v for four, %v for none", one, four, again)
			}
		})
	}
}

// TestPlaceIsFound comes back to the place in the list by a reload and by the
// browser's button.
func TestPlaceIsFound(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe := newVisitor(t, s, "Zoe")
	zoe.post(t, "general", numbered(350)...)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	found := func(text string, want float64) {
		t.Helper()
		ann.waitFor(t, row(text)+` !== undefined`)
		ann.waitFor(t, `Math.abs(`+place(text)+` - `+fmt.Sprint(want)+`) <= 1`)
	}
	ann.scroll(t, -1500)
	reading := readingNow(t, ann)
	at := ask[float64](t, ann, place(reading))
	ann.do(t, chromedp.Reload())
	found(reading, at)
	zoe.post(t, "general", "meanwhile")
	ann.waitRow(t, "meanwhile")
	found(reading, at)
	ann.menu(t, ".head .more")
	ann.follow(t, ".marking")
	zoe.post(t, "general", "while away")
	ann.do(t, chromedp.NavigateBack())
	ann.waitRow(t, "while away")
	found(reading, at)

	// Further back than a page shows.
	for range 2 {
		ann.scroll(t, -100000)
		first := ask[string](t, ann, `document.querySelector("#messages > li[id]").id`)
		ann.click(t, "#earlier a")
		ann.waitFor(t, `document.querySelector("#messages > li[id]").id !== `+js(first))
	}
	ann.scroll(t, -100000)
	reading = readingNow(t, ann)
	at = ask[float64](t, ann, place(reading))
	ann.do(t, chromedp.Reload())
	found(reading, at)

	// Who was at the newest is there again.
	ann.scroll(t, 100000)
	ann.do(t, chromedp.Reload())
	ann.waitFor(t, isLive)
	ann.want(t, inView("while away"))
	// And a page that is opened anew begins there.
	ann.scroll(t, -1500)
	ann.open(t, s, "general")
	ann.want(t, inView("while away"))
}

// TestWaking wakes a page whose connection may have died meanwhile. It does not
// say that it is live before there is a sign of life.
func TestWaking(t *testing.T) {
	t.Parallel()
	s := quick(t)
	front, through := behindProxy(t, s, nothing)
	ann := newUser(t, through, "Ann")
	ann.open(t, through, "general")
	ann.waitFor(t, isLive)
	opened := front.handshakes.Load()
	const state = `document.getElementById("state").className`
	later := func(ms int) {
		t.Helper()
		ask[bool](t, ann, fmt.Sprintf(`(window.real ??= Date.now, Date.now = (since => () => real() + since)(Date.now() - real() + %d), true)`, ms))
	}
	const wake = `(document.dispatchEvent(new Event("visibilitychange")), ` + state + `)`
	later(20_000)
	if got := ask[string](t, ann, wake); got != "live" || front.handshakes.Load() != opened {
		t.Errorf("after 20 s without a sign it is %q at waking, with %d more connections", got, front.handshakes.Load()-opened)
	}
	later(20_000)
	if got := ask[string](t, ann, wake); got != "reconnecting" {
		t.Errorf("after 40 s without a sign it is %q at waking", got)
	}
	ann.waitFor(t, isLive)
	if n := front.handshakes.Load() - opened; n != 1 {
		t.Errorf("it has connected %d times", n)
	}
	// A lid that is closed and opened over a page in front is no event: the page
	// finds out by the time.
	later(30_000)
	eventually(t, "it connects again", func() bool { return front.handshakes.Load() == opened+2 })
	ann.waitFor(t, isLive)
	newVisitor(t, s, "Zoe").post(t, "general", "still here")
	ann.waitRow(t, "still here")
}

// TestThoughtOffline has the browser think that there is no network, over a line
// that works, as behind some tunnels. The page believes what comes.
func TestThoughtOffline(t *testing.T) {
	t.Parallel()
	s := quick(t)
	zoe := newVisitor(t, s, "Zoe")
	ann := newUser(t, s, "Ann", evaluate(`Object.defineProperty(Navigator.prototype, "onLine", {get: () => false})`))
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ask[bool](t, ann, `dispatchEvent(new Event("offline"))`)
	ann.waitFor(t, isLive)
	ann.insertInto(t, "and it is typed")
	eventually(t, "typing is told", func() bool { return ann.sent("POST", "/typing") == 1 })
	ann.post(t, "and it is sent")
	zoe.post(t, "general", "and it comes")
	ann.waitRow(t, "and it comes")
	ann.want(t, isLive)
}

// insertInto puts text into the composer.
func (p *person) insertInto(t *testing.T, text string) {
	t.Helper()
	p.fill(t, "#body", "")
	p.insert(t, text)
}

// TestPrerendered loads a page in advance. Till it is seen, nobody is here and
// nothing is read.
func TestPrerendered(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann", evaluate(`
		let hidden = location.pathname.includes("/channels/");
		Object.defineProperty(Document.prototype, "prerendering", {get: () => hidden});
		window.activate = () => { hidden = false; document.dispatchEvent(new Event("prerenderingchange")); };
	`))
	ann.open(t, s, "general")
	ask[bool](t, ann, `new Promise(done => setTimeout(() => done(true), 500))`)
	ann.settle(t)
	if n := ann.sent("GET", "/live") + ann.sent("POST", "/read"); n != 0 {
		t.Errorf("a page that nobody sees has asked %d times", n)
	}
	ann.want(t, `document.getElementById("state").textContent === ""`)
	ask[bool](t, ann, `(activate(), true)`)
	ann.waitFor(t, isLive+` && `+hasSocket)
	ann.post(t, "seen now")
}

// TestFadedNotice clicks where a notice was.
func TestFadedNotice(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	ann.see(t, ".notice", "Ann")
	at := ask[[]float64](t, ann, `(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector(".notice").getBoundingClientRect())`)
	ann.waitFor(t, fmt.Sprintf(`!document.elementFromPoint(%v, %v)?.closest("#flash") && !document.querySelector(".notice[open]")`, at[0], at[1]))
}

// TestConnecting says what it does while a page has no connection yet, and tells
// that somebody types all the same.
func TestConnecting(t *testing.T) {
	t.Parallel()
	for tag, word := range map[string]string{"en-US": "Connecting…", "zh-CN": "正在连接…"} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			front, through := behindProxy(t, s, nothing)
			ann := newUser(t, through, "Ann", withLanguage(tag))
			ann.expectBadLine()
			front.obstacle.Store(int32(swallows))
			ann.open(t, through, "general")
			ann.see(t, "#state.connecting", word)
			ann.insertInto(t, "already")
			eventually(t, "typing is told", func() bool { return ann.sent("POST", "/typing") == 1 })
			ann.want(t, `document.getElementById("state").className === "connecting"`)
			ann.waitFor(t, isLive)
		})
	}
}

// TestOwnAnswers finds the header by which script knows our answers on all of
// them: those that succeed, those that refuse, files, and handshakes.
func TestOwnAnswers(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann, nobody := newVisitor(t, s, "Ann"), &visitor{s: s}
	for _, a := range []struct {
		what   string
		answer answered
		status int
	}{
		{"a page", ann.ask(t, "/channels/general", nil), 200},
		{"a list", ann.ask(t, "/channels", nil), 200},
		{"a post", ann.ask(t, "/channels/general/messages", url.Values{"body": {"x"}}, "HX-Request", "true"), 200},
		{"a form", ann.ask(t, "/channels/general/messages", url.Values{"body": {"x"}}), 303},
		{"a refused post", ann.ask(t, "/channels/general/messages", url.Values{"body": {""}}, "HX-Request", "true"), 422},
		{"a delete", ann.ask(t, "/channels/general/messages/1/delete", url.Values{}, "HX-Request", "true"), 204},
		{"a bad request", ann.ask(t, "/channels/general?before=x", nil), 400},
		{"another site's post", ann.ask(t, "/channels/general/messages", url.Values{"body": {"x"}}, "Sec-Fetch-Site", "cross-site"), 403},
		{"a missing page", ann.ask(t, "/nothing", nil), 404},
		{"a missing file", ann.ask(t, "/static/nothing.css", nil), 404},
		{"a wrong method", ann.ask(t, "/user", url.Values{}), 405},
		{"a file", ann.ask(t, "/static/app.css", nil), 200},
		{"a style of one's own", ann.ask(t, "/own/1.css", nil), 200},
		{"health", ann.ask(t, "/healthz", nil), 200},
		{"a post of nobody", nobody.ask(t, "/channels/general/messages", url.Values{"body": {"x"}}, "HX-Request", "true"), 401},
		{"a held answer to nobody", nobody.ask(t, "/channels/general/live", nil), 401},
		{"a held answer", ann.ask(t, "/channels/general/live?after=0", nil), 200},
		{"a handshake that is refused", ann.ask(t, "/channels/general/live", nil, "Connection", "Upgrade", "Upgrade", "websocket"), 400},
	} {
		if a.answer.status != a.status || a.answer.header.Get("Hubbub") != "1" {
			t.Errorf("%s: %d with the header %q, want %d", a.what, a.answer.status, a.answer.header.Get("Hubbub"), a.status)
		}
	}
	conn, response, err := websocket.Dial(t.Context(), s.URL+"/channels/general/live", &websocket.DialOptions{HTTPClient: &ann.client})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow() //nolint:errcheck // it may be closed
	if response.Header.Get("Hubbub") != "1" {
		t.Errorf("a handshake: %v", response.Header)
	}
}
