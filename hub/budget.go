package hub

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// maxWaiting is how many bytes may wait for all subscribers together.
const maxWaiting = 64 << 20

// budget bounds what waits for all subscribers of a node together, in their
// queues or in the hands of their transports. What several wait for counts once:
// frames are shared, and rows are shared by frames. Where that is too much, those
// are let go who wait for longest, because they read most slowly.
type budget struct {
	most int // bytes

	// clock counts the frames that were queued: it says who waits for longer.
	clock atomic.Int64

	mu          sync.Mutex
	size        int           // bytes of all frames that are held
	rows        map[*byte]int // by how many of these frames each row's HTML is held, by its first byte
	subscribers map[*Subscriber]struct{}
}

func newBudget(most int) *budget {
	return &budget{most: most, rows: map[*byte]int{}, subscribers: map[*Subscriber]struct{}{}}
}

// join has a subscriber found when somebody has to be let go.
func (b *budget) join(s *Subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers[s] = struct{}{}
}

func (b *budget) leave(s *Subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, s)
}

// hold counts a frame for n more who hold it.
func (b *budget) hold(f *Frame, n int) {
	b.clock.Add(1)
	if f.holds.Add(int32(n)) == int32(n) {
		b.count(f, 1)
	}
}

// release counts out one who held a frame.
func (b *budget) release(f *Frame) {
	if f.holds.Add(-1) == 0 {
		b.count(f, -1)
	}
}

// count counts a frame in, or out where by is -1.
func (b *budget) count(f *Frame, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := f.size
	for _, rows := range [...][]Row{f.Put, f.Altered} {
		for _, row := range rows {
			if len(row.HTML) == 0 {
				continue
			}
			first := &row.HTML[0]
			frames := b.rows[first] + by
			if frames == 0 {
				delete(b.rows, first)
			} else {
				b.rows[first] = frames
			}
			if frames > 1 || by < 0 && frames > 0 {
				own -= len(row.HTML) // counted for another frame
			}
		}
	}
	b.size += by * own
}

// enforce lets go those who wait for longest till what waits is well within the
// bound. The caller holds no lock.
func (b *budget) enforce() {
	b.mu.Lock()
	if b.size <= b.most {
		b.mu.Unlock()
		return
	}
	type waiter struct {
		*Subscriber
		since int64
	}
	var waiters []waiter
	for s := range b.subscribers {
		waiters = append(waiters, waiter{Subscriber: s})
	}
	b.mu.Unlock()

	for i := range waiters {
		waiters[i].since = waiters[i].waitsSince()
	}
	slices.SortFunc(waiters, func(a, b waiter) int { return cmp.Compare(a.since, b.since) })
	for _, w := range waiters {
		if b.held() <= b.most-b.most/4 {
			return
		}
		if w.since > 0 {
			w.letGo(ErrSlow)
		}
	}
}

// held returns how many bytes wait.
func (b *budget) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}
