package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hubbub/e2e/throwaway"
)

// healed is how long a fault may show after it is over.
const healed = 8 * time.Second

// answered is what came of a request.
type answered struct {
	status int
	header http.Header
	html   string
	took   time.Duration
}

// ask sends a request with headers, each a name and a value. A form makes it a
// post.
func (v *visitor) ask(t *testing.T, path string, form url.Values, headers ...string) answered {
	t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	ctx, cancel := context.WithTimeout(t.Context(), actionLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, v.s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return answered{}
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	began := time.Now()
	answer, err := v.client.Do(request)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return answered{}
	}
	defer answer.Body.Close()
	html, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return answered{answer.StatusCode, answer.Header, string(html), time.Since(began)}
}

// saysSo fails the test unless an answer says in a language that there is
// nothing to be had at present, and holds a text.
func (a answered) saysSo(t *testing.T, what, language, text string) {
	t.Helper()
	words := map[string][]string{"en": {"Back soon", "Timed out"}, "zh-Hans": {"服务暂不可用", "响应超时"}}[language]
	title := strings.Contains(a.html, "<h1>"+words[0]) || strings.Contains(a.html, "<h1>"+words[1])
	if a.status != http.StatusServiceUnavailable || !title || !strings.Contains(a.html, `lang="`+language+`"`) || !strings.Contains(a.html, text) {
		t.Errorf("%s is answered with %d after %v: %.2000s", what, a.status, a.took, a.html)
	}
}

// TestPostgresAway stops PostgreSQL, and has it hang. Pages say so, nothing is
// lost, connections stay, and all goes on when it is back.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	all := pairs(t, ownPostgres)
	defer neverLeft(t, all)
	for _, fault := range []struct {
		name       string
		begin, end func(*throwaway.Postgres) error
	}{
		{"stopped", (*throwaway.Postgres).Stop, func(p *throwaway.Postgres) error { return p.Start(context.Background()) }},
		{"hanging", (*throwaway.Postgres).Pause, (*throwaway.Postgres).Resume},
	} {
		servers := map[*throwaway.Postgres]bool{}
		for _, p := range all {
			servers[p.n.postgres] = true
		}
		for server := range servers {
			noError(t, fault.begin(server))
		}
		isAway(t, all)
		for server := range servers {
			noError(t, fault.end(server))
		}
		text := "after it was " + fault.name
		form := url.Values{"body": {text}, "key": {text}}
		measure(t, all, "a post shows", healed,
			func(p *pair) {
				eventually(t, "a post is taken", func() bool {
					return p.bob.ask(t, pathOf(p.room())+"/messages", form).status == http.StatusSeeOther
				})
			},
			func(p *pair) bool { return p.page.shows(text) })
		typically(t, all, "PostgreSQL was "+fault.name+"; a post", healed)
		for _, p := range all {
			for _, s := range p.n.all {
				s.waitReady(t)
			}
		}
	}
}

// isAway has all nodes say in every way that their database is away.
func isAway(t *testing.T, all []*pair) {
	t.Helper()
	var asking sync.WaitGroup
	for _, p := range all {
		room := pathOf(p.room())
		for _, v := range []*visitor{p.bob, p.ann} {
			for language, tag := range map[string]string{"en": "en-US", "zh-Hans": "zh-CN"} {
				asking.Go(func() {
					v.ask(t, room, nil, "Accept-Language", tag).saysSo(t, "a page", language, "")
				})
				asking.Go(func() {
					form := url.Values{"body": {"it is <kept> " + tag}, "key": {fmt.Sprint(rand.Uint64())}}
					v.ask(t, room+"/messages", form, "Accept-Language", tag).saysSo(t, "a post", language, "it is &lt;kept&gt; "+tag+"</textarea>")
				})
			}
			asking.Go(func() {
				a := v.ask(t, room+"/messages", url.Values{"body": {"kept by the form"}, "key": {fmt.Sprint(rand.Uint64())}}, "HX-Request", "true")
				if a.status != http.StatusServiceUnavailable || a.header.Get("HX-Retarget") != "#flash" {
					t.Errorf("%s: htmx's post is answered with %d for %q: %s", p.about, a.status, a.header.Get("HX-Retarget"), a.html)
				}
			})
			asking.Go(func() {
				if a := v.ask(t, "/readyz", nil); a.status != http.StatusServiceUnavailable || a.took > 3*time.Second {
					t.Errorf("%s: /readyz is answered with %d after %v", p.about, a.status, a.took)
				}
				if a := v.ask(t, "/healthz", nil); a.status != http.StatusOK {
					t.Errorf("%s: /healthz is answered with %d", p.about, a.status)
				}
			})
		}
	}
	began := time.Now()
	asking.Wait()
	t.Logf("all has said so after %v", time.Since(began).Round(time.Millisecond))
}

// TestCable takes the database from one node alone, and has the node's
// connections with it hang for ever, where news come the same way. What is done
// on another node meanwhile shows on the pages of both.
func TestCable(t *testing.T) {
	t.Parallel()
	for bus, options := range buses {
		n := startNodes(t, 1, options...)
		wire, database := newCable(t, n.database)
		n.all = append(n.all, quick(t, append([]string{"--database=" + database}, n.flags...)...))
		bob, ann := newVisitor(t, n.all[0], "Bob"), newVisitor(t, n.all[1], "Ann")
		page, _ := ann.follow(t, n.one(1), "general", "websocket")
		bob.post(t, "general", "before")
		page.await(t, "the row shows", soon, func() bool { return page.shows("before") })

		faults := []struct {
			name       string
			begin, end func()
			within     time.Duration
		}{
			{"cut", func() {
				wire.cut(true)
				ann.ask(t, "/channels/general", nil).saysSo(t, "a page", "en", "")
			}, func() { wire.cut(false) }, healed},
			{"forgotten", wire.forget, func() {}, actionLimit},
		}
		if n.nats != nil {
			faults = faults[:1]
		}
		for _, fault := range faults {
			fault.begin()
			bob.post(t, "general", numbered(5)...)
			last := fmt.Sprint("while it is ", fault.name)
			bob.post(t, "general", last)
			path := bob.channel(t, fault.name)
			fault.end()
			began := time.Now()
			page.await(t, "what was posted meanwhile shows", fault.within, func() bool { return page.shows(last) })
			t.Logf("%s, %s: rows show after %v", bus, fault.name, time.Since(began).Round(time.Millisecond))
			// A node looks for it every ten seconds, and news rest the longer the
			// busier the machine is.
			page.await(t, "the channel that was made meanwhile is listed", actionLimit, page.part("#channels", fault.name))
			t.Logf("%s, %s: a channel is listed after %v", bus, fault.name, time.Since(began).Round(time.Millisecond))
			eventually(t, "the channel that was made meanwhile opens", func() bool { return ann.ask(t, path, nil).status == http.StatusOK })
			t.Logf("%s, %s: it opens after %v", bus, fault.name, time.Since(began).Round(time.Millisecond))
			_, html := bob.page(t, "/channels/general")
			rows, after, err := readPage("/channels/general", html)
			noError(t, err)
			if difference := page.differs(rows, after); difference != "" {
				t.Error(difference)
			}
		}
		if page.opened["websocket"] != 1 {
			t.Errorf("%s: the connection opened %d times", bus, page.opened["websocket"])
		}
	}
}

// TestNATSAway stops NATS, and has it hang: news go by PostgreSQL meanwhile.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*nodes) (begin, end func() error){
		"stopped": func(n *nodes) (begin, end func() error) {
			return n.nats.Stop, func() error { return n.nats.Start(context.Background()) }
		},
		"hanging": func(n *nodes) (begin, end func() error) { return n.nats.Pause, n.nats.Resume },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNodes(t, 2, withNATS)
			begin, end := fault(n)
			bob, ann := newVisitor(t, n.all[0], "Bob"), newVisitor(t, n.all[1], "Ann")
			cleo := newVisitor(t, n.all[0], "Cleo", password)
			page, _ := ann.follow(t, n.one(1), "general", "websocket")
			leaving, _ := cleo.follow(t, n.one(1), "general", "websocket")
			crosses := func(text string) time.Duration {
				t.Helper()
				began := time.Now()
				bob.post(t, "general", text)
				page.await(t, text+" shows", healed, func() bool { return page.shows(text) })
				return time.Since(began)
			}
			crosses("before")
			noError(t, begin())
			for _, text := range numbered(5) {
				t.Logf("a row without NATS takes %v", crosses(text).Round(100*time.Microsecond))
			}
			if status := cleo.send(t, "/logout", nil); status != http.StatusSeeOther {
				t.Errorf("a log-out is answered with %d", status)
			}
			over := leaving.await(t, "a log-out ends connections elsewhere", soon, leaving.isOver)
			t.Logf("a log-out ends connections elsewhere after %v", over.Round(time.Millisecond))
			noError(t, end())
			began := time.Now()
			for i := 0; crosses(fmt.Sprint("after ", i)) > 500*time.Millisecond; i++ {
				if time.Since(began) > 2*healed {
					t.Fatalf("rows are slow %v after NATS is back", time.Since(began))
				}
			}
			if page.opened["websocket"] != 1 {
				t.Errorf("the connection opened %d times", page.opened["websocket"])
			}
		})
	}
}

// TestNodesInBrowser has two people talk by two nodes, kills one of them, and
// takes the database from the other.
func TestNodesInBrowser(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 2, ownPostgres)
	calm := &atomic.Bool{}
	calm.Store(true)
	through := *n.all[0]
	through.URL = newLine(t, &nodes{all: n.all, inOrder: true}, nothing, rand.New(rand.NewPCG(0, 0)), calm).URL
	ann, bob := newUser(t, &through, "Ann"), newUser(t, n.all[1], "Bob")
	ann.open(t, &through, "general")
	bob.open(t, n.all[1], "general")
	for _, p := range []*person{ann, bob} {
		p.waitFor(t, isLive+` && `+hasSocket)
		p.waitFor(t, namesHere+` === "Ann, Bob"`)
	}
	ann.post(t, "by one node")
	bob.waitRow(t, "by one node")
	bob.post(t, "by the other")
	ann.waitRow(t, "by the other")
	bob.remove(t, "by the other")
	ann.waitFor(t, count("by the other")+" === 0")

	ann.expectBadLine()
	ann.expect("status of 502")
	n.all[0].kill(t, syscall.SIGKILL)
	began := time.Now()
	for _, text := range numbered(3) {
		bob.post(t, text)
	}
	ann.waitRow(t, "message 3")
	ann.waitFor(t, isLive)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("back on the other node after %v", took)
	}
	ann.post(t, "by the other as well")
	bob.waitRow(t, "by the other as well")
	want := append([]string{"by one node"}, append(numbered(3), "by the other as well")...)
	for _, p := range []*person{ann, bob} {
		p.wantRows(t, want...)
	}

	// What cannot be taken waits, and goes out by itself while the socket stays.
	for _, p := range []*person{ann, bob} {
		p.expect("status of 503")
	}
	noError(t, n.postgres.Stop())
	ann.fill(t, "#body", "kept")
	ann.click(t, send)
	ann.see(t, "#outbox li", "kept")
	ann.see(t, "#outbox li small", "Waiting for the connection")
	ann.want(t, `document.getElementById("body").value === ""`)
	ann.want(t, isLive+` && `+hasSocket)
	noError(t, n.postgres.Start(t.Context()))
	n.all[1].waitReady(t)
	bob.waitRow(t, "kept")
	ann.waitFor(t, outboxEmpty)
	want = append(want, "kept")
	for _, p := range []*person{ann, bob} {
		p.wantRows(t, want...)
		p.do(t, chromedp.Reload())
		p.wantRows(t, want...)
	}
}
