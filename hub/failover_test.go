package hub

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// TestTakenBack takes the store back from 150 to 145, in every way that a hub
// comes to know of it: its pages hold what the store does, and go on with it.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	for name, learn := range map[string]func(t *testing.T, r *Registry, l *ledger){
		"reloaded": func(_ *testing.T, r *Registry, _ *ledger) { r.Reload(1) },
		"published": func(_ *testing.T, r *Registry, l *ledger) {
			r.Publish(1, []Change{l.post(1, "another 146")})
		},
		"published, and deleted": func(_ *testing.T, r *Registry, l *ledger) {
			r.Publish(1, []Change{l.post(1, "another 146"), l.delete(1, 120)})
		},
		"read by subscribers": func(_ *testing.T, r *Registry, _ *ledger) { r.SetRevision(1, 151) },
		"read for a page": func(t *testing.T, r *Registry, _ *ledger) {
			if _, err := r.Window(t.Context(), 1, 151); err != nil {
				t.Error(err)
			}
		},
		"read for one who comes back": func(t *testing.T, r *Registry, _ *ledger) {
			if _, err := r.Subscribe(t.Context(), 1, 10, 0, Visitor{}); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			for range 140 {
				l.post(1, "before")
			}
			r := newTestRegistry(t, l)
			page := newReplica(t, window(t, r, 1))
			s := subscribe(t, r, 1, page.revision)
			for range 10 {
				r.Publish(1, []Change{l.post(1, "hello")})
			}
			page.follow(t, s)
			l.takeBack(1, 145)
			truth := func() Window {
				w := newest(t, l)
				return w
			}
			away := newReplica(t, truth())

			learn(t, r, l)
			r.work.Wait()
			page.follow(t, s)
			page.shows(t, "the page", truth())
			newReplica(t, window(t, r, 1)).shows(t, "a fresh page", truth())
			if page.replaced != 1 {
				t.Errorf("replaced %d times", page.replaced)
			}
			for range 10 {
				r.Publish(1, []Change{l.post(1, "afterwards")})
			}
			r.Publish(1, []Change{l.delete(1, 143)})
			r.work.Wait()
			page.follow(t, s)
			page.shows(t, "later", truth())
			away.follow(t, subscribe(t, r, 1, 145))
			away.shows(t, "a page of 145 that comes back", truth())
			if page.replaced != 1 || away.replaced != 0 {
				t.Errorf("replaced %d times, and the one that came back %d times", page.replaced, away.replaced)
			}
		})
	}
}

// TestNotTakenBack replaces no page for what is late, doubled, out of order or
// beyond what there is, nor for Reload where all is as it was.
func TestNotTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &gatedSource{ledger: newLedger()}
		r := newTestRegistry(t, source)
		page := newReplica(t, window(t, r, 1))
		s := subscribe(t, r, 1, 0)
		var all []Change
		for range 50 {
			all = append(all, source.post(1, "hello"))
		}
		all = append(all, source.delete(1, 20))
		r.Publish(1, all[:20])
		r.SetRevision(1, 51) // reads the rest, in which 20 is only gone
		r.work.Wait()
		for range 500 {
			i := rand.IntN(len(all))
			r.Publish(1, all[i:])
			r.SetRevision(1, all[i].Revision)
			if _, err := r.Window(t.Context(), 1, all[i].Revision); err != nil {
				t.Fatal(err)
			}
		}
		if source.reads != 1 {
			t.Errorf("%d reads", source.reads)
		}

		// A slow read, while the hub goes on without it.
		gate := make(chan struct{})
		source.hold(gate)
		late := source.post(1, "slow")
		r.SetRevision(1, late.Revision)
		synctest.Wait()
		for range 5 {
			r.Publish(1, []Change{late, source.post(1, "quick")})
			late = source.channels[1].all[source.channels[1].revision-1]
		}
		close(gate)
		r.work.Wait()

		r.SetRevision(1, 99)
		r.work.Wait()
		if held, generation := heldBy(r), r.find(1).generation; held != 57 || generation != 0 {
			t.Errorf("it holds %d, of generation %d", held, generation)
		}
		r.Reload(1)
		r.Reload(1)
		r.Reload(2)
		r.work.Wait()
		page.follow(t, s)
		page.shows(t, "the page", window(t, r, 1))
		if page.replaced > 0 {
			t.Errorf("replaced %d times", page.replaced)
		}
	})
}

// TestTakenBackForNobody reads nothing until somebody asks.
func TestTakenBackForNobody(t *testing.T) {
	t.Parallel()
	source := &gatedSource{ledger: newLedger()}
	r := newTestRegistry(t, source)
	window(t, r, 1)
	for range 10 {
		r.Publish(1, []Change{source.post(1, "hello")})
	}
	source.takeBack(1, 5)
	gate := make(chan struct{})
	source.hold(gate)
	r.Reload(1)
	r.work.Wait()
	close(gate)
	page := newReplica(t, window(t, r, 1))
	for range 3 {
		r.Publish(1, []Change{source.post(1, "another")})
	}
	page.follow(t, subscribe(t, r, 1, 5))
	w := newest(t, source)
	page.shows(t, "a page that comes back", w)
}

// TestReloadMeanwhile has a read be under way when the store is taken back, and
// another when it goes on.
func TestReloadMeanwhile(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(r *Registry, l *ledger){
		"changes": func(r *Registry, l *ledger) { r.SetRevision(1, l.post(1, "will be lost").Revision) },
		"window":  func(r *Registry, _ *ledger) { r.Reload(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &gatedSource{ledger: newLedger()}
				r := newTestRegistry(t, source)
				page := newReplica(t, window(t, r, 1))
				s := subscribe(t, r, 1, 0)
				for range 10 {
					r.Publish(1, []Change{source.post(1, "hello")})
				}
				page.follow(t, s)
				old, anew := make(chan struct{}), make(chan struct{})
				source.hold(old)
				begin(r, source.ledger)
				synctest.Wait() // it was read
				source.takeBack(1, 5)
				r.Reload(1)
				source.hold(anew)
				close(old)
				synctest.Wait() // the window is read, at 5
				r.Publish(1, []Change{source.post(1, "another 6")})
				r.SetRevision(1, source.post(1, "another 7").Revision)
				close(anew)
				r.work.Wait()
				frames := take(t, s)
				for _, frame := range frames {
					if bytes.Contains(frame, []byte("lost")) {
						t.Errorf("it is sent what is lost:\n%s", frame)
					}
					page.apply(t, frame)
				}
				w := newest(t, source.ledger)
				page.shows(t, "the page", w)
				newReplica(t, window(t, r, 1)).shows(t, "a fresh page", w)
				if page.replaced != 1 {
					t.Errorf("replaced %d times", page.replaced)
				}
			})
		})
	}
}

// TestReloadFails reads anew as soon as the store can be read, though the page
// that asked for it has long been refused.
func TestReloadFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &failingSource{ledger: newLedger()}
		r := newTestRegistry(t, source)
		page := newReplica(t, window(t, r, 1))
		s := subscribe(t, r, 1, 0)
		for range 10 {
			r.Publish(1, []Change{source.post(1, "hello")})
		}
		source.takeBack(1, 0)
		source.fail(context.DeadlineExceeded)
		if _, err := r.Window(t.Context(), 1, 11); err == nil {
			t.Error("a page of a store that cannot be read")
		}
		source.fail(nil)
		r.work.Wait()
		page.follow(t, s)
		page.shows(t, "the page", window(t, r, 1))
		if page.revision != 0 || page.replaced != 1 {
			t.Errorf("at %d, replaced %d times", page.revision, page.replaced)
		}
	})
}

// TestFailovers takes the store of two nodes back again and again while they
// post, alter, delete and notify each other. Each looks at it afterwards, as it does now
// and then: all pages that are open show what it holds.
func TestFailovers(t *testing.T) {
	t.Parallel()
	for range 20 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 8))
			l := newLedger()
			for range 1 + random.IntN(200) {
				l.post(1, "before")
			}
			nodes := []*Registry{newTestRegistry(t, l), newTestRegistry(t, l)}
			var pages []*visitor
			for i := range 6 {
				w := window(t, nodes[i%2], 1)
				pages = append(pages, &visitor{newReplica(t, w), subscribe(t, nodes[i%2], 1, w.Revision)})
			}
			for round := range 20 {
				for range random.IntN(60) {
					var c Change
					if ids := l.ids(1); len(ids) > 0 && random.IntN(3) == 0 {
						c = l.delete(1, ids[random.IntN(len(ids))])
					} else if len(ids) > 0 && random.IntN(3) == 0 {
						c = l.alter(1, ids[random.IntN(len(ids))], fmt.Sprint("again in round ", round))
					} else {
						c = l.post(1, fmt.Sprint("in round ", round))
					}
					writer := random.IntN(2)
					nodes[writer].Publish(1, []Change{c})
					if random.IntN(4) > 0 {
						nodes[1-writer].SetRevision(1, c.Revision)
					}
				}
				// With reads under way, or without and a post before anybody looks.
				quiet := random.IntN(2) == 0
				for _, node := range nodes {
					if quiet {
						node.work.Wait()
					}
				}
				lost := min(random.Int64N(8), l.reached(1))
				l.takeBack(1, l.reached(1)-lost)
				if now := l.reached(1); quiet && heldBy(nodes[0]) != now+1 && heldBy(nodes[1]) != now+1 {
					nodes[0].Publish(1, []Change{l.post(1, fmt.Sprint("after round ", round))})
				}
				for range 2 { // a read under way may end after the first time
					for _, node := range nodes {
						if l.reached(1) < heldBy(node) {
							node.Reload(1)
						}
						node.SetRevision(1, l.reached(1))
						node.work.Wait()
					}
				}
				w := newest(t, l)
				for i, page := range pages {
					page.follow(t, page.subscriber)
					page.shows(t, fmt.Sprintf("page %d in round %d", i, round), w)
				}
			}
		})
	}
}

// heldBy returns the revision that a node holds of channel 1, 0 for none.
func heldBy(r *Registry) int64 {
	if h := r.find(1); h != nil {
		return h.Window().Revision
	}
	return 0
}
