package bus

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"
)

// both runs a benchmark on both transports, for one node that tells another.
func both(b *testing.B, run func(b *testing.B, from, to *node)) {
	_, server := servers(b)
	for name, servers := range map[string]string{"PostgreSQL": "", "NATS": server.URL()} {
		b.Run(name, func(b *testing.B) {
			all := nodes(b, Options{Database: database(b), NATS: servers}, "a", "b")
			if servers != "" {
				for _, n := range all {
					n.is(b, "it tells NATS alone", settled)
				}
			}
			run(b, all[0], all[1])
		})
	}
}

// BenchmarkDelay is from Tell to Heard where nothing else is told.
func BenchmarkDelay(b *testing.B) {
	both(b, func(b *testing.B, from, to *node) {
		revision := int64(0)
		for b.Loop() {
			revision++
			reach(b, from, 1, revision, to)
			b.StopTimer()
			time.Sleep(2 * notifyPace) // what is told too soon waits
			b.StartTimer()
		}
	})
}

// BenchmarkRound is there and back, each as soon as the other is heard.
func BenchmarkRound(b *testing.B) {
	both(b, func(b *testing.B, from, to *node) {
		revision := int64(0)
		for b.Loop() {
			revision++
			reach(b, from, 1, revision, to)
			reach(b, to, 1, revision, from)
		}
	})
}

// BenchmarkTell is as many as go: each tells of a channel of its own, and all
// have to be heard.
func BenchmarkTell(b *testing.B) {
	both(b, func(b *testing.B, from, to *node) {
		told, notices := int64(0), 0
		began := time.Now()
		for b.Loop() {
			told++
			from.Tell(Notice{Channels: map[int64]int64{told: 1}})
		}
		to.await(b, fmt.Sprintf("all %d have come", told), func(w *world) bool { return int64(len(w.channels)) == told })
		took := time.Since(began)
		to.await(b, "", func(w *world) bool {
			notices = w.notices
			return true
		})
		b.ReportMetric(float64(told)/took.Seconds(), "told/s")
		b.ReportMetric(float64(notices)/took.Seconds(), "notices/s")
	})
}

// BenchmarkRead is to read what another node tells: of one channel, and of a
// thousand people.
func BenchmarkRead(b *testing.B) {
	thousand := Notice{Presence: []Presence{{Channel: 1}}}
	for id := range int64(1000) {
		thousand.Presence[0].Here = append(thousand.Presence[0].Here, User{100_000 + id, "Erika Mustermann"})
	}
	for name, told := range map[string]Notice{
		"one channel": {Channels: map[int64]int64{1234: 56789}}, "a thousand people": thousand,
	} {
		b.Run(name, func(b *testing.B) {
			told.Node, told.Number = rand.Text(), 1234
			texts, _ := letter{Notice: told}.write(maxMessage)
			b.SetBytes(int64(len(texts[0])))
			for b.Loop() {
				if _, err := read(texts[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
