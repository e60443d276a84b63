package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// soon is how long what happens on one node may take to show on another, on a
// machine that is busy with other tests. What takes this long was found by
// looking and not by being told: see typically.
const soon = 3 * time.Second

// transports are those that stay open, and what a line does to have them used.
var transports = map[string]obstacle{"websocket": nothing, "events": refuses}

// follow opens a channel's page on a node, keeps it live until the test ends or
// leave is called, and waits until it is.
func (v *visitor) follow(t *testing.T, n *nodes, channel, by string) (c *client, leave func()) {
	t.Helper()
	calm := &atomic.Bool{}
	calm.Store(true)
	c = &client{
		path: pathOf(channel), began: time.Now(),
		line:   newLine(t, n, transports[by], rand.New(rand.NewPCG(0, 0)), calm),
		http:   &http.Client{Jar: v.client.Jar, Transport: &http.Transport{}},
		random: rand.New(rand.NewPCG(0, 0)), openWithin: actionLimit, silent: time.Hour, lookAfter: time.Hour,
		opened: map[string]int{}, frames: map[string]int{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	leave = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(func() {
		leave()
		if t.Failed() {
			t.Logf("%s, fault %v\n%s", c.path, c.fault, c.past())
		}
	})
	c.await(t, "its transport opens", actionLimit, func() bool { return c.opened[by] > 0 })
	return c, leave
}

// one is one of the nodes alone.
func (n *nodes) one(i int) *nodes { return &nodes{all: n.all[i : i+1]} }

// await waits until something holds of a client, and returns how long it took.
func (c *client) await(t *testing.T, what string, within time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !c.is(holds) {
		if time.Since(began) > within {
			t.Fatalf("it did not come true within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// is tells whether something holds of a client now.
func (c *client) is(holds func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return holds()
}

// shows tells whether the page shows a row with a text.
func (c *client) shows(text string) bool { return c.find(text) > 0 }

// find returns the id of the row with a text, 0 for none.
func (c *client) find(text string) int64 {
	for id, row := range c.page.rows {
		if strings.Contains(row.html, ">"+text+"<") {
			return id
		}
	}
	return 0
}

// idOf is find for a page that goes on meanwhile.
func (c *client) idOf(text string) (id int64) {
	c.is(func() bool {
		id = c.find(text)
		return true
	})
	return id
}

// part tells whether a part of the page names somebody or something.
func (c *client) part(target, name string) func() bool {
	return func() bool { return strings.Contains(c.page.parts[target], ">"+name+"<") }
}

// isOver tells whether the client was told that its session is over, by code
// 4401 where it has a WebSocket.
func (c *client) isOver() bool {
	return errors.Is(c.fault, errOver) || websocket.CloseStatus(c.fault) == 4401
}

// page returns a page's status and HTML.
func (v *visitor) page(t *testing.T, path string) (int, string) {
	t.Helper()
	status, html, err := (&client{http: &v.client}).ask(t.Context(), v.s.URL+path)
	noError(t, err)
	return status, html
}

// channel makes a channel, and returns the path of its page.
func (v *visitor) channel(t *testing.T, name string) string {
	t.Helper()
	if status := v.send(t, "/channels", url.Values{"name": {name}}); status != http.StatusSeeOther {
		t.Fatalf("a channel is answered with %d", status)
	}
	return pathOf(name)
}

// pair is two people who use two nodes: Bob, whose session the first has begun,
// and Ann, whose page is of the second.
type pair struct {
	about    string // the bus between the nodes and Ann's transport
	by       string
	n        *nodes
	bob, ann *visitor
	page     *client
	took     []time.Duration // what was measured
}

// pairs returns one for each bus and each transport that stays open. What they
// wait for they wait for at the same time: it is the waiting that takes long.
func pairs(t *testing.T, more ...nodesOption) []*pair {
	t.Helper()
	var all []*pair
	for bus, options := range buses {
		n := startNodes(t, 2, slices.Concat(options, more)...)
		for by := range transports {
			p := &pair{about: bus + " and " + by, by: by, n: n}
			p.bob, p.ann = newVisitor(t, n.all[0], "Bob by "+by), newVisitor(t, n.all[1], "Ann by "+by)
			p.bob.channel(t, p.room())
			p.page, _ = p.ann.follow(t, n.one(1), p.room(), by)
			all = append(all, p)
		}
	}
	return all
}

// room is the channel that they have to themselves.
func (p *pair) room() string { return "room by " + p.by }

// send posts Bob's form, which has to be answered with a status.
func (p *pair) send(t *testing.T, want int, path string, form url.Values) {
	t.Helper()
	if status := p.bob.send(t, path, form); status != want {
		t.Fatalf("%s: %s is answered with %d", p.about, path, status)
	}
}

// measure has something done for each pair, waits until Ann's page shows it, and
// notes how long that took.
func measure(t *testing.T, all []*pair, what string, within time.Duration, do func(*pair), holds func(*pair) bool) {
	t.Helper()
	began := make([]time.Time, len(all))
	for i, p := range all {
		began[i] = time.Now()
		do(p)
	}
	for i, p := range all {
		p.page.await(t, p.about+": "+what, within, func() bool { return holds(p) })
		p.took = append(p.took, time.Since(began[i]))
	}
}

// typically fails the test where half of what was measured took longer, and
// begins anew.
func typically(t *testing.T, all []*pair, what string, limit time.Duration) {
	t.Helper()
	for _, p := range all {
		slices.Sort(p.took)
		median, most := p.took[len(p.took)/2], p.took[len(p.took)-1]
		t.Logf("%s, %s: %v, at most %v", what, p.about, median.Round(100*time.Microsecond), most.Round(100*time.Microsecond))
		if median > limit {
			t.Errorf("%s, %s: it takes %v, want %v", what, p.about, median, limit)
		}
		p.took = nil
	}
}

// TestNodes has what happens on one node show on another, by both buses and in
// both transports that stay open.
func TestNodes(t *testing.T) {
	t.Parallel()
	all := pairs(t)
	defer neverLeft(t, all)
	for _, part := range []struct {
		name string
		test func(*testing.T, []*pair)
	}{
		{"own", nodesOwn}, {"rows", nodesRows}, {"news", nodesNews}, {"presence", nodesPresence}, {"sessions", nodesSessions},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, all) })
	}
}

// neverLeft fails the test unless the pages' first connections are still open.
func neverLeft(t *testing.T, all []*pair) {
	t.Helper()
	for _, p := range all {
		if !p.page.is(func() bool { return p.page.opened[p.by] == 1 && len(p.page.frames) <= 1 && p.page.fault == nil }) {
			t.Errorf("%s: connections opened %v times, %v", p.about, p.page.opened, p.page.fault)
		}
	}
}

// nodesOwn has forms answered by one node and the pages to which they lead by
// another: whoever did something sees it at once.
func nodesOwn(t *testing.T, all []*pair) {
	for _, p := range all {
		path := p.bob.channel(t, "own by "+p.by)
		for i := range 30 {
			here, there := p.bob.at(p.n.all[i%2]), p.bob.at(p.n.all[1-i%2])
			text := fmt.Sprintf("own %d", i)
			here.post(t, "own by "+p.by, text)
			_, html := there.page(t, path)
			rows, after, err := readPage(path, html)
			noError(t, err)
			if len(rows) == 0 || !strings.Contains(rows[len(rows)-1].html, ">"+text+"<") {
				t.Fatalf("%s: post %d does not show on a page of another node, at revision %d", p.about, i, after)
			}
			if i%3 > 0 {
				continue
			}
			channel, err := channelOf(path, html)
			noError(t, err)
			here.send(t, fmt.Sprintf("/m/%d/%d/delete", channel, after), nil)
			if _, html := there.page(t, path); strings.Contains(html, ">"+text+"<") {
				t.Fatalf("%s: post %d is deleted and shows on a page of another node", p.about, i)
			}
		}
	}
}

// nodesRows posts and deletes on one node what a page of another shows.
func nodesRows(t *testing.T, all []*pair) {
	for _, p := range all {
		one := []*pair{p} // for one at a time is measured best
		for _, text := range numbered(20) {
			measure(t, one, text+" shows", soon,
				func(p *pair) { p.bob.post(t, p.room(), text) },
				func(p *pair) bool { return p.page.shows(text) })
		}
		typically(t, one, "a row", 500*time.Millisecond)
		for _, text := range numbered(10) {
			measure(t, one, text+" is gone", soon,
				func(p *pair) {
					p.send(t, http.StatusSeeOther, fmt.Sprintf("/m/%d/%d/delete", p.page.page.channel, p.page.idOf(text)), nil)
				},
				func(p *pair) bool { return !p.page.shows(text) })
		}
		typically(t, one, "a delete", 500*time.Millisecond)
	}
}

// nodesNews makes channels on one node that a page of another lists, and counts
// there what is posted here, until it is read here. News rest for about a second
// after each other.
func nodesNews(t *testing.T, all []*pair) {
	const limit = 2 * time.Second
	channel := func(p *pair) string { return "news by " + p.by }
	for _, name := range []string{"first ", ""} {
		name := func(p *pair) string { return name + channel(p) }
		measure(t, all, "a new channel is listed", soon,
			func(p *pair) {
				p.bob.channel(t, name(p))
				if status, _ := p.ann.page(t, pathOf(name(p))); status != http.StatusOK {
					t.Errorf("%s: a new channel is answered with %d by another node", p.about, status)
				}
			},
			func(p *pair) bool { return p.page.part("#channels", name(p))() })
	}
	typically(t, all, "a new channel", limit)

	ids := map[*pair]string{}
	for _, p := range all {
		_, html := p.ann.page(t, pathOf(channel(p)))
		m := regexp.MustCompile(`id="c-(\d+)" data-name="` + channel(p) + `"`).FindStringSubmatch(html)
		if m == nil {
			t.Fatalf("%s: the channel is not listed", p.about)
		}
		ids[p] = m[1]
	}
	isUnread := func(p *pair) bool {
		return strings.Contains(p.page.page.parts["#news"], `<data value="`+ids[p]+`">2<`)
	}
	for _, read := range []func(*visitor, string){
		func(ann *visitor, path string) {
			if status := ann.send(t, path+"/read", url.Values{"upto": {"2"}, "tab": {"other"}}); status != http.StatusNoContent {
				t.Fatalf("reading is answered with %d", status)
			}
		},
		func(ann *visitor, path string) { ann.page(t, path) },
	} {
		measure(t, all, "two are unread", soon, func(p *pair) { p.bob.post(t, channel(p), "one", "another") }, isUnread)
		measure(t, all, "none is unread", soon,
			func(p *pair) { read(p.ann.at(p.n.all[0]), pathOf(channel(p))) },
			func(p *pair) bool { return !isUnread(p) })
	}
	typically(t, all, "unread and read", limit)
}

// nodesPresence has Bob come to a channel, type there and go again, before Ann's
// eyes on another node.
func nodesPresence(t *testing.T, all []*pair) {
	const limit = 4 * time.Second // after five, all is told anyway
	leave := map[*pair]func(){}
	isHere := func(p *pair) bool { return p.page.part("#here", "Bob by "+p.by)() }
	measure(t, all, "he is here", soon,
		func(p *pair) {
			var his *client
			his, leave[p] = p.bob.follow(t, p.n.one(0), p.room(), p.by)
			his.await(t, p.about+": she is here for him", soon, his.part("#here", "Ann by "+p.by))
		}, isHere)
	typically(t, all, "somebody who comes", limit)

	types := func(p *pair) bool { return p.page.part("#typing", "Bob by "+p.by)() }
	typesNot := func(p *pair) bool { return !types(p) }
	typing := func(p *pair) { p.send(t, http.StatusNoContent, pathOf(p.room())+"/typing", nil) }
	measure(t, all, "he types", soon, typing, types)
	typically(t, all, "somebody who types", limit)
	measure(t, all, "he does not type", soon, func(p *pair) { p.bob.post(t, p.room(), "written") }, typesNot)
	typically(t, all, "somebody who has typed", limit)
	measure(t, all, "he types again", soon, typing, types)

	// He has not written it, and has five seconds in which he may come back.
	began := time.Now()
	measure(t, all, "he is gone", 5*time.Second+soon, func(p *pair) { leave[p]() }, func(p *pair) bool { return !isHere(p) && typesNot(p) })
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("who leaves is gone after %v", took)
	}
	for _, p := range all {
		if !p.page.is(p.page.part("#here", "Ann by "+p.by)) {
			t.Errorf("%s: she is not here", p.about)
		}
		p.took = nil
	}
}

const password = "rain in may"

// nodesSessions ends sessions on one node, by a log-out and by a new password:
// their connections with another end too, and the user's other session goes on.
func nodesSessions(t *testing.T, all []*pair) {
	for i, end := range []struct {
		name, path string
		form       url.Values
		ends       bool // the session that asks
	}{
		{"a log-out", "/logout", nil, true},
		{"a new password", "/user/password", url.Values{"current": {password}, "password": {"snow in june"}}, false},
	} {
		for _, p := range all {
			name := fmt.Sprint("Gus ", i, " by ", p.by)
			first, second := newVisitor(t, p.n.all[0], name, password), newVisitor(t, p.n.all[1], name, password)
			if status, _ := first.at(p.n.all[1]).page(t, "/user"); status != http.StatusOK {
				t.Errorf("%s: a session is answered with %d by another node", p.about, status)
			}
			stays, going := second, first
			if !end.ends {
				stays, going = first, second
			}
			staying, _ := stays.follow(t, p.n.one(1), "general", p.by)
			ending, _ := going.follow(t, p.n.one(1), "general", p.by)
			if status := first.send(t, end.path, end.form); status != http.StatusSeeOther {
				t.Fatalf("%s: %s is answered with %d", p.about, end.name, status)
			}
			took := ending.await(t, p.about+": connections elsewhere end after "+end.name, time.Second, ending.isOver)
			p.took = append(p.took, took)
			if status, _ := stays.at(p.n.all[1]).page(t, "/user"); status != http.StatusOK {
				t.Errorf("%s: the session that stays is answered with %d by another node", p.about, status)
			}
			stays.post(t, "general", name+" is still here")
			staying.await(t, p.about+": the other session goes on", soon, func() bool { return staying.shows(name + " is still here") })
			if staying.opened[p.by] != 1 {
				t.Errorf("%s: its connection opened %d times", p.about, staying.opened[p.by])
			}
		}
		typically(t, all, end.name, time.Second)
	}
}

// TestNodeKilled kills a node: people who come back to another stay here before
// the eyes of others, those who do not are gone, and nobody misses a row.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	watching := map[string]*client{}
	killed := map[string]time.Time{}
	for bus, options := range buses {
		n := startNodes(t, 2, options...)
		bob, cleo, ann := newVisitor(t, n.all[0], "Bob"), newVisitor(t, n.all[0], "Cleo"), newVisitor(t, n.all[1], "Ann")
		hers, _ := ann.follow(t, n.one(1), "general", "websocket")
		_, _ = bob.follow(t, n.one(0), "general", "websocket")
		moving, _ := cleo.follow(t, &nodes{all: n.all, inOrder: true}, "general", "websocket")
		for _, name := range []string{"Ann", "Bob", "Cleo"} {
			hers.await(t, name+" is here", soon, hers.part("#here", name))
		}
		n.all[0].kill(t, syscall.SIGKILL)
		watching[bus], killed[bus] = hers, time.Now()
		ann.post(t, "general", "after the kill")
		took := moving.await(t, "the row shows on another node", 5*time.Second, func() bool { return moving.shows("after the kill") })
		t.Logf("%s: back on another node after %v", bus, took.Round(time.Millisecond))
	}
	for len(watching) > 0 {
		for bus, hers := range watching {
			since := time.Since(killed[bus]).Round(time.Millisecond)
			if !hers.is(hers.part("#here", "Cleo")) {
				t.Errorf("%s: who came back elsewhere is gone %v after the kill", bus, since)
				delete(watching, bus)
			}
			switch {
			case !hers.is(hers.part("#here", "Bob")):
				t.Logf("%s: who did not come back is gone after %v", bus, since)
				delete(watching, bus)
			case since > 20*time.Second:
				t.Errorf("%s: who was on the killed node is still here", bus)
				delete(watching, bus)
			}
		}
		lasts(t.Context(), 10*time.Millisecond)
	}
}
