package hub

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// frameCost and rowCost are what a frame and each of its rows take beside the
	// HTML, in bytes: so frames without HTML count as well.
	frameCost = 256
	rowCost   = 192

	// unknownTop is the oldest row of a page of which nothing is known. Each row
	// is older than that, so the page may lack any.
	unknownTop = math.MaxInt64
)

// Frame is what subscribers are sent at one time. It is made once, shared by
// all who are sent it, and must not be changed.
//
// A frame is whole: a page that has taken it shows what a page made at the
// frame's revision shows. Each row is in it once.
type Frame struct {
	Revision int64   // the page's once it has taken the frame; 0 where the frame has no rows
	All      bool    // Put is everything: it replaces all rows that the page shows
	Older    bool    // with All: the channel has rows before those
	Put      []Row   // to be inserted, or to replace what the page shows of them, oldest first
	Altered  []Row   // to replace what the page shows of them; a page that does not show them drops them
	Gone     []int64 // the ids of rows to be removed
	Other    []byte  // what is about no rows, such as presence and news

	source guardedSource // encodes what is about rows
	size   int           // bytes that it takes, about
	holds  atomic.Int32  // by whom its bytes are held: see budget

	once    sync.Once
	pieces  [][]byte
	length  int
	failure error
}

// NewFrame returns a frame without rows, for Subscriber.Send. The bytes must not
// be changed from now on.
func NewFrame(other []byte) *Frame {
	return &Frame{Other: other, size: frameCost + len(other)}
}

// Pieces returns what a transport sends for the frame, one piece after the
// other, and their length in all. They are encoded when somebody asks for the
// first time, and shared by all: they must not be changed. A subscriber whose
// frame cannot be encoded has to be ended, because it lacks what the frame said.
func (f *Frame) Pieces() (pieces [][]byte, length int, err error) {
	f.once.Do(f.encode)
	return f.pieces, f.length, f.failure
}

func (f *Frame) encode() {
	if f.hasRows() {
		f.pieces, f.failure = f.source.encode(f)
	}
	if len(f.Other) > 0 {
		f.pieces = append(slices.Clip(f.pieces), f.Other)
	}
	for _, piece := range f.pieces {
		f.length += len(piece)
	}
}

// hasRows reports whether the frame says anything of rows.
func (f *Frame) hasRows() bool {
	return f.All || len(f.Put)+len(f.Altered)+len(f.Gone) > 0
}

// isEmpty reports whether there is nothing to be sent.
func (f *Frame) isEmpty() bool { return !f.hasRows() && len(f.Other) == 0 }

// rowFrame completes a frame about rows.
func (h *Hub) rowFrame(f *Frame) *Frame {
	f.source = h.source
	f.size = frameCost + rowCost*(len(f.Put)+len(f.Altered)+len(f.Gone)) + sizeOf(f.Put) + sizeOf(f.Altered)
	return f
}

// wholeFrame returns the frame that replaces all that a page shows by the window
// as it is now. All who need it at this revision share it.
func (h *Hub) wholeFrame() *Frame {
	if h.whole == nil {
		w := h.window.shown()
		h.whole = h.rowFrame(&Frame{Revision: w.Revision, All: true, Older: w.Older, Put: w.Rows})
	}
	return h.whole
}

// frameOf returns the frame that takes a page from the revision after to the
// present, by the changes between. The page shows all rows from top on that there
// were at that revision; top is unknownTop where that is not known.
//
// In it each row is put, altered or gone and never two of these, for browsers do
// not keep to the order within one frame. So what is deleted is sent to nobody
// any more.
func (h *Hub) frameOf(changes []Change, after, top int64) *Frame {
	f := &Frame{Revision: h.window.Revision}
	if top == unknownTop && !slices.ContainsFunc(changes, func(c Change) bool { return c.ID <= after }) {
		top = 0 // what was there before is as it was, so the page lacks none of it
	}
	shown := h.window.shown().Rows
	latest := latestOf(changes)
	for _, c := range changes {
		switch {
		case c.Revision != latest[c.ID] && latest != nil:
		case c.Kind == Gone:
			f.Gone = append(f.Gone, c.ID)
		case c.ID > after, c.ID < top && isAmong(shown, c.ID):
			f.Put = append(f.Put, c.Row)
		default:
			f.Altered = append(f.Altered, c.Row)
		}
	}
	// What has moved up into the window since: rows that were deleted, or take
	// fewer bytes than before, have made room for older ones.
	for _, row := range shown {
		if row.ID >= top || row.ID > after {
			break
		}
		if !isChanged(changes, latest, row.ID) {
			f.Put = append(f.Put, row)
		}
	}
	slices.SortFunc(f.Put, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) })
	h.rowFrame(f)
	if len(changes) > 1 && f.size > h.limits.frameBytes {
		return h.wholeFrame()
	}
	return f
}

// latestOf returns the latest revision of each row that changes, nil where there
// is but one change.
func latestOf(changes []Change) map[int64]int64 {
	if len(changes) < 2 {
		return nil
	}
	latest := make(map[int64]int64, len(changes))
	for _, c := range changes {
		latest[c.ID] = c.Revision
	}
	return latest
}

// isChanged reports whether a row is one of those that change.
func isChanged(changes []Change, latest map[int64]int64, id int64) bool {
	if latest == nil {
		return len(changes) == 1 && changes[0].ID == id
	}
	_, changed := latest[id]
	return changed
}

// isAmong reports whether a row is one of those shown.
func isAmong(shown []Row, id int64) bool {
	_, found := findRow(shown, id)
	return found
}
