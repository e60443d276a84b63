package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// printer is a ledger whose rows are printed anew whenever they are read, as the
// rows of a database are. They are long but for some.
type printer struct {
	*ledger
	text              string
	shortFrom, longTo int64 // the ids of those
}

func (p *printer) print(row Row) Row {
	text := p.text
	if p.shortFrom <= row.ID && row.ID < p.longTo {
		text = "short"
	}
	row.HTML = fmt.Appendf(nil, "+%d %d %s\n", row.ID, row.Revision, text)
	return row
}

func (p *printer) printed(c Change) Change {
	if c.Kind != Gone {
		c.Row = p.print(c.Row)
	}
	return c
}

func (p *printer) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	w, err := p.ledger.Newest(ctx, channelID, n, math.MaxInt)
	for i := len(w.Rows) - 1; i >= 0; i-- {
		w.Rows[i] = p.print(w.Rows[i])
		if size -= len(w.Rows[i].HTML); size <= 0 && i > 0 {
			w.Rows, w.Older = w.Rows[i:], true
			break
		}
	}
	return w, err
}

func (p *printer) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	changes, reached, err := p.ledger.Changes(ctx, channelID, after, n, math.MaxInt)
	for i, c := range changes {
		changes[i] = p.printed(c)
		if size -= len(changes[i].HTML); size <= 0 {
			return changes[:i+1], reached, err
		}
	}
	return changes, reached, err
}

// heap returns how many bytes are in use.
func heap() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// stuckTransport takes frames and never comes to an end with them, until it is
// interrupted because its subscriber is slow.
type stuckTransport struct {
	mu     sync.Mutex
	frames []*Frame
}

func (w *stuckTransport) take(t *testing.T, s *Subscriber) {
	frames, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if _, _, err := f.Pieces(); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	w.frames = frames
	w.mu.Unlock()
	s.OnSlow(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.frames = nil
	})
}

// TestMemory has many subscribers that do not read, while rows as long as there can
// be are posted and altered: what they hold stays within the bound, and one that
// reads is sent everything. It runs alone, for it looks at the whole heap.
func TestMemory(t *testing.T) {
	const channels, subscribers = 8, 200
	p := &printer{ledger: newLedger(), text: strings.Repeat("x", 40<<10), shortFrom: 21, longTo: 2*WindowSize + 1}
	for channel := range int64(channels) {
		for range 2 * WindowSize {
			p.post(channel, "before")
		}
	}
	before := heap()
	r := newTestRegistry(t, p)
	most := before + maxWaiting + channels*r.limits.perHub() + 24<<20
	check := func(about string) {
		t.Helper()
		if now := heap(); now > most {
			t.Errorf("%s: %d MiB are in use, and were %d", about, now>>20, before>>20)
		}
	}

	// Alterations of rows outside the window are read for each who comes back.
	var slow []*Subscriber
	for channel := range int64(channels) {
		window(t, r, channel)
		back := reached(r, channel)
		for id := range int64(20) {
			r.Publish(channel, []Change{p.printed(p.alter(channel, id+1, "again"))})
		}
		for id := range int64(20) { // which the log forgets the others for
			r.Publish(channel, []Change{p.printed(p.alter(channel, id+1, "and again"))})
		}
		for i := range subscribers / channels {
			s := subscribe(t, r, channel, back)
			if slow = append(slow, s); i%2 == 0 && s.reason == nil {
				new(stuckTransport).take(t, s)
			}
		}
		check(fmt.Sprint("back in channel ", channel))
	}
	let := 0
	for _, s := range slow {
		if s.reason != nil {
			let++
		}
	}
	if first, last := slow[0], slow[len(slow)-1]; let < 10 || let == len(slow) || !errors.Is(first.reason, ErrSlow) || last.reason != nil {
		t.Errorf("%d of %d were let go, the first for %v, the last for %v", let, len(slow), first.reason, last.reason)
	}

	// Whole windows, and all that is posted since.
	page := newReplica(t, window(t, r, 0))
	quick := subscribe(t, r, 0, page.revision)
	for i := range 400 {
		channel := int64(i % channels)
		for range 3 {
			r.Publish(channel, []Change{p.printed(p.post(channel, "hello"))})
		}
		s := subscribe(t, r, channel, int64(i%150))
		if slow = append(slow, s); i%2 == 0 {
			new(stuckTransport).take(t, s)
		}
		page.follow(t, quick)
		if i%50 == 0 {
			check(fmt.Sprint("after ", i))
		}
	}
	check("at the end")
	if page.replaced > 0 {
		t.Error("the page that reads was replaced")
	}
	page.covers(t, "the page that reads", window(t, r, 0))
	if held := r.budget.held(); held > maxWaiting {
		t.Errorf("%d MiB wait", held>>20)
	}
	quick.Close()
	for _, s := range slow {
		s.Close()
	}
	isReleased(t, r)
}

// TestBudget counts what is shared once, lets go those who wait for longest and no
// more than it takes, and counts what is being sent.
func TestBudget(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	text := strings.Repeat("x", 1000)
	r.budget.most = 30 * (len(text) + frameCost + rowCost)
	var all []*Subscriber
	for range 100 {
		all = append(all, subscribe(t, r, 1, 0))
	}
	sender, reader, late := all[0], all[1], all[2]
	publish := func(n int) {
		for range n {
			r.Publish(1, []Change{l.post(1, text)})
			take(t, reader)
		}
	}
	ended := func() (n int) {
		for _, s := range all {
			if _, ok := s.waits(); !ok {
				n++
			}
		}
		return n
	}
	publish(10)
	take(t, sender) // who is sending from now on
	publish(10)
	take(t, late)
	take(t, late) // the others are sent
	publish(5)
	if held, n := r.budget.held(), ended(); held < 20*len(text) || held > r.budget.most || n > 0 {
		t.Errorf("%d bytes are held, and %d are let go", held, n)
	}
	publish(10)
	if n := ended(); n != len(all)-2 {
		t.Errorf("%d of %d are let go, want all but two", n, len(all))
	}
	for _, s := range []*Subscriber{reader, late} {
		if _, ok := s.waits(); !ok {
			t.Error("one that reads was let go")
		}
	}
	if held := r.budget.held(); held > r.budget.most*3/4 {
		t.Errorf("%d bytes are held", held)
	}
	for _, s := range all {
		s.Close()
	}
	isReleased(t, r)
}

// TestBudgetShared counts a row once that is in the frames of many.
func TestBudgetShared(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	window(t, r, 1)
	text := strings.Repeat("x", 10_000)
	const rows = 50
	for range rows {
		r.Publish(1, []Change{l.post(1, text)})
	}
	overhead := 0
	var all []*Subscriber
	for after := range int64(rows) {
		all = append(all, subscribe(t, r, 1, after))
		overhead += frameCost + (rows-int(after))*rowCost
	}
	want := sizeOf(window(t, r, 1).Rows) + overhead
	if held := r.budget.held(); held != want {
		t.Errorf("%d bytes are held, want %d", held, want)
	}
	for _, s := range all {
		s.Close()
	}
	isReleased(t, r)
}

// TestBudgetConcurrently has publishers, readers, those who are stuck and those who
// end others go on at the same time: in the end nothing is counted any more.
func TestBudgetConcurrently(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	r.budget.most = 100_000
	news := r.NewSubscriber()
	var group sync.WaitGroup
	for i := range 2 {
		random := rand.New(rand.NewPCG(uint64(i), 10))
		group.Go(func() {
			for range 400 {
				channel := random.Int64N(3)
				c := l.post(channel, strings.Repeat("x", random.IntN(3000)))
				r.Publish(channel, []Change{c, l.alter(channel, c.ID, "again")})
				news.Send(NewFrame([]byte("news")))
			}
		})
	}
	for i := range 12 {
		random := rand.New(rand.NewPCG(uint64(i), 11))
		group.Go(func() {
			for range 40 {
				channel := random.Int64N(3)
				user := User{ID: random.Int64N(4)}
				s, err := r.Subscribe(t.Context(), channel, random.Int64N(20), 0, Visitor{User: user})
				if err != nil {
					t.Error(err)
					return
				}
				for range random.IntN(10) {
					switch random.IntN(8) {
					case 0:
						r.Remove(channel, user.ID, context.Canceled)
					case 1:
						s.End(context.Canceled)
					case 2:
						s.OnSlow(func() {})
					case 3:
						s.Send(NewFrame(make([]byte, 1000)))
					default:
						if _, err := s.take(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrSlow) {
							t.Errorf("it ended with %v", err)
						}
					}
				}
				s.Close()
			}
		})
	}
	group.Wait()
	news.Close()
	isReleased(t, r)
}

// waits returns how many frames wait for a subscriber, and whether it goes on.
func (s *Subscriber) waits() (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting.frames), s.reason == nil
}

// TestBudgetOfOthers counts what is queued by Send, and lets nobody go who holds
// nothing.
func TestBudgetOfOthers(t *testing.T) {
	t.Parallel()
	r := newTestRegistry(t, newLedger())
	r.budget.most = 10_000
	idle, slow, quick := r.NewSubscriber(), r.NewSubscriber(), r.NewSubscriber()
	for range 12 {
		f := NewFrame(bytes.Repeat([]byte("x"), 1000))
		slow.Send(f)
		quick.Send(f)
		if _, err := quick.take(); err != nil {
			t.Fatal(err)
		}
	}
	endsWith(t, slow, ErrSlow)
	for _, s := range []*Subscriber{idle, quick} {
		if _, ok := s.waits(); !ok {
			t.Error("it was let go too")
		}
	}
	for _, s := range []*Subscriber{idle, slow, quick} {
		s.Close()
	}
	isReleased(t, r)
}

// TestIdleMemory drops idle hubs that hold much, before there are many.
func TestIdleMemory(t *testing.T) {
	t.Parallel()
	p := &printer{ledger: newLedger(), text: strings.Repeat("x", 40<<10)}
	r := newTestRegistry(t, p)
	held := func() (size int) {
		for _, h := range r.hubs {
			size += h.window.size + h.log.size
		}
		return size
	}
	watched := subscribe(t, r, 0, 0)
	for channel := range int64(maxIdle) { // empty when they are read
		window(t, r, channel)
	}
	for channel := range int64(maxIdle) {
		for range 40 {
			r.Publish(channel, []Change{p.printed(p.post(channel, "hello"))})
		}
		take(t, watched)
		if size := held(); size > maxIdleBytes+2*r.limits.perHub() {
			t.Fatalf("%d hubs hold %d MiB", len(r.hubs), size>>20)
		}
	}
	for channel := range int64(maxIdle) {
		if w := window(t, r, channel); w.Revision != 40 || !w.Older {
			t.Errorf("channel %d at %d", channel, w.Revision)
		}
		if size := held(); size > maxIdleBytes+2*r.limits.perHub() {
			t.Fatalf("%d hubs hold %d MiB", len(r.hubs), size>>20)
		}
	}
	if r.find(0) == nil {
		t.Error("a hub with a subscriber was dropped")
	}
}

// TestHubMemory bounds what one hub holds, whatever is posted and altered.
func TestHubMemory(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	window(t, r, 1)
	text := strings.Repeat("x", 40<<10)
	for range 300 {
		r.Publish(1, []Change{l.post(1, text)})
		ids := l.ids(1)
		r.Publish(1, []Change{l.alter(1, ids[len(ids)/2], text)})
		h := r.find(1)
		if size := h.window.size + h.log.size; size > r.limits.perHub()+len(text)+100 || h.window.size != sizeOf(h.window.Rows) {
			t.Fatalf("it holds %d KiB in %d rows and %d changes", size>>10, len(h.window.Rows), len(h.log.entries))
		}
	}

	// A row that is longer than all limits is shown, alone.
	huge := l.post(1, strings.Repeat("x", 2<<20))
	r.Publish(1, []Change{huge})
	if w := window(t, r, 1); len(w.Rows) != 1 || !w.Older {
		t.Errorf("%d rows are shown, older: %v", len(w.Rows), w.Older)
	}
	page := newReplica(t, Window{})
	page.follow(t, subscribe(t, r, 1, 0))
	page.shows(t, "the page", window(t, r, 1))
	r.Publish(1, []Change{l.delete(1, huge.ID)})
	if w := window(t, r, 1); len(w.Rows) < 20 {
		t.Errorf("%d rows are shown without it", len(w.Rows))
	}
}

// TestLargeCommit sends the window in place of many long rows that are posted at
// once, so that nobody falls behind by one frame.
func TestLargeCommit(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	page := newReplica(t, window(t, r, 1))
	s := subscribe(t, r, 1, 0)
	var changes []Change
	for range 256 {
		changes = append(changes, l.post(1, strings.Repeat("x", 40<<10)))
	}
	r.Publish(1, changes)
	page.follow(t, s)
	page.shows(t, "the page", window(t, r, 1))
	if page.replaced != 1 {
		t.Errorf("it was replaced %d times", page.replaced)
	}
}
