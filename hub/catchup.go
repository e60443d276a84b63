package hub

import (
	"context"
	"slices"
)

// missed is what a subscriber has missed that comes back.
type missed struct {
	after   int64    // the revision that its page holds
	changes []Change // read from the source: those after that, up to
	reached int64    // this revision
	tooMuch bool     // there may be more of them, or the page is not of this source
}

// readMissed reads what was missed after a revision. Many may come back at once,
// so few may hold what they read at a time.
func (h *Hub) readMissed(ctx context.Context, after int64) (missed, error) {
	select {
	case h.returning <- struct{}{}:
		defer func() { <-h.returning }()
	case <-ctx.Done():
		return missed{}, ctx.Err()
	}
	h.mu.Lock()
	before := h.snapshot()
	h.mu.Unlock()
	changes, reached, err := h.readChanges(ctx, after)
	if err != nil {
		return missed{}, err
	}
	h.isTakenBack(before, reached)
	h.setKnown(reached)
	return missed{
		after: after, changes: changes, reached: reached,
		// A page beyond what there is comes from before the source was taken back,
		// or from before a backup was restored.
		tooMuch: after > reached || h.isTooMuch(changes),
	}, nil
}

// missedFrame returns the frame that takes a subscriber to the present: by the
// changes that were read for it, and by those in the log from there. It returns
// false where the log does not reach back so far, or the hub has not come so far.
func (h *Hub) missedFrame(m missed) (*Frame, bool) {
	switch {
	case m.tooMuch:
		return h.wholeFrame(), true
	case m.reached > h.window.Revision:
		return nil, false
	case m.reached == h.window.Revision:
		return h.frameOf(h.share(m.changes), m.after, unknownTop), true
	case !h.log.reaches(m.reached):
		return nil, false
	}
	changes, top := h.log.since(m.reached)
	if len(m.changes) > 0 {
		changes, top = slices.Concat(h.share(m.changes), changes), unknownTop
	}
	if len(changes) > maxMissed {
		return h.wholeFrame(), true
	}
	return h.frameOf(changes, m.after, top), true
}

// share returns changes whose rows are those of the window where it has them, so
// that those who come back do not each hold what was read for them.
func (h *Hub) share(changes []Change) []Change {
	for i, c := range changes {
		if at, found := findRow(h.window.Rows, c.ID); found && h.window.Rows[at].isSame(c.Row) {
			changes[i].Row = h.window.Rows[at]
		}
	}
	return changes
}

// readChanges reads the changes after a revision, and one more than it makes
// sense to send one by one.
func (h *Hub) readChanges(ctx context.Context, after int64) ([]Change, int64, error) {
	return h.source.changes(ctx, h.channelID, after, maxMissed+1, h.limits.frameBytes)
}

// isTooMuch reports whether changes that were read may not be all that there are.
func (h *Hub) isTooMuch(changes []Change) bool {
	size := 0
	for _, c := range changes {
		size += len(c.HTML)
	}
	return len(changes) > maxMissed || size >= h.limits.frameBytes
}

// catchUp reads what the hub is missing until it has come to a revision that it
// knows of.
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
		before, known := h.snapshot(), h.known
		h.knownSince = 0
		h.mu.Unlock()
		if before.loaded && min(revision, known) <= before.revision {
			return nil
		}
		reached, err := h.read(ctx, before)
		if err != nil {
			return err
		}
		h.correct(known, reached)
	}
}

// has reports whether the hub has come to a revision.
func (h *Hub) has(revision int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded && revision <= h.window.Revision
}

// snapshot is where a hub is when a read begins.
type snapshot struct {
	loaded     bool
	revision   int64
	generation int
}

// snapshot is called under the lock.
func (h *Hub) snapshot() snapshot { return snapshot{h.loaded, h.window.Revision, h.generation} }

// forget has the window read anew, whatever its revision will be. What is read
// by then is of no use. It is called under the lock.
func (h *Hub) forget() {
	h.loaded, h.log = false, changeLog{}
	h.generation++
}

// isTakenBack reports whether a read shows that the source has been taken back,
// and has the window read anew then, unless that was done since the read began.
func (h *Hub) isTakenBack(before snapshot, reached int64) bool {
	if !before.loaded || reached >= before.revision {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.generation == before.generation {
		h.forget()
	}
	return true
}

// read reads what the hub is missing, or the window, and returns the channel's
// revision at that moment.
func (h *Hub) read(ctx context.Context, before snapshot) (reached int64, err error) {
	var changes []Change
	if before.loaded {
		if changes, reached, err = h.readChanges(ctx, before.revision); err != nil {
			return 0, err
		}
		if h.isTakenBack(before, reached) {
			return reached, nil
		}
		if !h.isTooMuch(changes) && h.advance(before, changes, reached) {
			return reached, nil
		}
	}
	w, err := h.source.newest(ctx, h.channelID, WindowSize+spareRows, h.limits.windowBytes+h.limits.spareBytes)
	if err != nil {
		return 0, err
	}
	if !h.isTakenBack(before, w.Revision) {
		h.replace(before, w, changes, !h.isTooMuch(changes) && w.Revision == reached)
	}
	return w.Revision, nil
}

// correct forgets a revision that the hub knew of before a read that did not come
// to it: it is from before the source was taken back, or from before a backup was
// restored, and would be looked for for ever.
func (h *Hub) correct(known, reached int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reached < known {
		h.known = max(h.window.Revision, h.knownSince)
	}
}

// advance applies changes read from the source, whose revisions may have gaps
// where a row changed more than once. It returns false, and does nothing,
// where older rows have to be read for them.
func (h *Hub) advance(before snapshot, changes []Change, reached int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.snapshot() != before {
		return true // publish was quicker, or the source has been taken back
	}
	next, complete := h.window, true
	tops := make([]int64, len(changes))
	known := true // what a page of next's revision shows
	for i, c := range changes {
		known = known && c.Revision == next.Revision+1
		tops[i] = unknownTop
		if known {
			tops[i] = next.top()
		}
		if next, complete = next.apply(c); !complete {
			return false
		}
	}
	after, top := h.window.Revision, h.window.top()
	for i, c := range changes {
		h.remember(c, tops[i])
	}
	next.Revision = max(next.Revision, reached)
	h.setWindow(next)
	h.send(h.frameOf(changes, after, top))
	return true
}

// replace takes a window read from the source. The changes, if they are all,
// are those that lead to it from what the hub held.
func (h *Hub) replace(before snapshot, w Window, changes []Change, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.generation != before.generation || h.loaded && w.Revision < h.window.Revision {
		return // the source has been taken back, or publish was quicker
	}
	old, wasLoaded := h.window, h.loaded
	next := heldWindow{Window: w, size: sizeOf(w.Rows), limits: h.limits}
	h.loaded = true
	h.known = max(h.known, w.Revision)
	switch {
	case !wasLoaded:
		h.setWindow(next)
		if !old.shown().isSame(next.shown()) {
			h.send(h.wholeFrame())
		}
	case old.Revision == w.Revision:
		h.setWindow(next)
	case old.Revision == before.revision && all:
		for _, c := range changes {
			h.remember(c, unknownTop)
		}
		h.setWindow(next)
		h.send(h.frameOf(changes, old.Revision, old.top()))
	default:
		h.log = changeLog{}
		for _, row := range w.Rows {
			if row.ID > old.Revision {
				h.roster.stopTyping(h.channelID, row.AuthorID)
			}
		}
		h.setWindow(next)
		h.send(h.wholeFrame())
	}
}

// isBehind reports whether there is somebody to be sent what the hub is missing.
func (h *Hub) isBehind() bool {
	return len(h.subscribers) > 0 && (!h.loaded || h.known > h.window.Revision)
}

// startCatchUp reports whether the hub is behind while nobody reads for it in the
// background. Then the caller has to, until nextCatchUp returns false.
func (h *Hub) startCatchUp() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.catchingUp || !h.isBehind() {
		return false
	}
	h.catchingUp = true
	return true
}

// nextCatchUp returns the revision up to which there is something to be read in
// the background. That is over where it returns false: nothing is missing, or
// nobody is there to be sent it.
func (h *Hub) nextCatchUp() (int64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isBehind() {
		return h.known, true
	}
	h.catchingUp = false
	return 0, false
}
