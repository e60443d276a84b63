package handlers

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// Close codes of our own, from the range that RFC 6455, 7.4.2 leaves to
// applications. Browsers do not come back after them.
const (
	closeSignedOut websocket.StatusCode = 4401
	closeNoChannel websocket.StatusCode = 4404
)

const (
	// pingEvery is how long a connection is silent before it is tried. Proxies
	// end those that are silent for a minute.
	pingEvery = 25 * time.Second

	// sendTimeout is how long one write may take. A reader that takes longer
	// is given up.
	sendTimeout = 10 * time.Second
)

// What ends a live connection: its session has ended, or the browser has sent
// something.
var (
	errSessionOver = errors.New("the session is over")
	errSpoke       = errors.New("the browser has sent something")
)

// live pushes what changes in a channel after a revision. It takes no
// commands, so that there is one path for rights, limits and errors: a browser
// that sends anything is closed with 1008.
func (h *Handlers) live(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	after, err := position(r.URL.Query(), "after")
	if err != nil {
		return err
	}
	channel, notFound := h.findChannel(r)
	if notFound != nil && !errors.Is(notFound, store.ErrNotFound) {
		return notFound
	}

	if !h.sockets.begin() {
		return hub.ErrRestart
	}
	defer h.sockets.end()

	// Subscribed before the handshake: what is posted meanwhile waits.
	var subscriber *hub.Subscriber
	if p.Viewer != nil && notFound == nil {
		if subscriber, err = h.hubs.Subscribe(r.Context(), channel.ID, after); err != nil {
			return err
		}
		defer subscriber.Close(context.Canceled)
	}
	options := &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled}
	if h.BaseURL != nil {
		options.OriginPatterns = []string{h.BaseURL.Host}
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return nil //nolint:nilerr // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // closed already, or not to be helped

	// A refused handshake would be tried again for ever, so these are told
	// through the open socket.
	if p.Viewer == nil {
		return closed(conn, closeSignedOut, "signed out")
	}
	if notFound != nil {
		return closed(conn, closeNoChannel, "no such channel")
	}

	socket := h.sockets.add(p.Viewer.ID, h.sessions.Token(r.Context()), subscriber)
	defer h.sockets.remove(socket)
	if over, err := h.sessionOver(r.Context()); over || err != nil {
		// It ended before anyone could have found this connection to close it.
		return closed(conn, closeSignedOut, "signed out")
	}

	// The request's own context ends with the handler; this one with the
	// connection, or with the session's last minute.
	ctx, cancel := context.WithDeadline(listen(r.Context(), conn), h.sessions.Deadline(r.Context()))
	defer cancel()
	switch err := push(ctx, conn, subscriber); {
	case errors.Is(context.Cause(ctx), errSpoke):
		return closed(conn, websocket.StatusPolicyViolation, "unexpected data")
	case errors.Is(err, hub.ErrRestart):
		return closed(conn, websocket.StatusServiceRestart, "restart")
	case errors.Is(err, hub.ErrSlow):
		return closed(conn, websocket.StatusTryAgainLater, "too slow")
	case errors.Is(err, errSessionOver), errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return closed(conn, closeSignedOut, "signed out")
	}
	return nil
}

// listen returns a context that ends with the connection, because of errSpoke
// where the browser has sent something. conn.CloseRead would then hold on to
// the connection for 15 seconds, more than a stop may take.
func listen(ctx context.Context, conn *websocket.Conn) context.Context {
	listening, end := context.WithCancelCause(ctx)
	go func() {
		_, _, err := conn.Reader(ctx)
		if err == nil {
			err = errSpoke
		}
		end(err)
	}()
	return listening
}

// push sends what the subscriber is told, all that waits as one message.
func push(ctx context.Context, conn *websocket.Conn, subscriber *hub.Subscriber) error {
	for {
		frames, err := next(ctx, subscriber)
		if err != nil {
			return err
		}
		if frames == nil {
			if err := ping(ctx, conn); err != nil {
				return err
			}
			continue
		}
		message := frames[0]
		if len(frames) > 1 {
			message = bytes.Join(frames, nil)
		}
		if err := send(ctx, conn, message); err != nil {
			return err
		}
	}
}

// next returns what waits to be sent, or nothing when it is time for a ping.
func next(ctx context.Context, subscriber *hub.Subscriber) ([][]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, pingEvery)
	defer cancel()
	frames, err := subscriber.Next(waiting)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return frames, err
}

func ping(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

func send(ctx context.Context, conn *websocket.Conn, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, message)
}

// closed closes the connection. That the browser did not wait for it is no
// error of ours.
func closed(conn *websocket.Conn, code websocket.StatusCode, reason string) error {
	_ = conn.Close(code, reason)
	return nil
}

// sockets knows the live connections of each user, to end them with their
// session, and waits for them all at the end.
type sockets struct {
	mu     sync.Mutex
	byUser map[int64]map[*socket]struct{}
	ending bool
	open   sync.WaitGroup
}

// begin counts a connection in, unless the node is stopping.
func (s *sockets) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.open.Add(1)
	return true
}

// end counts a connection out.
func (s *sockets) end() { s.open.Done() }

// wait lets no connection in any more and waits for those that there are.
func (s *sockets) wait() {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	s.open.Wait()
}

type socket struct {
	userID     int64
	token      string
	subscriber *hub.Subscriber
}

func (s *sockets) add(userID int64, token string, subscriber *hub.Subscriber) *socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUser == nil {
		s.byUser = map[int64]map[*socket]struct{}{}
	}
	if s.byUser[userID] == nil {
		s.byUser[userID] = map[*socket]struct{}{}
	}
	added := &socket{userID, token, subscriber}
	s.byUser[userID][added] = struct{}{}
	return added
}

func (s *sockets) remove(socket *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUser[socket.userID], socket)
	if len(s.byUser[socket.userID]) == 0 {
		delete(s.byUser, socket.userID)
	}
}

// close ends the connections of a user whose session token is over.
func (s *sockets) close(userID int64, over func(token string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.byUser[userID] {
		if over(socket.token) {
			socket.subscriber.Close(errSessionOver)
		}
	}
}
