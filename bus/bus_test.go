package bus

import (
	"context"
	"fmt"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// everything is a notice with something of each kind.
func everything() Notice {
	return Notice{
		Channels: map[int64]int64{1: 7, 2: 0}, Users: []int64{11}, Readers: []int64{12, 13},
		Presence: []Presence{{Channel: 1, Here: []User{{21, "Ada"}, {22, "张伟"}}, Whole: true}},
		Moments:  []Moment{moment(1, 21)}, Ask: true,
	}
}

func knowsEverything(w *world) bool {
	revision, isNew := w.channels[2]
	return w.channels[1] == 7 && isNew && revision == 0 && w.users[11] && w.readers[12] && w.readers[13] &&
		reflect.DeepEqual(w.here[1], map[int64]string{21: "Ada", 22: "张伟"}) && w.moments[moment(1, 21)] && w.asked > 0
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		all := nodes(t, Options{Database: database(t)}, "a", "b", "c")
		all[0].Tell(everything())
		all[1].await(t, "it was told everything", knowsEverything)
		all[2].await(t, "it was told everything", knowsEverything)
		ownNotHeard(t, all[0], all[1])
	})
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		text := database(t)
		_, server := servers(t)
		spy := newSpy(t, text)
		all := nodes(t, Options{Database: text, NATS: server.URL()}, "a", "b", "c")
		for _, n := range all {
			n.is(t, "it tells NATS alone", settled)
		}
		all[0].Tell(everything())
		all[1].await(t, "it was told everything", knowsEverything)
		all[2].await(t, "it was told everything", knowsEverything)
		ownNotHeard(t, all[0], all[1])
		spy.heardNone(t, "channels", all[0], all[1])
	})
	t.Run("another cluster on the same NATS", func(t *testing.T) {
		t.Parallel()
		_, server := servers(t)
		first := nodes(t, Options{Database: database(t), NATS: server.URL()}, "a", "b")
		second := nodes(t, Options{Database: database(t), NATS: server.URL()}, "x", "y")
		reach(t, first[0], 1, 5, first[1])
		reach(t, second[0], 2, 6, second[1])
		second[1].await(t, "it hears only its own", func(w *world) bool { return w.channels[1] == 0 })
	})
}

// ownNotHeard: after a has told, it hears b, and never itself.
func ownNotHeard(t *testing.T, a, b *node) {
	t.Helper()
	reach(t, b, 100, 1, a)
	a.await(t, "it heard none but others", func(w *world) bool { return len(w.told) == 1 && w.told[b.node] })
}

// TestMerged: however much is told, it is no more notices than the pace allows.
func TestMerged(t *testing.T) {
	t.Parallel()
	_, server := servers(t)
	for name, tt := range map[string]struct {
		options Options
		pace    time.Duration
	}{
		"PostgreSQL": {Options{Database: database(t)}, notifyPace},
		"NATS":       {Options{Database: database(t), NATS: server.URL()}, publishPace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := nodes(t, tt.options, "a", "b")
			if tt.options.NATS != "" {
				all[0].is(t, "it tells NATS alone", settled)
			}
			const tellers, span = 4, 300 * time.Millisecond
			last := make([]int64, tellers)
			began := time.Now()
			var work sync.WaitGroup
			for teller := range int64(tellers) {
				work.Go(func() {
					for time.Since(began) < span {
						last[teller]++
						all[0].Tell(Notice{Channels: map[int64]int64{teller: last[teller]}})
						time.Sleep(tt.pace / 10) // or there is no time to send
					}
				})
			}
			work.Wait()
			all[1].await(t, "all have come", func(w *world) bool {
				for teller := range int64(tellers) {
					if w.channels[teller] != last[teller] {
						return false
					}
				}
				return true
			})
			most := 2 + int(time.Since(began)/tt.pace)
			all[1].await(t, "there were few notices", func(w *world) bool {
				if w.notices > most {
					t.Errorf("%d notices for %d that were told, over %d", w.notices, last, most)
				}
				return true
			})
		})
	}
}

// TestLong: what does not fit into a payload comes in several, whole.
func TestLong(t *testing.T) {
	t.Parallel()
	_, server := servers(t)
	for name, options := range map[string]Options{
		"PostgreSQL": {Database: database(t)},
		"NATS":       {Database: database(t), NATS: server.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := nodes(t, options, "a", "b")
			if options.NATS != "" {
				all[0].is(t, "it tells NATS alone", settled)
			}
			want := map[int64]map[int64]string{}
			var told Notice
			for channel := range int64(6) {
				p := Presence{Channel: channel, Whole: true}
				want[channel] = map[int64]string{}
				people := int64(1000)
				if channel == 0 {
					people = 15_000
				}
				for id := range people {
					u := User{id, fmt.Sprintf("user 张伟 <%d>", id)}
					p.Here = append(p.Here, u)
					want[channel][id] = u.Name
				}
				told.Presence = append(told.Presence, p)
			}
			all[0].Tell(told)
			all[1].await(t, "all are here", func(w *world) bool { return reflect.DeepEqual(w.here, want) })
		})
	}
}

// TestDatabaseStopped: everyone looks again when the database is back, for a
// NOTIFY is heard by those only who listen already. The log says so once,
// without the password.
func TestDatabaseStopped(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	a, b := all[0], all[1]
	reach(t, a, 1, 1, b)
	missedA, missedB := a.missedSoFar(), b.missedSoFar()

	check(t, server.Stop())
	a.Tell(Notice{Channels: map[int64]int64{2: 1}})
	a.is(t, "it knows that nobody takes what it tells", func(b *Bus) bool { return b.silent })
	for _, n := range all {
		n.is(t, "it knows that it hears nothing", func(b *Bus) bool { return !b.listening })
	}
	check(t, server.Start(t.Context()))
	a.await(t, "it looks again, for both connections", func(w *world) bool { return w.missed >= missedA+2 })
	b.await(t, "it looks again", func(w *world) bool { return w.missed > missedB })
	for _, n := range all {
		n.is(t, "it listens", listening)
	}
	reach(t, a, 3, 1, b)
	reach(t, b, 4, 1, a)

	for _, n := range all {
		n.log.await(t, 1, "other nodes are not heard through the database")
		n.log.await(t, 1, "other nodes are heard through the database again")
	}
	a.log.await(t, 1, "does not take what other nodes are to be told")
	a.log.await(t, 1, "takes what other nodes are to be told again")
	u, err := url.Parse(text)
	check(t, err)
	if password, _ := u.User.Password(); strings.Contains(a.log.String(), password) {
		t.Errorf("the password is in the log:\n%s", a.log)
	}
}

// TestKept: what a node tells while it cannot reach the database comes
// afterwards, but for what will not be true any more.
func TestKept(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*wire){"severed": (*wire).sever, "held up": (*wire).hold} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := database(t)
			wire, detour := through(t, text)
			a, b := start(t, "a", Options{Database: detour}), start(t, "b", Options{Database: text})
			for _, n := range []*node{a, b} {
				n.is(t, "it listens", listening)
			}
			reach(t, a, 1, 1, b)
			reach(t, b, 1, 1, a)
			missedA, missedB := a.missedSoFar(), b.missedSoFar()

			cut(wire)
			a.Tell(Notice{Presence: []Presence{{Channel: 1, Here: []User{{1, "Ada"}}}}, Moments: []Moment{moment(1, 1)}, Readers: []int64{1000}})
			a.is(t, "it knows that nobody takes what it tells", func(b *Bus) bool { return b.silent })
			for i := range int64(100) {
				a.Tell(Notice{Channels: map[int64]int64{i: i + 2}, Users: []int64{i}, Readers: []int64{i}})
			}
			a.is(t, "it knows that it hears nothing", func(b *Bus) bool { return !b.listening })
			wire.sever() // what was held is lost
			wire.restore()

			b.await(t, "it was told all that is in the database", func(w *world) bool {
				for i := range int64(100) {
					if w.channels[i] != i+2 || !w.users[i] || !w.readers[i] {
						return false
					}
				}
				return w.readers[1000]
			})
			a.await(t, "it is to tell who is there again, and look", func(w *world) bool { return w.missed >= missedA+2 })
			a.is(t, "it listens", listening)
			reach(t, b, 500, 1, a)
			reach(t, a, 501, 1, b)
			b.await(t, "it was not told who was there", func(w *world) bool { return len(w.here) == 0 && len(w.moments) == 0 })
			if now := b.missedSoFar(); now != missedB {
				t.Errorf("b missed %d times, where nothing was lost to it", now-missedB)
			}
		})
	}
}

// TestDatabaseHangs: a server that answers nothing is found out, and found
// again.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	missed := all[1].missedSoFar()
	check(t, server.Pause())
	for _, n := range all {
		n.is(t, "it knows that it hears nothing", func(b *Bus) bool { return !b.listening })
	}
	check(t, server.Resume())
	all[1].await(t, "it looks again", func(w *world) bool { return w.missed > missed })
	for _, n := range all {
		n.is(t, "it listens", listening)
	}
	reach(t, all[0], 3, 1, all[1])
	reach(t, all[1], 4, 1, all[0])
}

// TestDatabaseAwayAtStart: nodes start without their servers, and find them.
func TestDatabaseAwayAtStart(t *testing.T) {
	t.Parallel()
	database, text := ownPostgres(t)
	nats := ownNATS(t)
	check(t, database.Stop())
	check(t, nats.Stop())
	options := Options{Database: text, NATS: nats.URL()}
	a, b := start(t, "a", options), start(t, "b", options)
	a.Tell(Notice{Channels: map[int64]int64{1: 9}})
	a.log.await(t, 1, "not heard through the database")
	a.log.await(t, 1, "NATS is away")
	check(t, database.Start(t.Context()))
	// b may be later to listen than a to tell, and looks for itself then.
	for _, n := range []*node{a, b} {
		n.await(t, "it looks", func(w *world) bool { return w.missed > 0 })
		n.is(t, "it listens", listening)
	}
	reach(t, b, 2, 9, a)
	check(t, nats.Start(t.Context()))
	for _, n := range []*node{a, b} {
		n.is(t, "it is on NATS", func(b *Bus) bool { return b.onNATS })
	}
	reach(t, a, 3, 9, b)
}

// TestHalfDeadListener: a line that nothing comes through any more, and that
// nobody says is dead, is found out.
func TestHalfDeadListener(t *testing.T) {
	t.Parallel()
	text := database(t)
	wire, detour := through(t, text)
	a, b := start(t, "a", Options{Database: text}), start(t, "b", Options{Database: detour})
	for _, n := range []*node{a, b} {
		n.is(t, "it listens", listening)
	}
	reach(t, a, 1, 1, b)
	missed := b.missedSoFar()
	wire.hold()
	b.is(t, "it knows that it hears nothing", func(b *Bus) bool { return !b.listening })
	a.Tell(Notice{Channels: map[int64]int64{2: 1}})
	wire.sever()
	wire.restore()
	b.await(t, "it looks again", func(w *world) bool { return w.missed > missed })
	b.is(t, "it listens", listening)
	reach(t, a, 3, 1, b)
	reach(t, b, 4, 1, a)
}

// TestQuiet: a line on which nothing is said stays as it is, however long.
func TestQuiet(t *testing.T) {
	t.Parallel()
	all := nodes(t, Options{Database: database(t)}, "a", "b")
	missed := all[1].missedSoFar()
	time.Sleep(brief().beat * 5 / 2) // nothing is to happen in it
	reach(t, all[0], 1, 1, all[1])
	if now := all[1].missedSoFar(); now != missed {
		t.Errorf("missed %d times, where nothing was lost", now-missed)
	}
}

// TestSlowLine: a notice that takes longer than a beat to come through is heard.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	text := database(t)
	wire, detour := through(t, text)
	a, b := start(t, "a", Options{Database: text}), start(t, "b", Options{Database: detour})
	for _, n := range []*node{a, b} {
		n.is(t, "it listens", listening)
	}
	missed := b.missedSoFar()
	wire.slow(brief().beat / 6)
	told := Notice{Channels: map[int64]int64{}}
	for id := range int64(700) { // 7 KiB, and the wire passes 1 KiB at a time
		told.Channels[id] = 1000 + id
	}
	began := time.Now()
	a.Tell(told)
	b.await(t, "it was told", func(w *world) bool { return len(w.channels) == 700 })
	if took := time.Since(began); took < brief().beat {
		t.Errorf("it took only %v", took)
	}
	if now := b.missedSoFar(); now != missed {
		t.Errorf("missed %d times, where nothing was lost", now-missed)
	}
}

// TestConnectionEnded: a connection that the server has ended meanwhile is
// replaced at once.
func TestConnectionEnded(t *testing.T) {
	t.Parallel()
	text := database(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	reach(t, all[0], 1, 1, all[1])
	conn, err := pgx.Connect(t.Context(), text)
	check(t, err)
	defer hangUp(conn)
	ended, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_notify%'`)
	check(t, err)
	if ended.RowsAffected() == 0 {
		t.Fatal("no connection was found to end")
	}
	all[0].Tell(Notice{Presence: []Presence{{Channel: 1, Here: []User{{1, "Ada"}}}}})
	all[1].await(t, "it was told", func(w *world) bool { return w.here[1][1] == "Ada" })
	all[0].log.await(t, 0, "does not take")
}

// TestNATSStopped: without NATS, nodes tell each other through the database,
// and through NATS again when it is back.
func TestNATSStopped(t *testing.T) {
	t.Parallel()
	text := database(t)
	server := ownNATS(t)
	all := nodes(t, Options{Database: text, NATS: server.URL()}, "a", "b")
	a, b := all[0], all[1]
	for _, n := range all {
		n.is(t, "it tells NATS alone", settled)
	}
	reach(t, a, 1, 1, b)
	missed := b.missedSoFar()

	check(t, server.Stop())
	began := time.Now()
	a.Tell(everything())
	b.await(t, "it was told everything", knowsEverything)
	if took := time.Since(began); took > brief().answer {
		t.Errorf("without NATS it took %v to be heard", took)
	}
	b.await(t, "it looks again", func(w *world) bool { return w.missed > missed })
	reach(t, b, 3, 1, a)
	for _, n := range all {
		n.log.await(t, 1, "NATS is away")
	}
	missed = b.missedSoFar()

	check(t, server.Start(t.Context()))
	for _, n := range all {
		n.is(t, "it tells NATS alone", settled)
		n.log.await(t, 1, "are told through NATS")
	}
	b.await(t, "it looks again", func(w *world) bool { return w.missed > missed })
	spy := newSpy(t, text)
	reach(t, a, 4, 1, b)
	reach(t, b, 5, 1, a)
	spy.heardNone(t, "channels", a, b)
}

// TestCutOffNATS: one node loses NATS and the other does not. They hear each
// other all the same.
func TestCutOffNATS(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*wire){"severed": (*wire).sever, "held up": (*wire).hold} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := database(t)
			_, server := servers(t)
			wire := newWire(t, strings.TrimPrefix(server.URL(), "nats://"))
			a := start(t, "a", Options{Database: text, NATS: server.URL(), Cluster: text})
			b := start(t, "b", Options{Database: text, NATS: "nats://" + wire.addr, Cluster: text})
			for _, n := range []*node{a, b} {
				n.is(t, "it tells NATS alone", settled)
			}
			reach(t, a, 1, 1, b)
			reach(t, b, 2, 1, a)
			a.is(t, "it tells NATS alone", settled)
			reach(t, a, 4, 1, b)
			missed := b.missedSoFar()

			cut(wire)
			a.Tell(Notice{Channels: map[int64]int64{3: 1}}) // over NATS, where b is no more
			b.await(t, "it looks again, because it was cut off and because a told NATS", func(w *world) bool { return w.missed >= missed+2 })
			if name == "held up" {
				wire.sever() // what it held is lost
			}
			a.is(t, "it knows that b is deaf", func(b *Bus) bool { return !b.alone && time.Now().Before(b.deafUntil) })
			began := time.Now()
			for i := range int64(10) {
				reach(t, a, 10+i, 1, b)
				reach(t, b, 20+i, 1, a)
			}
			if took := time.Since(began); took > 20*brief().beat { // were each of them to wait
				t.Errorf("twenty notices took %v", took)
			}
			a.is(t, "it is on NATS all the while", func(b *Bus) bool { return b.onNATS })

			// As long as it lasts.
			if name == "held up" {
				return
			}
			for until := time.Now().Add(brief().deaf() + brief().beat/2); time.Now().Before(until); time.Sleep(brief().beat / 10) {
				a.is(t, "it tells both", func(b *Bus) bool { return !settled(b) })
			}
			reach(t, a, 50, 1, b)

			missed = b.missedSoFar()
			wire.restore()
			b.await(t, "it looks again", func(w *world) bool { return w.missed > missed })
			for _, n := range []*node{a, b} {
				n.is(t, "it tells NATS alone", settled)
			}
			reach(t, a, 60, 1, b)
			reach(t, b, 61, 1, a)
		})
	}
}

// TestSomeWithoutNATS: a node that was not told of NATS is deaf for good, and
// the others learn of it, whoever is there first.
func TestSomeWithoutNATS(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"with NATS", "without NATS"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			text := database(t)
			_, server := servers(t)
			var with, without *node
			begin := map[string]func(){
				"with NATS": func() {
					with = start(t, "with", Options{Database: text, NATS: server.URL()})
					with.is(t, "it is on NATS", func(b *Bus) bool { return b.onNATS })
				},
				"without NATS": func() {
					without = start(t, "without", Options{Database: text})
					without.is(t, "it listens", listening)
				},
			}
			begin[first]()
			delete(begin, first)
			for _, second := range begin {
				second()
			}
			with.is(t, "it listens", listening)
			reach(t, without, 1, 1, with)
			reach(t, with, 2, 1, without)
			with.is(t, "it has heard of nobody who is deaf for long", settled)
			missed := without.missedSoFar()
			with.Tell(Notice{Channels: map[int64]int64{3: 1}})
			without.await(t, "it looks for what went over NATS", func(w *world) bool { return w.missed > missed })
			with.is(t, "it tells both", func(b *Bus) bool { return !settled(b) })
			for i := range int64(5) {
				reach(t, with, 10+i, 1, without)
			}
			for until := time.Now().Add(brief().deaf() + brief().beat/2); time.Now().Before(until); time.Sleep(brief().beat / 10) {
				with.is(t, "it tells both", func(b *Bus) bool { return !settled(b) })
			}
		})
	}
}

// TestNeitherHeardNorDeaf: a node that does not hear PostgreSQL cannot know who
// is deaf, and tells it all the same.
func TestNeitherHeardNorDeaf(t *testing.T) {
	t.Parallel()
	text := database(t)
	_, server := servers(t)
	wire, detour := through(t, text)
	a := start(t, "a", Options{Database: detour, NATS: server.URL(), Cluster: text})
	a.is(t, "it tells NATS alone", settled)
	wire.sever()
	a.is(t, "it knows that it hears nothing", func(b *Bus) bool { return !b.listening })
	b := start(t, "b", Options{Database: text, Cluster: text})
	b.is(t, "it listens", listening)
	a.Tell(Notice{Channels: map[int64]int64{1: 1}})
	wire.restore()
	b.await(t, "it was told", func(w *world) bool { return w.channels[1] == 1 })
}

// TestForeign: what others put where the nodes talk does no harm, and fills no
// log.
func TestForeign(t *testing.T) {
	t.Parallel()
	text := database(t)
	_, server := servers(t)
	a := start(t, "a", Options{Database: text, NATS: server.URL(), Cluster: "foreign"})
	b := start(t, "b", Options{Database: text, NATS: server.URL(), Cluster: "foreign"})
	for _, n := range []*node{a, b} {
		n.is(t, "it listens to PostgreSQL", listening)
		n.is(t, "it is on NATS", func(b *Bus) bool { return b.onNATS })
	}
	conn, err := pgx.Connect(t.Context(), text)
	check(t, err)
	defer hangUp(conn)
	nc, err := nats.Connect(server.URL())
	check(t, err)
	defer nc.Close()
	for _, junk := range []string{
		"", "{", "null", "[]", `"node"`, `{"node":7}`, `{"node":""}`, `{"node":"x","channels":[1]}`,
		`{"node":"x","channels":{"1":99999999999999999999}}`, `{"node":"` + strings.Repeat("x", maxNode+1) + `"}`,
		`{"node":"x","presence":[{"h":[null],"c":1.5}]}`, "\u202e\x7f", strings.Repeat("[", 7000),
		`{"node":"` + a.node + `","channels":{"77":1}}`, ` {"node":"` + a.node + `","channels":{"77":1}}`,
	} {
		_, err := conn.Exec(t.Context(), "SELECT pg_notify('hubbub', $1)", junk)
		check(t, err)
		check(t, nc.Publish(subject("foreign"), []byte(junk)))
	}
	check(t, nc.Publish(subject("foreign"), []byte{0xff, 0, 1}))
	check(t, nc.Publish(subject("foreign"), []byte(`{"node":"x","channels":{"77":1},"users":[`+strings.Repeat("1,", maxMessage/2)+`1]}`)))
	check(t, nc.Flush())
	check(t, nc.Publish(subject("foreign"), []byte(`{"node":"x","channels":{"3":1}}`)))
	reach(t, b, 1, 1, a)
	_, err = conn.Exec(t.Context(), `SELECT pg_notify('hubbub', '{"node":"x","channels":{"2":1},"new":{"to":"come"}}')`)
	check(t, err)
	a.await(t, "it heard what makes sense", func(w *world) bool { return w.channels[2] == 1 && w.channels[3] == 1 })
	a.await(t, "it heard nothing else", func(w *world) bool { return w.channels[77] == 0 && len(w.told) == 2 })
	a.log.await(t, 1, "is no notice")
}

// TestUnsure: whoever has forgotten what to tell has the others look.
func TestUnsure(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	missed := all[1].missedSoFar()
	// The nodes' connections stay, but nothing more is taken.
	check(t, server.Pause())
	for id := range int64(3 * maxUsers) { // the first of them are being sent
		all[0].Tell(Notice{Users: []int64{id}})
	}
	check(t, server.Resume())
	all[1].await(t, "it looks again", func(w *world) bool { return w.missed > missed })
	all[1].await(t, "it was not told of each", func(w *world) bool { return len(w.users) < 3*maxUsers })
}

// TestClose: what waits is sent, then goodbye; and nothing is left running. It
// is not parallel, for it counts goroutines.
func TestClose(t *testing.T) {
	_, server := servers(t)
	before := goroutines()
	for name, servers := range map[string]string{"PostgreSQL": "", "NATS": server.URL()} {
		t.Run(name, func(t *testing.T) {
			all := nodes(t, Options{Database: database(t), NATS: servers}, "a", "b")
			a, b := all[0], all[1]
			// The second waits for the pace of the first.
			a.Tell(Notice{Channels: map[int64]int64{1: 1}})
			a.Tell(Notice{Channels: map[int64]int64{2: 1}, Users: []int64{5}})
			check(t, a.Close(t.Context()))
			a.Tell(Notice{Channels: map[int64]int64{3: 1}})
			b.await(t, "it was told all and goodbye", func(w *world) bool {
				return w.channels[1] == 1 && w.channels[2] == 1 && w.users[5] && w.bye[a.node]
			})
			check(t, a.Close(t.Context()))
			check(t, b.Close(t.Context()))
			b.await(t, "nothing is told after that", func(w *world) bool { return w.channels[3] == 0 })
		})
	}
	t.Run("unused", func(t *testing.T) {
		b, err := Open(Options{Database: database(t)})
		check(t, err)
		check(t, b.Close(t.Context()))
	})
	t.Run("servers away", func(t *testing.T) {
		// Nobody answers at the one, nobody listens at the other.
		wire, silent := through(t, database(t))
		wire.hold()
		n := start(t, "a", Options{Database: silent, NATS: "nats://127.0.0.1:1"})
		n.Tell(Notice{Users: []int64{1}})
		began := time.Now()
		if err := n.Close(t.Context()); err == nil {
			t.Error("all was sent, to nobody")
		}
		if took := time.Since(began); took > brief().closing+2*time.Second {
			t.Errorf("closing took %v", took)
		}
		n = start(t, "b", Options{Database: "postgres://hubbub@127.0.0.1:1/none"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		if err := n.Close(ctx); err == nil || time.Since(began) > time.Second {
			t.Errorf("closing at once: %v after %v", err, time.Since(began))
		}
	})
	for deadline := time.Now().Add(waitTime); ; time.Sleep(5 * time.Millisecond) {
		left := goroutines()
		if len(left) <= len(before) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before:\n%s", len(left), len(before), strings.Join(left, "\n\n"))
		}
	}
}

// goroutines returns the stacks of those that do our work.
func goroutines() []string {
	buffer := make([]byte, 4<<20)
	all := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool {
		ours := strings.Contains(stack, "hubbub/bus.") || strings.Contains(stack, "nats.go") || strings.Contains(stack, "pgx")
		return !ours || strings.Contains(stack, "testing.(*T).Parallel") || strings.Contains(stack, "testing.(*M)") || strings.Contains(stack, "bus.goroutines")
	})
}

// TestOpen: what can never work is refused, in words that hold no password.
func TestOpen(t *testing.T) {
	t.Parallel()
	const good = "postgres://hubbub:secret@127.0.0.1/hubbub"
	for _, tt := range []struct{ database, nats string }{
		{"mysql://hubbub:secret@127.0.0.1/hubbub", ""},
		{"postgres://hubbub:sec/ret@127.0.0.1/hubbub", ""},
		{"postgres://hubbub:secret@127.0.0.1:port/hubbub", ""},
		{"postgres://hubbub:secret@127.0.0.1/hubbub?sslmode=secret", ""},
		{good, "nats://"},
		{good, "nats://a,,nats://b"},
		{good, "http://hubbub:secret@a"},
		{good, "ws://hubbub:secret@a"},
		{good, "nats://a,wss://hubbub:secret@b"},
		{good, "nats://hubbub:sec/ret@a"},
		{good, "nats://hubbub:secret@a:port"},
	} {
		b, err := Open(Options{Database: tt.database, NATS: tt.nats, Cluster: "test"})
		if err == nil || b != nil {
			t.Errorf("%q with %q is taken", tt.database, tt.nats)
		} else if strings.Contains(err.Error(), "sec") {
			t.Errorf("the password is in %q", err)
		}
	}
	for _, database := range []string{"host=127.0.0.1 password=secret", "postgres://hubbub:secret@a,b:5433/hubbub?target_session_attrs=primary"} {
		if _, err := Open(Options{Database: database}); err != nil {
			t.Errorf("%q: %v", database, err)
		}
	}
	for _, servers := range []string{"", "nats://a", "a:4222", "nats://a,nats://b:4222", "nats://a, b", "tls://hubbub:secret@a", "nats://[::1]:4222"} {
		if _, err := Open(Options{Database: good, NATS: servers, Cluster: "test"}); err != nil {
			t.Errorf("%q: %v", servers, err)
		}
	}
}

// TestOpenWithoutCluster: two databases would hear each other.
func TestOpenWithoutCluster(t *testing.T) {
	t.Parallel()
	if _, err := Open(Options{Database: "postgres://hubbub@127.0.0.1/hubbub", NATS: "nats://a"}); err == nil {
		t.Error("it is taken")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts, most := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond,
		6: 2 * time.Second, 1 << 40: 2 * time.Second,
	} {
		for range 100 {
			if wait := backoff(attempts); wait > most || wait < most/2 {
				t.Fatalf("after %d attempts: %v, want %v to %v", attempts, wait, most/2, most)
			}
		}
	}
}
