package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is a source for tests: the messages of channels, as lines of text. A
// row is "+id revision text", a row gone "-id revision", and a window "=revision"
// with its rows and "." after it.
type ledger struct {
	mu       sync.Mutex
	channels map[int64]*record
}

type record struct {
	revision int64
	changes  map[int64]Change // the latest of each row
	rows     []Row            // those that there are, oldest first
	all      []Change         // ever, in order
}

func newLedger() *ledger { return &ledger{channels: map[int64]*record{}} }

// channel returns a channel's record. The caller holds the lock.
func (l *ledger) channel(id int64) *record {
	if l.channels[id] == nil {
		l.channels[id] = &record{changes: map[int64]Change{}}
	}
	return l.channels[id]
}

// post adds a row.
func (l *ledger) post(channelID int64, text string) Change {
	return l.postBy(channelID, User{}, text)
}

// postBy adds a row of a user.
func (l *ledger) postBy(channelID int64, author User, text string) Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.channel(channelID).revision + 1
	row := Row{ID: id, Revision: id, AuthorID: author.ID, HTML: fmt.Appendf(nil, "+%d %d %s\n", id, id, text)}
	return l.channel(channelID).take(Change{Revision: id, ID: id, Frame: row.HTML, Row: row})
}

// delete takes a row away.
func (l *ledger) delete(channelID, id int64) Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	revision := l.channel(channelID).revision + 1
	return l.channel(channelID).take(Change{Revision: revision, ID: id, Gone: true, Frame: fmt.Appendf(nil, "-%d %d\n", id, revision)})
}

func (c *record) take(change Change) Change {
	c.revision = change.Revision
	c.all = append(c.all, change)
	c.changes[change.ID] = change
	if change.Gone {
		if at, found := slices.BinarySearchFunc(c.rows, change.ID, func(r Row, id int64) int { return int(r.ID - id) }); found {
			c.rows = slices.Concat(c.rows[:at], c.rows[at+1:])
		}
	} else {
		c.rows = append(c.rows, change.Row)
	}
	return change
}

// takeBack loses all changes after a revision, as a failover may.
func (l *ledger) takeBack(channelID, revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.channel(channelID).all[:revision]
	l.channels[channelID] = nil
	for _, change := range left {
		l.channel(channelID).take(change)
	}
}

// ids returns the rows that there are.
func (l *ledger) ids(channelID int64) []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []int64
	for _, row := range l.channel(channelID).rows {
		ids = append(ids, row.ID)
	}
	return ids
}

func (l *ledger) Newest(ctx context.Context, channelID int64, n int) (Window, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channel(channelID)
	newest := c.rows[max(0, len(c.rows)-n):]
	return Window{Rows: slices.Clone(newest), Revision: c.revision, Older: len(newest) == n}, ctx.Err()
}

func (l *ledger) Changes(ctx context.Context, channelID, after int64, n int) ([]Change, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channel(channelID)
	var changes []Change
	for _, change := range c.changes {
		if change.Revision > after {
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return int(a.Revision - b.Revision) })
	return changes[:min(n, len(changes))], c.revision, ctx.Err()
}

func (l *ledger) Replace(w Window) []byte { return page(w, ".\n") }

func (l *ledger) Presence(Presence) []byte { return nil }

// page writes a window.
func page(w Window, end string) []byte {
	out := fmt.Appendf(nil, "=%d\n", w.Revision)
	for _, row := range w.Rows {
		out = append(out, row.HTML...)
	}
	return append(out, end...)
}

// replica is what a page holds that knows nothing but frames.
type replica struct {
	rows     map[int64]string
	revision int64
	replaced int // how often a frame took the place of all
}

// newReplica returns a page that shows a window.
func newReplica(t *testing.T, w Window) *replica {
	t.Helper()
	r := &replica{rows: map[int64]string{}}
	r.apply(t, page(w, ".\n"))
	r.replaced = 0
	return r
}

// apply does what a frame says and keeps the newest rows, as a page does.
func (r *replica) apply(t *testing.T, frame []byte) {
	t.Helper()
	for line := range strings.Lines(string(frame)) {
		words := strings.Fields(line[1:min(len(line), 50)]) // by hand: the models do this most of the time
		number := func(at int) int64 {
			n, err := strconv.ParseInt(words[at], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		var revision int64
		switch line[0] {
		case '+':
			revision = number(1)
			r.rows[number(0)] = line
		case '-':
			revision = number(1)
			delete(r.rows, number(0))
		case '=':
			revision = number(0)
			clear(r.rows)
			r.revision = 0
			r.replaced++
		case '.':
		default:
			t.Fatalf("a frame with %q", line)
		}
		r.revision = max(r.revision, revision)
	}
	if surplus := len(r.rows) - WindowSize; surplus > 0 {
		for _, id := range slices.Sorted(maps.Keys(r.rows))[:surplus] {
			delete(r.rows, id)
		}
	}
}

// follow applies what waits for a subscriber, without waiting.
func (r *replica) follow(t *testing.T, s *Subscriber) {
	t.Helper()
	frames, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range frames {
		r.apply(t, frame)
	}
}

// shows compares a page to a window.
func (r *replica) shows(t *testing.T, about string, w Window) {
	t.Helper()
	if got, want := r.text(), page(w, ""); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", about, got, want)
	}
}

// text is what a page shows, as page writes it.
func (r *replica) text() []byte {
	text := fmt.Appendf(nil, "=%d\n", r.revision)
	for _, id := range slices.Sorted(maps.Keys(r.rows)) {
		text = append(text, r.rows[id]...)
	}
	return text
}

func newTestRegistry(t testing.TB, source Source) *Registry {
	r := NewRegistry(source, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(r.Close)
	return r
}

// reached is the revision that a ledger holds, as a request would read it.
func (l *ledger) reached(channelID int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel(channelID).revision
}

// reached is the revision that a registry's source holds, which is a ledger.
func reached(r *Registry, channelID int64) int64 {
	return r.source.(interface{ reached(channelID int64) int64 }).reached(channelID)
}

func window(t testing.TB, r *Registry, channelID int64) Window {
	t.Helper()
	w, err := r.Window(t.Context(), channelID, reached(r, channelID))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func subscribe(t testing.TB, r *Registry, channelID, after int64) *Subscriber {
	t.Helper()
	s, err := r.Subscribe(t.Context(), channelID, after, reached(r, channelID), Visitor{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// endsWith waits for the end of a subscription.
func endsWith(t testing.TB, s *Subscriber, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, err := s.Next(ctx); err != nil {
			if !errors.Is(err, want) {
				t.Errorf("it ended with %v, want %v", err, want)
			}
			return
		}
	}
}
