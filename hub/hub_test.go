package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// seed replays a run of TestModel: go test ./hub -run TestModel -seed=N
var seed = flag.Uint64("seed", 0, "replay the run of TestModel with this seed")

// TestModel posts and deletes at random, publishes that twice, late, out of
// order or not at all, and has pages come, leave and return meanwhile. At the
// end every page, fed only by frames, shows what a fresh one does.
func TestModel(t *testing.T) {
	t.Parallel()
	if *seed != 0 {
		runModel(t, *seed)
		return
	}
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, seed)
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLedger()
	r := newTestRegistry(t, l)
	// The character of this run.
	deletes := []int{0, 2, 5, 9}[random.IntN(4)] // of ten changes
	alters := []int{0, 2, 5}[random.IntN(3)]     // of ten that are no deletes
	lost := []int{0, 1, 5}[random.IntN(3)]       // of ten publications
	for range random.IntN(300) {
		l.post(1, "before")
	}

	type visitor struct {
		*replica
		subscriber *Subscriber // nil while away
	}
	var visitors []*visitor
	var late []Change
	for range 100 + random.IntN(700) {
		switch n := random.IntN(20); {
		case n < 12: // a commit of some changes
			var changes []Change
			for range 1 + random.IntN(1+random.IntN(150)/40) {
				ids := l.ids(1)
				if len(ids) > 0 && random.IntN(10) < deletes {
					// New rows more often than old ones.
					back := min(random.IntN(len(ids)), random.IntN(len(ids)))
					changes = append(changes, l.delete(1, ids[len(ids)-1-back]))
				} else if len(ids) > 0 && random.IntN(10) < alters {
					changes = append(changes, l.alter(1, ids[random.IntN(len(ids))], fmt.Sprint("again ", random.IntN(1000))))
				} else {
					changes = append(changes, l.post(1, "hello"))
				}
			}
			if random.IntN(10) >= lost {
				r.Publish(1, changes)
			} else {
				late = append(late, changes...)
			}
		case n < 13 && len(late) > 0: // old news, once or twice
			at := random.IntN(len(late))
			r.Publish(1, late[at:at+1])
			if random.IntN(2) == 0 {
				late = slices.Delete(late, at, at+1)
			}
		case n < 14 && len(late) > 0: // lost for good
			late = late[1:]
		case n < 15: // someone opens the page, and connects at once or later
			visitors = append(visitors, &visitor{replica: newReplica(t, window(t, r, 1))})
		case n < 17 && len(visitors) > 0:
			v := visitors[random.IntN(len(visitors))]
			if v.subscriber == nil {
				v.subscriber = subscribe(t, r, 1, v.revision)
			} else {
				v.follow(t, v.subscriber)
			}
		case n < 18 && len(visitors) > 0: // leaves, with some of what waits unread
			v := visitors[random.IntN(len(visitors))]
			if v.subscriber != nil {
				frames := take(t, v.subscriber)
				for _, frame := range frames[:random.IntN(len(frames)+1)] {
					v.apply(t, frame)
				}
				v.subscriber.Close()
				v.subscriber = nil
			}
		case n < 19:
			r.work.Wait()
		}
	}
	r.Publish(1, []Change{l.post(1, "the last")})
	r.work.Wait()
	want := newest(t, l)
	// First those who have been connected all the time, before anyone asks anew.
	for _, connected := range []bool{true, false} {
		for i, v := range visitors {
			if connected != (v.subscriber != nil) {
				continue
			}
			s := v.subscriber
			if s == nil {
				s = subscribe(t, r, 1, v.revision)
			}
			v.follow(t, s)
			v.shows(t, fmt.Sprint("visitor ", i), want)
		}
	}
	fresh := window(t, r, 1)
	newReplica(t, fresh).shows(t, "a fresh page", want)
	if want.Older = len(l.ids(1)) > WindowSize; fresh.Older != want.Older {
		t.Errorf("a fresh page: older %v, want %v", fresh.Older, want.Older)
	}
}

// TestConcurrently is the model with everything at the same time.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	var writers, readers sync.WaitGroup
	var commit sync.Mutex
	for i := range 4 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		writers.Go(func() {
			for range 400 {
				commit.Lock()
				var c Change
				if ids := l.ids(1); len(ids) > 0 && random.IntN(3) == 0 {
					c = l.delete(1, ids[random.IntN(len(ids))])
				} else if len(ids) > 0 && random.IntN(3) == 0 {
					c = l.alter(1, ids[random.IntN(len(ids))], "again")
				} else {
					c = l.post(1, "hello")
				}
				commit.Unlock()
				if random.IntN(5) > 0 { // out of order, for no lock is held
					r.Publish(1, []Change{c})
				}
			}
		})
	}
	stopped := make(chan struct{})
	pages := make([]*replica, 16)
	for i := range pages {
		readers.Go(func() {
			pages[i] = newReplica(t, window(t, r, 1))
			for again := true; again; {
				select {
				case <-stopped:
					again = false
				default:
				}
				s := subscribe(t, r, 1, pages[i].revision)
				for range i {
					pages[i].follow(t, s)
				}
				s.Close()
			}
		})
	}
	writers.Wait()
	close(stopped)
	readers.Wait()
	r.Publish(1, []Change{l.post(1, "the last")})
	r.work.Wait()
	w := window(t, r, 1)
	for i, page := range pages {
		page.follow(t, subscribe(t, r, 1, page.revision))
		page.shows(t, fmt.Sprint("page ", i), w)
	}
}

// TestReturn says how someone who was away is brought up to date.
func TestReturn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about    string
		posts    int // while away
		evicted  bool
		replaced int
	}{
		{"nothing missed", 0, false, 0},
		{"one missed", 1, false, 0},
		{"a window missed", WindowSize, false, 0},
		{"more than a window", WindowSize + 1, false, 1},
		{"much more", 5 * WindowSize, false, 1},
		{"a window missed, not in memory", WindowSize, true, 0},
		{"more than a window, not in memory", WindowSize + 1, true, 1},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.post(1, "first")
			r := newTestRegistry(t, l)
			page := newReplica(t, window(t, r, 1))
			for range tt.posts {
				if c := l.post(1, "missed"); !tt.evicted {
					r.Publish(1, []Change{c})
				}
			}
			if tt.evicted {
				r = newTestRegistry(t, l)
			}
			page.follow(t, subscribe(t, r, 1, page.revision))
			page.shows(t, "back", window(t, r, 1))
			if page.replaced != tt.replaced {
				t.Errorf("the page was replaced %d times, want %d", page.replaced, tt.replaced)
			}
		})
	}
}

// TestReturnFromLostRevision has a page of a channel whose revision went back,
// as when a backup is restored.
func TestReturnFromLostRevision(t *testing.T) {
	t.Parallel()
	l := newLedger()
	l.post(1, "only")
	r := newTestRegistry(t, l)
	page := newReplica(t, Window{Revision: 9, Rows: []Row{{ID: 9, HTML: []byte("+9 9 lost\n")}}})
	page.follow(t, subscribe(t, r, 1, page.revision))
	page.shows(t, "back", window(t, r, 1))
}

// TestReturnAfterDelete sends that rows are gone and not what they were.
func TestReturnAfterDelete(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	window(t, r, 1)
	for id := int64(1); id < 20; id += 2 {
		r.Publish(1, []Change{l.post(1, "secret")})
		r.Publish(1, []Change{l.delete(1, id)})
	}
	for after := range int64(20) {
		s := subscribe(t, r, 1, after)
		if got := fmt.Sprintf("%s", take(t, s)); strings.Contains(got, "secret") || !strings.Contains(got, "-19 20") {
			t.Errorf("after %d: %s", after, got)
		}
	}
}

// TestDeletesUncoverOlderRows deletes the newest rows till few are left: the
// page stays full as long as there are older ones.
func TestDeletesUncoverOlderRows(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for range 3*WindowSize + 50 {
		l.post(1, "hello")
	}
	r := newTestRegistry(t, l)
	page := newReplica(t, window(t, r, 1))
	s := subscribe(t, r, 1, page.revision)
	ids := l.ids(1)
	for len(ids) > 50 {
		last := ids[len(ids)-1]
		ids = ids[:len(ids)-1]
		r.Publish(1, []Change{l.delete(1, last)})
		r.work.Wait()
		page.follow(t, s)
		if got, want := len(page.rows), min(WindowSize, len(ids)); got != want {
			t.Fatalf("%d rows with %d left, want %d", got, len(ids), want)
		}
	}
	w := window(t, r, 1)
	page.shows(t, "at the end", w)
	if w.Older {
		t.Error("there are no older rows")
	}
}

// TestFrameByFrame has a page that comes back after every frame, as it does
// where answers are held: what a frame has raised its revision to, it shows.
func TestFrameByFrame(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for range 3*WindowSize + 50 {
		l.post(1, "hello")
	}
	r := newTestRegistry(t, l)
	page := newReplica(t, window(t, r, 1))
	for ids := l.ids(1); len(ids) > 50; {
		last := len(ids) - 1
		s := subscribe(t, r, 1, page.revision)
		r.Publish(1, []Change{l.delete(1, ids[last])})
		r.work.Wait()
		ids = ids[:last]
		for {
			frames := take(t, s)
			s.Close()
			if len(frames) == 0 {
				break
			}
			page.apply(t, frames[0])
			s = subscribe(t, r, 1, page.revision)
		}
		page.shows(t, fmt.Sprint("with ", last, " left"), window(t, r, 1))
	}
	if page.replaced > 0 {
		t.Errorf("the page was replaced %d times", page.replaced)
	}
}

// TestSlowSubscriber is ended; it delays nobody and costs no memory.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	slow, quick := subscribe(t, r, 1, 0), subscribe(t, r, 1, 0)
	page := newReplica(t, Window{})
	text := strings.Repeat("x", 100<<10)
	for range 3 * MaxQueued / len(text) {
		r.Publish(1, []Change{l.post(1, text)})
		page.follow(t, quick)
	}
	if waits := len(slow.waiting.frames); waits > 0 {
		t.Errorf("%d frames wait for one that was given up", waits)
	}
	endsWith(t, slow, ErrSlow)
	slow.Close()
	page.covers(t, "the quick one", window(t, r, 1))

	// Back again, it is given what it missed.
	returned := newReplica(t, Window{})
	returned.follow(t, subscribe(t, r, 1, 0))
	returned.shows(t, "the slow one", window(t, r, 1))
}

// TestLongestReturn brings back someone who has missed the longest rows there
// are, and a delete: the page is given the window, which is no longer than it may
// be.
func TestLongestReturn(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	text := strings.Repeat("x", 36<<10) // a body of 4,000 characters, all links
	for range WindowSize {
		l.post(1, text)
	}
	page := newReplica(t, window(t, r, 1))
	for range maxMissed - 1 {
		r.Publish(1, []Change{l.post(1, text)})
	}
	r.Publish(1, []Change{l.delete(1, 150)})
	page.follow(t, subscribe(t, r, 1, page.revision))
	w := window(t, r, 1)
	page.shows(t, "back", w)
	if size := sizeOf(w.Rows); page.replaced != 1 || !w.Older || size > r.limits.windowBytes || size < r.limits.windowBytes-2*len(text) {
		t.Errorf("the page was replaced %d times by %d rows of %d bytes, older: %v", page.replaced, len(w.Rows), size, w.Older)
	}
}

// TestClose ends everyone and lets nobody in to stay.
func TestClose(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	var all []*Subscriber
	for channel := range int64(3) {
		all = append(all, subscribe(t, r, channel, 0), subscribe(t, r, channel, 0))
	}
	var group sync.WaitGroup
	for _, s := range all {
		group.Go(func() { endsWith(t, s, ErrRestart) })
	}
	r.Close()
	group.Wait()
	r.Publish(1, []Change{l.post(1, "late"), l.post(1, "later")})
	if _, err := r.Subscribe(t.Context(), 1, 0, 0, Visitor{}); !errors.Is(err, ErrRestart) {
		t.Errorf("Subscribe after Close: %v", err)
	}
	// Requests under way are still answered, of channels that nobody was in too.
	for channel, rows := range map[int64]int{1: 2, 9: 0} {
		if w, err := r.Window(t.Context(), channel, 0); err != nil || len(w.Rows) != rows {
			t.Errorf("Window of %d after Close: %d rows, %v", channel, len(w.Rows), err)
		}
		if _, err := r.Subscribe(t.Context(), channel, 0, 0, Visitor{}); !errors.Is(err, ErrRestart) {
			t.Errorf("Subscribe to %d after Close: %v", channel, err)
		}
	}
}

// TestNext waits for a frame, for a reason or for its context.
func TestNext(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	s := subscribe(t, r, 1, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if frames, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing to send: %v, %v", frames, err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if frames, err := s.Next(t.Context()); err != nil || len(frames) != 1 {
			t.Errorf("got %v, %v", frames, err)
		}
		reason := errors.New("a reason")
		s.End(reason)
		endsWith(t, s, reason)
	})
	r.Publish(1, []Change{l.post(1, "hello")})
	group.Wait()
	r.Publish(1, []Change{l.post(1, "to nobody")})
}

// TestEviction visits many channels: few hubs are kept, those with
// subscribers always, and nobody misses anything.
func TestEviction(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	const channels = 3 * maxIdle
	watched := newReplica(t, window(t, r, 0))
	s := subscribe(t, r, 0, 0)
	pages := map[int64]*replica{}
	for channel := range int64(channels) {
		r.Publish(channel, []Change{l.post(channel, "before")})
		pages[channel] = newReplica(t, window(t, r, channel))
		if len(r.hubs) > maxIdle+3 {
			t.Fatalf("%d hubs after %d channels", len(r.hubs), channel)
		}
	}
	for channel := range int64(channels) {
		r.Publish(channel, []Change{l.post(channel, "after")})
	}
	for channel, page := range pages {
		page.follow(t, subscribe(t, r, channel, page.revision))
		page.shows(t, fmt.Sprint("channel ", channel), window(t, r, channel))
		if len(page.rows) != 2 {
			t.Errorf("channel %d has %d rows", channel, len(page.rows))
		}
	}
	watched.follow(t, s)
	watched.shows(t, "the watched channel", window(t, r, 0))
}

// TestEvictionConcurrently goes through more channels than are kept, from
// many sides.
func TestEvictionConcurrently(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	var group sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 2))
		group.Go(func() {
			for range 500 {
				channel := random.Int64N(2 * maxIdle)
				page := newReplica(t, window(t, r, channel))
				c := l.post(channel, "hello")
				r.Publish(channel, []Change{c})
				s := subscribe(t, r, channel, page.revision)
				page.follow(t, s)
				if _, ok := page.rows[c.ID]; !ok && page.revision < c.Revision {
					t.Errorf("channel %d: a page at revision %d, subscribed after %d", channel, page.revision, c.Revision)
				}
				s.Close()
			}
		})
	}
	group.Wait()
}

// TestEvictedHub lets nobody in who found it before.
func TestEvictedHub(t *testing.T) {
	t.Parallel()
	r := newTestRegistry(t, newLedger())
	h, err := r.hub(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for channel := range int64(2 * maxIdle) {
		window(t, r, channel+1)
	}
	if s, err := h.subscribe(t.Context(), 0, Visitor{}); !errors.Is(err, errEvicted) {
		t.Errorf("got %v, %v", s, err)
	}
}

// TestWindowStays as it was for those who are reading it.
func TestWindowStays(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for range WindowSize {
		l.post(1, "hello")
	}
	r := newTestRegistry(t, l)
	w := window(t, r, 1)
	before := string(page(w, ""))
	for id := range int64(WindowSize / 2) {
		r.Publish(1, []Change{l.delete(1, 2*id+1)})
		r.Publish(1, []Change{l.post(1, "new")})
	}
	if after := string(page(w, "")); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

// racingSource is a source that is read while something else happens.
type racingSource struct {
	*ledger
	before, after func() // a read, once
}

func (m *racingSource) now(what *func()) {
	if do := *what; do != nil {
		*what = nil
		do()
	}
}

func (m *racingSource) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	m.now(&m.before)
	defer m.now(&m.after)
	return m.ledger.Changes(ctx, channelID, after, n, size)
}

func (m *racingSource) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	m.now(&m.before)
	defer m.now(&m.after)
	return m.ledger.Newest(ctx, channelID, n, size)
}

// TestPublishMeetsRead publishes just before and just after a hub reads: to
// load, to bring back a subscriber and to catch up.
func TestPublishMeetsRead(t *testing.T) {
	t.Parallel()
	for _, published := range []bool{true, false} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("published=%v/before=%v", published, before), func(t *testing.T) {
				t.Parallel()
				m := &racingSource{ledger: newLedger()}
				r := newTestRegistry(t, m)
				meet := func() {
					event := func() {
						if c := m.post(1, "at the same time"); published {
							r.Publish(1, []Change{c})
						}
					}
					if before {
						m.before = event
					} else {
						m.after = event
					}
				}
				for range 3 {
					m.post(1, "before")
				}
				meet()
				window(t, r, 1) // loads
				page := newReplica(t, Window{Rows: m.channels[1].rows[:1], Revision: 1})
				meet()
				s := subscribe(t, r, 1, page.revision) // reads what was before it loaded
				page.follow(t, s)
				meet()
				m.post(1, "missed")
				r.Publish(1, []Change{m.post(1, "published")}) // catches up
				r.work.Wait()
				r.Publish(1, []Change{m.post(1, "the last")})
				r.work.Wait()
				page.follow(t, s)
				want := newest(t, m.ledger)
				page.shows(t, "the page", want)
				newReplica(t, window(t, r, 1)).shows(t, "a fresh page", want)
			})
		}
	}
}

// TestReturnMeetsPublish brings back a subscriber from the store while a row
// goes that it was not sent: no frame may have what came later alone.
func TestReturnMeetsPublish(t *testing.T) {
	t.Parallel()
	m := &racingSource{ledger: newLedger()}
	for range 3 {
		m.post(1, "before")
	}
	r := newTestRegistry(t, m)
	page := newReplica(t, window(t, r, 1))
	m.delete(1, 1) // by an earlier node: this one's log begins after it
	r = newTestRegistry(t, m)
	window(t, r, 1)
	m.after = func() {
		r.Publish(1, []Change{m.delete(1, 2)})
		r.Publish(1, []Change{m.post(1, "at the same time")})
	}
	for page.revision < 6 {
		frames := take(t, subscribe(t, r, 1, page.revision))
		if len(frames) == 0 {
			t.Fatalf("at %d: no frames", page.revision)
		}
		page.apply(t, frames[0])
	}
	page.shows(t, "the page", window(t, r, 1))
}

// failingSource is a source that cannot be read while there is an error.
type failingSource struct {
	*ledger
	err   error
	tried []time.Time
}

func (f *failingSource) try() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried = append(f.tried, time.Now())
	return f.err
}

// fail has reads fail from now on, or no more.
func (f *failingSource) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.tried = err, nil
}

func (f *failingSource) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	if err := f.try(); err != nil {
		return Window{}, err
	}
	return f.ledger.Newest(ctx, channelID, n, size)
}

func (f *failingSource) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	if err := f.try(); err != nil {
		return nil, 0, err
	}
	return f.ledger.Changes(ctx, channelID, after, n, size)
}

// TestSourceFails passes the failure on, and recovers from it.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	source := &failingSource{ledger: newLedger(), err: errors.New("no disk")}
	r := newTestRegistry(t, source)
	source.post(1, "hello")
	if _, err := r.Window(t.Context(), 1, 0); !errors.Is(err, source.err) {
		t.Errorf("Window: %v", err)
	}
	if _, err := r.Subscribe(t.Context(), 1, 0, 0, Visitor{}); !errors.Is(err, source.err) {
		t.Errorf("Subscribe: %v", err)
	}
	source.fail(nil)
	if w := window(t, r, 1); len(w.Rows) != 1 {
		t.Errorf("recovered: %+v", w)
	}
}

// BenchmarkPublish sends a plain row to many, who take a hundred at a time.
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{100, 1000} {
		b.Run(fmt.Sprint("subscribers=", subscribers), func(b *testing.B) {
			l := newLedger()
			r := newTestRegistry(b, l)
			var all []*Subscriber
			for range subscribers {
				all = append(all, subscribe(b, r, 1, 0))
			}
			c := l.post(1, strings.Repeat("x", 380))
			b.ReportAllocs()
			for i := int64(1); b.Loop(); i++ {
				c.ID, c.Revision = i, i
				r.Publish(1, []Change{c})
				if i%100 == 0 {
					for _, s := range all {
						if _, err := s.take(); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}

func BenchmarkWindow(b *testing.B) {
	l := newLedger()
	for range 1000 {
		l.post(1, "hello")
	}
	r := newTestRegistry(b, l)
	for b.Loop() {
		if w := window(b, r, 1); len(w.Rows) != WindowSize {
			b.Fatal(len(w.Rows))
		}
	}
}
