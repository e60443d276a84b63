package bus

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"
)

// onBoth runs a benchmark on both transports, with two nodes.
func onBoth(b *testing.B, run func(b *testing.B, from, to *node)) {
	_, server := servers(b)
	for name, servers := range map[string]string{"PostgreSQL": "", "NATS": server.URL()} {
		b.Run(name, func(b *testing.B) {
			all := nodes(b, Options{Database: database(b), NATS: servers}, "a", "b")
			if servers != "" {
				for _, n := range all {
					n.awaitState(b, "it publishes to NATS only", publishesToNATSOnly)
				}
			}
			run(b, all[0], all[1])
		})
	}
}

// BenchmarkLatency measures from Publish to Receive, when nothing else is
// published.
func BenchmarkLatency(b *testing.B) {
	onBoth(b, func(b *testing.B, from, to *node) {
		revision := int64(0)
		for b.Loop() {
			revision++
			publishAndAwait(b, from, 1, revision, to)
			b.StopTimer()
			time.Sleep(2 * notifyInterval) // or the next send would wait
			b.StartTimer()
		}
	})
}

// BenchmarkRoundTrip measures one notice there and one back. Each is published as
// soon as the other is received.
func BenchmarkRoundTrip(b *testing.B) {
	onBoth(b, func(b *testing.B, from, to *node) {
		revision := int64(0)
		for b.Loop() {
			revision++
			publishAndAwait(b, from, 1, revision, to)
			publishAndAwait(b, to, 1, revision, from)
		}
	})
}

// BenchmarkPublish publishes as fast as it can. Each notice is of another channel,
// and all have to be received.
func BenchmarkPublish(b *testing.B) {
	onBoth(b, func(b *testing.B, from, to *node) {
		published, notices := int64(0), 0
		began := time.Now()
		for b.Loop() {
			published++
			from.Publish(Notice{Channels: map[int64]int64{published: 1}})
		}
		to.await(b, fmt.Sprintf("it receives all %d", published), func(r *record) bool { return int64(len(r.channels)) == published })
		took := time.Since(began)
		to.await(b, "", func(r *record) bool {
			notices = r.notices
			return true
		})
		b.ReportMetric(float64(published)/took.Seconds(), "published/s")
		b.ReportMetric(float64(notices)/took.Seconds(), "received/s")
	})
}

// BenchmarkRead decodes what another node publishes: about one channel, and about
// a thousand people.
func BenchmarkRead(b *testing.B) {
	thousand := Notice{Presence: []Presence{{Channel: 1}}}
	for id := range int64(1000) {
		thousand.Presence[0].Here = append(thousand.Presence[0].Here, User{100_000 + id, "Erika Mustermann"})
	}
	for name, notice := range map[string]Notice{
		"one channel": {Channels: map[int64]int64{1234: 56789}}, "a thousand people": thousand,
	} {
		b.Run(name, func(b *testing.B) {
			notice.Node, notice.Number = rand.Text(), 1234
			texts, _ := envelope{Notice: notice}.encode(maxMessage)
			b.SetBytes(int64(len(texts[0])))
			for b.Loop() {
				if _, err := decode(texts[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
