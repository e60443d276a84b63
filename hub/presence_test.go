package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// presenceSource is a ledger whose frames show presence: "@Ada Bob" when both are here,
// "@Ada Bob: Bob" when Bob types.
type presenceSource struct {
	*ledger
	rendered atomic.Int64 // how many frames of presence
	during   func()       // the rendering
}

func (m *presenceSource) Presence(p Presence) []byte {
	m.rendered.Add(1)
	if m.during != nil {
		m.during()
	}
	return []byte("@" + people(p) + "\n")
}

// people writes a presence.
func people(p Presence) string {
	var text []string
	for _, u := range p.Here {
		text = append(text, u.Name)
	}
	if len(p.Typing) > 0 {
		text[len(text)-1] += ":"
	}
	for _, u := range p.Typing {
		text = append(text, u.Name)
	}
	return strings.Join(text, " ")
}

// tab is a page of a channel, open in a browser.
type tab struct {
	*Subscriber
	shows  string // who is there
	frames int    // how many frames of presence it was sent
}

// look takes what the tab was sent.
func (b *tab) look(t testing.TB) {
	t.Helper()
	frames := take(t, b.Subscriber)
	for _, frame := range frames {
		if text, ok := bytes.CutPrefix(frame, []byte("@")); ok {
			b.shows = string(bytes.TrimSpace(text))
			b.frames++
		}
	}
}

// expect looks at what a tab shows now, and at how many frames it was sent
// since the last time.
func (b *tab) expect(t testing.TB, about, shows string, frames int) {
	t.Helper()
	synctest.Wait()
	b.frames = 0
	b.look(t)
	if b.shows != shows || b.frames != frames {
		t.Errorf("%s: it shows %q after %d frames, want %q after %d", about, b.shows, b.frames, shows, frames)
	}
}

// presenceTest is a registry under test and its people.
type presenceTest struct {
	*Registry
	presenceSource
	ada, bob, zhang User
}

// testPresence runs a test in a bubble of time, on a node that has been up for
// long.
func testPresence(t *testing.T, test func(t *testing.T, b *presenceTest)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPresenceTest(t)
		time.Sleep(graceTime)
		test(t, b)
	})
}

func newPresenceTest(t *testing.T) *presenceTest {
	b := &presenceTest{presenceSource: presenceSource{ledger: newLedger()}, ada: User{9, "Ada"}, bob: User{2, "Bob"}, zhang: User{3, "张伟"}}
	b.Registry = newTestRegistry(t, &b.presenceSource)
	return b
}

// page loads the page of channel 1.
func (b *presenceTest) page(u User) *tab {
	return &tab{shows: people(b.Registry.Presence(1, u))}
}

// open loads the page and connects it.
func (b *presenceTest) open(t testing.TB, u User) *tab {
	t.Helper()
	seen := b.Registry.Presence(1, u)
	return b.connect(t, &tab{shows: people(seen)}, u, seen.State())
}

// connect connects a tab whose page shows a presence of that state.
func (b *presenceTest) connect(t testing.TB, page *tab, u User, seen string) *tab {
	t.Helper()
	s, err := b.Subscribe(t.Context(), 1, 0, 0, Visitor{User: u, Seen: seen})
	if err != nil {
		t.Fatal(err)
	}
	page.Subscriber = s
	return page
}

func (b *tab) close() { b.Close() }

// isIdle checks that nothing will wake the flusher.
func (b *presenceTest) isIdle(t *testing.T) {
	t.Helper()
	time.Sleep(flushTime)
	synctest.Wait()
	b.roster.mu.Lock()
	defer b.roster.mu.Unlock()
	if dirty, expiring := len(b.roster.dirty), len(b.roster.expiring); dirty+expiring+len(b.roster.wake) > 0 {
		t.Errorf("%d channels are dirty, %d expiring, though nothing goes on", dirty, expiring)
	}
}

// TestPresence has two users come and go, one with two tabs.
func TestPresence(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		ada.expect(t, "alone", "Ada", 0)
		time.Sleep(time.Minute)
		bob := b.open(t, b.bob)
		bob.expect(t, "he has come", "Ada Bob", 0)
		ada.expect(t, "someone has come", "Ada Bob", 1)

		second := b.open(t, b.bob)
		bob.close()
		bob.close() // counts once
		time.Sleep(time.Minute)
		second.expect(t, "with the first tab gone", "Ada Bob", 0)
		ada.expect(t, "with one of his tabs gone", "Ada Bob", 0)
		b.isIdle(t)

		second.close()
		time.Sleep(graceTime - time.Millisecond)
		ada.expect(t, "just after he went", "Ada Bob", 0)
		time.Sleep(time.Millisecond + flushTime)
		ada.expect(t, "when he has gone", "Ada", 1)
		if p := people(b.Registry.Presence(1, b.ada)); p != "Ada" {
			t.Errorf("a fresh page: %s", p)
		}
		b.isIdle(t)
	})
}

// TestPresencePerChannel keeps channels apart, and asks nothing of one that
// nobody is in.
func TestPresencePerChannel(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		if p := people(b.Registry.Presence(2, b.bob)); p != "Bob" {
			t.Errorf("another channel: %s", p)
		}
		b.Typing(2, b.ada)
		if b.find(2) != nil {
			t.Error("a hub was made")
		}
		ada.expect(t, "in her channel", "Ada", 0)
	})
}

// TestPresenceOrder is by name, whoever came first, and distinguishes people of
// one name.
func TestPresenceOrder(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.zhang)
		b.open(t, b.bob)
		ada := b.open(t, b.ada)
		ada.expect(t, "three", "Ada Bob 张伟", 0)
		for _, u := range []User{b.zhang, b.bob} {
			b.Typing(1, u)
		}
		time.Sleep(flushTime)
		ada.expect(t, "two type", "Ada Bob 张伟: Bob 张伟", 1)

		states := map[string]Presence{}
		for _, p := range []Presence{
			{},
			{Here: []User{b.ada}},
			{Typing: []User{b.ada}},
			{Here: []User{b.ada}, Typing: []User{b.ada}},
			{Here: []User{b.ada, b.bob}},
			{Here: []User{{4, "Ada"}}},
			{Here: []User{{9, "Ida"}}},
			{Here: []User{{99, "Ada"}}},
		} {
			state := p.State()
			if other, ok := states[state]; ok || state == "" || len(state) > 16 || state != p.State() {
				t.Errorf("the state of %v is %q, that of %v too", p, state, other)
			}
			states[state] = p
		}

		b.open(t, User{4, "Ada"})
		want := b.Registry.Presence(1, b.bob)
		for range 20 {
			if p := b.Registry.Presence(1, b.bob); p.State() != want.State() || p.Here[0].ID != 4 || p.Here[1].ID != 9 {
				t.Fatalf("two of one name: %v, then %v", want, p)
			}
		}
	})
}

// TestReloadWithinGrace shows others nothing of a reload.
func TestReloadWithinGrace(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada, bob := b.open(t, b.ada), b.open(t, b.bob)
		time.Sleep(time.Second)
		ada.expect(t, "before", "Ada Bob", 1)
		for range 10 {
			bob.close()
			time.Sleep(graceTime - time.Millisecond)
			bob = b.open(t, b.bob)
			bob.expect(t, "back", "Ada Bob", 0)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		ada.expect(t, "he reloaded", "Ada Bob", 0)
		b.isIdle(t)
	})
}

// TestTyping starts, goes on, and ends in every way that it can.
func TestTyping(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada, bob, bob2, zhang := b.open(t, b.ada), b.open(t, b.bob), b.open(t, b.bob), b.open(t, b.zhang)
		const here = "Ada Bob 张伟"
		time.Sleep(time.Second)
		for _, each := range []*tab{ada, bob, bob2, zhang} {
			each.look(t)
		}
		expect := func(about, others string) {
			t.Helper()
			b.rendered.Store(0)
			time.Sleep(flushTime + time.Millisecond)
			ada.expect(t, about, here+others, 1)
			zhang.expect(t, about, here+others, 1)
			bob.expect(t, about+", himself", here, 0)
			bob2.expect(t, about+", his other tab", here, 0)
			if n := b.rendered.Load(); n != 1 {
				t.Errorf("%s: rendered %d times", about, n)
			}
		}

		b.Typing(1, b.bob)
		expect("Bob types", ": Bob")
		if p := people(b.Registry.Presence(1, b.bob)); p != here {
			t.Errorf("his fresh page: %s", p)
		}
		if p := people(b.Registry.Presence(1, b.zhang)); p != here+": Bob" {
			t.Errorf("another's fresh page: %s", p)
		}

		for range 10 {
			time.Sleep(typingTime - time.Second)
			b.Typing(1, b.bob)
			time.Sleep(flushTime)
			ada.expect(t, "he goes on", here+": Bob", 0)
		}
		time.Sleep(typingTime - flushTime - time.Millisecond)
		ada.expect(t, "just before it expires", here+": Bob", 0)
		expect("he is done", "")
		b.isIdle(t)

		b.Typing(1, b.bob)
		expect("before his message", ": Bob")
		other := b.post(1, "of another")
		other.AuthorID = b.ada.ID
		b.Publish(1, []Change{other})
		b.Publish(1, []Change{b.delete(1, other.ID)})
		time.Sleep(flushTime)
		ada.expect(t, "another's message", here+": Bob", 0)
		own := b.post(1, "his own")
		own.AuthorID = b.bob.ID
		b.Publish(1, []Change{own})
		expect("his message", "")

		b.Typing(1, b.bob)
		expect("while he types", ": Bob")
		b.Publish(1, []Change{b.alter(1, own.ID, "his own, again")})
		time.Sleep(flushTime)
		ada.expect(t, "an older message of his is altered", here+": Bob", 0)
	})
}

// TestTypingTogether shows each all but themselves.
func TestTypingTogether(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada, bob, zhang := b.open(t, b.ada), b.open(t, b.bob), b.open(t, b.zhang)
		time.Sleep(time.Second)
		b.Typing(1, b.ada)
		b.Typing(1, b.bob)
		time.Sleep(flushTime)
		for _, each := range []*tab{ada, bob, zhang} {
			each.look(t)
		}
		for _, tt := range []struct {
			*tab
			want string
		}{{ada, ": Bob"}, {bob, ": Ada"}, {zhang, ": Ada Bob"}} {
			if want := "Ada Bob 张伟" + tt.want; tt.shows != want {
				t.Errorf("got %q, want %q", tt.shows, want)
			}
		}
	})
}

// TestTypingElsewhere ignores those who are not in the channel, and forgets
// those who go.
func TestTypingElsewhere(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		b.Typing(1, b.bob)
		if p := people(b.Registry.Presence(1, b.ada)); p != "Ada" {
			t.Errorf("a stranger types: %s", p)
		}
		time.Sleep(time.Second)
		ada.expect(t, "a stranger types", "Ada", 0)
		bob := b.open(t, b.bob)
		time.Sleep(flushTime)
		ada.expect(t, "he has come, and does not type", "Ada Bob", 1)

		bob.close()
		time.Sleep(graceTime - time.Second)
		b.Typing(1, b.bob) // between two held answers, say
		time.Sleep(flushTime)
		ada.expect(t, "on his way", "Ada Bob: Bob", 1)
		time.Sleep(time.Second)
		ada.expect(t, "he has gone", "Ada", 1)
		b.open(t, b.bob)
		time.Sleep(flushTime)
		ada.expect(t, "he is back", "Ada Bob", 1)
	})
}

// TestSeen sends those who come what their page does not show, at once, and
// nothing else.
func TestSeen(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.ada)
		b.Typing(1, b.ada)
		before := b.Registry.Presence(1, b.bob)
		bob := b.connect(t, b.page(b.bob), b.bob, before.State())
		bob.expect(t, "nothing new", "Ada Bob: Ada", 0)
		for _, seen := range []string{"another", before.State()} {
			// Not a moment passes here: no flush could have done it.
			s := b.connect(t, &tab{}, b.zhang, seen)
			s.look(t)
			if want := "Ada Bob 张伟: Ada"; s.shows != want || s.frames != 1 {
				t.Errorf("who has seen %q is sent %q in %d frames, want %q", seen, s.shows, s.frames, want)
			}
			time.Sleep(flushTime)
			s.expect(t, "once only", s.shows, 0)
		}
		bob.expect(t, "one more", "Ada Bob 张伟: Ada", 1)

		// Whose page shows none is sent none, but is here.
		blind := b.connect(t, &tab{}, User{4, "Eve"}, "")
		time.Sleep(flushTime)
		bob.expect(t, "one who does not look", "Ada Bob Eve 张伟: Ada", 1)
		blind.expect(t, "nothing to look at", "", 0)
	})
}

// TestSeenBeforeRestart has a node take the place of another: all that come
// from there show who is there, and go on showing it while they arrive.
func TestSeenBeforeRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newPresenceTest(t)
		all := Presence{Here: []User{b.ada, b.bob, b.zhang}}
		time.Sleep(time.Second)
		ada := b.connect(t, &tab{shows: people(all)}, b.ada, all.State())
		time.Sleep(time.Second)
		fresh := b.connect(t, &tab{}, b.ada, "")
		bob := b.connect(t, &tab{shows: people(all)}, b.bob, all.State())
		time.Sleep(flushTime)
		ada.expect(t, "on their way", "Ada Bob 张伟", 0)
		bob.expect(t, "on their way", "Ada Bob 张伟", 0)
		fresh.expect(t, "a page that shows none", "", 0)
		zhang := b.open(t, b.zhang)
		time.Sleep(graceTime)
		for _, each := range []*tab{ada, bob, zhang} {
			each.expect(t, "all back", "Ada Bob 张伟", 0)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newPresenceTest(t)
		all := Presence{Here: []User{b.ada, b.bob, b.zhang}}
		ada := b.connect(t, &tab{shows: people(all)}, b.ada, all.State())
		b.connect(t, &tab{}, b.bob, all.State())
		time.Sleep(graceTime - time.Millisecond)
		ada.expect(t, "someone lacks", "Ada Bob 张伟", 0)
		time.Sleep(time.Millisecond + flushTime)
		ada.expect(t, "someone stays away", "Ada Bob", 1)
		b.isIdle(t)
	})
}

// TestFullHouse names a dozen people and counts the others, whoever looks, and sends
// nobody what does not show.
func TestFullHouse(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		tabs := map[int64]*tab{}
		user := func(i int64) User { return User{100 + i, fmt.Sprintf("Person %02d", i)} }
		for i := range int64(MaxNamed + 3) {
			tabs[i] = b.open(t, user(i))
		}
		time.Sleep(2 * flushTime)
		p := b.Registry.Presence(1, user(0))
		if len(p.Here) != MaxNamed || p.More != 3 || p.Here[0] != user(0) {
			t.Errorf("15 are here: %+v", p)
		}
		if p := b.Registry.Presence(1, b.ada); len(p.Here) != MaxNamed || p.More != 4 || p.Here[0] != b.ada {
			t.Errorf("with Ada about to be: %+v", p)
		}
		if p := b.Registry.Presence(1, User{1, "Zoe"}); len(p.Here) != MaxNamed || p.More != 4 || slices.Contains(p.Here, User{1, "Zoe"}) {
			t.Errorf("with Zoe about to be: %+v", p)
		}
		tabs[5].close()
		time.Sleep(graceTime + 2*flushTime)
		if p := b.Registry.Presence(1, user(0)); len(p.Here) != MaxNamed || p.More != 2 || slices.Contains(p.Here, user(5)) || p.Here[MaxNamed-1] != user(MaxNamed) {
			t.Errorf("one has gone: %+v", p)
		}
		for i := range int64(MaxNamed + 3) {
			b.Typing(1, user(i))
		}
		if p := b.Registry.Presence(1, b.ada); len(p.Typing) != MaxNamed {
			t.Errorf("%d are named as typing", len(p.Typing))
		}
	})
}

// TestMissedFirst gives a held answer the rows before the presence: the browser
// asks for the presence again, but would show it without the rows.
func TestMissedFirst(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.post(1, "missed")
		ada := b.connect(t, &tab{}, b.ada, "another")
		b.open(t, b.bob)
		time.Sleep(flushTime)
		if got := fmt.Sprintf("%s", take(t, ada.Subscriber)); got != "[+1 1 missed\n @Ada Bob\n]" {
			t.Errorf("got %s", got)
		}
	})
}

// TestLatestPresenceOnly keeps one frame of presence for one that reads slowly.
func TestLatestPresenceOnly(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		slow := b.open(t, b.ada)
		for n := range int64(20) {
			b.open(t, User{10 + n, fmt.Sprint("Bob", n)})
			time.Sleep(flushTime)
			if n == 10 {
				b.Publish(1, []Change{b.post(1, "hello")})
			}
		}
		slow.mu.Lock()
		bytes := 0
		for _, frame := range slow.waiting.frames {
			bytes += frame.size
		}
		if slow.queued != bytes {
			t.Errorf("%d bytes are counted, %d wait", slow.queued, bytes)
		}
		slow.mu.Unlock()
		slow.expect(t, "in the end", people(b.Registry.Presence(1, b.ada)), 1)
		b.open(t, b.bob)
		time.Sleep(flushTime)
		slow.expect(t, "after it has read", people(b.Registry.Presence(1, b.ada)), 1)
	})
}

// TestStorm has 500 people come within a second, as they do after a deploy.
func TestStorm(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		ada.expect(t, "alone", "Ada", 0)
		const n = 500
		var tabs []*tab
		for i := range int64(n) {
			u := User{10 + i, fmt.Sprintf("Person %03d", i)}
			tabs = append(tabs, b.open(t, u))
			time.Sleep(time.Second / n)
			for _, each := range tabs {
				each.look(t)
			}
			ada.look(t)
		}
		time.Sleep(flushTime)
		synctest.Wait()
		most := 1 + int(time.Second/flushTime)
		for _, each := range append(tabs, ada) {
			each.look(t)
			if each.frames > most {
				t.Fatalf("it was sent %d frames, want %d at most", each.frames, most)
			}
			if want := people(b.Registry.Presence(1, b.ada)); each.shows != want {
				t.Fatalf("it shows %s", each.shows)
			}
		}
		if rendered := int(b.rendered.Load()); rendered > most {
			t.Errorf("rendered %d times, want %d at most", rendered, most)
		}
		b.isIdle(t)
	})
}

// TestPresenceUnderWay publishes, subscribes and reads while a frame of presence
// is rendered: nobody waits for that.
func TestPresenceUnderWay(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		var met atomic.Int64
		b.during = func() {
			n := met.Add(1)
			if n > 2 {
				return // else it would go on for ever
			}
			b.Typing(1, b.ada)
			b.Publish(1, []Change{b.post(1, "meanwhile")})
			window(t, b.Registry, 1)
			b.Registry.Presence(1, b.ada)
			b.open(t, User{10 + n, fmt.Sprint("Person ", n)}).close()
		}
		ada := b.connect(t, &tab{}, b.ada, "another")
		b.open(t, b.bob)
		time.Sleep(2 * flushTime)
		if n := met.Load(); n < 2 {
			t.Errorf("rendered %d times", n)
		}
		ada.expect(t, "in the end", "Ada Bob Person 1 Person 2", 1)
	})
}

// TestPresenceMeetsJoin changes the presence, and sends it, while someone is
// about to join who is here already.
func TestPresenceMeetsJoin(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.ada)
		time.Sleep(time.Second)
		var met atomic.Bool
		b.during = func() {
			if !met.Swap(true) {
				b.open(t, b.bob)
				time.Sleep(time.Second)
			}
		}
		second := b.connect(t, &tab{}, b.ada, "another")
		time.Sleep(time.Second)
		second.expect(t, "in the end", "Ada Bob", 1)
	})
}

// TestPresenceConcurrently has people come, go and type at random, at the same
// time. When all is quiet, every tab has last been sent what is.
func TestPresenceConcurrently(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		const users, channels = 12, 3
		var group sync.WaitGroup
		var mu sync.Mutex
		var last []func()
		for i := range 2 * users { // two browsers each
			u := User{ID: int64(i%users + 1)}
			u.Name = fmt.Sprint("Person ", u.ID)
			random := rand.New(rand.NewPCG(uint64(i), 3))
			group.Go(func() {
				for n := range 60 {
					channel := random.Int64N(channels)
					page := b.Registry.Presence(channel, u)
					if random.IntN(3) == 0 { // the page is slow to connect
						time.Sleep(time.Duration(random.Int64N(int64(graceTime))))
					}
					open := &tab{shows: people(page)}
					s, err := b.Subscribe(t.Context(), channel, 0, 0, Visitor{u, page.State()})
					if err != nil {
						t.Error(err)
						return
					}
					open.Subscriber = s
					for range random.IntN(5) {
						switch random.IntN(4) {
						case 0:
							time.Sleep(time.Duration(random.Int64N(int64(flushTime))))
						case 1:
							c := b.post(channel, "hello")
							c.AuthorID = u.ID
							b.Publish(channel, []Change{c})
						default:
							b.Typing(channel, u)
						}
						open.look(t)
					}
					if n == 59 && i%3 > 0 { // most stay
						mu.Lock()
						defer mu.Unlock()
						last = append(last, func() {
							open.look(t)
							if want := people(b.Registry.Presence(channel, u)); open.shows != want {
								t.Errorf("%s in channel %d is shown %q, want %q", u.Name, channel, open.shows, want)
							}
						})
						return
					}
					open.close()
				}
			})
		}
		group.Wait()
		check := func() {
			synctest.Wait()
			for _, f := range last {
				f()
			}
		}
		time.Sleep(flushTime) // some still type or are on their way
		check()
		time.Sleep(graceTime + flushTime)
		check()
		if p := b.Registry.Presence(1, b.ada); len(p.Typing) > 0 {
			t.Errorf("they type for ever: %v", p.Typing)
		}
		b.isIdle(t)
	})
}

// TestPresenceEvicted keeps those who are on their way when their hub goes, till
// their time is over.
func TestPresenceEvicted(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.ada).close()
		if p := people(b.Registry.Presence(1, b.bob)); p != "Ada Bob" {
			t.Errorf("before: %s", p)
		}
		for channel := range int64(maxIdle + 1) {
			time.Sleep(time.Microsecond)
			window(t, b.Registry, channel+2)
		}
		if b.find(1) != nil {
			t.Fatal("the hub was not evicted")
		}
		if p := people(b.Registry.Presence(1, b.bob)); p != "Ada Bob" {
			t.Errorf("after: %s", p)
		}
		time.Sleep(graceTime)
		if p := people(b.Registry.Presence(1, b.bob)); p != "Bob" {
			t.Errorf("in the end: %s", p)
		}
		b.isIdle(t)
		if n := len(b.roster.byChannel); n > 0 {
			t.Errorf("%d roster of nobody are kept", n)
		}
	})
}

// TestPresenceClose ends the flusher at once, though there is something to end
// later. The bubble fails where a goroutine is left.
func TestPresenceClose(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada, bob := b.open(t, b.ada), b.open(t, b.bob)
		b.Typing(1, b.ada)
		bob.close()
		time.Sleep(flushTime / 2)
		start := time.Now()
		b.Registry.Close()
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
		b.Typing(1, b.ada)
		ada.close()
		endsWith(t, ada.Subscriber, ErrRestart)
		if _, err := b.Subscribe(t.Context(), 1, 0, 0, Visitor{User: b.bob}); !errors.Is(err, ErrRestart) {
			t.Errorf("Subscribe after Close: %v", err)
		}
		b.Registry.Presence(1, b.ada)
	})
}

// TestPresenceCloseWaits for a frame that is being rendered.
func TestPresenceCloseWaits(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.ada)
		time.Sleep(time.Second)
		var done atomic.Bool
		b.during = func() {
			time.Sleep(time.Second)
			done.Store(true)
		}
		b.open(t, b.bob)
		synctest.Wait() // it is at it
		b.Registry.Close()
		if !done.Load() {
			t.Error("it was left behind")
		}
	})
}

// TestSubscriberOfNone is sent frames by others than a hub.
func TestSubscriberOfNone(t *testing.T) {
	t.Parallel()
	r := newTestRegistry(t, newLedger())
	s := r.NewSubscriber()
	s.Send(NewFrame(nil))
	s.Send(NewFrame([]byte("one")))
	s.Send(NewFrame([]byte("two")))
	frames, err := s.Next(t.Context())
	if err != nil || len(frames) != 2 || string(bytesOf(t, frames[0])) != "one" || string(bytesOf(t, frames[1])) != "two" {
		t.Errorf("got %d frames, %v", len(frames), err)
	}
	var group sync.WaitGroup
	group.Go(func() { endsWith(t, s, context.Canceled) })
	s.End(context.Canceled)
	s.End(ErrRestart)
	s.Send(NewFrame([]byte("late")))
	if n := len(s.waiting.frames); n > 0 {
		t.Errorf("%d frames wait for nobody", n)
	}
	group.Wait()
	endsWith(t, s, context.Canceled)
	s.Close()
	if r.budget.held() != 0 || len(r.budget.subscribers) > 0 {
		t.Errorf("%d bytes of %d subscribers are held", r.budget.held(), len(r.budget.subscribers))
	}
}

// BenchmarkPresence sends 1000 people that one of them types.
func BenchmarkPresence(b *testing.B) {
	r := newTestRegistry(b, &presenceSource{ledger: newLedger()})
	r.Close() // its flusher
	h := r.newHub(1)
	if err := h.catchUp(b.Context(), 0); err != nil {
		b.Fatal(err)
	}
	for i := range int64(1000) {
		u := User{i, fmt.Sprint("Person ", i)}
		if _, err := h.subscribe(b.Context(), 0, Visitor{User: u}); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			h.roster.typing(1, 7)
		} else {
			h.roster.stopTyping(1, 7)
		}
		h.flush(time.Now())
	}
}
