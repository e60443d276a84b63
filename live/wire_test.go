package live

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hubbub/hub"
	"hubbub/store"
)

// TestMessagesAndPings sends messages as long as each kind of header can say,
// and longer than one write, while pings are answered: every frame comes whole,
// and the messages in their order.
func TestMessagesAndPings(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	anna := n.user("Anna")
	feed := n.follow(anna, &http.Transport{})
	n.post(anna, "hello")
	feed.next() // so it is registered by now
	subscriber := n.connections.of(anna.ID)[0].subscriber

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
			subscriber.Send(hub.NewFrame([]byte(message)))
		}
		for i, want := range sent {
			if got := feed.next(); got != want {
				t.Fatalf("message %d has %d bytes, %.20q…, want %d of %.1q", i, len(got), got, len(want), want)
			}
		}
	}
	close(over)
	go func() { _ = feed.drain() }() // pings are answered while somebody reads
	group.Wait()
}

// TestFramesInPieces sends frames byte by byte, the first of them begun together
// with the handshake: pings are answered, a connection is closed in good order,
// and what no browser sends ends it.
func TestFramesInPieces(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	connect := func(name string) (store.User, *feed, *pieces) {
		user, wire := n.user(name), &pieces{}
		feed := n.follow(user, &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			wire.Conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return wire, err
		}})
		wire.ended = make(chan error, 1)
		go func() { wire.ended <- feed.drain() }()
		for range 3 {
			check(t, feed.Ping(t.Context()))
		}
		return user, feed, wire
	}

	_, feed, wire := connect("Anna")
	// Longer than it needs to be, by its header: what follows is still understood.
	_, err := wire.Conn.Write([]byte{0x89, 0xfe, 0, 0, 0, 0, 0, 0})
	check(t, err)
	for range 40 {
		check(t, feed.Ping(t.Context()))
	}
	check(t, feed.Close(websocket.StatusNormalClosure, "enough"))
	<-wire.ended

	// One that we close stays open till the browser has answered.
	bea, _, wire := connect("Bea")
	wire.waits.Store(true)
	n.endSession(bea)
	wire.endsWith(t, closeSignedOut)
	if !errors.Is(wire.afterClose, os.ErrDeadlineExceeded) {
		t.Errorf("after our close came %v, want nothing", wire.afterClose)
	}

	for name, tt := range map[string]struct {
		frame []byte
		code  websocket.StatusCode
	}{
		"unmasked":           {[]byte{0x89, 0x00}, websocket.StatusInternalError},
		"a message":          {[]byte{0x81, 0x81, 0, 0, 0, 0, 'x'}, websocket.StatusPolicyViolation},
		"a long message":     {append([]byte{0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0}, bytes.Repeat([]byte("x"), 100)...), websocket.StatusPolicyViolation},
		"a longer message":   {[]byte{0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, websocket.StatusPolicyViolation},
		"a long ping":        {[]byte{0x89, 0xfe, 1, 0, 0, 0, 0, 0}, websocket.StatusProtocolError},
		"no kind of a frame": {[]byte{0x83, 0x80, 0, 0, 0, 0}, websocket.StatusProtocolError},
	} {
		_, _, wire := connect("Sends " + name)
		_, err := wire.Conn.Write(tt.frame)
		check(t, err)
		wire.endsWith(t, tt.code)
	}
}

// TestStopWithStalledReader stops a node of which a browser reads nothing,
// although much is being sent to it.
func TestStopWithStalledReader(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	anna := n.user("Anna")
	feed := n.follow(anna, smallReader())
	n.post(anna, "hello")
	feed.next()
	for _, c := range n.connections.of(anna.ID) {
		c.subscriber.Send(hub.NewFrame(make([]byte, hub.MaxQueued-1024)))
		for began := time.Now(); c.socket.wire.writing.Load() < 2; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > limit {
				t.Fatal("what is sent waits for nobody")
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), sendTimeout+closeTimeout+4*time.Second)
	defer cancel()
	check(t, n.Close(ctx))
}

// pieces is a browser's connection that writes byte by byte. The handshake is
// followed at once by half of a ping, and its other half comes with what is
// written next.
type pieces struct {
	net.Conn
	owed       []byte
	ended      chan error
	waits      atomic.Bool // before it answers a close
	afterClose error       // what came meanwhile
}

// endsWith waits for the end of the connection, which has to have a reason.
func (p *pieces) endsWith(t *testing.T, want websocket.StatusCode) {
	t.Helper()
	select {
	case err := <-p.ended:
		if got := websocket.CloseStatus(err); got != want {
			t.Errorf("it ended with %v (%v), want %v", got, err, want)
		}
	case <-time.After(limit):
		t.Errorf("it does not end, want %v", want)
	}
}

func (p *pieces) Write(data []byte) (int, error) {
	if bytes.HasSuffix(data, []byte("\r\n\r\n")) {
		p.owed = []byte{0, 0, 0}
		return p.Conn.Write(append(bytes.Clone(data), 0x89, 0x80, 0))
	}
	if data[0] == 0x88 && p.waits.Load() {
		if err := p.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return 0, err
		}
		_, p.afterClose = p.Conn.Read(make([]byte, 1))
	}
	for _, b := range append(p.owed, data...) {
		if _, err := p.Conn.Write([]byte{b}); err != nil {
			return 0, err
		}
	}
	p.owed = nil
	return len(data), nil
}
