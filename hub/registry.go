package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxIdle is how many hubs without subscribers are kept for the next page.
	maxIdle = 128

	// readTimeout is how long a read may take that no request waits for.
	readTimeout = 10 * time.Second

	// firstRetry and lastRetry are how long such a read waits after a failure,
	// at first and at most.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Registry has a hub for each channel in use.
type Registry struct {
	source Source
	log    *slog.Logger
	crowds *crowds

	ctx      context.Context // of the reads that no request waits for
	cancel   context.CancelFunc
	work     sync.WaitGroup // those reads
	flushing sync.WaitGroup // who tells of presence

	mu     sync.Mutex
	closed bool
	hubs   map[int64]*Hub
}

// NewRegistry returns a registry whose hubs read from the source. The caller
// closes it.
func NewRegistry(source Source, log *slog.Logger) *Registry {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{source: source, log: log, crowds: newCrowds(), ctx: ctx, cancel: cancel, hubs: map[int64]*Hub{}}
	r.flushing.Go(func() { r.flush(ctx) })
	return r
}

// Window returns the newest rows of a channel, WindowSize at most. They show
// all up to the revision reached, which the caller knows the store to hold.
func (r *Registry) Window(ctx context.Context, channelID, reached int64) (Window, error) {
	h, err := r.hub(ctx, channelID, reached)
	if err != nil {
		return Window{}, err
	}
	return h.Window(), nil
}

// Subscribe returns a subscriber to a channel for a visitor whose page holds
// all up to the revision after. What it has missed up to the revision reached,
// which the caller knows the store to hold, it is told first. A page from
// another node may be ahead of this one; one that is ahead of the store is from
// another life, and given the whole window. The caller closes it.
func (r *Registry) Subscribe(ctx context.Context, channelID, after, reached int64, visitor Visitor) (*Subscriber, error) {
	for {
		h, err := r.hub(ctx, channelID, reached)
		if err != nil {
			return nil, err
		}
		s, err := h.subscribe(ctx, after, visitor)
		if err == nil {
			r.keepUp(h) // what it heard of while there was nobody to be told
			return s, nil
		}
		if !errors.Is(err, errEvicted) {
			return nil, err
		}
		if r.isClosed() {
			return nil, ErrRestart
		}
	}
}

func (r *Registry) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Publish tells a channel's hub of changes that the store holds, in the order
// of their revisions. It waits for nothing.
func (r *Registry) Publish(channelID int64, changes []Change) {
	if h := r.find(channelID); h != nil && len(changes) > 0 {
		h.publish(changes)
		r.keepUp(h)
	}
}

// Hear tells a channel's hub that the store holds a revision, whichever node
// wrote it. It may be said twice, late or out of order, and waits for nothing.
// What the hub lacks is read at once if somebody is to be told of it, and else
// when the next page asks.
func (r *Registry) Hear(channelID, revision int64) {
	if h := r.find(channelID); h != nil {
		h.hear(revision)
		r.keepUp(h)
	}
}

// Reload tells a channel's hub that its source has been taken back to an earlier
// revision, or is another than it was. The hub reads its window anew, at once if
// it has subscribers, who are given that in the place of all they hold if it is
// not the same. What came late is no reason for it: it is not for Hear to say.
func (r *Registry) Reload(channelID int64) {
	if h := r.find(channelID); h != nil {
		h.mu.Lock()
		h.forget()
		h.mu.Unlock()
		r.keepUp(h)
	}
}

// keepUp has a hub that lags catch up in the background, however often that
// fails. All that it is told of meanwhile is read by the same goroutine.
func (r *Registry) keepUp(h *Hub) {
	if !h.lags() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.work.Go(func() {
		retry := firstRetry
		for revision, behind := h.lacks(); behind; revision, behind = h.lacks() {
			ctx, cancel := context.WithTimeout(r.ctx, readTimeout)
			err := h.catchUp(ctx, revision)
			cancel()
			if err == nil {
				retry = firstRetry
				continue
			}
			if r.ctx.Err() == nil && retry == firstRetry {
				r.log.Error("a hub could not catch up, and tries again", "channel", h.channelID, "error", err)
			}
			select {
			case <-time.After(retry):
			case <-r.ctx.Done():
				return
			}
			retry = min(2*retry, lastRetry)
		}
	})
}

// find returns the hub of a channel if there is one.
func (r *Registry) find(channelID int64) *Hub {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hubs[channelID]
}

// Close ends every subscription with ErrRestart and waits for the reads under
// way and for whoever tells of presence.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	for _, h := range r.hubs {
		h.closeAll(ErrRestart)
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
	r.flushing.Wait()
}

// hub returns the hub of a channel, with all up to the revision reached and all
// that it was told of before.
func (r *Registry) hub(ctx context.Context, channelID, reached int64) (*Hub, error) {
	r.mu.Lock()
	h := r.hubs[channelID]
	if h == nil {
		h = newHub(channelID, r.source, r.crowds)
		h.evicted = r.closed // pages may still be read, but nobody stays
		r.hubs[channelID] = h
		r.evict()
	}
	r.mu.Unlock()
	err := h.catchUp(ctx, h.touch(reached))
	if err != nil {
		r.keepUp(h) // for those who are told of it in any case
	}
	return h, err
}

// evict drops the hubs that nobody has looked at for longest.
func (r *Registry) evict() {
	if len(r.hubs) <= maxIdle {
		return
	}
	var oldest *Hub
	var since time.Time
	idle := 0
	for _, h := range r.hubs {
		used, ok := h.idleSince()
		if !ok {
			continue
		}
		idle++
		if oldest == nil || used.Before(since) {
			oldest, since = h, used
		}
	}
	if idle > maxIdle && oldest.evict() {
		delete(r.hubs, oldest.channelID)
	}
}

// touch says that somebody looks at the hub who knows of a revision, and returns
// the latest that it was told of.
func (h *Hub) touch(reached int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = time.Now()
	h.note(reached)
	return h.told
}

// idleSince returns when a hub without subscribers was last used.
func (h *Hub) idleSince() (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.used, len(h.subscribers) == 0
}

// evict reports whether the hub may be dropped, and lets nobody in from then.
func (h *Hub) evict() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) > 0 {
		return false
	}
	h.evicted = true
	return true
}
