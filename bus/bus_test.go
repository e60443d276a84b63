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

// everything returns a notice with all that a notice can say, except Bye.
func everything() Notice {
	return Notice{
		Channels: map[int64]int64{1: 7, 2: 0}, Users: []int64{11}, Readers: []int64{12, 13},
		Presence: []Presence{{Channel: 1, Here: []User{{21, "Ada"}, {22, "张伟"}}, Whole: true}},
		Moments:  []Moment{typing(1, 21)}, Ask: true,
	}
}

// receivedEverything reports whether r has all that is in everything.
func receivedEverything(r *record) bool {
	revision, isNew := r.channels[2]
	return r.channels[1] == 7 && isNew && revision == 0 && r.users[11] && r.readers[12] && r.readers[13] &&
		reflect.DeepEqual(r.here[1], map[int64]string{21: "Ada", 22: "张伟"}) && r.moments[typing(1, 21)] && r.asked > 0
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		all := nodes(t, Options{Database: database(t)}, "a", "b", "c")
		all[0].Publish(everything())
		all[1].await(t, "it receives everything", receivedEverything)
		all[2].await(t, "it receives everything", receivedEverything)
		assertOwnIgnored(t, all[0], all[1])
	})
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		text := database(t)
		_, server := servers(t)
		spy := newSpy(t, text)
		all := nodes(t, Options{Database: text, NATS: server.URL()}, "a", "b", "c")
		for _, n := range all {
			n.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
		}
		all[0].Publish(everything())
		all[1].await(t, "it receives everything", receivedEverything)
		all[2].await(t, "it receives everything", receivedEverything)
		assertOwnIgnored(t, all[0], all[1])
		spy.assertNone(t, "channels", all[0], all[1])
	})
	t.Run("another cluster on the same NATS", func(t *testing.T) {
		t.Parallel()
		_, server := servers(t)
		first := nodes(t, Options{Database: database(t), NATS: server.URL()}, "a", "b")
		second := nodes(t, Options{Database: database(t), NATS: server.URL()}, "x", "y")
		publishAndAwait(t, first[0], 1, 5, first[1])
		publishAndAwait(t, second[0], 2, 6, second[1])
		second[1].await(t, "it receives nothing of the other cluster", func(r *record) bool { return r.channels[1] == 0 })
	})
}

// assertOwnIgnored fails the test if a receives what it has published itself.
func assertOwnIgnored(t *testing.T, a, b *node) {
	t.Helper()
	publishAndAwait(t, b, 100, 1, a)
	a.await(t, "it receives from b only", func(r *record) bool { return len(r.senders) == 1 && r.senders[b.node] })
}

// TestMerging: however much is published, no more notices are sent than the least
// time between two sends allows.
func TestMerging(t *testing.T) {
	t.Parallel()
	_, server := servers(t)
	for name, tt := range map[string]struct {
		options  Options
		interval time.Duration
	}{
		"PostgreSQL": {Options{Database: database(t)}, notifyInterval},
		"NATS":       {Options{Database: database(t), NATS: server.URL()}, publishInterval},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := nodes(t, tt.options, "a", "b")
			if tt.options.NATS != "" {
				all[0].awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
			}
			const publishers, span = 4, 300 * time.Millisecond
			last := make([]int64, publishers)
			began := time.Now()
			var work sync.WaitGroup
			for publisher := range int64(publishers) {
				work.Go(func() {
					for time.Since(began) < span {
						last[publisher]++
						all[0].Publish(Notice{Channels: map[int64]int64{publisher: last[publisher]}})
						time.Sleep(tt.interval / 10) // so that there is time to send
					}
				})
			}
			work.Wait()
			all[1].await(t, "it receives the latest of each", func(r *record) bool {
				for publisher := range int64(publishers) {
					if r.channels[publisher] != last[publisher] {
						return false
					}
				}
				return true
			})
			most := 2 + int(time.Since(began)/tt.interval)
			all[1].await(t, "it receives few notices", func(r *record) bool {
				if r.notices > most {
					t.Errorf("%d notices for %d that were published, over %d", r.notices, last, most)
				}
				return true
			})
		})
	}
}

// TestLongNotice: a notice that is too long for one message arrives in several,
// and all of it arrives.
func TestLongNotice(t *testing.T) {
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
				all[0].awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
			}
			want := map[int64]map[int64]string{}
			var notice Notice
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
				notice.Presence = append(notice.Presence, p)
			}
			all[0].Publish(notice)
			all[1].await(t, "it receives everybody", func(r *record) bool { return reflect.DeepEqual(r.here, want) })
		})
	}
}

// TestDatabaseStopped: Missed is called at every node when the database is back,
// because a NOTIFY reaches only connections that listen already. The log says once
// what happened, without the password.
func TestDatabaseStopped(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	a, b := all[0], all[1]
	publishAndAwait(t, a, 1, 1, b)
	missedA, missedB := a.missedCalls(), b.missedCalls()

	check(t, server.Stop())
	a.Publish(Notice{Channels: map[int64]int64{2: 1}})
	a.awaitState(t, "it notices that NOTIFY fails", func(b *Bus) bool { return b.notifyFailing })
	for _, n := range all {
		n.awaitState(t, "it notices that it receives nothing", func(b *Bus) bool { return !b.listening })
	}
	check(t, server.Start(t.Context()))
	a.await(t, "Missed is called for both connections", func(r *record) bool { return r.missed >= missedA+2 })
	b.await(t, "Missed is called", func(r *record) bool { return r.missed > missedB })
	for _, n := range all {
		n.awaitState(t, "it listens", listening)
	}
	publishAndAwait(t, a, 3, 1, b)
	publishAndAwait(t, b, 4, 1, a)

	for _, n := range all {
		n.log.await(t, 1, "notices of other nodes cannot be received through the database")
		n.log.await(t, 1, "notices of other nodes are received through the database again")
	}
	a.log.await(t, 1, "notices to other nodes cannot be sent through the database")
	a.log.await(t, 1, "notices to other nodes are sent through the database again")
	u, err := url.Parse(text)
	check(t, err)
	if password, _ := u.User.Password(); strings.Contains(a.log.String(), password) {
		t.Errorf("the password is in the log:\n%s", a.log)
	}
}

// TestNoticesKept: what a node publishes while it cannot reach the database arrives
// later, except for what is not true any more.
func TestNoticesKept(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*proxy){"disconnected": (*proxy).disconnect, "held": (*proxy).hold} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := database(t)
			proxy, detour := throughProxy(t, text)
			a, b := start(t, "a", Options{Database: detour}), start(t, "b", Options{Database: text})
			for _, n := range []*node{a, b} {
				n.awaitState(t, "it listens", listening)
			}
			publishAndAwait(t, a, 1, 1, b)
			publishAndAwait(t, b, 1, 1, a)
			missedA, missedB := a.missedCalls(), b.missedCalls()

			cut(proxy)
			a.Publish(Notice{Presence: []Presence{{Channel: 1, Here: []User{{1, "Ada"}}}}, Moments: []Moment{typing(1, 1)}, Readers: []int64{1000}})
			a.awaitState(t, "it notices that NOTIFY fails", func(b *Bus) bool { return b.notifyFailing })
			for i := range int64(100) {
				a.Publish(Notice{Channels: map[int64]int64{i: i + 2}, Users: []int64{i}, Readers: []int64{i}})
			}
			a.awaitState(t, "it notices that it receives nothing", func(b *Bus) bool { return !b.listening })
			proxy.disconnect() // what it holds is lost
			proxy.restore()

			b.await(t, "it receives all that is kept", func(r *record) bool {
				for i := range int64(100) {
					if r.channels[i] != i+2 || !r.users[i] || !r.readers[i] {
						return false
					}
				}
				return r.readers[1000]
			})
			a.await(t, "Missed is called for both connections, so that presence is published again", func(r *record) bool { return r.missed >= missedA+2 })
			a.awaitState(t, "it listens", listening)
			publishAndAwait(t, b, 500, 1, a)
			publishAndAwait(t, a, 501, 1, b)
			b.await(t, "it receives neither presence nor moments", func(r *record) bool { return len(r.here) == 0 && len(r.moments) == 0 })
			if now := b.missedCalls(); now != missedB {
				t.Errorf("Missed was called %d times at b, which has lost nothing", now-missedB)
			}
		})
	}
}

// TestDatabaseHangs: nodes detect that the server no longer answers, and recover
// when it does.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	missed := all[1].missedCalls()
	check(t, server.Pause())
	for _, n := range all {
		n.awaitState(t, "it notices that it receives nothing", func(b *Bus) bool { return !b.listening })
	}
	check(t, server.Resume())
	all[1].await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
	for _, n := range all {
		n.awaitState(t, "it listens", listening)
	}
	publishAndAwait(t, all[0], 3, 1, all[1])
	publishAndAwait(t, all[1], 4, 1, all[0])
}

// TestDatabaseAwayAtStart: nodes start without their servers, and connect when they
// are there.
func TestDatabaseAwayAtStart(t *testing.T) {
	t.Parallel()
	database, text := ownPostgres(t)
	nats := ownNATS(t)
	check(t, database.Stop())
	check(t, nats.Stop())
	options := Options{Database: text, NATS: nats.URL()}
	a, b := start(t, "a", options), start(t, "b", options)
	a.Publish(Notice{Channels: map[int64]int64{1: 9}})
	a.log.await(t, 1, "cannot be received through the database")
	a.log.await(t, 1, "NATS is away")
	check(t, database.Start(t.Context()))
	// If b listens only after a has sent, Missed makes up for it.
	for _, n := range []*node{a, b} {
		n.await(t, "Missed is called", func(r *record) bool { return r.missed > 0 })
		n.awaitState(t, "it listens", listening)
	}
	publishAndAwait(t, b, 2, 9, a)
	check(t, nats.Start(t.Context()))
	for _, n := range []*node{a, b} {
		n.awaitState(t, "it is on NATS", onNATS)
	}
	publishAndAwait(t, a, 3, 9, b)
}

// TestDeadConnection: a node detects that nothing comes through a connection any
// more, although it is still open.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	text := database(t)
	proxy, detour := throughProxy(t, text)
	a, b := start(t, "a", Options{Database: text}), start(t, "b", Options{Database: detour})
	for _, n := range []*node{a, b} {
		n.awaitState(t, "it listens", listening)
	}
	publishAndAwait(t, a, 1, 1, b)
	missed := b.missedCalls()
	proxy.hold()
	b.awaitState(t, "it notices that it receives nothing", func(b *Bus) bool { return !b.listening })
	a.Publish(Notice{Channels: map[int64]int64{2: 1}})
	proxy.disconnect()
	proxy.restore()
	b.await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
	b.awaitState(t, "it listens", listening)
	publishAndAwait(t, a, 3, 1, b)
	publishAndAwait(t, b, 4, 1, a)
}

// TestIdleConnection: a connection on which nothing is sent is kept.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	all := nodes(t, Options{Database: database(t)}, "a", "b")
	missed := all[1].missedCalls()
	time.Sleep(shortTiming().checkInterval * 5 / 2) // nothing may happen meanwhile
	publishAndAwait(t, all[0], 1, 1, all[1])
	if now := all[1].missedCalls(); now != missed {
		t.Errorf("Missed was called %d times although nothing was lost", now-missed)
	}
}

// TestSlowConnection: a notice arrives although it takes longer than the time
// between two pings.
func TestSlowConnection(t *testing.T) {
	t.Parallel()
	text := database(t)
	proxy, detour := throughProxy(t, text)
	a, b := start(t, "a", Options{Database: text}), start(t, "b", Options{Database: detour})
	for _, n := range []*node{a, b} {
		n.awaitState(t, "it listens", listening)
	}
	missed := b.missedCalls()
	proxy.slowDown(shortTiming().checkInterval / 6)
	notice := Notice{Channels: map[int64]int64{}}
	for id := range int64(700) { // 7 KiB, of which the proxy forwards 1 KiB at a time
		notice.Channels[id] = 1000 + id
	}
	began := time.Now()
	a.Publish(notice)
	b.await(t, "it receives the notice", func(r *record) bool { return len(r.channels) == 700 })
	if took := time.Since(began); took < shortTiming().checkInterval {
		t.Errorf("it took only %v", took)
	}
	if now := b.missedCalls(); now != missed {
		t.Errorf("Missed was called %d times although nothing was lost", now-missed)
	}
}

// TestConnectionEnded: a connection that the server has closed is replaced at once
// when it is used.
func TestConnectionEnded(t *testing.T) {
	t.Parallel()
	text := database(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	publishAndAwait(t, all[0], 1, 1, all[1])
	conn, err := pgx.Connect(t.Context(), text)
	check(t, err)
	defer closeConn(conn)
	ended, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_notify%'`)
	check(t, err)
	if ended.RowsAffected() == 0 {
		t.Fatal("there is no connection to end")
	}
	all[0].Publish(Notice{Presence: []Presence{{Channel: 1, Here: []User{{1, "Ada"}}}}})
	all[1].await(t, "it receives the notice", func(r *record) bool { return r.here[1][1] == "Ada" })
	all[0].log.await(t, 0, "cannot be sent")
}

// TestNATSStopped: nodes publish through the database while NATS is away, and
// through NATS again when it is back.
func TestNATSStopped(t *testing.T) {
	t.Parallel()
	text := database(t)
	server := ownNATS(t)
	all := nodes(t, Options{Database: text, NATS: server.URL()}, "a", "b")
	a, b := all[0], all[1]
	for _, n := range all {
		n.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
	}
	publishAndAwait(t, a, 1, 1, b)
	missed := b.missedCalls()

	check(t, server.Stop())
	began := time.Now()
	a.Publish(everything())
	b.await(t, "it receives everything", receivedEverything)
	if took := time.Since(began); took > shortTiming().serverTimeout {
		t.Errorf("without NATS it took %v", took)
	}
	b.await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
	publishAndAwait(t, b, 3, 1, a)
	for _, n := range all {
		n.log.await(t, 1, "NATS is away")
	}
	missed = b.missedCalls()

	check(t, server.Start(t.Context()))
	for _, n := range all {
		n.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
		n.log.await(t, 1, "notices to other nodes are sent through NATS")
	}
	b.await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
	spy := newSpy(t, text)
	publishAndAwait(t, a, 4, 1, b)
	publishAndAwait(t, b, 5, 1, a)
	spy.assertNone(t, "channels", a, b)
}

// TestOneNodeLosesNATS: two nodes still receive from each other if only one of
// them loses NATS.
func TestOneNodeLosesNATS(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*proxy){"disconnected": (*proxy).disconnect, "held": (*proxy).hold} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := database(t)
			_, server := servers(t)
			proxy := newProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
			a := start(t, "a", Options{Database: text, NATS: server.URL(), Cluster: text})
			b := start(t, "b", Options{Database: text, NATS: "nats://" + proxy.addr, Cluster: text})
			for _, n := range []*node{a, b} {
				n.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
			}
			publishAndAwait(t, a, 1, 1, b)
			publishAndAwait(t, b, 2, 1, a)
			a.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
			publishAndAwait(t, a, 4, 1, b)
			missed := b.missedCalls()

			cut(proxy)
			a.Publish(Notice{Channels: map[int64]int64{3: 1}}) // through NATS, which b has lost
			b.await(t, "Missed is called, because b has lost NATS and because a has published to NATS only", func(r *record) bool { return r.missed >= missed+2 })
			if name == "held" {
				proxy.disconnect() // what it holds is lost
			}
			a.awaitState(t, "it knows that b is off NATS", func(b *Bus) bool { return !b.natsOnly && time.Now().Before(b.othersOffNATSUntil) })
			began := time.Now()
			for i := range int64(10) {
				publishAndAwait(t, a, 10+i, 1, b)
				publishAndAwait(t, b, 20+i, 1, a)
			}
			if took := time.Since(began); took > 20*shortTiming().checkInterval { // more only if each had to wait
				t.Errorf("twenty notices took %v", took)
			}
			a.awaitState(t, "it is still on NATS", onNATS)

			if name == "held" {
				return
			}
			// It publishes to both for as long as b is off NATS.
			for until := time.Now().Add(shortTiming().offNATSDuration() + shortTiming().checkInterval/2); time.Now().Before(until); time.Sleep(shortTiming().checkInterval / 10) {
				a.awaitState(t, "it publishes to both", func(b *Bus) bool { return !publishesToNATSOnly(b) })
			}
			publishAndAwait(t, a, 50, 1, b)

			missed = b.missedCalls()
			proxy.restore()
			b.await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
			for _, n := range []*node{a, b} {
				n.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
			}
			publishAndAwait(t, a, 60, 1, b)
			publishAndAwait(t, b, 61, 1, a)
		})
	}
}

// TestOneNodeWithoutNATS: a node that is not configured for NATS is always off it.
// The others learn that, whichever node starts first.
func TestOneNodeWithoutNATS(t *testing.T) {
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
					with.awaitState(t, "it is on NATS", onNATS)
				},
				"without NATS": func() {
					without = start(t, "without", Options{Database: text})
					without.awaitState(t, "it listens", listening)
				},
			}
			begin[first]()
			delete(begin, first)
			for _, second := range begin {
				second()
			}
			with.awaitState(t, "it listens", listening)
			publishAndAwait(t, without, 1, 1, with)
			publishAndAwait(t, with, 2, 1, without)
			with.awaitState(t, "it assumes that all nodes are on NATS", publishesToNATSOnly)
			missed := without.missedCalls()
			with.Publish(Notice{Channels: map[int64]int64{3: 1}})
			without.await(t, "Missed is called for what went through NATS", func(r *record) bool { return r.missed > missed })
			with.awaitState(t, "it publishes to both", func(b *Bus) bool { return !publishesToNATSOnly(b) })
			for i := range int64(5) {
				publishAndAwait(t, with, 10+i, 1, without)
			}
			for until := time.Now().Add(shortTiming().offNATSDuration() + shortTiming().checkInterval/2); time.Now().Before(until); time.Sleep(shortTiming().checkInterval / 10) {
				with.awaitState(t, "it publishes to both", func(b *Bus) bool { return !publishesToNATSOnly(b) })
			}
		})
	}
}

// TestPublishWithoutListening: a node that does not receive from PostgreSQL cannot
// know whether another is off NATS, so it publishes to PostgreSQL too.
func TestPublishWithoutListening(t *testing.T) {
	t.Parallel()
	text := database(t)
	_, server := servers(t)
	proxy, detour := throughProxy(t, text)
	a := start(t, "a", Options{Database: detour, NATS: server.URL(), Cluster: text})
	a.awaitState(t, "it publishes to NATS only", publishesToNATSOnly)
	proxy.disconnect()
	a.awaitState(t, "it notices that it receives nothing", func(b *Bus) bool { return !b.listening })
	b := start(t, "b", Options{Database: text, Cluster: text})
	b.awaitState(t, "it listens", listening)
	a.Publish(Notice{Channels: map[int64]int64{1: 1}})
	proxy.restore()
	b.await(t, "it receives the notice", func(r *record) bool { return r.channels[1] == 1 })
}

// TestForeignMessages: what others send to the nodes' channel and subject does no
// harm, and does not fill the log.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	text := database(t)
	_, server := servers(t)
	a := start(t, "a", Options{Database: text, NATS: server.URL(), Cluster: "foreign"})
	b := start(t, "b", Options{Database: text, NATS: server.URL(), Cluster: "foreign"})
	for _, n := range []*node{a, b} {
		n.awaitState(t, "it listens to PostgreSQL", listening)
		n.awaitState(t, "it is on NATS", onNATS)
	}
	conn, err := pgx.Connect(t.Context(), text)
	check(t, err)
	defer closeConn(conn)
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
	publishAndAwait(t, b, 1, 1, a)
	_, err = conn.Exec(t.Context(), `SELECT pg_notify('hubbub', '{"node":"x","channels":{"2":1},"new":{"to":"come"}}')`)
	check(t, err)
	a.await(t, "it receives what is a notice", func(r *record) bool { return r.channels[2] == 1 && r.channels[3] == 1 })
	a.await(t, "it receives nothing else", func(r *record) bool { return r.channels[77] == 0 && len(r.senders) == 2 })
	a.log.await(t, 1, "is no notice")
}

// TestDropped: when a node drops what it has too much of, Missed is called at the
// others.
func TestDropped(t *testing.T) {
	t.Parallel()
	server, text := ownPostgres(t)
	all := nodes(t, Options{Database: text}, "a", "b")
	missed := all[1].missedCalls()
	// The connections stay open, but the server takes nothing more.
	check(t, server.Pause())
	for id := range int64(3 * maxUsers) { // the first of them may be in a send already
		all[0].Publish(Notice{Users: []int64{id}})
	}
	check(t, server.Resume())
	all[1].await(t, "Missed is called", func(r *record) bool { return r.missed > missed })
	all[1].await(t, "it does not receive all of them", func(r *record) bool { return len(r.users) < 3*maxUsers })
}

// TestClose: Close sends what waits and then Bye, and leaves no goroutine. The test
// is not parallel, because it counts goroutines.
func TestClose(t *testing.T) {
	_, server := servers(t)
	before := goroutines()
	for name, servers := range map[string]string{"PostgreSQL": "", "NATS": server.URL()} {
		t.Run(name, func(t *testing.T) {
			all := nodes(t, Options{Database: database(t), NATS: servers}, "a", "b")
			a, b := all[0], all[1]
			// The second is still queued when Close is called.
			a.Publish(Notice{Channels: map[int64]int64{1: 1}})
			a.Publish(Notice{Channels: map[int64]int64{2: 1}, Users: []int64{5}})
			check(t, a.Close(t.Context()))
			a.Publish(Notice{Channels: map[int64]int64{3: 1}})
			b.await(t, "it receives all and Bye", func(r *record) bool {
				return r.channels[1] == 1 && r.channels[2] == 1 && r.users[5] && r.bye[a.node]
			})
			check(t, a.Close(t.Context()))
			check(t, b.Close(t.Context()))
			b.await(t, "it receives nothing that was published after Close", func(r *record) bool { return r.channels[3] == 0 })
		})
	}
	t.Run("unused", func(t *testing.T) {
		b, err := Open(Options{Database: database(t)})
		check(t, err)
		check(t, b.Close(t.Context()))
	})
	t.Run("servers away", func(t *testing.T) {
		// The database does not answer, and nothing listens on the port of NATS.
		proxy, unanswered := throughProxy(t, database(t))
		proxy.hold()
		n := start(t, "a", Options{Database: unanswered, NATS: "nats://127.0.0.1:1"})
		n.Publish(Notice{Users: []int64{1}})
		began := time.Now()
		if err := n.Close(t.Context()); err == nil {
			t.Error("Close says that all was sent")
		}
		if took := time.Since(began); took > shortTiming().closeTimeout+2*time.Second {
			t.Errorf("Close took %v", took)
		}
		n = start(t, "b", Options{Database: "postgres://hubbub@127.0.0.1:1/none"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		if err := n.Close(ctx); err == nil || time.Since(began) > time.Second {
			t.Errorf("Close with a context that has ended: %v after %v", err, time.Since(began))
		}
	})
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(5 * time.Millisecond) {
		left := goroutines()
		if len(left) <= len(before) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before:\n%s", len(left), len(before), strings.Join(left, "\n\n"))
		}
	}
}

// goroutines returns the stacks of the goroutines that buses have started.
func goroutines() []string {
	buffer := make([]byte, 4<<20)
	all := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool {
		ours := strings.Contains(stack, "hubbub/bus.") || strings.Contains(stack, "nats.go") || strings.Contains(stack, "pgx")
		return !ours || strings.Contains(stack, "testing.(*T).Parallel") || strings.Contains(stack, "testing.(*M)") || strings.Contains(stack, "bus.goroutines")
	})
}

// TestOpen: Open refuses what can never work, and its errors contain no password.
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
			t.Errorf("%q with %q is accepted", tt.database, tt.nats)
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

// TestOpenWithoutCluster: NATS needs the name of a cluster, because nodes of two
// databases would receive from each other.
func TestOpenWithoutCluster(t *testing.T) {
	t.Parallel()
	if _, err := Open(Options{Database: "postgres://hubbub@127.0.0.1/hubbub", NATS: "nats://a"}); err == nil {
		t.Error("it is accepted")
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
