// Package hub is the live side of channels: a window on the newest rows of
// each and the subscribers that are told of its changes. It knows bytes and
// revisions; what they mean and where they last is for others to know.
package hub

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// WindowSize is how many rows a page shows and a subscriber who was away
	// for long is given.
	WindowSize = 100

	// spareRows is how many rows a hub holds beyond those it shows, so that
	// deletes uncover older rows without a look into the store.
	spareRows = 28

	// maxMissed is how many changes a returning subscriber is told one by one.
	// One that missed more is given the window instead.
	maxMissed = WindowSize
)

// Row is one message as it is sent to everyone.
type Row struct {
	ID       int64 // the revision of its posting
	Revision int64 // the revision of its latest change
	AuthorID int64
	PostedAt time.Time
	HTML     []byte
}

// Change is what one revision did: it posted or altered a row, or took one
// away.
type Change struct {
	Revision int64
	ID       int64
	Row      Row    // unless Gone
	Gone     bool   // the row with that ID is no more
	Frame    []byte // tells a subscriber so
}

// Window is the newest rows of a channel at a revision.
type Window struct {
	Rows     []Row // oldest first
	Revision int64
	Older    bool // there are rows before these
}

// Source is where a hub reads what it does not hold.
type Source interface {
	// Newest returns the newest rows of a channel, n at most.
	Newest(ctx context.Context, channelID int64, n int) (Window, error)

	// Changes returns the changes after a revision in their order, n at most,
	// and the channel's revision at that moment. A row that changed twice is
	// there once, as it is now. Both reads show all that was written, on
	// whatever node, before they began.
	Changes(ctx context.Context, channelID, after int64, n int) ([]Change, int64, error)

	// Replace returns the frame that puts a window in the place of all that a
	// subscriber holds.
	Replace(w Window) []byte

	// Presence returns the frame that shows a presence, empty for none. It may
	// be called by many at a time.
	Presence(p Presence) []byte
}

// ErrRestart ends a subscription when the node stops.
var ErrRestart = errors.New("hub: the node is stopping")

// errEvicted says that the registry has dropped the hub: ask it for another.
var errEvicted = errors.New("hub: evicted")

// Hub is the live side of one channel.
//
// It takes change N+1 only after N. Told of a later one it reads what is
// between from its source, so changes may be published twice, late, out of
// order or, as another node's are, not at all, and nothing is lost or doubled.
//
// A source may be taken back: a database that fails over to a standby loses its
// last commits, and gives their revisions to others. Then the hub reads its
// window anew, and so do its subscribers. Only what cannot be otherwise counts
// as a sign of that, never that something is late: a read that does not come to
// what the hub held before it began, a revision that is published and is not
// what it was, and that the registry is told so.
//
// A frame is whole: whoever has taken one shows what a page at its revision
// shows. A connection may end after any frame, and what is asked for then is
// what comes after that revision.
type Hub struct {
	channelID int64
	source    Source
	crowds    *crowds

	reading chan struct{} // full while somebody reads from the source

	mu          sync.Mutex
	loaded      bool
	life        int // of the source: how often it was found to be taken back
	evicted     bool
	catchingUp  bool // in the background, see Registry.keepUp
	used        time.Time
	told        int64 // the latest revision that it has heard of
	heard       int64 // the latest that it has heard of since the read under way began
	window      Window
	log         []Change // the latest changes, without a gap, up to window.Revision
	subscribers map[*Subscriber]struct{}
}

func newHub(channelID int64, source Source, crowds *crowds) *Hub {
	return &Hub{
		channelID: channelID, source: source, crowds: crowds, used: time.Now(),
		reading: make(chan struct{}, 1), subscribers: map[*Subscriber]struct{}{},
	}
}

// Window returns the newest rows, WindowSize at most. They are shared: do not
// change them.
func (h *Hub) Window() Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shown()
}

// shown is the part of the window that a page shows.
func (h *Hub) shown() Window {
	w := h.window
	if spare := len(w.Rows) - WindowSize; spare > 0 {
		w.Rows, w.Older = w.Rows[spare:], true
	}
	w.Rows = slices.Clip(w.Rows)
	return w
}

// publish applies changes that are in order and passes them on. Where some are
// lacking before them, it is behind what it was told of then.
func (h *Hub) publish(changes []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(changes[len(changes)-1].Revision)
	if !h.loaded {
		return // whoever loads it will see what it was told
	}
	top := h.top()
	applied := changes[:0:0]
	for _, c := range changes {
		if c.Revision > h.window.Revision+1 {
			break
		}
		if h.contradicts(c) {
			h.forget()
			return
		}
		if c.Revision == h.window.Revision+1 {
			if !h.apply(c) {
				break
			}
			applied = append(applied, c)
		}
	}
	h.send(h.frame(applied, top))
}

// contradicts reports whether a change is not what the hub was told of the same
// revision before.
func (h *Hub) contradicts(c Change) bool {
	at, found := slices.BinarySearchFunc(h.log, c.Revision, func(c Change, revision int64) int { return int(c.Revision - revision) })
	return found && !bytes.Equal(h.log[at].Frame, c.Frame)
}

// apply takes one change into the window. It returns false, and does nothing,
// where a delete would leave fewer rows than a page shows while there are
// older ones: those have to be read first.
func (h *Hub) apply(c Change) bool {
	at, found := slices.BinarySearchFunc(h.window.Rows, c.ID, func(r Row, id int64) int { return int(r.ID - id) })
	if c.Gone && found && h.window.Older && len(h.window.Rows) <= WindowSize {
		return false
	}
	h.window.Revision = c.Revision
	h.remember(c)
	switch {
	case c.Gone && found:
		// A copy: pages may be reading the old one.
		h.window.Rows = slices.Concat(h.window.Rows[:at], h.window.Rows[at+1:])
	case c.Gone:
	case found:
		h.window.Rows = slices.Clone(h.window.Rows)
		h.window.Rows[at] = c.Row
	case at == len(h.window.Rows):
		h.window.Rows = append(h.window.Rows, c.Row)
		if len(h.window.Rows) >= 2*(WindowSize+spareRows) {
			h.window.Rows = slices.Clone(h.window.Rows[len(h.window.Rows)-WindowSize-spareRows:])
			h.window.Older = true
		}
	case at > 0 || !h.window.Older:
		// Only after a catch-up, in which a row that was altered comes late.
		h.window.Rows = slices.Concat(h.window.Rows[:at], []Row{c.Row}, h.window.Rows[at:])
	}
	return true
}

// remember keeps the latest changes for those who come back. Who has posted
// types no more.
func (h *Hub) remember(changes ...Change) {
	for _, c := range changes {
		h.log = append(h.log, c)
		if c.ID == c.Revision && !c.Gone {
			h.crowds.stopped(h.channelID, c.Row.AuthorID)
		}
	}
	if len(h.log) >= 2*maxMissed {
		h.log = slices.Clone(h.log[len(h.log)-maxMissed:])
	}
}

// top is the id of the oldest row that is shown, 0 for none.
func (h *Hub) top() int64 {
	if rows := h.shown().Rows; len(rows) > 0 {
		return rows[0].ID
	}
	return 0
}

// send queues a frame for every subscriber.
func (h *Hub) send(frame []byte) {
	for s := range h.subscribers {
		s.Tell(frame)
	}
}

// catchUp reads what the hub lacks until it has come to a revision that it was
// told of.
func (h *Hub) catchUp(ctx context.Context, revision int64) error {
	if h.has(revision) {
		return nil
	}
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		h.mu.Lock()
		held, told := h.holding(), h.told
		h.heard = 0
		h.mu.Unlock()
		if held.loaded && min(revision, told) <= held.revision {
			return nil
		}
		reached, err := h.read(ctx, held)
		if err != nil {
			return err
		}
		h.correct(told, reached)
	}
}

// holding is what a hub holds when a read begins.
type holding struct {
	loaded   bool
	revision int64
	life     int
}

// holding is called under the lock.
func (h *Hub) holding() holding { return holding{h.loaded, h.window.Revision, h.life} }

// forget has the window read anew, whatever its revision will be. Reads that
// began before are good for nothing. It is called under the lock.
func (h *Hub) forget() {
	h.loaded, h.log = false, nil
	h.life++
}

// takenBack reports whether a read shows that the source has been taken back,
// and has the window read anew then, unless that has been done since the read
// began.
func (h *Hub) takenBack(held holding, reached int64) bool {
	if !held.loaded || reached >= held.revision {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life == held.life {
		h.forget()
	}
	return true
}

// has reports whether the hub has come to a revision.
func (h *Hub) has(revision int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded && revision <= h.window.Revision
}

// read reads what the hub lacks, or the window, and returns the channel's
// revision at that moment.
func (h *Hub) read(ctx context.Context, held holding) (reached int64, err error) {
	var changes []Change
	if held.loaded {
		if changes, reached, err = h.source.Changes(ctx, h.channelID, held.revision, maxMissed+1); err != nil {
			return 0, err
		}
		if h.takenBack(held, reached) {
			return reached, nil
		}
		if len(changes) <= maxMissed && h.advance(held, changes, reached) {
			return reached, nil
		}
	}
	w, err := h.source.Newest(ctx, h.channelID, WindowSize+spareRows)
	if err != nil {
		return 0, err
	}
	if !h.takenBack(held, w.Revision) {
		h.replace(held, w, changes, len(changes) <= maxMissed && w.Revision == reached)
	}
	return w.Revision, nil
}

// correct forgets what the hub was told of before a read that did not come to
// it: it is a number from another life, such as a restored backup's, and would
// be looked for for ever.
func (h *Hub) correct(told, reached int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reached < told {
		h.told = max(h.window.Revision, h.heard)
	}
}

// advance applies changes read from the source, whose numbers may have gaps
// where a row changed more than once. It returns false, and does nothing,
// where older rows have to be read for them.
func (h *Hub) advance(held holding, changes []Change, revision int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holding() != held {
		return true // publish was quicker, or it is of another life
	}
	top, window, log := h.top(), h.window, h.log
	for _, c := range changes {
		if !h.apply(c) {
			h.window, h.log = window, log
			return false
		}
	}
	h.window.Revision = max(h.window.Revision, revision)
	h.send(h.frame(changes, top))
	return true
}

// replace takes a window read from the source. The changes, if they are all,
// are those that lead to it from what the hub held.
func (h *Hub) replace(held holding, w Window, changes []Change, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life != held.life || h.loaded && w.Revision < h.window.Revision {
		return // it is of another life, or publish was quicker
	}
	before, wasLoaded, top := h.shown(), h.loaded, h.top()
	h.loaded, h.window = true, w
	h.told = max(h.told, w.Revision)
	switch {
	case !wasLoaded:
		if len(h.subscribers) > 0 && !before.is(h.shown()) {
			h.send(h.source.Replace(h.shown()))
		}
	case before.Revision == w.Revision:
	case before.Revision == held.revision && all:
		h.remember(changes...)
		h.send(h.frame(changes, top))
	default:
		h.log = nil
		for _, row := range w.Rows {
			if row.ID > before.Revision {
				h.crowds.stopped(h.channelID, row.AuthorID)
			}
		}
		h.send(h.source.Replace(h.shown()))
	}
}

// is reports whether two windows look the same.
func (w Window) is(other Window) bool {
	return w.Revision == other.Revision && slices.EqualFunc(w.Rows, other.Rows, func(a, b Row) bool {
		return a.Revision == b.Revision && bytes.Equal(a.HTML, b.HTML)
	})
}

// missed returns the frame that takes a subscriber to the present: from a
// revision to another by changes that were read from the source, and from there
// from memory. It returns false where memory does not reach back so far, or has
// not come to that revision.
func (h *Hub) missed(changes []Change, revision int64) ([]byte, bool) {
	switch {
	case revision > h.window.Revision:
		return nil, false
	case revision == h.window.Revision:
	case len(h.log) == 0 || revision < h.log[0].Revision-1:
		return nil, false
	default:
		at, _ := slices.BinarySearchFunc(h.log, revision+1, func(c Change, revision int64) int { return int(c.Revision - revision) })
		changes = slices.Concat(changes, h.log[at:])
	}
	if len(changes) > maxMissed {
		return h.source.Replace(h.shown()), true
	}
	return h.frame(changes, math.MaxInt64), true
}

// frame returns one frame for changes, for a subscriber whose oldest row is
// top. In it each row is either put or taken away and never both, for browsers
// do not keep to the order within one frame; and so what is deleted is sent to
// nobody any more.
func (h *Hub) frame(changes []Change, top int64) []byte {
	latest := make(map[int64]int64, len(changes))
	gone := false
	for _, c := range changes {
		latest[c.ID] = c.Revision
		gone = gone || c.Gone
	}
	var frames [][]byte
	for _, c := range changes {
		if c.Revision == latest[c.ID] {
			frames = append(frames, c.Frame)
		}
	}
	if gone {
		frames = append(frames, h.uncovered(latest, top))
	}
	if len(frames) == 1 {
		return frames[0]
	}
	return slices.Concat(frames...)
}

// uncovered returns the rows that deletes have moved up into what is shown, for
// a subscriber whose oldest row is top and who is told of some ids anyway.
func (h *Hub) uncovered(told map[int64]int64, top int64) []byte {
	var rows [][]byte
	for _, row := range h.shown().Rows {
		if _, ok := told[row.ID]; !ok && (row.ID < top || top == 0) {
			rows = append(rows, row.HTML)
		}
	}
	return slices.Concat(rows...)
}

// subscribe adds a subscriber that holds all up to the revision after. The
// first frames in its queue are what it has missed.
func (h *Hub) subscribe(ctx context.Context, after int64, visitor Visitor) (*Subscriber, error) {
	s := h.greet(visitor)
	if joined, err := h.join(s, nil, after, false); joined != nil || err != nil {
		return joined, err
	}
	for {
		// Further back than memory reaches, or beyond what the hub has heard of.
		h.mu.Lock()
		held := h.holding()
		h.mu.Unlock()
		changes, revision, err := h.source.Changes(ctx, h.channelID, after, maxMissed+1)
		if err != nil {
			return nil, err
		}
		h.takenBack(held, revision)
		h.hear(revision)
		if err := h.catchUp(ctx, revision); err != nil {
			return nil, err
		}
		// Beyond what there is: a number from another life, such as a restored
		// backup's.
		whole := after > revision
		if joined, err := h.join(s, changes, revision, whole); joined != nil || err != nil {
			return joined, err
		}
	}
}

// join adds a subscriber that holds all up to a revision once it has been told
// of changes, or is to be given the whole window, and returns it. It returns nil
// where memory does not reach back to that revision, or has not come to it yet.
func (h *Hub) join(s *Subscriber, changes []Change, revision int64, whole bool) (*Subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.evicted {
		return nil, errEvicted
	}
	if whole {
		return h.add(s, h.source.Replace(h.shown())), nil
	}
	missed, ok := h.missed(changes, revision)
	if !ok {
		return nil, nil
	}
	return h.add(s, missed), nil
}

// hear notes that the channel has reached a revision.
func (h *Hub) hear(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(revision)
}

// note is hear under the lock.
func (h *Hub) note(revision int64) {
	h.told, h.heard = max(h.told, revision), max(h.heard, revision)
}

// lags reports whether the hub has somebody to be told of what it lacks, while
// nobody reads that in the background. Then the caller has to, until it lacks
// nothing.
func (h *Hub) lags() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.catchingUp || !h.isBehind() {
		return false
	}
	h.catchingUp = true
	return true
}

// lacks returns the revision up to which there is something to be read in the
// background. That is over where it returns false: nothing is lacking, or nobody
// is there to be told of it.
func (h *Hub) lacks() (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isBehind() {
		return h.told, true
	}
	h.catchingUp = false
	return 0, false
}

// isBehind reports whether there is somebody to be told of what the hub lacks.
func (h *Hub) isBehind() bool {
	return len(h.subscribers) > 0 && (!h.loaded || h.told > h.window.Revision)
}

// add adds a subscriber with the frame that it has missed.
func (h *Hub) add(s *Subscriber, missed []byte) *Subscriber {
	s.precede(missed)
	h.subscribers[s] = struct{}{}
	h.crowds.enter(h.channelID, s.user)
	return s
}

func (h *Hub) remove(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subscribers[s]; ok {
		delete(h.subscribers, s)
		h.crowds.leave(h.channelID, s.user)
	}
}

// closeAll ends every subscription for a reason and lets nobody in any more.
func (h *Hub) closeAll(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evicted = true
	for s := range h.subscribers {
		s.end(reason)
	}
}
