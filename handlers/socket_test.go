package handlers

import (
	"strings"
	"sync"
	"testing"

	"hubbub/hub"
)

// TestMessagesAndPings sends messages as long as each kind of header can say,
// and longer than one write, while pings are answered: every frame comes whole,
// and the messages in their order.
func TestMessagesAndPings(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	feed := anna.live("general", 0)
	anna.post("/channels/general/messages", "body", "hello")
	feed.next() // so it is known by now
	var subscriber *hub.Subscriber
	for _, socket := range s.sockets.byReader()[s.user(t, "Anna").ID] {
		subscriber = socket.subscriber
	}

	over, group := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := feed.Ping(t.Context()); err != nil {
					t.Error("a ping was not answered:", err)
					return
				}
			}
		})
	}
	for round := range 10 {
		var sent []string
		for _, length := range []int{1, 125, 126, 127, maxWritten - 4, maxWritten, 1<<16 - 1, 1 << 16, 4 << 16} {
			sent = append(sent, strings.Repeat(string(rune('0'+round)), length))
		}
		for _, message := range sent {
			subscriber.Tell([]byte(message))
		}
		for i, want := range sent {
			if got := feed.next(); got != want {
				t.Fatalf("message %d has %d bytes, %.20q…, want %d of %.1q", i, len(got), got, len(want), want)
			}
		}
	}
	close(over)
	go func() { _, _, _ = feed.Read(t.Context()) }() // pings are answered while somebody reads
	group.Wait()
}
