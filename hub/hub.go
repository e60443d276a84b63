// Package hub is the live side of channels: a window on the newest rows of each,
// the subscribers that are sent its changes, and who is present. It knows bytes
// and revisions; what they mean, and where they are kept, is for others to know.
package hub

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errEvicted says that the registry has dropped the hub: ask it for another.
var errEvicted = errors.New("hub: evicted")

// Hub is the live side of one channel.
//
// It takes change N+1 only after N. Where a later one is published it reads what
// is between from its source, so changes may be published twice, late, out of
// order or, as another node's are, not at all, and nothing is lost or doubled.
//
// A source may be taken back: a database that fails over to a standby loses its
// last commits, and gives their revisions to others. Then the hub reads its
// window anew, and so do its subscribers. Only what cannot be otherwise counts
// as a sign of that, never that something is late: a read that does not come to
// what the hub held before it began, a change that is not what the hub knows of
// the same revision (see Change), and a call of Registry.Reload.
//
// A connection may end after any frame, and what is asked for then is what comes
// after that frame's revision. That is why each is whole: see Frame.
type Hub struct {
	channelID int64
	source    guardedSource
	roster    *roster
	budget    *budget
	limits    limits

	reading   chan struct{} // full while somebody reads from the source for the hub
	returning chan struct{} // full while maxReturning read for themselves, on this node

	mu          sync.Mutex
	loaded      bool
	generation  int // of the source: how often it was found to be taken back
	evicted     bool
	catchingUp  bool // in the background, see Registry.catchUp
	used        time.Time
	known       int64 // the latest revision that it knows the channel to have come to
	knownSince  int64 // the latest that it learned since the read under way began
	window      heldWindow
	log         changeLog // up to window.Revision
	whole       *Frame    // of the window as it is, nil until somebody needs it
	subscribers map[*Subscriber]struct{}
}

func (r *Registry) newHub(channelID int64) *Hub {
	return &Hub{
		channelID: channelID, source: r.source, roster: r.roster, budget: r.budget, limits: r.limits, used: time.Now(),
		window: heldWindow{limits: r.limits}, reading: make(chan struct{}, 1), returning: r.returning,
		subscribers: map[*Subscriber]struct{}{},
	}
}

// Window returns the rows that a page shows. They are shared: do not change them.
func (h *Hub) Window() Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.window.shown()
}

// publish applies changes that are in order and sends them to the subscribers.
// Where some are missing before them, the hub is behind what it knows of then.
func (h *Hub) publish(changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.learn(changes[len(changes)-1].Revision)
	if !h.loaded {
		return // whoever loads it reads these as well
	}
	after, top := h.window.Revision, h.window.top()
	applied := changes[:0:0]
	for _, c := range changes {
		if c.Revision > h.window.Revision+1 {
			break
		}
		if h.log.contradicts(c) {
			h.forget()
			return
		}
		if c.Revision == h.window.Revision+1 {
			next, complete := h.window.apply(c)
			if !complete {
				break
			}
			h.remember(c, h.window.top())
			h.setWindow(next)
			applied = append(applied, c)
		}
	}
	if len(applied) > 0 {
		h.send(h.frameOf(applied, after, top))
	}
}

// setWindow takes another window in the place of the one it has.
func (h *Hub) setWindow(w heldWindow) { h.window, h.whole = w, nil }

// remember keeps a change for those who come back. Whoever has posted stops
// typing. It is called while the window is that from before the change, in which
// top is the oldest row that is shown.
func (h *Hub) remember(c Change, top int64) {
	h.log.add(c, top, h.limits.logBytes)
	if c.Kind != Gone && c.ID > h.window.Revision {
		h.roster.stopTyping(h.channelID, c.AuthorID)
	}
}

// send queues a frame for every subscriber.
func (h *Hub) send(f *Frame) {
	if len(h.subscribers) == 0 || f.isEmpty() {
		return
	}
	h.budget.hold(f, len(h.subscribers))
	for s := range h.subscribers {
		s.enqueue(f)
	}
}

// learn notes that the channel has come to a revision.
func (h *Hub) learn(revision int64) {
	h.known, h.knownSince = max(h.known, revision), max(h.knownSince, revision)
}

// setKnown is learn for those who do not hold the lock.
func (h *Hub) setKnown(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.learn(revision)
}

// add adds a subscriber with the frame that it has missed.
func (h *Hub) add(s *Subscriber, missed *Frame) *Subscriber {
	h.budget.join(s)
	if !missed.isEmpty() {
		h.budget.hold(missed, 1)
		s.enqueueFirst(missed)
	}
	h.subscribers[s] = struct{}{}
	h.roster.enter(h.channelID, s.user)
	return s
}

func (h *Hub) remove(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(s)
}

// drop is remove for those who hold the lock.
func (h *Hub) drop(s *Subscriber) {
	if _, ok := h.subscribers[s]; ok {
		delete(h.subscribers, s)
		h.roster.leave(h.channelID, s.user)
	}
}

// removeUser ends the subscriptions of a user.
func (h *Hub) removeUser(userID int64, reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		if s.user.ID == userID {
			h.drop(s)
			s.letGo(reason)
		}
	}
}

// close ends every subscription for a reason and lets nobody in any more.
func (h *Hub) close(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evicted = true
	for s := range h.subscribers {
		s.letGo(reason)
	}
}

// touch says that somebody looks at the hub who knows of a revision, and returns
// the latest that it knows.
func (h *Hub) touch(reached int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = time.Now()
	h.learn(reached)
	return h.known
}

// idleHub is a hub without subscribers.
type idleHub struct {
	*Hub
	used time.Time // when somebody looked at it last
	size int       // bytes of HTML that it holds
}

// idle returns the hub if it has no subscribers.
func (h *Hub) idle() (idle idleHub, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return idleHub{h, h.used, h.window.size + h.log.size}, len(h.subscribers) == 0
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

// subscribe adds a subscriber that holds all up to the revision after. The
// first frame in its queue is what it has missed.
func (h *Hub) subscribe(ctx context.Context, after int64, visitor Visitor) (*Subscriber, error) {
	s := h.newSubscriber(visitor)
	if joined, err := h.join(s, missed{after: after, reached: after}); joined != nil || err != nil {
		return joined, err
	}
	for {
		// Further back than the log reaches, or beyond what the hub knows of.
		m, err := h.readMissed(ctx, after)
		if err != nil {
			return nil, err
		}
		if err := h.catchUp(ctx, m.reached); err != nil {
			return nil, err
		}
		if joined, err := h.join(s, m); joined != nil || err != nil {
			return joined, err
		}
	}
}

// join adds a subscriber with what it has missed, and returns it. It returns nil
// where the log does not reach back so far, or the hub has not come so far yet.
func (h *Hub) join(s *Subscriber, m missed) (*Subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.evicted {
		return nil, errEvicted
	}
	f, ok := h.missedFrame(m)
	if !ok {
		return nil, nil
	}
	return h.add(s, f), nil
}
