package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// maxIdle is how many hubs without subscribers are kept for the next page.
const maxIdle = 128

// Registry has a hub for each channel in use.
type Registry struct {
	source  Source
	log     *slog.Logger
	flusher *flusher

	ctx      context.Context // of the reads that no request waits for
	cancel   context.CancelFunc
	work     sync.WaitGroup // those reads
	flushing sync.WaitGroup // the flusher

	mu     sync.Mutex
	closed bool
	hubs   map[int64]*Hub
}

// NewRegistry returns a registry whose hubs read from the source. The caller
// closes it.
func NewRegistry(source Source, log *slog.Logger) *Registry {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{source: source, log: log, flusher: newFlusher(), ctx: ctx, cancel: cancel, hubs: map[int64]*Hub{}}
	r.flushing.Go(func() { r.flusher.run(ctx) })
	return r
}

// Window returns the newest rows of a channel, WindowSize at most.
func (r *Registry) Window(ctx context.Context, channelID int64) (Window, error) {
	h, err := r.hub(ctx, channelID)
	if err != nil {
		return Window{}, err
	}
	return h.Window(), nil
}

// Subscribe returns a subscriber to a channel for a visitor whose page holds
// all up to the revision after. The caller closes it.
func (r *Registry) Subscribe(ctx context.Context, channelID, after int64, visitor Visitor) (*Subscriber, error) {
	for {
		h, err := r.hub(ctx, channelID)
		if err != nil {
			return nil, err
		}
		s, err := h.subscribe(ctx, after, visitor)
		if !errors.Is(err, errEvicted) {
			return s, err
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
	h := r.find(channelID)
	if h == nil || len(changes) == 0 || !h.publish(changes) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.work.Go(func() {
		if err := h.catchUp(r.ctx); err != nil && r.ctx.Err() == nil {
			r.log.Error("a hub could not catch up", "channel", channelID, "error", err)
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

// hub returns the hub of a channel, with all that it was told of.
func (r *Registry) hub(ctx context.Context, channelID int64) (*Hub, error) {
	r.mu.Lock()
	h := r.hubs[channelID]
	if h == nil {
		h = newHub(channelID, r.source, r.flusher)
		h.evicted = r.closed // pages may still be read, but nobody stays
		r.hubs[channelID] = h
		r.evict()
	}
	r.mu.Unlock()
	h.touch()
	return h, h.catchUp(ctx)
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

func (h *Hub) touch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = time.Now()
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
