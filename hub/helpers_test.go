package hub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is a source for tests: the messages of channels, as lines of text. A
// row is "+id revision text", an altered one "~id revision text", one gone
// "-id revision", and a window "=revision" with its rows and "." after it.
type ledger struct {
	mu       sync.Mutex
	channels map[int64]*record
	posted   int64 // the time of the latest post, which no other has
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
	l.posted++
	row := Row{ID: id, Revision: id, AuthorID: author.ID, PostedAt: time.UnixMicro(l.posted)}
	return l.channel(channelID).take(Change{Posted, row.saying(text)})
}

// alter gives a row another text.
func (l *ledger) alter(channelID, id int64, text string) Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, found := findRow(l.channel(channelID).rows, id); !found {
		panic("no such row")
	}
	row := l.channel(channelID).changes[id].Row
	row.Revision = l.channel(channelID).revision + 1
	return l.channel(channelID).take(Change{Altered, row.saying(text)})
}

// delete removes a row.
func (l *ledger) delete(channelID, id int64) Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel(channelID).take(Change{Gone, Row{ID: id, Revision: l.channel(channelID).revision + 1}})
}

// skip has the channel come to another revision that changes no row.
func (l *ledger) skip(channelID int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.channel(channelID).revision++
}

// saying returns a row with a text.
func (r Row) saying(text string) Row {
	digest := fnv.New64a()
	digest.Write([]byte(text))
	r.Content = digest.Sum64()
	r.HTML = fmt.Appendf(nil, "+%d %d %s\n", r.ID, r.Revision, text)
	return r
}

func (c *record) take(change Change) Change {
	c.revision = change.Revision
	c.all = append(c.all, change)
	c.changes[change.ID] = change
	at, found := findRow(c.rows, change.ID)
	switch {
	case change.Kind == Gone && found:
		c.rows = slices.Concat(c.rows[:at], c.rows[at+1:])
	case change.Kind == Gone:
	case found:
		c.rows = slices.Clone(c.rows)
		c.rows[at] = change.Row
	default:
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

func (l *ledger) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channel(channelID)
	first := len(c.rows)
	for ; first > 0 && len(c.rows)-first < n && size > 0; first-- {
		size -= len(c.rows[first-1].HTML)
	}
	return Window{Rows: slices.Clone(c.rows[first:]), Revision: c.revision, Older: first > 0}, ctx.Err()
}

func (l *ledger) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channel(channelID)
	var changes []Change
	for _, change := range c.changes {
		if change.Revision > after {
			changes = append(changes, change)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Revision, b.Revision) })
	for i, change := range changes[:min(n, len(changes))] {
		if size -= len(change.HTML); size <= 0 {
			return changes[:i+1], c.revision, ctx.Err()
		}
	}
	return changes[:min(n, len(changes))], c.revision, ctx.Err()
}

func (l *ledger) Encode(f *Frame) [][]byte {
	var pieces [][]byte
	if f.All {
		pieces = append(pieces, fmt.Appendf(nil, "=%d\n", f.Revision))
	}
	for _, row := range f.Put {
		pieces = append(pieces, row.HTML)
	}
	for _, row := range f.Altered {
		pieces = append(pieces, []byte("~"), row.HTML[1:])
	}
	for _, id := range f.Gone {
		pieces = append(pieces, fmt.Appendf(nil, "-%d %d\n", id, f.Revision))
	}
	if f.All {
		pieces = append(pieces, []byte(".\n"))
	}
	return pieces
}

func (l *ledger) Presence(Presence) []byte { return nil }

// page writes a window.
func page(w Window, end string) []byte {
	out := fmt.Appendf(nil, "=%d\n", w.Revision)
	for _, row := range w.Rows {
		out = append(out, row.HTML...)
	}
	return append(out, end...)
}

// bytesOf returns what a transport would send for a frame.
func bytesOf(t testing.TB, f *Frame) []byte {
	t.Helper()
	pieces, length, err := f.Pieces()
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Join(pieces, nil)
	if len(sent) != length {
		t.Fatalf("%d bytes, said to be %d", len(sent), length)
	}
	return sent
}

// take returns what waits for a subscriber, without waiting, as it would be sent.
func take(t testing.TB, s *Subscriber) [][]byte {
	t.Helper()
	frames, err := s.take()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, f := range frames {
		all = append(all, bytesOf(t, f))
	}
	return all
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
		case '~':
			revision = number(1)
			if _, shown := r.rows[number(0)]; shown {
				r.rows[number(0)] = "+" + line[1:]
			}
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
	for _, frame := range take(t, s) {
		r.apply(t, frame)
	}
}

// shows compares a page to a window.
func (r *replica) shows(t *testing.T, about string, w Window) {
	t.Helper()
	if got, want := r.text(), page(w, ""); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%.20000s\nwant\n%.20000s", about, got, want)
	}
}

// covers compares the newest rows of a page to a window. Where rows are long, a
// page that is sent them one by one shows older ones as well.
func (r *replica) covers(t *testing.T, about string, w Window) {
	t.Helper()
	newest := &replica{rows: maps.Clone(r.rows), revision: r.revision}
	ids := slices.Sorted(maps.Keys(r.rows))
	for _, id := range ids[:max(0, len(ids)-len(w.Rows))] {
		delete(newest.rows, id)
	}
	newest.shows(t, about, w)
}

// text is what a page shows, as page writes it.
func (r *replica) text() []byte {
	text := fmt.Appendf(nil, "=%d\n", r.revision)
	for _, id := range slices.Sorted(maps.Keys(r.rows)) {
		text = append(text, r.rows[id]...)
	}
	return text
}

// newest is the window that a page should show.
func newest(t testing.TB, source Source) Window {
	t.Helper()
	w, err := source.Newest(t.Context(), 1, WindowSize, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	return w
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
	return r.source.source.(interface{ reached(channelID int64) int64 }).reached(channelID)
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

// isReleased checks that nothing is counted as waiting for anybody.
func isReleased(t testing.TB, r *Registry) {
	t.Helper()
	r.budget.mu.Lock()
	defer r.budget.mu.Unlock()
	if b := r.budget; b.size != 0 || len(b.rows)+len(b.subscribers) > 0 {
		t.Errorf("%d bytes of %d rows wait for %d subscribers", b.size, len(b.rows), len(b.subscribers))
	}
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
