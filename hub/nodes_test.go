package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// nodesSeed replays a run of TestNodes: go test ./hub -run TestNodes -nodesseed=N
var nodesSeed = flag.Uint64("nodesseed", 0, "replay the run of TestNodes with this seed")

// TestNodes is the model for two nodes on one store. Each publishes what it
// writes and is notified of what the other does: at once, late, twice, out of order or
// not at all. Pages go from one to the other. After every frame a page shows
// what the store held at that revision, and never an earlier one; and when each
// node knows of the last revision, all show that.
func TestNodes(t *testing.T) {
	t.Parallel()
	if *nodesSeed != 0 {
		runNodes(t, *nodesSeed)
		return
	}
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("nodesseed=", seed), func(t *testing.T) {
			t.Parallel()
			runNodes(t, seed)
		})
	}
}

// visitor is a page that goes from node to node.
type visitor struct {
	*replica
	subscriber *Subscriber // nil while away
}

// take applies n of the frames that wait, and holds each to what the store held.
func (v *visitor) take(t *testing.T, truth map[int64]string, n func(waiting int) int) {
	t.Helper()
	frames := take(t, v.subscriber)
	for _, frame := range frames[:n(len(frames))] {
		before := v.revision
		v.apply(t, frame)
		if v.revision < before {
			t.Fatalf("a page at %d was taken back to %d by\n%s", before, v.revision, frame)
		}
		if got, want := string(v.text()), truth[v.revision]; got != want {
			t.Fatalf("a page at %d shows\n%s\nafter\n%s\nand the store held\n%s", before, got, frame, want)
		}
	}
}

func runNodes(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 4))
	l := newLedger()
	nodes := []*Registry{newTestRegistry(t, l), newTestRegistry(t, l)}
	// The character of this run.
	deletes := []int{0, 2, 5, 9}[random.IntN(4)] // of ten changes
	alters := []int{0, 2, 5}[random.IntN(3)]     // of ten that are no deletes
	unpublished := []int{0, 1, 5}[random.IntN(3)]
	late := []int{0, 3, 9}[random.IntN(3)] // of ten Hears

	truth := map[int64]string{}
	change := func() Change {
		ids := l.ids(1)
		var c Change
		if len(ids) > 0 && random.IntN(10) < deletes {
			back := min(random.IntN(len(ids)), random.IntN(len(ids)))
			c = l.delete(1, ids[len(ids)-1-back])
		} else if len(ids) > 0 && random.IntN(10) < alters {
			c = l.alter(1, ids[random.IntN(len(ids))], fmt.Sprint("again ", random.IntN(1000)))
		} else {
			c = l.post(1, "hello")
		}
		w := newest(t, l)
		truth[w.Revision] = string(page(w, ""))
		return c
	}
	for range 1 + random.IntN(300) {
		change()
	}

	type notice struct {
		node     *Registry
		revision int64
	}
	var mail []notice
	var visitors []*visitor
	connect := func(v *visitor) {
		know := reached(nodes[0], 1)
		if random.IntN(3) == 0 {
			know = random.Int64N(know + 1) // by a request that is slow
		}
		s, err := nodes[random.IntN(2)].Subscribe(t.Context(), 1, v.revision, know, Visitor{})
		if err != nil {
			t.Fatal(err)
		}
		v.subscriber = s
	}
	for range 100 + random.IntN(700) {
		switch n := random.IntN(20); {
		case n < 10: // a commit of some changes, by one of the nodes
			writer := random.IntN(2)
			var changes []Change
			for range 1 + random.IntN(1+random.IntN(150)/40) {
				changes = append(changes, change())
			}
			if random.IntN(10) >= unpublished {
				nodes[writer].Publish(1, changes)
			}
			sent := notice{nodes[1-writer], changes[len(changes)-1].Revision}
			if random.IntN(10) >= late {
				sent.node.SetRevision(1, sent.revision)
			} else {
				mail = append(mail, sent)
			}
		case n < 13 && len(mail) > 0: // comes late, once or twice, or never
			at := random.IntN(len(mail))
			if random.IntN(5) > 0 {
				mail[at].node.SetRevision(1, mail[at].revision)
			}
			if random.IntN(2) == 0 {
				mail = slices.Delete(mail, at, at+1)
			}
		case n < 15: // someone opens the page
			node := nodes[random.IntN(2)]
			know := reached(node, 1)
			w := window(t, node, 1)
			if w.Revision < know {
				t.Fatalf("a page at %d, of one who knows of %d", w.Revision, know)
			}
			visitors = append(visitors, &visitor{replica: newReplica(t, w)})
		case n < 17 && len(visitors) > 0:
			v := visitors[random.IntN(len(visitors))]
			if v.subscriber == nil {
				connect(v)
			} else {
				v.take(t, truth, func(waiting int) int { return waiting })
			}
		case n < 18 && len(visitors) > 0: // leaves, with some of what waits unread
			v := visitors[random.IntN(len(visitors))]
			if v.subscriber != nil {
				v.take(t, truth, func(waiting int) int { return random.IntN(waiting + 1) })
				v.subscriber.Close()
				v.subscriber = nil
			}
		case n < 19:
			nodes[random.IntN(2)].work.Wait()
		}
	}
	last := change()
	for _, node := range nodes {
		node.SetRevision(1, last.Revision)
		node.work.Wait()
	}
	// First those who have been connected all the time, before anyone asks anew.
	for _, connected := range []bool{true, false} {
		for i, v := range visitors {
			if connected != (v.subscriber != nil) {
				continue
			}
			if v.subscriber == nil {
				connect(v)
			}
			v.take(t, truth, func(waiting int) int { return waiting })
			if got := string(v.text()); got != truth[last.Revision] {
				t.Errorf("visitor %d shows\n%s\nwant\n%s", i, got, truth[last.Revision])
			}
		}
	}
	for i, node := range nodes {
		if got := string(newReplica(t, window(t, node, 1)).text()); got != truth[last.Revision] {
			t.Errorf("a fresh page of node %d shows\n%s\nwant\n%s", i, got, truth[last.Revision])
		}
	}
}

// TestNodesConcurrently is that with everything at the same time.
func TestNodesConcurrently(t *testing.T) {
	t.Parallel()
	l := newLedger()
	nodes := []*Registry{newTestRegistry(t, l), newTestRegistry(t, l)}
	var writers, readers sync.WaitGroup
	var commit [2]sync.Mutex // a node publishes in order, the nodes do not wait for each other
	var writing sync.Mutex   // nobody alters a row that another has deleted since it was chosen
	for i := range 4 {
		random := rand.New(rand.NewPCG(uint64(i), 5))
		node, other := nodes[i%2], nodes[1-i%2]
		writers.Go(func() {
			for range 300 {
				commit[i%2].Lock()
				writing.Lock()
				var c Change
				if ids := l.ids(1); len(ids) > 0 && random.IntN(3) == 0 {
					c = l.delete(1, ids[random.IntN(len(ids))])
				} else if len(ids) > 0 && random.IntN(3) == 0 {
					c = l.alter(1, ids[random.IntN(len(ids))], "again")
				} else {
					c = l.post(1, "hello")
				}
				writing.Unlock()
				node.Publish(1, []Change{c})
				commit[i%2].Unlock()
				if random.IntN(5) > 0 {
					writers.Go(func() { other.SetRevision(1, c.Revision) })
				}
			}
		})
	}
	stopped := make(chan struct{})
	visitors := make([]*visitor, 16)
	for i := range visitors {
		readers.Go(func() {
			v := &visitor{replica: newReplica(t, window(t, nodes[i%2], 1))}
			visitors[i] = v
			for n := i; ; n++ {
				v.subscriber = subscribe(t, nodes[n%2], 1, v.revision)
				for range i + 1 {
					before := v.revision
					v.follow(t, v.subscriber)
					if v.revision < before {
						t.Errorf("a page at %d was taken back to %d", before, v.revision)
					}
				}
				select {
				case <-stopped:
					return // and stays
				default:
					v.subscriber.Close()
				}
			}
		})
	}
	writers.Wait()
	close(stopped)
	readers.Wait()
	last := l.post(1, "the last")
	for _, node := range nodes {
		node.SetRevision(1, last.Revision)
		node.work.Wait()
	}
	w := newest(t, l)
	for i, v := range visitors {
		v.follow(t, v.subscriber)
		v.shows(t, fmt.Sprint("visitor ", i), w)
	}
}

// gatedSource is a source whose reads wait at a gate with what they have read. Those of
// changes are counted.
type gatedSource struct {
	*ledger
	gate  chan struct{} // nil to let all through
	reads int
}

func (h *gatedSource) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	w, err := h.ledger.Newest(ctx, channelID, n, size)
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return Window{}, ctx.Err()
		}
	}
	return w, err
}

func (h *gatedSource) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	changes, revision, err := h.ledger.Changes(ctx, channelID, after, n, size)
	h.mu.Lock()
	h.reads++
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return changes, revision, err
}

// hold has reads wait from now on, and counts anew.
func (h *gatedSource) hold(gate chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate, h.reads = gate, 0
}

// TestSetRevisionMuch sets a thousand revisions while a read is under way: one more
// read // is enough.
func TestSetRevisionMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &gatedSource{ledger: newLedger()}
		r := newTestRegistry(t, source)
		page := newReplica(t, window(t, r, 1))
		s := subscribe(t, r, 1, 0)
		gate := make(chan struct{})
		source.hold(gate)
		r.SetRevision(1, source.post(1, "first").Revision)
		synctest.Wait()
		for i := range 1000 {
			if i%20 == 0 {
				source.post(1, "more")
			}
			r.SetRevision(1, source.reached(1))
		}
		if r.find(1).startCatchUp() {
			t.Error("more than one goroutine would read")
		}
		close(gate)
		r.work.Wait()
		if source.reads != 2 {
			t.Errorf("%d reads, want 2", source.reads)
		}
		page.follow(t, s)
		page.shows(t, "the page", window(t, r, 1))
		if source.reads != 2 || page.revision != 51 {
			t.Errorf("%d reads, and a page at %d", source.reads, page.revision)
		}
	})
}

// TestSetRevisionForNobody reads nothing until somebody asks, and all of it then.
func TestSetRevisionForNobody(t *testing.T) {
	t.Parallel()
	source := &gatedSource{ledger: newLedger()}
	r := newTestRegistry(t, source)
	r.SetRevision(1, 7) // there is not even a hub
	window(t, r, 1)
	subscribe(t, r, 1, 0).Close()
	source.hold(nil)
	for range 5 {
		r.SetRevision(1, source.post(1, "hello").Revision)
		source.post(1, "unheard of")
		r.Publish(1, []Change{source.post(1, "behind")})
	}
	r.work.Wait()
	if source.reads > 0 || r.find(1).startCatchUp() {
		t.Errorf("%d reads for nobody", source.reads)
	}
	// Even one whose request does not know of it.
	if w, err := r.Window(t.Context(), 1, 0); err != nil || w.Revision != 15 || source.reads != 1 {
		t.Errorf("a page at %d after %d reads, %v", w.Revision, source.reads, err)
	}
}

// TestSetRevisionWhileJoining sets a revision when a subscriber has been brought up
// to date, but is not there yet to be sent more.
func TestSetRevisionWhileJoining(t *testing.T) {
	t.Parallel()
	m := &racingSource{ledger: newLedger()}
	m.post(1, "before")
	r := newTestRegistry(t, m)
	m.after = func() { r.SetRevision(1, m.post(1, "at the same time").Revision) }
	page := newReplica(t, Window{Rows: m.channels[1].rows, Revision: 1})
	s := subscribe(t, r, 1, 1)
	r.work.Wait()
	page.follow(t, s)
	w := newest(t, m.ledger)
	page.shows(t, "the page", w)
}

// growingSource is a source that has come further whenever it was read.
type growingSource struct {
	*ledger
	read func()
}

func (b *growingSource) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	defer b.read()
	return b.ledger.Changes(ctx, channelID, after, n, size)
}

// TestSetRevisionMoreAndMore does not keep a page waiting for what comes after it has
// been asked for.
func TestSetRevisionMoreAndMore(t *testing.T) {
	t.Parallel()
	source := &growingSource{ledger: newLedger()}
	r := newTestRegistry(t, source)
	reads := 0
	source.read = func() {
		if reads++; reads > 10 {
			t.Fatal("it goes on reading")
		}
		r.SetRevision(1, source.post(1, "more").Revision)
	}
	window(t, r, 1)
	r.SetRevision(1, source.post(1, "hello").Revision)
	if w, err := r.Window(t.Context(), 1, 0); err != nil || w.Revision != 1 {
		t.Errorf("a page at %d, %v", w.Revision, err)
	}
}

// TestReached shows a request what it knows of, and brings a page that another
// node made to what it has missed, where this node's hub knows of nothing.
func TestReached(t *testing.T) {
	t.Parallel()
	for _, posts := range []int{1, 5, WindowSize + 5} {
		for _, know := range []bool{true, false} {
			t.Run(fmt.Sprintf("posts=%d/know=%v", posts, know), func(t *testing.T) {
				t.Parallel()
				l := newLedger()
				l.post(1, "before")
				here, there := newTestRegistry(t, l), newTestRegistry(t, l)
				old := newReplica(t, window(t, here, 1))
				for range posts {
					l.post(1, "elsewhere")
				}
				page := newReplica(t, window(t, there, 1))
				missed := l.post(1, "missed")
				reached := int64(0)
				if know {
					reached = missed.Revision
				}
				s, err := here.Subscribe(t.Context(), 1, page.revision, reached, Visitor{})
				if err != nil {
					t.Fatal(err)
				}
				page.follow(t, s)
				page.shows(t, "the page of another node", window(t, there, 1))
				if page.replaced > 0 {
					t.Error("it was replaced")
				}
				old.follow(t, subscribe(t, here, 1, old.revision))
				old.shows(t, "an old page", window(t, there, 1))

				c := l.post(1, "the last")
				if w, err := here.Window(t.Context(), 1, c.Revision); err != nil || w.Revision != c.Revision {
					t.Errorf("a page at %d of one who knows of %d, %v", w.Revision, c.Revision, err)
				}
			})
		}
	}
}

// TestLostRevision is given revisions that the store does not hold, as when it
// has been restored from a backup: nobody looks for them for ever.
func TestLostRevision(t *testing.T) {
	t.Parallel()
	source := &gatedSource{ledger: newLedger()}
	source.post(1, "first")
	r := newTestRegistry(t, source)
	page := newReplica(t, window(t, r, 1))
	s := subscribe(t, r, 1, 1)
	r.SetRevision(1, 99)
	r.work.Wait()
	if w, err := r.Window(t.Context(), 1, 50); err != nil || w.Revision != 1 {
		t.Errorf("a page at %d, %v", w.Revision, err)
	}
	source.hold(nil)
	lost := newReplica(t, Window{Revision: 9, Rows: []Row{{ID: 9, HTML: []byte("+9 9 lost\n")}}})
	back, err := r.Subscribe(t.Context(), 1, 9, 9, Visitor{})
	if err != nil {
		t.Fatal(err)
	}
	lost.follow(t, back)
	lost.shows(t, "a page from there", window(t, r, 1))
	r.Publish(1, []Change{source.post(1, "second")})
	r.work.Wait()
	page.follow(t, s)
	page.shows(t, "a page from here", window(t, r, 1))
	lost.follow(t, back)
	lost.shows(t, "a page from there, later", window(t, r, 1))
	if source.reads > 2 { // what the one from there knows, and what it holds
		t.Errorf("%d reads", source.reads)
	}
}

// TestRetry reads again after failures, less and less often, till it succeeds,
// nobody is there or the registry closes.
func TestRetry(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	for _, notify := range []string{"Publish", "SetRevision"} {
		t.Run(notify, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &failingSource{ledger: newLedger()}
				r := newTestRegistry(t, source)
				page := newReplica(t, window(t, r, 1))
				s := subscribe(t, r, 1, 0)
				other := func() {
					source.post(1, "elsewhere")
					if c := source.post(1, "hello"); notify == "Publish" {
						r.Publish(1, []Change{c})
					} else {
						r.SetRevision(1, c.Revision)
					}
				}
				start := time.Now()
				source.fail(away)
				other()
				time.Sleep(7 * time.Second)
				source.mu.Lock()
				var got []time.Duration
				for _, at := range source.tried {
					got = append(got, at.Sub(start))
				}
				source.mu.Unlock()
				ms := time.Millisecond
				if want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 5100 * ms}; !slices.Equal(got, want) {
					t.Errorf("tried at %v, want %v", got, want)
				}
				source.fail(nil)
				time.Sleep(lastRetry)
				synctest.Wait()
				page.follow(t, s)
				page.shows(t, "after the outage", window(t, r, 1))

				// Again, and nobody waits for the end of it.
				source.fail(away)
				other()
				time.Sleep(time.Second)
				s.Close()
				time.Sleep(lastRetry)
				source.fail(away)
				time.Sleep(time.Minute)
				if n := len(source.tried); n > 0 {
					t.Errorf("tried %d times for nobody", n)
				}
				source.fail(nil)
				s = subscribe(t, r, 1, page.revision)
				page.follow(t, s)
				page.shows(t, "back", window(t, r, 1))

				source.fail(away)
				other()
				time.Sleep(1600 * ms)
				start = time.Now()
				r.Close()
				if took := time.Since(start); took > 0 {
					t.Errorf("Close took %v", took)
				}
			})
		})
	}
}

// TestHungRead does not keep a request longer than that wants to wait, and is
// given up.
func TestHungRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &gatedSource{ledger: newLedger()}
		r := newTestRegistry(t, source)
		page := newReplica(t, window(t, r, 1))
		s := subscribe(t, r, 1, 0)
		source.hold(make(chan struct{})) // which nobody opens
		c := source.post(1, "hello")
		r.SetRevision(1, c.Revision)
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Window(ctx, 1, c.Revision); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		source.hold(nil)
		time.Sleep(readTimeout)
		synctest.Wait()
		page.follow(t, s)
		page.shows(t, "after another read", window(t, r, 1))
	})
}

// BenchmarkAlternately has two nodes post to one channel in turns, each with a
// page open there, and says how often they read the store for a post.
func BenchmarkAlternately(b *testing.B) {
	for _, notified := range []bool{true, false} {
		b.Run(fmt.Sprint("notified=", notified), func(b *testing.B) {
			source := &gatedSource{ledger: newLedger()}
			var nodes []*Registry
			var pages []*Subscriber
			for range 2 {
				node := newTestRegistry(b, source)
				nodes, pages = append(nodes, node), append(pages, subscribe(b, node, 1, 0))
			}
			source.hold(nil)
			for i := 0; b.Loop(); i++ {
				c := source.post(1, "hello")
				nodes[i%2].Publish(1, []Change{c})
				if notified {
					nodes[1-i%2].SetRevision(1, c.Revision)
				}
				for i, node := range nodes {
					node.work.Wait()
					if _, err := pages[i].take(); err != nil {
						b.Fatal(err)
					}
				}
				delete(source.channels[1].changes, c.ID-10) // or the ledger would be slower and slower
			}
			b.ReportMetric(float64(source.reads)/float64(b.N), "reads/op")
		})
	}
}
