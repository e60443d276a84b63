package hub

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// framePage is a page that does what the structure of frames says.
type framePage struct {
	rows       map[int64]Row
	revision   int64
	subscriber *Subscriber // nil while away
}

func newFramePage(w Window) *framePage {
	p := &framePage{rows: map[int64]Row{}, revision: w.Revision}
	for _, row := range w.Rows {
		p.rows[row.ID] = row
	}
	return p
}

// apply does what a frame says and keeps the newest rows, as a page does.
func (p *framePage) apply(t *testing.T, f *Frame) {
	t.Helper()
	said := map[int64]bool{}
	once := func(id int64) {
		if said[id] {
			t.Fatalf("row %d is twice in %s", id, describe(f))
		}
		said[id] = true
	}
	if f.All {
		clear(p.rows)
	} else if f.Revision < p.revision {
		t.Fatalf("a page at %d is sent %s", p.revision, describe(f))
	}
	for _, row := range f.Put {
		once(row.ID)
		p.rows[row.ID] = row
	}
	for _, row := range f.Altered {
		once(row.ID)
		if _, shown := p.rows[row.ID]; shown {
			p.rows[row.ID] = row
		}
	}
	for _, id := range f.Gone {
		once(id)
		delete(p.rows, id)
	}
	if !slices.IsSortedFunc(f.Put, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Fatalf("out of order: %s", describe(f))
	}
	p.revision = f.Revision
	ids := p.ids()
	for _, id := range ids[:max(0, len(ids)-WindowSize)] {
		delete(p.rows, id)
	}
}

func (p *framePage) ids() []int64 {
	var ids []int64
	for id := range p.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// describe writes what a frame says of rows, such as "=9: +8 ~3 -2" for one that
// replaces all, puts 8, alters 3 and removes 2.
func describe(f *Frame) string {
	said := fmt.Sprintf("@%d:", f.Revision)
	if f.All {
		said = fmt.Sprintf("=%d:", f.Revision)
	}
	for _, row := range f.Put {
		said += fmt.Sprint(" +", row.ID)
	}
	for _, row := range f.Altered {
		said += fmt.Sprint(" ~", row.ID)
	}
	for _, id := range f.Gone {
		said += fmt.Sprint(" -", id)
	}
	return said
}

// FuzzFrames has a channel of two nodes change at random, has that published twice,
// late or not at all, and has pages come, leave and return. After every frame a page shows what
// a fresh page of that revision does; where rows are long it may show older ones
// besides, and none is left out between.
func FuzzFrames(f *testing.F) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 9))
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		newFrameModel(t, data).run()
	})
}

// frameModel is a run of FuzzFrames.
type frameModel struct {
	*testing.T
	data   []byte // what happens, read byte by byte
	ledger *ledger
	nodes  []*Registry
	limits limits
	truth  map[int64]Window // what a fresh page of each revision shows
	rows   map[int64][]Row  // all rows that there were at each revision
	pages  []*framePage
	late   []Change
}

func newFrameModel(t *testing.T, data []byte) *frameModel {
	m := &frameModel{T: t, data: data, ledger: newLedger(), truth: map[int64]Window{}, rows: map[int64][]Row{}}
	m.limits = []limits{
		defaultLimits(),
		{windowBytes: 1000, spareBytes: 300, logBytes: 500, frameBytes: 1500},
		{windowBytes: 8000, spareBytes: 1000, logBytes: 8000, frameBytes: 8000},
	}[m.next()%3]
	for range 2 {
		node := newTestRegistry(t, m.ledger)
		node.limits = m.limits
		m.nodes = append(m.nodes, node)
	}
	for range m.next() {
		m.change(func() Change { return m.ledger.post(1, "before") })
	}
	m.record()
	return m
}

// next returns what happens next, 0 once all has happened.
func (m *frameModel) next() int {
	if len(m.data) == 0 {
		return 0
	}
	next := m.data[0]
	m.data = m.data[1:]
	return int(next)
}

// node returns one of the nodes.
func (m *frameModel) node() *Registry { return m.nodes[m.next()%len(m.nodes)] }

// wait waits for what the nodes do, so that the data alone say what happens.
func (m *frameModel) wait() {
	for _, node := range m.nodes {
		node.work.Wait()
	}
}

// run does what the data say.
func (m *frameModel) run() {
	for len(m.data) > 0 {
		switch m.next() % 8 {
		case 0, 1, 2:
			m.commit()
		case 3:
			if len(m.late) > 0 { // once, and maybe again
				at := m.next() % len(m.late)
				m.node().Publish(1, m.late[at:at+1])
			}
		case 4:
			m.node().SetRevision(1, m.ledger.reached(1))
		case 5:
			m.pages = append(m.pages, newFramePage(m.window()))
		default:
			if len(m.pages) > 0 {
				m.visit(m.pages[m.next()%len(m.pages)])
			}
		}
		m.wait()
	}
	last := m.change(func() Change { return m.ledger.post(1, "the last") })
	for _, node := range m.nodes {
		node.Publish(1, []Change{last})
	}
	m.wait()
	for _, p := range m.pages {
		if p.subscriber == nil {
			p.subscriber = subscribe(m, m.node(), 1, p.revision)
		}
		m.follow(p, math.MaxInt)
		if p.revision != m.ledger.reached(1) {
			m.Errorf("a page at %d of %d", p.revision, m.ledger.reached(1))
		}
	}
	for _, p := range m.pages {
		p.subscriber.Close()
	}
	for _, node := range m.nodes {
		isReleased(m, node)
	}
}

// commit makes changes and publishes them, or does not.
func (m *frameModel) commit() {
	var changes []Change
	for range 1 + m.next()%4 {
		what := m.next()
		if what%16 == 2 {
			m.ledger.skip(1)
			m.record()
		}
		ids := m.ledger.ids(1)
		text := strings.Repeat("x", []int{1, 10, 50, 300}[m.next()%4])
		switch {
		case len(ids) > 0 && what%4 == 0:
			changes = append(changes, m.change(func() Change { return m.ledger.delete(1, m.newer(ids)) }))
		case len(ids) > 0 && what%4 == 1:
			changes = append(changes, m.change(func() Change { return m.ledger.alter(1, m.newer(ids), text) }))
		case what%32 != 2: // else that was all
			changes = append(changes, m.change(func() Change { return m.ledger.post(1, text) }))
		}
	}
	if len(changes) == 0 {
		return
	}
	if m.next()%4 == 0 {
		m.late = append(m.late, changes...)
	} else {
		m.node().Publish(1, changes)
	}
}

// newer returns one of the rows, and more often a new one than an old one.
func (m *frameModel) newer(ids []int64) int64 {
	at := min(m.next(), m.next()) % len(ids)
	return ids[len(ids)-1-at]
}

// visit has a page come, take some of what waits for it, or leave.
func (m *frameModel) visit(p *framePage) {
	switch {
	case p.subscriber == nil:
		p.subscriber = subscribe(m, m.node(), 1, p.revision)
	case m.next()%2 == 0:
		m.follow(p, math.MaxInt)
	default:
		m.follow(p, m.next()%4)
		p.subscriber.Close()
		p.subscriber = nil
	}
}

// follow has a page take frames, n at most, and compares it after each.
func (m *frameModel) follow(p *framePage, n int) {
	m.Helper()
	frames, err := p.subscriber.take()
	if err != nil {
		m.Fatal(err)
	}
	for _, f := range frames[:min(n, len(frames))] {
		p.apply(m.T, f)
		m.compare(p, f)
	}
}

// compare compares a page to what there was at its revision.
func (m *frameModel) compare(p *framePage, f *Frame) {
	m.Helper()
	want, all := m.truth[p.revision], m.rows[p.revision]
	ids := p.ids()
	if len(ids) < len(want.Rows) || len(ids) > len(all) {
		m.Fatalf("%d rows at %d of %d, want %d at least, after %s", len(ids), p.revision, len(all), len(want.Rows), describe(f))
	}
	for i, row := range all[len(all)-len(ids):] {
		if got := p.rows[ids[i]]; !got.isSame(row) || !bytes.Equal(got.HTML, row.HTML) {
			m.Fatalf("at %d: row %d of %d is %.80q, want %.80q, after %s", p.revision, i, len(ids), got.HTML, row.HTML, describe(f))
		}
	}
}

// window is what a fresh page shows, held to what it should.
func (m *frameModel) window() Window {
	m.Helper()
	w := window(m, m.node(), 1)
	if want := m.truth[w.Revision]; !w.isSame(want) || w.Older != want.Older {
		m.Fatalf("a fresh page at %d has %d rows, older: %v, want %d, %v", w.Revision, len(w.Rows), w.Older, len(want.Rows), want.Older)
	}
	return w
}

// change changes the channel and records what there is then.
func (m *frameModel) change(change func() Change) Change {
	c := change()
	m.record()
	return c
}

func (m *frameModel) record() {
	c := m.ledger.channel(1)
	all := slices.Clip(c.rows)
	m.rows[c.revision] = all
	held := heldWindow{Window: Window{Rows: all, Revision: c.revision}, size: sizeOf(all), limits: m.limits}
	m.truth[c.revision] = held.shown()
}

// TestAltered sends an alteration to pages that show the row, and a row that is new
// to a page as a new one, however far the page is.
func TestAltered(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for range 3 {
		l.post(1, "before")
	}
	r := newTestRegistry(t, l)
	live := subscribe(t, r, 1, reached(r, 1))
	publish := func(changes ...Change) { r.Publish(1, changes) }
	publish(l.alter(1, 2, "again"))                                 // 4
	publish(l.post(1, "hello"), l.alter(1, 5, "hello again"))       // 5, 6
	publish(l.alter(1, 1, "again"), l.post(1, "hello"))             // 7, 8
	publish(l.alter(1, 8, "a"), l.alter(1, 8, "b"))                 // 9, 10
	publish(l.alter(1, 3, "again"), l.delete(1, 3))                 // 11, 12
	publish(l.post(1, "x"), l.alter(1, 13, "y"), l.delete(1, 13))   // 13, 14, 15
	publish(l.post(1, "older"), l.post(1, "x"), l.alter(1, 16, "")) // 16, 17, 18
	frames, err := live.take()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range frames {
		got = append(got, describe(f))
	}
	if want := []string{"@4: ~2", "@6: +5", "@8: +8 ~1", "@10: ~8", "@12: -3", "@15: -13", "@18: +16 +17"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	for _, remembered := range []bool{true, false} {
		for after, want := range map[int64]string{
			4:  "@18: +5 +8 +16 +17 ~1 -3 -13",
			5:  "@18: +8 +16 +17 ~5 ~1 -3 -13",
			6:  "@18: +8 +16 +17 ~1 -3 -13",
			8:  "@18: +16 +17 ~8 -3 -13",
			12: "@18: +16 +17 -13",
			16: "@18: +17 ~16",
			17: "@18: ~16",
		} {
			node := r
			if !remembered {
				node = newTestRegistry(t, l)
			}
			s := subscribe(t, node, 1, after)
			frames, err := s.take()
			if err != nil || len(frames) != 1 {
				t.Fatalf("%d frames, %v", len(frames), err)
			}
			f := frames[0]
			if !remembered {
				// The hub does not know what the page shows, so it may put more.
				page := newFramePage(Window{Revision: after})
				page.apply(t, f)
				if w := window(t, node, 1); after < 17 && len(page.rows) == 0 || page.revision != w.Revision {
					t.Errorf("after %d: %s", after, describe(f))
				}
				continue
			}
			if got := describe(f); got != want {
				t.Errorf("after %d: got %q, want %q", after, got, want)
			}
		}
	}
}

// TestAlteredOutside sends an alteration of a row that no fresh page shows for
// those who may, and puts it nowhere.
func TestAlteredOutside(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for range 3 * WindowSize {
		l.post(1, "before")
	}
	r := newTestRegistry(t, l)
	page := newReplica(t, window(t, r, 1))
	s := subscribe(t, r, 1, page.revision)
	r.Publish(1, []Change{l.alter(1, 7, "again")})
	back := subscribe(t, r, 1, page.revision)
	for _, s := range []*Subscriber{s, back} {
		frames, err := s.take()
		if err != nil || len(frames) != 1 || describe(frames[0]) != "@301: ~7" {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		page.apply(t, bytesOf(t, frames[0]))
	}
	page.shows(t, "the page", window(t, r, 1))
}

// TestContradiction publishes another change of a revision that the hub has: only
// what the store would say otherwise makes it read its window anew.
func TestContradiction(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		posted  func(c *Change) // of the post, at 2
		altered func(c *Change) // of the alteration of 1, at 3
		gone    func(c *Change) // of the delete, at 4
		anew    bool
	}{
		"nothing":   {},
		"rendering": {posted: func(c *Change) { c.HTML = []byte("+2 2 otherwise\n") }, altered: func(c *Change) { c.HTML = nil }},
		"zone":      {posted: func(c *Change) { c.PostedAt = c.PostedAt.In(time.FixedZone("", 3600)) }},
		"gone":      {gone: func(c *Change) { c.AuthorID, c.Content = 9, 9 }},
		"author":    {posted: func(c *Change) { c.AuthorID++ }, anew: true},
		"time":      {posted: func(c *Change) { c.PostedAt = c.PostedAt.Add(time.Microsecond) }, anew: true},
		"content":   {altered: func(c *Change) { c.Content++ }, anew: true},
		"row":       {altered: func(c *Change) { c.ID = 2 }, anew: true},
		"kind":      {altered: func(c *Change) { c.Kind = Gone }, anew: true},
		"gone row":  {gone: func(c *Change) { c.ID = 1 }, anew: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.post(1, "before")
			r := newTestRegistry(t, l)
			s := subscribe(t, r, 1, 1)
			changes := []Change{l.post(1, "hello"), l.alter(1, 1, "again"), l.delete(1, 2)}
			r.Publish(1, changes)
			take(t, s)
			for i, differ := range []func(*Change){tt.posted, tt.altered, tt.gone} {
				if c := changes[i]; differ != nil {
					differ(&c)
					r.Publish(1, []Change{c})
				}
			}
			r.work.Wait()
			if anew := r.find(1).generation > 0; anew != tt.anew {
				t.Errorf("the window was read anew: %v", anew)
			}
			if frames := take(t, s); len(frames) > 0 {
				t.Errorf("sent %q, though the store holds what it did", frames)
			}
		})
	}
}

// TestEncodedOnce shares the bytes of a frame, and those of rows, between all who
// are sent them.
func TestEncodedOnce(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	a, b := subscribe(t, r, 1, 0), subscribe(t, r, 1, 0)
	c := l.post(1, "hello")
	r.Publish(1, []Change{c})
	var first [2]*byte
	for i, s := range []*Subscriber{a, b} {
		frames, err := s.take()
		if err != nil {
			t.Fatal(err)
		}
		pieces, length, err := frames[0].Pieces()
		if err != nil || len(pieces) != 1 || length != len(c.HTML) {
			t.Fatalf("%d pieces of %d bytes, %v", len(pieces), length, err)
		}
		first[i] = &pieces[0][0]
	}
	if first[0] != &c.HTML[0] || first[1] != &c.HTML[0] {
		t.Error("the row was copied")
	}

	// Those who missed much share one frame.
	for range 2 * maxMissed {
		r.Publish(1, []Change{l.post(1, "more")})
	}
	var whole []*Frame
	for range 2 {
		frames, err := subscribe(t, r, 1, 1).take()
		if err != nil || len(frames) != 1 || !frames[0].All || !frames[0].Older {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		whole = append(whole, frames...)
	}
	if whole[0] != whole[1] {
		t.Error("each has a window of its own")
	}
}

// TestReturnUncovers brings back pages for which deletes have uncovered older rows:
// they show them, whether the hub knows what the page showed or has to guess.
func TestReturnUncovers(t *testing.T) {
	t.Parallel()
	t.Run("remembered", func(t *testing.T) {
		t.Parallel()
		l := newLedger()
		for range 3 * WindowSize {
			l.post(1, "before")
		}
		r := newTestRegistry(t, l)
		for range 2 * spareRows { // some from memory, others read
			page := newReplica(t, window(t, r, 1))
			ids := l.ids(1)
			r.Publish(1, []Change{l.delete(1, ids[len(ids)-1])})
			page.follow(t, subscribe(t, r, 1, page.revision))
			page.shows(t, fmt.Sprint("after ", page.revision), window(t, r, 1))
		}
	})
	t.Run("between", func(t *testing.T) {
		t.Parallel()
		l := newLedger()
		for range WindowSize + 50 {
			l.post(1, "before")
		}
		here, there := newTestRegistry(t, l), newTestRegistry(t, l)
		subscribe(t, here, 1, 150)
		l.post(1, "only in between")
		l.post(1, "hello")
		page := newReplica(t, window(t, there, 1)) // with a row that this node never reads
		l.delete(1, 151)
		here.SetRevision(1, 153)
		here.work.Wait()
		page.follow(t, subscribe(t, here, 1, page.revision))
		page.shows(t, "the page of another node", window(t, here, 1))
	})
	t.Run("meanwhile", func(t *testing.T) {
		t.Parallel()
		m := &racingSource{ledger: newLedger()}
		for range WindowSize + 50 {
			m.post(1, "before")
		}
		page := newReplica(t, newest(t, m.ledger))
		m.delete(1, 150)
		r := newTestRegistry(t, m)
		window(t, r, 1)
		m.after = func() { r.Publish(1, []Change{m.delete(1, 149)}) }
		page.follow(t, subscribe(t, r, 1, page.revision))
		page.shows(t, "the page", window(t, r, 1))
	})
}

// TestReadAltered reads rows that were posted and altered since, in the order of
// their alterations.
func TestReadAltered(t *testing.T) {
	t.Parallel()
	l := newLedger()
	r := newTestRegistry(t, l)
	page := newReplica(t, window(t, r, 1))
	s := subscribe(t, r, 1, 0)
	for range 3 {
		l.post(1, "hello")
	}
	l.alter(1, 2, "again")
	l.alter(1, 1, "again")
	r.SetRevision(1, 5)
	r.work.Wait()
	frames, err := s.take()
	if err != nil || len(frames) != 1 || describe(frames[0]) != "@5: +1 +2 +3" {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	page.apply(t, bytesOf(t, frames[0]))
	page.shows(t, "the page", window(t, r, 1))
}
