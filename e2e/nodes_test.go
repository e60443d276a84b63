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
		random: rand.New(rand.NewPCG(0, 0)), silent: time.Hour, lookAfter: time.Hour,
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
func (c *client) shows(text string) bool {
	for _, row := range c.page.rows {
		if strings.Contains(row.html, ">"+text+"<") {
			return true
		}
	}
	return false
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

// typically fails the test where half of what was measured took longer, and
// tells the rest.
func typically(t *testing.T, what string, limit time.Duration, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("%s: median %v, at most %v", what, median.Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond))
	if median > limit {
		t.Errorf("%s takes %v, want %v", what, median, limit)
	}
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

// TestNodes has what happens on one node show on another, by both buses and in
// both transports that stay open.
func TestNodes(t *testing.T) {
	t.Parallel()
	for bus, options := range buses {
		t.Run(bus, func(t *testing.T) {
			t.Parallel()
			n := startNodes(t, 2, options...)
			for name, test := range map[string]func(*testing.T, *nodes, string){
				"rows": nodesRows, "channels": nodesChannels, "presence": nodesPresence, "typing": nodesTyping,
				"unread": nodesUnread, "log-out": nodesLogOut, "password": nodesPassword,
			} {
				for by := range transports {
					t.Run(name+"/"+by, func(t *testing.T) {
						t.Parallel()
						test(t, n, by)
					})
				}
			}
			t.Run("own", func(t *testing.T) {
				t.Parallel()
				nodesOwn(t, n)
			})
		})
	}
}

// nodesRows posts and deletes on one node what a page of another shows.
func nodesRows(t *testing.T, n *nodes, by string) {
	bob, ann := newVisitor(t, n.all[0], "Bob "+by), newVisitor(t, n.all[1], "Ann "+by)
	path := bob.channel(t, "rows "+by)
	page, _ := ann.follow(t, n.one(1), "rows "+by, by)
	var rows, deletes []time.Duration
	for i := range 20 {
		text := fmt.Sprint("row ", i)
		began := time.Now()
		bob.post(t, "rows "+by, text)
		page.await(t, text+" shows", soon, func() bool { return page.shows(text) })
		rows = append(rows, time.Since(began))
		began = time.Now()
		if i%2 == 0 {
			continue
		}
		id := page.page.newest() // nothing but this test changes it
		if status := bob.send(t, fmt.Sprint(path, "/messages/", id, "/delete"), nil); status != http.StatusSeeOther {
			t.Fatalf("a delete is answered with %d", status)
		}
		page.await(t, text+" is gone", soon, func() bool { return !page.shows(text) })
		deletes = append(deletes, time.Since(began))
	}
	typically(t, "a row by "+by, 500*time.Millisecond, rows)
	typically(t, "a delete by "+by, 500*time.Millisecond, deletes)
}

// nodesChannels makes channels on one node that a page of another lists.
func nodesChannels(t *testing.T, n *nodes, by string) {
	bob, ann := newVisitor(t, n.all[0], "Carl "+by), newVisitor(t, n.all[1], "Cora "+by)
	page, _ := ann.follow(t, n.one(1), "general", by)
	var took []time.Duration
	for i := range 3 {
		name := fmt.Sprint("new ", by, i)
		began := time.Now()
		path := bob.channel(t, name)
		if status, _ := ann.page(t, path); status != http.StatusOK {
			t.Errorf("the new channel's page is answered with %d by another node", status)
		}
		page.await(t, name+" is listed", soon, page.part("#channels", name))
		took = append(took, time.Since(began))
	}
	typically(t, "a new channel by "+by, 2*time.Second, took) // news rest for about a second
}

// nodesPresence has somebody come to a channel on one node and go again, before
// the eyes of somebody on another.
func nodesPresence(t *testing.T, n *nodes, by string) {
	bob, ann := newVisitor(t, n.all[0], "Dan "+by), newVisitor(t, n.all[1], "Dora "+by)
	bob.channel(t, "presence "+by)
	hers, _ := ann.follow(t, n.one(1), "presence "+by, by)
	began := time.Now()
	his, leave := bob.follow(t, n.one(0), "presence "+by, by)
	hers.await(t, "he is here", soon, hers.part("#here", "Dan "+by))
	t.Logf("by %s, who comes is seen after %v", by, time.Since(began).Round(time.Millisecond))
	his.await(t, "she is here", soon, his.part("#here", "Dora "+by))
	leave()
	// There are five seconds in which he may come back.
	if took := hers.await(t, "he is not here", 5*time.Second+soon, func() bool { return !hers.part("#here", "Dan "+by)() }); took < 4*time.Second {
		t.Errorf("he is gone after %v", took)
	}
	if !hers.is(hers.part("#here", "Dora "+by)) {
		t.Error("she is not here")
	}
}

// nodesTyping has somebody type on one node, till the message is posted there or
// there is no more of it.
func nodesTyping(t *testing.T, n *nodes, by string) {
	bob, ann := newVisitor(t, n.all[0], "Earl "+by), newVisitor(t, n.all[1], "Eva "+by)
	path := bob.channel(t, "typing "+by)
	hers, _ := ann.follow(t, n.one(1), "typing "+by, by)
	_, _ = bob.follow(t, n.one(0), "typing "+by, by)
	types := hers.part("#typing", "Earl "+by)
	hers.await(t, "he is here", soon, hers.part("#here", "Earl "+by))
	for _, end := range []func(){func() { bob.post(t, "typing "+by, "written") }, func() {}} {
		if status := bob.send(t, path+"/typing", nil); status != http.StatusNoContent {
			t.Fatalf("typing is answered with %d", status)
		}
		hers.await(t, "he types", soon, types)
		end()
		hers.await(t, "he does not type", 5*time.Second+soon, func() bool { return !types() })
	}
	if !hers.is(func() bool { return hers.shows("written") }) {
		t.Error("what he wrote does not show")
	}
}

// nodesUnread counts on one node what is posted on another, until it is read
// there.
func nodesUnread(t *testing.T, n *nodes, by string) {
	bob, ann := newVisitor(t, n.all[0], "Fred "+by), newVisitor(t, n.all[1], "Fay "+by)
	path := bob.channel(t, "unread "+by)
	ann.page(t, path) // who was never there has nothing unread
	page, _ := ann.follow(t, n.one(1), "general", by)
	_, html := ann.page(t, path)
	id := regexp.MustCompile(`id="c-(\d+)" data-name="unread ` + by + `"`).FindStringSubmatch(html)
	if id == nil {
		t.Fatal("the channel is not listed")
	}
	counts := func(count string) func() bool {
		return func() bool { return strings.Contains(page.page.parts["#news"], `<data value="`+id[1]+`">`+count+`<`) }
	}
	for i := range 3 {
		bob.post(t, "unread "+by, "first", "second")
		took := page.await(t, "two are unread", soon, counts("2"))
		elsewhere := ann.at(n.all[0])
		if status := elsewhere.send(t, path+"/read", url.Values{"upto": {fmt.Sprint(2*i + 2)}, "tab": {"other"}}); status != http.StatusNoContent {
			t.Fatalf("reading is answered with %d", status)
		}
		read := page.await(t, "none is unread", soon, func() bool { return !counts("2")() })
		t.Logf("by %s, unread is counted after %v, and read after %v", by, took.Round(time.Millisecond), read.Round(time.Millisecond))
	}
}

const password = "rain in may"

// nodesLogOut ends a session on one node: its connections with another end as
// well, and those of the user's other session do not.
func nodesLogOut(t *testing.T, n *nodes, by string) {
	for i := range 3 {
		name := fmt.Sprint("Gus ", by, i)
		first, second := newVisitor(t, n.all[0], name, password), newVisitor(t, n.all[1], name, password)
		if status, _ := first.at(n.all[1]).page(t, "/user"); status != http.StatusOK {
			t.Errorf("a session is answered with %d by another node", status)
		}
		ends, _ := first.follow(t, n.one(1), "general", by)
		stays, _ := second.follow(t, n.one(1), "general", by)
		if status := first.send(t, "/logout", nil); status != http.StatusSeeOther {
			t.Fatalf("a log-out is answered with %d", status)
		}
		took := ends.await(t, "the session's connections end", time.Second, ends.isOver)
		t.Logf("by %s, a log-out ends connections elsewhere after %v", by, took.Round(100*time.Microsecond))
		second.post(t, "general", name+" is still here")
		stays.await(t, "the other session's connections go on", soon, func() bool { return stays.shows(name + " is still here") })
		if stays.opened[by] != 1 {
			t.Errorf("it opened %d times", stays.opened[by])
		}
	}
}

// nodesPassword changes a password on one node: the user's other sessions end on
// another, and their own goes on.
func nodesPassword(t *testing.T, n *nodes, by string) {
	name := "Hal " + by
	own, other := newVisitor(t, n.all[0], name, password), newVisitor(t, n.all[1], name, password)
	stays, _ := own.follow(t, n.one(1), "general", by)
	ends, _ := other.follow(t, n.one(1), "general", by)
	if status := own.send(t, "/user/password", url.Values{"current": {password}, "password": {"snow in june"}}); status != http.StatusSeeOther {
		t.Fatalf("a new password is answered with %d", status)
	}
	took := ends.await(t, "the other session's connections end", time.Second, ends.isOver)
	t.Logf("by %s, a new password ends connections elsewhere after %v", by, took.Round(100*time.Microsecond))
	if status, _ := own.at(n.all[1]).page(t, "/user"); status != http.StatusOK {
		t.Errorf("the own session is answered with %d by another node", status)
	}
	own.post(t, "general", name+" is still here")
	stays.await(t, "the own connections go on", soon, func() bool { return stays.shows(name + " is still here") })
	if stays.opened[by] != 1 {
		t.Errorf("the own connection opened %d times", stays.opened[by])
	}
}

// nodesOwn has forms answered by one node and the pages to which they lead by
// another: whoever did something sees it at once.
func nodesOwn(t *testing.T, n *nodes) {
	ida := newVisitor(t, n.all[0], "Ida")
	path := ida.channel(t, "own")
	for i := range 50 {
		here, there := ida.at(n.all[i%2]), ida.at(n.all[1-i%2])
		text := fmt.Sprintf("own %d", i)
		here.post(t, "own", text)
		_, html := there.page(t, path)
		rows, after, err := readPage(path, html)
		noError(t, err)
		if len(rows) == 0 || !strings.Contains(rows[len(rows)-1].html, ">"+text+"<") {
			t.Fatalf("post %d does not show on a page of another node, at revision %d", i, after)
		}
		if i%3 > 0 {
			continue
		}
		here.send(t, fmt.Sprint(path, "/messages/", after, "/delete"), nil)
		if _, html := there.page(t, path); strings.Contains(html, ">"+text+"<") {
			t.Fatalf("post %d is deleted and shows on a page of another node", i)
		}
	}
}

// TestNodeKilled kills a node: people who come back to another stay here before
// the eyes of others, those who do not are gone, and nobody misses a row.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	for bus, options := range buses {
		t.Run(bus, func(t *testing.T) {
			t.Parallel()
			n := startNodes(t, 2, options...)
			bob, cleo, ann := newVisitor(t, n.all[0], "Bob"), newVisitor(t, n.all[0], "Cleo"), newVisitor(t, n.all[1], "Ann")
			hers, _ := ann.follow(t, n.one(1), "general", "websocket")
			_, _ = bob.follow(t, n.one(0), "general", "websocket")
			moving, _ := cleo.follow(t, &nodes{all: n.all, inOrder: true}, "general", "websocket")
			for _, name := range []string{"Ann", "Bob", "Cleo"} {
				hers.await(t, name+" is here", soon, hers.part("#here", name))
			}
			n.all[0].kill(t, syscall.SIGKILL)
			began := time.Now()
			ann.post(t, "general", "after the kill")
			took := moving.await(t, "the row shows on another node", 5*time.Second, func() bool { return moving.shows("after the kill") })
			t.Logf("back on another node after %v", took.Round(time.Millisecond))
			for hers.is(hers.part("#here", "Bob")) {
				if time.Since(began) > 20*time.Second {
					t.Fatal("who was on the killed node is still here")
				}
				if !hers.is(hers.part("#here", "Cleo")) {
					t.Fatalf("who came back elsewhere was gone, %v after the kill", time.Since(began))
				}
				lasts(t.Context(), 10*time.Millisecond)
			}
			t.Logf("who did not come back is gone after %v", time.Since(began).Round(time.Millisecond))
			if !hers.is(hers.part("#here", "Cleo")) {
				t.Error("who came back elsewhere is gone with the others")
			}
		})
	}
}
