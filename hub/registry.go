package hub

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// maxIdle is how many hubs without subscribers are kept for the next page, and
	// maxIdleBytes how much HTML they may hold.
	maxIdle      = 128
	maxIdleBytes = 64 << 20

	// maxReturning is how many subscribers may read what they missed at a time.
	maxReturning = 16

	// readTimeout is how long a read may take that no request waits for.
	readTimeout = 10 * time.Second

	// firstRetry and lastRetry are how long such a read waits after a failure,
	// at first and at most.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Registry has a hub for each channel in use.
type Registry struct {
	source    guardedSource
	log       *slog.Logger
	roster    *roster
	budget    *budget
	limits    limits
	returning chan struct{} // see Hub

	ctx      context.Context // of the reads that no request waits for
	cancel   context.CancelFunc
	work     sync.WaitGroup // those reads
	flushing sync.WaitGroup // the goroutine that sends presence

	mu     sync.Mutex
	closed bool
	hubs   map[int64]*Hub
}

// NewRegistry returns a registry whose hubs read from the source. The caller
// closes it.
func NewRegistry(source Source, log *slog.Logger) *Registry {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{
		source: guardedSource{source, log}, log: log, roster: newRoster(), budget: newBudget(maxWaiting), limits: defaultLimits(),
		returning: make(chan struct{}, maxReturning), ctx: ctx, cancel: cancel, hubs: map[int64]*Hub{},
	}
	r.flushing.Go(func() { r.flush(ctx) })
	return r
}

// Window returns the newest rows of a channel: WindowSize at most, and fewer
// where they are long. They show all up to the revision reached, which the caller
// knows the store to hold.
func (r *Registry) Window(ctx context.Context, channelID, reached int64) (Window, error) {
	h, err := r.hub(ctx, channelID, reached)
	if err != nil {
		return Window{}, err
	}
	return h.Window(), nil
}

// Subscribe returns a subscriber to a channel for a visitor whose page holds
// all up to the revision after. It is sent first what the page has missed up to
// the revision reached, which the caller knows the store to hold. A page from
// another node may be ahead of this one; one that is ahead of the store comes from
// before it was taken back, and is sent the whole window. The caller closes the
// subscriber.
//
// The caller decides who may subscribe. Since Remove ends only those who are
// subscribed, it has to look again afterwards whether the visitor still may.
func (r *Registry) Subscribe(ctx context.Context, channelID, after, reached int64, visitor Visitor) (*Subscriber, error) {
	defer r.budget.enforce()
	for {
		h, err := r.hub(ctx, channelID, reached)
		if err != nil {
			return nil, err
		}
		s, err := h.subscribe(ctx, after, visitor)
		if err == nil {
			r.catchUp(h) // with what it learned while it had no subscribers
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

// NewSubscriber returns a subscriber to no channel: only Send queues something
// for it, and Close of the registry does not end it. The caller closes it.
func (r *Registry) NewSubscriber() *Subscriber {
	s := &Subscriber{budget: r.budget}
	r.budget.join(s)
	return s
}

func (r *Registry) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Publish passes changes to a channel's hub, in the order of their revisions. The
// store holds them already. Publish waits for nothing, and calls nothing of the
// source. Changes that it is not given are read by the hub.
func (r *Registry) Publish(channelID int64, changes []Change) {
	h := r.find(channelID)
	if h == nil || len(changes) == 0 {
		return
	}
	h.publish(changes)
	r.budget.enforce()
	if idle, ok := h.idle(); ok && idle.size > r.limits.windowBytes {
		r.evict()
	}
	r.catchUp(h)
}

// SetRevision tells a channel's hub that the store holds a revision, whichever
// node wrote it. It may be called twice, late or out of order, and waits for
// nothing. What the hub is missing is read at once if it has subscribers, and
// else when somebody asks for its window.
func (r *Registry) SetRevision(channelID, revision int64) {
	if h := r.find(channelID); h != nil {
		h.setKnown(revision)
		r.catchUp(h)
	}
}

// Reload tells a channel's hub that its source has been taken back to an earlier
// revision, or is another than it was. The hub reads its window anew, at once if
// it has subscribers, whose pages are replaced if it is not the same. A revision
// that comes late is no reason for it: that is for SetRevision.
func (r *Registry) Reload(channelID int64) {
	if h := r.find(channelID); h != nil {
		h.mu.Lock()
		h.forget()
		h.mu.Unlock()
		r.catchUp(h)
	}
}

// Remove ends the subscriptions of a user to a channel at once, for a reason:
// nothing that is published later is queued for them, and what was is dropped.
func (r *Registry) Remove(channelID, userID int64, reason error) {
	if h := r.find(channelID); h != nil {
		h.removeUser(userID, reason)
	}
}

// catchUp has a hub that is behind catch up in the background, however often that
// fails. All that it learns of meanwhile is read by the same goroutine.
func (r *Registry) catchUp(h *Hub) {
	if !h.startCatchUp() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.work.Go(func() {
		retry := firstRetry
		for revision, behind := h.nextCatchUp(); behind; revision, behind = h.nextCatchUp() {
			ctx, cancel := context.WithTimeout(r.ctx, readTimeout)
			err := h.catchUp(ctx, revision)
			cancel()
			r.budget.enforce()
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

// Close ends every subscription to a channel with ErrRestart and waits for the
// reads under way and for whoever sends presence.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	for _, h := range r.hubs {
		h.close(ErrRestart)
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
	r.flushing.Wait()
}

// hub returns the hub of a channel, with all up to the revision reached and all
// that it knew of before.
func (r *Registry) hub(ctx context.Context, channelID, reached int64) (*Hub, error) {
	r.mu.Lock()
	h := r.hubs[channelID]
	isNew := h == nil
	if isNew {
		h = r.newHub(channelID)
		h.evicted = r.closed // pages may still be read, but nobody stays
		r.hubs[channelID] = h
	}
	r.mu.Unlock()
	err := h.catchUp(ctx, h.touch(reached))
	if err != nil {
		r.catchUp(h) // for its subscribers, who are to be sent it in any case
	}
	if isNew {
		r.evict()
	}
	return h, err
}

// evict drops the hubs that nobody has looked at for longest, while too many are
// idle or hold too much.
func (r *Registry) evict() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.hubs) <= maxIdle && len(r.hubs)*r.limits.perHub() <= maxIdleBytes {
		return
	}
	var all []idleHub
	size := 0
	for _, h := range r.hubs {
		if idle, ok := h.idle(); ok {
			all = append(all, idle)
			size += idle.size
		}
	}
	slices.SortFunc(all, func(a, b idleHub) int { return a.used.Compare(b.used) })
	for i, h := range all {
		if len(all)-i <= maxIdle && size <= maxIdleBytes {
			return
		}
		if h.evict() {
			delete(r.hubs, h.channelID)
			size -= h.size
		}
	}
}
