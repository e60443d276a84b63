package hub

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// come, leave and all are notices of another node about channel 1.
func come(users ...User) Attendance { return Attendance{ChannelID: 1, Here: users} }
func leave(ids ...int64) Attendance { return Attendance{ChannelID: 1, Gone: ids} }
func all(users ...User) Attendance  { return Attendance{ChannelID: 1, Here: users, Whole: true} }

// shows checks who a fresh page of channel 1 shows to Ada.
func (b *presenceTest) shows(t *testing.T, about, want string) {
	t.Helper()
	if got := people(b.Registry.Presence(1, b.ada)); got != want {
		t.Errorf("%s: a fresh page shows %q, want %q", about, got, want)
	}
}

// isEmpty checks that nothing is kept of anybody.
func (b *presenceTest) isEmpty(t *testing.T) {
	t.Helper()
	b.isIdle(t)
	b.roster.mu.Lock()
	defer b.roster.mu.Unlock()
	if channels, nodes, unannounced := len(b.roster.byChannel), len(b.roster.nodes), len(b.roster.unannounced); channels+nodes+unannounced > 0 {
		t.Errorf("%d channels, %d nodes and %d unannounced are kept of nobody", channels, nodes, unannounced)
	}
}

// TestRemote shows those who are at other nodes as if they were here, and
// counts them once.
func TestRemote(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.SetRemote("b", 0, come(b.bob))
		if b.find(1) != nil {
			t.Error("a hub was made")
		}
		b.shows(t, "before anybody is here", "Ada Bob")
		ada := b.open(t, b.ada)
		ada.expect(t, "a page from before", "Ada Bob", 0)
		b.SetRemote("c", 0, come(b.zhang))
		b.SetRemote("c", 0, Attendance{ChannelID: 2, Here: []User{{4, "Eve"}}})
		time.Sleep(flushTime)
		ada.expect(t, "one at another node", "Ada Bob 张伟", 1)

		b.SetRemote("c", 0, come(b.bob))
		b.SetRemote("c", 0, come(b.bob)) // sent twice
		b.SetRemote("c", 0, come(b.ada))
		time.Sleep(flushTime)
		ada.expect(t, "they are elsewhere too", "Ada Bob 张伟", 0)
		bob := b.open(t, b.bob)
		time.Sleep(flushTime)
		b.SetRemote("b", 0, leave(b.bob.ID))
		b.SetRemote("b", 0, leave(b.bob.ID)) // sent twice
		b.SetRemote("d", 0, leave(b.bob.ID, 77))
		time.Sleep(flushTime)
		ada.expect(t, "he is here and at c", "Ada Bob 张伟", 0)
		b.SetRemote("c", 0, leave(b.bob.ID))
		time.Sleep(flushTime)
		ada.expect(t, "he is here", "Ada Bob 张伟", 0)
		b.SetRemote("c", 0, come(b.bob))
		bob.close()
		time.Sleep(graceTime + flushTime)
		ada.expect(t, "he is at c", "Ada Bob 张伟", 0)
		b.SetRemote("c", 0, leave(b.bob.ID, b.ada.ID))
		time.Sleep(flushTime)
		ada.expect(t, "he has gone from all", "Ada 张伟", 1)
	})
}

// TestRemoteWhole puts right what was lost.
func TestRemoteWhole(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		b.SetRemote("b", 0, come(b.bob, b.zhang))
		b.SetRemote("c", 0, come(b.zhang))
		time.Sleep(flushTime)
		ada.expect(t, "two", "Ada Bob 张伟", 1)
		eve := User{4, "Eve"}
		for range 2 {
			b.SetRemote("b", 0, all(eve))
			time.Sleep(flushTime)
		}
		ada.expect(t, "one who came, and one who went", "Ada Eve 张伟", 1)
		b.SetRemote("b", 0, all(eve, eve, b.bob)) // sent badly
		b.SetRemote("b", 0, all(b.bob))
		time.Sleep(flushTime)
		ada.expect(t, "exchanged", "Ada Bob 张伟", 1)
		b.SetRemote("b", 0, all())
		b.SetRemote("c", 0, all())
		time.Sleep(flushTime)
		ada.expect(t, "nobody", "Ada", 1)
		b.isIdle(t)
	})
}

// TestRemoteExpires keeps those whom a node goes on telling of, and no others.
func TestRemoteExpires(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		b.SetRemote("b", 0, come(b.bob))
		b.SetRemote("c", 0, come(b.zhang))
		time.Sleep(flushTime)
		ada.expect(t, "at first", "Ada Bob 张伟", 1)
		for range 10 {
			time.Sleep(remoteTime - time.Second)
			b.SetRemote("b", 0, come(b.bob))
			b.SetRemote("c", 0, all(b.zhang))
		}
		time.Sleep(remoteTime - time.Millisecond)
		ada.expect(t, "as long as the node says so", "Ada Bob 张伟", 0)
		b.SetRemote("b", 0, come(User{4, "Eve"})) // says nothing of Bob
		time.Sleep(time.Millisecond + flushTime)
		ada.expect(t, "those of whom it says nothing", "Ada Eve", 1)
		time.Sleep(remoteTime)
		ada.expect(t, "in the end", "Ada", 1)

		for i := range 12 {
			b.SetRemote(fmt.Sprint(i), 0, come(User{int64(10 + i), fmt.Sprint("Person ", i)}))
			time.Sleep(time.Second)
		}
		time.Sleep(remoteTime - 12*time.Second - time.Second/2)
		for i := range 12 {
			p := b.Registry.Presence(1, b.ada)
			if there := len(p.Here) + p.More - 1; there != 12-i {
				t.Errorf("before the end of number %d, %d are elsewhere, want %d", i, there, 12-i)
			}
			time.Sleep(time.Second)
		}
		b.SetRemote("b", 0, come(b.ada)) // who is here, so that nothing changes
		time.Sleep(remoteTime + flushTime)
		b.roster.mu.Lock()
		if n := len(b.roster.nodes); n > 0 {
			t.Errorf("%d nodes are kept", n)
		}
		b.roster.mu.Unlock()
		ada.close()
		time.Sleep(graceTime)
		b.isEmpty(t)
	})
}

// TestRemoteNumbers does not have an older notice undo a newer one, not even of a
// node at which nobody is any more, and keeps no number for ever.
func TestRemoteNumbers(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.SetRemote("b", 5, come(b.bob))
		b.SetRemote("b", 4, leave(b.bob.ID))
		b.SetRemote("b", 4, all())
		b.SetRemote("c", 1, come(b.zhang))
		b.shows(t, "late notices", "Ada Bob 张伟")
		b.SetRemote("b", 5, leave(b.bob.ID)) // the same, in another part
		b.shows(t, "the rest", "Ada 张伟")
		time.Sleep(remoteTime - time.Millisecond)
		b.SetRemote("b", 4, come(b.bob))
		b.shows(t, "late, and nobody is there any more", "Ada 张伟")
		time.Sleep(time.Millisecond + flushTime)
		b.isEmpty(t)
		b.SetRemote("b", 1, come(b.bob))
		b.shows(t, "forgotten", "Ada Bob")

		b.RemoveNode("b")
		b.SetRemote("b", 2, come(b.zhang))
		b.shows(t, "after the node was removed", "Ada Bob")
		time.Sleep(graceTime + flushTime)
		b.isEmpty(t)
	})
}

// TestRemoteBounds keeps no more than there can be, whoever sends it.
func TestRemoteBounds(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		long := User{4, strings.Repeat("张", maxName)}
		b.SetRemote("b", 0, come(long, User{5, long.Name + "伟"}))
		b.shows(t, "long names", "Ada "+long.Name)

		many := Attendance{ChannelID: 2}
		for id := range int64(maxPeople) {
			many.Here = append(many.Here, User{ID: id})
		}
		b.SetRemote("b", 0, many)
		b.SetRemote("b", 0, Attendance{ChannelID: 3, Here: []User{b.bob}})
		b.SetRemote("c", 0, Attendance{ChannelID: 3, Here: []User{b.zhang}})
		if n := b.Registry.Presence(2, User{}).More + MaxNamed; n != maxPeople-1 {
			t.Errorf("%d people of one node, and one elsewhere", n)
		}
		if p := people(b.Registry.Presence(3, b.ada)); p != "Ada 张伟" {
			t.Errorf("of a full node and another: %s", p)
		}
		b.SetRemote("b", 0, Attendance{ChannelID: 2, Gone: []int64{7}})
		b.SetRemote("b", 0, Attendance{ChannelID: 3, Here: []User{b.bob}})
		if p := people(b.Registry.Presence(3, b.ada)); p != "Ada Bob 张伟" {
			t.Errorf("there is room again: %s", p)
		}

		for i := range 2 * maxNodes {
			b.SetRemote(fmt.Sprint("node ", i), 0, Attendance{ChannelID: 4, Here: []User{{ID: int64(10 + i)}}})
		}
		b.SetRemote("c", 0, come(b.bob))
		b.shows(t, "a node that is known", "Ada Bob "+long.Name)
		b.roster.mu.Lock()
		if n := len(b.roster.nodes); n != maxNodes {
			t.Errorf("%d nodes", n)
		}
		b.roster.mu.Unlock()
		time.Sleep(remoteTime + flushTime)
		b.isEmpty(t)
	})
}

// TestRemoteSleeps does nothing while nothing happens, for whomever may
// expire some time.
func TestRemoteSleeps(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.SetRemote("b", 0, come(b.bob))
		b.isIdle(t)
		b.SetRemote("b", 0, all(b.bob))
		b.roster.mu.Lock()
		if len(b.roster.wake)+len(b.roster.dirty) > 0 {
			t.Error("there is something to do though nobody came or went")
		}
		b.roster.mu.Unlock()
		time.Sleep(remoteTime)
		b.isEmpty(t)
	})
}

// TestRemoveNode gives those who were at a node that stops the time to come here.
func TestRemoveNode(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		b.SetRemote("b", 0, come(b.bob, b.zhang))
		b.SetRemote("b", 0, Attendance{ChannelID: 2, Here: []User{b.bob}})
		time.Sleep(flushTime)
		ada.expect(t, "before", "Ada Bob 张伟", 1)
		b.RemoveNode("b")
		b.RemoveNode("unheard of")
		time.Sleep(graceTime - time.Millisecond)
		ada.expect(t, "on their way", "Ada Bob 张伟", 0)
		b.open(t, b.bob)
		time.Sleep(time.Millisecond + flushTime)
		ada.expect(t, "one has come", "Ada Bob", 1)
		if p := people(b.Registry.Presence(2, b.ada)); p != "Ada" {
			t.Errorf("another channel: %s", p)
		}
		if n := len(b.roster.nodes); n > 0 {
			t.Errorf("%d nodes are kept", n)
		}
	})
}

// TestRemoteEvicted loses nobody with a hub.
func TestRemoteEvicted(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.SetRemote("b", 0, come(b.bob))
		b.open(t, b.zhang).close()
		for channel := range int64(maxIdle + 1) {
			time.Sleep(time.Microsecond)
			window(t, b.Registry, channel+2)
		}
		if b.find(1) != nil {
			t.Fatal("the hub was not evicted")
		}
		b.shows(t, "evicted", "Ada Bob 张伟")
		ada := b.open(t, b.ada)
		ada.expect(t, "another hub", "Ada Bob 张伟", 0)
		b.SetRemote("b", 0, leave(b.bob.ID))
		time.Sleep(graceTime + flushTime)
		ada.expect(t, "both have gone", "Ada", 1)
	})
}

// TestRemoteTyping has one type who is at another node, till their message
// comes in every way that it can.
func TestRemoteTyping(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		ada := b.open(t, b.ada)
		b.Typing(1, b.bob)
		b.SetRemote("b", 0, come(b.bob))
		time.Sleep(flushTime)
		ada.expect(t, "he came after he was said to type", "Ada Bob", 1)
		types := func() {
			t.Helper()
			b.Typing(1, b.bob)
			time.Sleep(flushTime)
			ada.expect(t, "he types", "Ada Bob: Bob", 1)
		}
		post := func(u User) Change { return b.postBy(1, u, "hello") }

		types()
		time.Sleep(typingTime)
		ada.expect(t, "he is done", "Ada Bob", 1)

		types()
		b.SetRevision(1, post(b.zhang).Revision)
		time.Sleep(flushTime)
		ada.expect(t, "another's message", "Ada Bob: Bob", 0)
		b.SetRevision(1, post(b.bob).Revision)
		time.Sleep(flushTime)
		ada.expect(t, "his message is caught up with", "Ada Bob", 1)

		types()
		b.alter(1, 1, "again")
		b.SetRevision(1, b.reached(1))
		time.Sleep(flushTime)
		ada.expect(t, "an older message is altered", "Ada Bob: Bob", 0)
		b.alter(1, post(b.bob).ID, "again")
		b.SetRevision(1, b.reached(1))
		time.Sleep(flushTime)
		ada.expect(t, "his message is caught up with, and was altered", "Ada Bob", 1)

		types()
		for range maxMissed + 5 { // his last one can still be seen
			post(b.zhang)
		}
		b.SetRevision(1, b.reached(1))
		time.Sleep(flushTime)
		ada.expect(t, "much by another", "Ada Bob: Bob", 0)
		post(b.bob)
		for range maxMissed + 5 {
			post(b.zhang)
		}
		b.SetRevision(1, b.reached(1))
		time.Sleep(flushTime)
		ada.expect(t, "his message is in a window", "Ada Bob", 1)

		types()
		b.SetRemote("b", 0, leave(b.bob.ID))
		time.Sleep(flushTime)
		ada.expect(t, "he has gone", "Ada", 1)
		b.isIdle(t)
	})
}

// TestRemoteFullHouse names a dozen of those who are anywhere, as if all were
// here.
func TestRemoteFullHouse(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		other := newPresenceTest(t)
		random := rand.New(rand.NewPCG(1, 6))
		there := map[int64]User{}
		for range 2000 {
			u := User{ID: 10 + random.Int64N(40)}
			u.Name = fmt.Sprintf("Person %02d", u.ID*7%40) // in another order than their ids
			node := fmt.Sprint("node ", u.ID%3)
			if _, in := there[u.ID]; in {
				delete(there, u.ID)
				b.SetRemote(node, 0, leave(u.ID))
			} else {
				there[u.ID] = u
				b.SetRemote(node, 0, come(u))
			}
			if random.IntN(3) > 0 {
				continue // else some that were first have gone unnoticed
			}
			users := slices.Collect(maps.Values(there))
			other.SetRemote("other", 0, all(users...))
			slices.SortFunc(users, byName)
			first := users[:min(len(users), MaxNamed)]
			viewer := User{ID: 10 + random.Int64N(40)}
			if u, in := there[viewer.ID]; in {
				viewer = u
			} else {
				viewer.Name = fmt.Sprintf("Person %02d", viewer.ID*7%40)
				users = append(users, viewer)
				first = slices.SortedFunc(slices.Values(users), byName)[:min(len(users), MaxNamed)]
			}
			p := b.Registry.Presence(1, viewer)
			if !slices.Equal(p.Here, first) || p.More != len(users)-len(first) {
				t.Fatalf("%d are here, and %s sees %v and %d more, want %v", len(users), viewer.Name, p.Here, p.More, first)
			}
			if q := other.Registry.Presence(1, viewer); q.State() != p.State() {
				t.Fatalf("another node shows %v for %v", q, p)
			}
		}
	})
}

// notices is what a node notifies others of, in order.
type notices struct {
	mu   sync.Mutex
	each [][]Attendance
}

func (w *notices) add(all []Attendance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each = append(w.each, all)
}

// expect checks what was sent since the last time: "#1 +Ada -2, #2 =Bob; #1 -9"
// when Ada came to channel 1 and Bob, whose id is 2, went, when he was all of
// channel 2, and when she went later.
func (w *notices) expect(t *testing.T, about, want string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := ""
	for i, flush := range w.each {
		if i > 0 {
			got += "; "
		}
		slices.SortStableFunc(flush, func(a, b Attendance) int { return cmp.Compare(a.ChannelID, b.ChannelID) })
		for i, a := range flush {
			if i > 0 {
				got += ", "
			}
			got += fmt.Sprintf("#%d", a.ChannelID)
			sign := " +"
			if a.Whole {
				sign = " ="
			}
			for _, u := range slices.SortedFunc(slices.Values(a.Here), byName) {
				got += fmt.Sprint(sign, u.Name)
			}
			for _, id := range slices.Sorted(slices.Values(a.Gone)) {
				got += fmt.Sprint(" -", id)
			}
		}
	}
	w.each = nil
	if got != want {
		t.Errorf("%s: sent %q, want %q", about, got, want)
	}
}

// TestOnAttendance notifies other nodes of each who comes and goes, once.
func TestOnAttendance(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		var sent notices
		b.OnAttendance(func(all []Attendance) {
			// Without locks: nothing may wait for it, not even itself.
			b.Registry.Presence(1, b.ada)
			b.Typing(1, b.ada)
			window(t, b.Registry, 1)
			sent.add(all)
		})
		first, second := b.open(t, b.ada), b.open(t, b.ada)
		sent.expect(t, "one comes with two tabs", "#1 +Ada")
		time.Sleep(time.Minute)
		second.close()
		first.close()
		time.Sleep(graceTime - time.Millisecond)
		first = b.open(t, b.ada)
		time.Sleep(time.Minute)
		sent.expect(t, "she reloads", "")

		b.SetRemote("b", 0, come(b.bob, b.zhang))
		b.Typing(1, b.bob)
		time.Sleep(time.Minute)
		sent.expect(t, "what others have sent", "")

		bob := b.open(t, b.bob)
		if _, err := b.Subscribe(t.Context(), 2, 0, 0, Visitor{User: b.zhang}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(flushTime)
		sent.expect(t, "one who was there already, and one elsewhere", "#1 +Bob, #2 +张伟")
		b.SetRemote("c", 0, come(b.bob))
		bob.close()
		time.Sleep(graceTime - flushTime)
		sent.expect(t, "on his way", "")
		time.Sleep(2 * flushTime)
		sent.expect(t, "gone from here, and elsewhere still", "#1 -2")
		b.shows(t, "he is elsewhere", "Ada Bob")

		b.AnnounceAll()
		b.AnnounceAll()
		time.Sleep(2 * flushTime)
		sent.expect(t, "everybody again", "#1 =Ada, #2 =张伟")
		first.close()
		time.Sleep(graceTime - time.Second)
		b.AnnounceAll()
		time.Sleep(flushTime)
		sent.expect(t, "she is on her way", "#1 =Ada, #2 =张伟")
		time.Sleep(time.Second + flushTime)
		sent.expect(t, "she has gone", "#1 -9")
		b.AnnounceAll()
		time.Sleep(flushTime)
		sent.expect(t, "who is left", "#2 =张伟")
		b.isIdle(t)
	})
}

// TestOnAttendanceEvicted notifies of those who go though their hub went before.
func TestOnAttendanceEvicted(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		var sent notices
		b.OnAttendance(sent.add)
		b.open(t, b.ada).close()
		for channel := range int64(maxIdle + 1) {
			time.Sleep(time.Microsecond)
			window(t, b.Registry, channel+2)
		}
		if b.find(1) != nil {
			t.Fatal("the hub was not evicted")
		}
		sent.expect(t, "she has come", "#1 +Ada")
		time.Sleep(graceTime + flushTime)
		sent.expect(t, "she has gone", "#1 -9")
		b.isEmpty(t)
	})
}

// TestOnAttendanceStorm notifies a few times of 500 people who come within a second.
func TestOnAttendanceStorm(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		var sent notices
		b.OnAttendance(sent.add)
		for i := range int64(500) {
			b.open(t, User{10 + i, fmt.Sprint("Person ", i)})
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(flushTime)
		sent.mu.Lock()
		defer sent.mu.Unlock()
		people := 0
		for _, flush := range sent.each {
			for _, a := range flush {
				people += len(a.Here)
			}
		}
		if n := len(sent.each); people != 500 || n > 5 {
			t.Errorf("sent %d people in %d flushes", people, n)
		}
	})
}

// TestAlone keeps no account of who comes and goes where there are no others.
func TestAlone(t *testing.T) {
	testPresence(t, func(t *testing.T, b *presenceTest) {
		b.open(t, b.ada)
		b.AnnounceAll()
		time.Sleep(flushTime)
		if n := len(b.roster.unannounced); n > 0 {
			t.Errorf("%d channels are kept", n)
		}
		b.isIdle(t)
	})
}

// TestMoveToNode has people go from one node to another within the time of a
// reload: nobody sees that they were away.
func TestMoveToNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var nodes []*presenceTest
		for i := range 3 {
			b := newPresenceTest(t)
			nodes = append(nodes, b)
			b.OnAttendance(func(attendances []Attendance) {
				for j, other := range nodes {
					if j != i {
						for _, a := range attendances {
							other.SetRemote(fmt.Sprint(i), 0, a)
						}
					}
				}
			})
		}
		time.Sleep(graceTime)
		ada, bob := nodes[0].open(t, nodes[0].ada), nodes[1].open(t, nodes[0].bob)
		time.Sleep(2 * flushTime)
		ada.expect(t, "he has come", "Ada Bob", 1)
		for i := range 10 {
			bob.close()
			time.Sleep(graceTime - time.Second)
			bob = nodes[i%3].open(t, nodes[0].bob)
			bob.expect(t, "another node", "Ada Bob", 0)
			time.Sleep(time.Minute / 20)
			for _, each := range nodes {
				each.AnnounceAll()
			}
		}
		time.Sleep(remoteTime - time.Second)
		ada.expect(t, "he went from node to node", "Ada Bob", 0)
	})
}

// TestPresenceOfNodes has people come, go, type and change nodes at random, of
// which the nodes notify each other by a bus that loses, doubles and delays what it
// carries. When all is quiet, all pages of all nodes show who is there.
func TestPresenceOfNodes(t *testing.T) {
	t.Parallel()
	for range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runPresenceOfNodes(t, seed) })
		})
	}
}

func runPresenceOfNodes(t *testing.T, seed uint64) {
	const users, channels = 12, 3
	var lossless atomic.Bool
	var mu sync.Mutex // of what is random
	random := rand.New(rand.NewPCG(seed, 7))
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	var bus, group sync.WaitGroup
	var nodes []*presenceTest
	for i := range 3 {
		b := newPresenceTest(t)
		nodes = append(nodes, b)
		var number int64
		b.OnAttendance(func(attendances []Attendance) {
			number++
			number := number
			for j, other := range nodes {
				for _, a := range attendances {
					if j == i || !lossless.Load() && roll(5) == 0 {
						continue
					}
					for range 1 + roll(2) {
						bus.Go(func() {
							time.Sleep(time.Duration(roll(int(time.Second))))
							other.SetRemote(fmt.Sprint(i), number, a)
						})
					}
				}
			}
		})
	}
	type stay struct {
		tab     *tab
		node    *presenceTest
		channel int64
		user    User
	}
	var stays []stay
	for i := range 2 * users { // two browsers each
		u := User{ID: int64(i%users + 1)}
		u.Name = fmt.Sprint("Person ", u.ID)
		group.Go(func() {
			for n := range 30 {
				at := stay{&tab{}, nodes[roll(len(nodes))], int64(roll(channels)), u}
				seen := at.node.Registry.Presence(at.channel, u)
				at.tab.shows = people(seen)
				s, err := at.node.Subscribe(t.Context(), at.channel, 0, 0, Visitor{u, seen.State()})
				if err != nil {
					t.Error(err)
					return
				}
				at.tab.Subscriber = s
				for range roll(5) {
					time.Sleep(time.Duration(roll(int(2 * time.Second))))
					nodes[roll(len(nodes))].Typing(at.channel, u)
					at.tab.look(t)
				}
				if n == 29 && i%3 > 0 { // most stay
					mu.Lock()
					defer mu.Unlock()
					stays = append(stays, at)
					return
				}
				at.tab.close()
			}
		})
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-time.After(5 * time.Second):
				for _, b := range nodes {
					b.AnnounceAll()
				}
			case <-stop:
				return
			}
		}
	}()
	group.Wait()
	lossless.Store(true)
	time.Sleep(graceTime + 2*remoteTime)
	synctest.Wait()
	for channel := range int64(channels) {
		there := map[int64]User{}
		for _, s := range stays {
			if s.channel == channel {
				there[s.user.ID] = s.user
			}
		}
		want := people(Presence{Here: slices.SortedFunc(maps.Values(there), byName)})
		for i, b := range nodes {
			for _, u := range there {
				if got := people(b.Registry.Presence(channel, u)); got != want {
					t.Errorf("node %d shows %q in channel %d, want %q", i, got, channel, want)
				}
				break
			}
		}
		for _, s := range stays {
			if s.tab.look(t); s.channel == channel && s.tab.shows != want {
				t.Errorf("%s is shown %q in channel %d, want %q", s.user.Name, s.tab.shows, channel, want)
			}
		}
	}
	close(stop)
	for _, s := range stays {
		s.tab.close()
	}
	time.Sleep(graceTime + remoteTime + 2*time.Second)
	bus.Wait()
	for _, b := range nodes {
		b.isEmpty(t)
	}
}

// usersOf returns n users.
func usersOf(n int) []User {
	users := make([]User, n)
	for i := range users {
		users[i] = User{int64(i + 1), fmt.Sprintf("Person %05d", i*7919%n)}
	}
	return users
}

// BenchmarkRemote sets 10,000 people at another node, as it does every five
// seconds.
func BenchmarkRemote(b *testing.B) {
	r := newTestRegistry(b, &presenceSource{ledger: newLedger()})
	everyone := all(usersOf(10_000)...)
	r.SetRemote("b", 0, everyone)
	b.ReportAllocs()
	for b.Loop() {
		r.SetRemote("b", 0, everyone)
	}
}

// BenchmarkRemoteComes sets 10,000 people of whom nothing was known.
func BenchmarkRemoteComes(b *testing.B) {
	everyone := all(usersOf(10_000)...)
	b.ReportAllocs()
	for b.Loop() {
		r := &Registry{roster: newRoster()} // whose flusher does not run
		r.SetRemote("b", 0, everyone)
	}
}

// BenchmarkRemoteChanges has one of 10,000 people at another node, who was
// among those named, go and come back.
func BenchmarkRemoteChanges(b *testing.B) {
	r := &Registry{roster: newRoster()}
	users := usersOf(10_000)
	r.SetRemote("b", 0, all(users...))
	b.ReportAllocs()
	for b.Loop() {
		r.SetRemote("b", 0, leave(users[0].ID))
		r.Presence(1, users[1])
		r.SetRemote("b", 0, come(users[0]))
		r.Presence(1, users[1])
	}
}

// BenchmarkAnnounceAll announces 10,000 people here, as every five seconds.
func BenchmarkAnnounceAll(b *testing.B) {
	c := newRoster()
	r := &Registry{roster: c}
	r.OnAttendance(func([]Attendance) {})
	for _, u := range usersOf(10_000) {
		c.enter(1, u)
	}
	c.takeAttendances()
	b.ReportAllocs()
	for b.Loop() {
		r.AnnounceAll()
		if all := c.takeAttendances(); len(all[0].Here) != 10_000 {
			b.Fatal(len(all[0].Here))
		}
	}
}
