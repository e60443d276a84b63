package hub

import (
	"cmp"
	"slices"
	"time"
)

const (
	// WindowSize is how many rows a page shows at most, and a subscriber who was
	// away for long is given. Long rows may be fewer: see limits.
	WindowSize = 100

	// spareRows is how many rows a hub holds beyond those it shows, so that
	// deletes uncover older rows without a read from the source.
	spareRows = 28
)

// limits are the bounds of what a hub holds and sends, whatever others write, in
// bytes of HTML. One row is held and sent however long it is.
type limits struct {
	windowBytes int // of the rows that a page shows
	spareBytes  int // of those that a hub holds beyond them
	logBytes    int // of the changes that a hub remembers
	frameBytes  int // of a frame of single changes; one that would be larger replaces the window instead
}

func defaultLimits() limits {
	return limits{windowBytes: 1 << 20, spareBytes: 256 << 10, logBytes: 512 << 10, frameBytes: 1 << 20}
}

// perHub is how many bytes of HTML a hub holds at most, but for single rows.
func (l limits) perHub() int { return l.windowBytes + 2*l.spareBytes + l.logBytes }

// Row is one message as it is sent to everyone.
type Row struct {
	ID       int64 // the revision of its posting
	Revision int64 // the revision of its latest change
	AuthorID int64
	PostedAt time.Time

	// Content is a digest of what the store holds of the message at this
	// revision, beside the fields above: of its text and of all else that its row
	// shows. It is the same for the same content as long as the process runs.
	Content uint64

	HTML []byte
}

// isSame reports whether two rows show the same state of a message. The HTML has
// no say in it, for a renderer may write the same in another way.
func (r Row) isSame(other Row) bool {
	return r.ID == other.ID && r.Revision == other.Revision &&
		r.AuthorID == other.AuthorID && r.PostedAt.Equal(other.PostedAt) && r.Content == other.Content
}

// Kind is what a change did to a row.
type Kind uint8

// The kinds of changes.
const (
	Posted  Kind = iota // the row is new: its ID is its revision
	Altered             // the row was there before, or may have been
	Gone                // the row is no more
)

// Change is what one revision did to a row.
type Change struct {
	Kind Kind
	Row  // as it is since then; only ID and Revision are used where it is gone
}

// isSame reports whether two changes of one revision did the same to the store.
//
// A post is identified by its author and time: where a revision was lost and given
// to another message, at least the time differs, because a database that is taken
// back is away for longer than its clock's unit. An alteration of a row is
// identified by the content that it led to. Of a row that is gone nothing is left
// that could differ.
func (c Change) isSame(other Change) bool {
	if c.Kind != other.Kind || c.ID != other.ID || c.Revision != other.Revision {
		return false
	}
	return c.Kind == Gone || c.Row.isSame(other.Row)
}

// Window is the newest rows of a channel at a revision.
type Window struct {
	Rows     []Row // oldest first
	Revision int64
	Older    bool // there are rows before these
}

// isSame reports whether two windows show the same.
func (w Window) isSame(other Window) bool {
	return w.Revision == other.Revision && slices.EqualFunc(w.Rows, other.Rows, Row.isSame)
}

// heldWindow is the newest rows of a channel as a hub holds them: those that a
// page shows, and spare ones before them. Its slices are shared with those who
// read them, and never changed where they can see it.
type heldWindow struct {
	Window
	size   int // of the rows
	limits limits
}

// sizeOf returns the bytes of rows' HTML.
func sizeOf(rows []Row) int {
	size := 0
	for _, row := range rows {
		size += len(row.HTML)
	}
	return size
}

// findRow returns the place of a row among rows in the order of their ids.
func findRow(rows []Row, id int64) (at int, found bool) {
	return slices.BinarySearchFunc(rows, id, func(r Row, id int64) int { return cmp.Compare(r.ID, id) })
}

// shown returns the part that a page shows: the newest rows, WindowSize at most,
// as far as their HTML is within the limit, and one in any case. What it is
// follows from the rows that there are alone, so it is the same on every node.
func (w heldWindow) shown() Window {
	first := max(0, len(w.Rows)-WindowSize)
	if w.size > w.limits.windowBytes {
		first = max(first, w.fits(w.limits.windowBytes))
	}
	shown := w.Window
	if first > 0 {
		shown.Rows, shown.Older = shown.Rows[first:], true
	}
	shown.Rows = slices.Clip(shown.Rows)
	return shown
}

// fits returns the first of the newest rows that have a size together, but the
// last in any case.
func (w heldWindow) fits(size int) int {
	first := len(w.Rows)
	for first > 0 {
		if size -= len(w.Rows[first-1].HTML); size < 0 && first < len(w.Rows) {
			break
		}
		first--
	}
	return first
}

// top returns the id of the oldest row that is shown, unknownTop for none.
func (w heldWindow) top() int64 {
	if rows := w.shown().Rows; len(rows) > 0 {
		return rows[0].ID
	}
	return unknownTop
}

// isComplete reports whether enough rows are held to know which are shown.
func (w heldWindow) isComplete() bool {
	return !w.Older || len(w.Rows) >= WindowSize || w.size > w.limits.windowBytes
}

// apply returns the window after a change. It returns false where older rows
// have to be read first, to know what is shown then.
func (w heldWindow) apply(c Change) (heldWindow, bool) {
	at, found := findRow(w.Rows, c.ID)
	w.Revision = c.Revision
	switch {
	case found && c.Kind == Gone:
		w.size -= len(w.Rows[at].HTML)
		w.Rows = slices.Concat(w.Rows[:at], w.Rows[at+1:])
	case c.Kind == Gone:
	case found:
		w.size += len(c.HTML) - len(w.Rows[at].HTML)
		w.Rows = slices.Clone(w.Rows)
		w.Rows[at] = c.Row
	case at == len(w.Rows):
		w.size += len(c.HTML)
		w.Rows = append(w.Rows, c.Row)
	case at > 0 || !w.Older:
		// A row that was posted and altered since the last read, which comes in
		// the order of its alteration.
		w.size += len(c.HTML)
		w.Rows = slices.Concat(w.Rows[:at], []Row{c.Row}, w.Rows[at:])
	}
	return w.trim(), w.isComplete()
}

// trim drops the oldest rows once there are so many more than needed that it is
// worth a copy.
func (w heldWindow) trim() heldWindow {
	most := w.limits.windowBytes + w.limits.spareBytes
	if len(w.Rows) < 2*(WindowSize+spareRows) && w.size < most+w.limits.spareBytes {
		return w
	}
	// One row more than fits, as Source.Newest returns it: what is shown is known
	// then.
	first := max(len(w.Rows)-WindowSize-spareRows, w.fits(most)-1)
	if first > 0 {
		w.Rows, w.Older = slices.Clone(w.Rows[first:]), true
		w.size = sizeOf(w.Rows)
	}
	return w
}
