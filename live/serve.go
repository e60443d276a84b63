package live

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

const (
	// beatEvery is how long a connection is silent before it is tried. Proxies
	// end those that are silent for a minute.
	beatEvery = 25 * time.Second

	// beatSpread is how much earlier a WebSocket may be tried.
	beatSpread = 10 * time.Second

	// sendTimeout is how long a browser may take nothing of what it is sent. One
	// that takes longer is given up; one that is slow is not.
	sendTimeout = 4 * time.Second

	// restartSpread is the time over which connections are closed when the node
	// stops.
	restartSpread = 1500 * time.Millisecond
)

// Why a connection is refused or ended. The browser is told the first two
// through the open connection, because it would try a refused handshake again
// for ever.
var (
	ErrSessionOver = errors.New("the session is over")
	ErrNoRoom      = errors.New("there is no such room")

	errClientSent = errors.New("the browser has sent something")
	errAnswered   = errors.New("the held answer has been given")
	errAnew       = errors.New("the document has to begin anew")
)

// StatusGivenUp is the status of requests that the browser has given up, as
// nginx has it in its log. No standard knows it. Nobody gets the answer and
// nobody is at fault, so it is no status of 500 or more.
const StatusGivenUp = 499

// GivenUp reports whether a request has failed because its browser has gone. A
// limit of ours, which may end its context too, has another cause.
func GivenUp(ctx context.Context, err error) bool {
	return errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), context.Canceled)
}

// Request is a request for live changes.
type Request struct {
	Viewer   *store.User // nil when signed out
	Page     *components.Page
	Token    string         // of the viewer's session
	Deadline time.Time      // of the viewer's session
	Room     *store.Channel // whose changes are sent, nil for the news alone
	Refusal  error          // ErrSessionOver or ErrNoRoom, of which the browser is told; nil for none

	After     int64                   // the revision that the page holds
	Document  *components.ChannelView // what a streamed document begins with, nil for another transport
	Presence  string                  // the state of the presence that the page shows, "" for none
	News      string                  // the state of the news that the page shows, "" for none
	Tab       string                  // names the page to itself
	IsReading bool                    // somebody looks at the newest messages in it
	Started   func()                  // is called once nothing is read for the answer any more
}

// transport is one of the ways to send frames in an answer: see transports.go.
// A WebSocket is none, because it has left HTTP behind: see socket.go.
type transport interface {
	// open starts the answer. Where it fails it has answered.
	open(ctx context.Context) error

	// send passes frames on, one by one and in their order.
	send(ctx context.Context, frames []*hub.Frame) error

	// beat shows that the connection lives.
	beat(ctx context.Context) error

	// close ends the answer and tells the browser why, where it can. The
	// context is the request's.
	close(ctx context.Context, reason error)
}

// Serve sends what changes in a room after a revision, by the best transport
// that the request is for. It takes no commands, so that there is one path for
// rights, limits and errors. An error that it returns is to be answered for;
// where it returns nil it has answered.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, q Request) error {
	var userID int64
	if q.Viewer != nil {
		userID = q.Viewer.ID
	}
	if err := s.connections.begin(userID); err != nil {
		return err
	}
	// What it keeps is copied: a part of a string holds on to all of it.
	c := &connection{userID: userID, news: strings.Clone(q.News), tab: strings.Clone(q.Tab)}
	c.reading.Store(q.IsReading)
	isHandedOver := false // to what goes on when this has returned
	defer func() {
		if isHandedOver {
			return
		}
		// However it ended: nobody may stay for whom there is no connection.
		if c.subscriber != nil {
			c.subscriber.Close()
		}
		s.connections.remove(c)
		s.connections.end(userID)
	}()
	// Subscribed before the handshake: what is posted meanwhile waits.
	if q.Refusal == nil {
		if err := s.subscribe(r.Context(), c, q); err != nil {
			return err
		}
	}
	q.Started()
	if isWebSocket(r) {
		isHandedOver = true
		return s.serveWebSocket(w, r, c, q.Refusal)
	}
	t := s.transport(w, r, q)
	if err := t.open(r.Context()); err != nil {
		return nil //nolint:nilerr // open has answered
	}
	reason := q.Refusal
	if reason == nil {
		reason = s.register(r.Context(), c)
	}
	if reason == nil {
		c.subscriber.OnSlow(func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Now()) })
		ctx, cancel := context.WithDeadlineCause(r.Context(), c.deadline, ErrSessionOver)
		defer cancel()
		reason = push(ctx, t, c.subscriber)
		s.unregister(ctx, c, reason)
	}
	t.close(r.Context(), reason)
	return nil
}

// subscribe completes a connection with the subscriber to what comes after what
// its page holds.
func (s *Server) subscribe(ctx context.Context, c *connection, q Request) (err error) {
	viewer := q.Viewer
	c.token, c.deadline = strings.Clone(q.Token), q.Deadline
	if q.Room == nil {
		c.subscriber = s.hubs.NewSubscriber()
		return nil
	}
	c.channelID = q.Room.ID
	c.subscriber, err = s.hubs.Subscribe(ctx, q.Room.ID, q.After, q.Room.Revision, hub.Visitor{
		User: hubUser(viewer),
		Seen: q.Presence,
	})
	return err
}

// register has a connection found by all that may end it. It fails where the
// viewer's access has ended before that.
func (s *Server) register(ctx context.Context, c *connection) error {
	s.connections.add(c)
	s.news.userChanged(c.userID)
	// A context of its own, because that of the request holds the session as it
	// was.
	reason, err := s.access.denied(context.Background(), c)
	if reason = cmp.Or(err, reason); reason != nil {
		s.unregister(ctx, c, reason)
	}
	return reason
}

// unregister takes a connection back, for a reason of which the browser is told
// next. When the node stops it waits for up to restartSpread, so that its
// browsers do not all come to the next node in one instant.
func (s *Server) unregister(ctx context.Context, c *connection, reason error) {
	c.subscriber.End(reason)
	s.connections.remove(c)
	s.news.userChanged(c.userID)
	if errors.Is(reason, hub.ErrRestart) {
		pause(ctx, rand.N(restartSpread))
	}
}

// push sends what the subscriber is given until one of them ends, and returns
// why.
func push(ctx context.Context, t transport, subscriber *hub.Subscriber) error {
	for {
		frames, err := next(ctx, subscriber)
		switch {
		case err != nil:
		case frames == nil:
			err = t.beat(ctx)
		default:
			err = t.send(ctx, frames)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// next returns what waits to be sent, or nothing when it is time for a beat.
func next(ctx context.Context, subscriber *hub.Subscriber) ([]*hub.Frame, error) {
	waiting, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	frames, err := subscriber.Next(waiting)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return frames, err
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal wakes whoever waits for a channel that has room for one.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
