package live

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"hubbub/hub"
)

// Close codes of our own, from the range that RFC 6455, 7.4.2 leaves to
// applications. Browsers do not come back after them.
const (
	closeSignedOut websocket.StatusCode = 4401
	closeNoRoom    websocket.StatusCode = 4404
)

// pongTimeout is how long a browser may take to answer a ping: phones sleep,
// and a busy machine answers late.
const pongTimeout = 15 * time.Second

// closeTimeout is how long a browser may take to answer that the connection is
// closed.
const closeTimeout = time.Second

// isWebSocket reports whether a request is for a WebSocket.
func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveWebSocket sends frames to a WebSocket. It returns while that goes on: an
// idle connection is one goroutine, which reads, and none of what net/http has
// for a request.
func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request, c *connection, refusal error) error {
	t, err := s.upgrade(w, r)
	if err != nil {
		if c.subscriber != nil {
			c.subscriber.Close()
		}
		s.connections.end(c.userID)
		return nil //nolint:nilerr // upgrade has answered
	}
	c.socket = t
	if refusal == nil {
		refusal = s.register(r.Context(), c)
	}
	if refusal != nil {
		if c.subscriber != nil {
			c.subscriber.Close()
		}
		go func() {
			defer s.connections.end(c.userID)
			t.close(refusal)
		}()
		return nil
	}
	c.subscriber.OnSlow(func() { go t.wire.Close() }) // which may take a while over TLS
	t.reading.Go(func() { c.subscriber.End(t.read()) })
	c.subscriber.Serve(t.send, func(reason error) {
		defer s.connections.end(c.userID)
		s.unregister(context.Background(), c, reason)
		t.close(reason)
	})
	return nil
}

// socket is a WebSocket. What it sends waits for no timer of its own: see
// connections.watch.
type socket struct {
	conn    *websocket.Conn
	wire    *wire
	reading sync.WaitGroup

	patience int32        // ticks of silence after which it is tried
	silent   atomic.Int32 // ticks since something was sent
}

// upgrade makes a WebSocket of a request. Where it fails it has answered.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (*socket, error) {
	own := &hijacker{ResponseWriter: w, writers: &s.writers}
	conn, err := websocket.Accept(own, r, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionDisabled,
		OriginPatterns:  s.Origins,
	})
	if err != nil {
		return nil, err
	}
	// All that were sent a message at once would be tried at once.
	patience := int32((beatEvery - rand.N(beatSpread)).Seconds())
	return &socket{conn: conn, wire: own.wire, patience: patience}, nil
}

// read returns why the connection has ended. Somebody has to read, for the
// answers to pings. What waits for the next frame needs no more stack than a
// goroutine begins with, and what takes it has ended by then: websocket.Conn
// would keep twice that for each idle connection.
func (t *socket) read() error {
	for {
		if err := t.wire.await(); err != nil {
			return err
		}
		taken := make(chan error, 1)
		go func() { taken <- t.take() }()
		if err := <-taken; err != nil {
			return err
		}
	}
}

// take takes one frame. It fails where that ends the connection.
func (t *socket) take() error {
	_, _, err := t.conn.Reader(context.Background())
	switch {
	case err == nil:
		return errClientSent
	case errors.Is(err, errFrameOver):
		return nil
	default:
		return err
	}
}

// send sends frames, each as one message, for browsers do not keep to the order
// within one.
func (t *socket) send(frames []*hub.Frame) error {
	t.silent.Store(0)
	return t.wire.send(frames)
}

// isSilent counts a tick, and reports whether nothing was sent for too long.
func (t *socket) isSilent() bool { return t.silent.Add(1) >= t.patience }

// ping finds out whether anyone is there.
func (t *socket) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), pongTimeout)
	defer cancel()
	return t.conn.Ping(ctx)
}

func (t *socket) close(reason error) {
	code := websocket.StatusInternalError // browsers come back after it
	switch {
	case errors.Is(reason, ErrSessionOver):
		code = closeSignedOut
	case errors.Is(reason, ErrNoRoom):
		code = closeNoRoom
	case errors.Is(reason, errClientSent):
		code = websocket.StatusPolicyViolation
	case errors.Is(reason, hub.ErrRestart):
		code = websocket.StatusServiceRestart
	case errors.Is(reason, hub.ErrSlow):
		code = websocket.StatusTryAgainLater
	}
	// One that is not there any more must not keep the node from stopping for
	// the five seconds that Close waits for it.
	giveUp := time.AfterFunc(closeTimeout, func() { _ = t.wire.Close() })
	defer giveUp.Stop()
	t.wire.interrupt()
	t.reading.Wait()
	t.wire.release()
	// That the browser does not wait for it is no error of ours.
	_ = t.conn.Close(code, "")
	_ = t.conn.CloseNow()
}
