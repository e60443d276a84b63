package handlers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
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
	closeNoChannel websocket.StatusCode = 4404
)

// pongTimeout is how long a browser may take to answer a ping: phones sleep,
// and a busy machine answers late.
const pongTimeout = 15 * time.Second

// closeTimeout is how long a browser may take to answer that the connection is
// closed.
const closeTimeout = time.Second

// maxGathered is how many bytes are gathered for one write.
const maxGathered = 32 << 10

// isSocket reports whether a request is for a WebSocket.
func isSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// origins are the hosts, beside the request's own, whose pages may open a
// socket.
func (h *Handlers) origins() []string {
	if h.BaseURL == nil {
		return nil
	}
	// They are patterns (path.Match), and an IPv6 address has brackets.
	return []string{strings.ReplaceAll(h.BaseURL.Host, "[", `\[`)}
}

// liveSocket pushes to a WebSocket. It returns while that goes on: an idle
// connection is one goroutine, which reads, and none of what net/http has for a
// request.
func (h *Handlers) liveSocket(w http.ResponseWriter, r *http.Request, s *socket, refusal error) error {
	t, err := h.upgrade(w, r)
	if err != nil {
		if s.subscriber != nil {
			s.subscriber.Close(err)
		}
		h.sockets.end()
		return nil //nolint:nilerr // upgrade has answered
	}
	s.transport = t
	if refusal == nil {
		refusal = h.enter(r, s)
	}
	if refusal != nil {
		go func() {
			defer h.sockets.end()
			t.close(refusal)
		}()
		return nil
	}
	t.reading.Go(func() { s.subscriber.Close(t.read()) })
	s.subscriber.Serve(t.send, func(reason error) {
		defer h.sockets.end()
		h.leave(context.Background(), s, reason)
		t.close(reason)
	})
	return nil
}

// socketTransport is a WebSocket. What it sends waits for no timer of its own:
// see sockets.tend.
type socketTransport struct {
	conn    *websocket.Conn
	wire    *wire
	reading sync.WaitGroup

	patience int32        // ticks of silence after which it is tried
	silent   atomic.Int32 // ticks since something was sent
	sending  atomic.Int32 // ticks that a write has taken, from 1; 0 for none
}

// upgrade makes a WebSocket of a request. Where it fails it has answered.
func (h *Handlers) upgrade(w http.ResponseWriter, r *http.Request) (*socketTransport, error) {
	own := &lean{ResponseWriter: w, buffers: &h.buffers}
	conn, err := websocket.Accept(own, r, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionDisabled,
		OriginPatterns:  h.origins(),
	})
	if err != nil {
		return nil, err
	}
	// All that were sent a message at once would be tried at once.
	patience := int32((beatEvery - rand.N(beatSpread)).Seconds())
	return &socketTransport{conn: conn, wire: own.wire, patience: patience}, nil
}

// read returns why the connection has ended. Somebody has to read, for the
// answers to pings. conn.CloseRead would hold on for 15 seconds to a browser
// that speaks, more than a stop may take.
func (t *socketTransport) read() error {
	if _, _, err := t.conn.Reader(context.Background()); err != nil {
		return err
	}
	return errSpoke
}

// send sends frames, each as one message, for browsers do not keep to the order
// within one, but all in one write.
func (t *socketTransport) send(frames [][]byte) error {
	t.silent.Store(0)
	defer t.sending.Store(0)
	return t.wire.together(func() error {
		for _, frame := range frames {
			t.sending.Store(1)
			if err := t.conn.Write(context.Background(), websocket.MessageText, frame); err != nil {
				return err
			}
		}
		return nil
	})
}

// stalls counts a tick, and reports whether a write has taken sendTimeout.
func (t *socketTransport) stalls() bool {
	n := t.sending.Load()
	return n > 0 && t.sending.CompareAndSwap(n, n+1) && n > int32(sendTimeout.Seconds())
}

// isSilent counts a tick, and reports whether nothing was sent for too long.
func (t *socketTransport) isSilent() bool { return t.silent.Add(1) >= t.patience }

// ping finds out whether anyone is there.
func (t *socketTransport) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), pongTimeout)
	defer cancel()
	return t.conn.Ping(ctx)
}

func (t *socketTransport) close(reason error) {
	code := websocket.StatusInternalError // browsers come back after it
	switch {
	case errors.Is(reason, errSessionOver):
		code = closeSignedOut
	case errors.Is(reason, errNoChannel):
		code = closeNoChannel
	case errors.Is(reason, errSpoke):
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
	// That the browser does not wait for it is no error of ours.
	_ = t.conn.Close(code, "")
	_ = t.conn.CloseNow()
	t.reading.Wait()
}

// lean hands a connection over without the buffers that a request has: browsers
// send next to nothing, and what we send is gathered in a buffer that there is
// only meanwhile.
type lean struct {
	http.ResponseWriter
	buffers *buffers
	wire    *wire // once it is handed over
}

// Hijack implements http.Hijacker.
func (l *lean) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	l.wire = &wire{Conn: conn, buffers: l.buffers, ahead: bytes.Clone(ahead)}
	return l.wire, bufio.NewReadWriter(bufio.NewReaderSize(l.wire, 128), bufio.NewWriterSize(l.wire, 16)), nil
}

// wire is a connection on which several messages can be sent by one write.
type wire struct {
	net.Conn
	buffers *buffers
	ahead   []byte // what was read before it was handed over

	mu       sync.Mutex
	gathered *bytes.Buffer // nil where what is written is to be sent at once
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) == 0 {
		return w.Conn.Read(p)
	}
	n := copy(p, w.ahead)
	w.ahead = w.ahead[n:]
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gathered == nil {
		return w.Conn.Write(p)
	}
	if w.gathered.Len()+len(p) > maxGathered {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if len(p) > maxGathered {
			return w.Conn.Write(p)
		}
	}
	return w.gathered.Write(p)
}

// together sends all that is written meanwhile by one write, if it is not too
// much.
func (w *wire) together(write func() error) error {
	buffer := w.buffers.get()
	defer w.buffers.put(buffer)
	w.mu.Lock()
	w.gathered = buffer
	w.mu.Unlock()
	err := write()
	w.mu.Lock()
	defer w.mu.Unlock()
	err = errors.Join(err, w.flush())
	w.gathered = nil
	return err
}

func (w *wire) flush() error {
	_, err := w.Conn.Write(w.gathered.Bytes())
	w.gathered.Reset()
	return err
}
