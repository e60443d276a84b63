package handlers

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

const (
	// beatEvery is how long a connection is silent before it is tried. Proxies
	// end those that are silent for a minute.
	beatEvery = 25 * time.Second

	// sendTimeout is how long one write may take. A reader that takes longer
	// is given up.
	sendTimeout = 4 * time.Second

	// restartSpread is the time over which live connections are closed when
	// the node stops.
	restartSpread = 1500 * time.Millisecond
)

// Why a live connection is refused or ended.
var (
	errSessionOver = errors.New("the session is over")
	errNoChannel   = errors.New("there is no such channel")
	errSpoke       = errors.New("the browser has sent something")
	errAnswered    = errors.New("the held answer has been given")
	errAnew        = errors.New("the document has to begin anew")
)

// transport is one of the ways to push frames to a browser: see transports.go.
type transport interface {
	// open starts the answer. The context that it returns ends with the
	// connection. Where it fails it has answered.
	open(ctx context.Context) (context.Context, error)

	// send passes frames on, one by one and in their order.
	send(ctx context.Context, frames [][]byte) error

	// beat shows that the connection lives.
	beat(ctx context.Context) error

	// close ends the answer and tells the browser why, where it can. The
	// context is the request's.
	close(ctx context.Context, reason error)
}

// live pushes what changes in a channel after a revision, by the best
// transport that the request is for. It takes no commands, so that there is
// one path for rights, limits and errors.
func (h *Handlers) live(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	after, err := position(r.URL.Query(), "after")
	if err != nil {
		return err
	}
	if !h.sockets.begin() {
		return hub.ErrRestart
	}
	defer h.sockets.end()

	// Subscribed before the handshake: what is posted meanwhile waits.
	s := &socket{news: r.URL.Query().Get("news"), tab: r.URL.Query().Get("tab")}
	s.reading.Store(r.URL.Query().Get("reading") == "1")
	view := components.ChannelView{Channel: store.Channel{Name: r.PathValue("channel")}, Revision: after}
	refusal := h.subscribe(s, r, p, &view)
	if s.subscriber != nil {
		defer s.subscriber.Close(context.Canceled)
	}
	if refusal != nil && !errors.Is(refusal, errSessionOver) && !errors.Is(refusal, errNoChannel) {
		return refusal
	}
	t := h.transport(w, r, p, view)
	ctx, err := t.open(r.Context())
	if err != nil {
		return nil //nolint:nilerr // open has answered
	}
	if refusal != nil {
		t.close(r.Context(), refusal)
		return nil
	}

	h.sockets.add(s)
	defer h.sockets.remove(s)
	h.news.ofUser(s.userID)
	defer h.news.ofUser(s.userID)
	if over, err := h.sessionOver(r.Context()); over {
		// It ended before anyone could have found this connection to close it.
		t.close(r.Context(), cmp.Or(err, errSessionOver))
		return nil
	}
	ctx, cancel := context.WithDeadlineCause(ctx, h.sessions.Deadline(r.Context()), errSessionOver)
	defer cancel()
	reason := push(ctx, t, s.subscriber)
	if errors.Is(reason, hub.ErrRestart) {
		disperse(ctx)
	}
	s.subscriber.Close(reason) // a document may stay: see overFor
	t.close(r.Context(), reason)
	return nil
}

// disperse waits for up to restartSpread, so that the browsers of a node that
// stops do not all come to the next in one instant.
func disperse(ctx context.Context) {
	select {
	case <-time.After(rand.N(restartSpread)):
	case <-ctx.Done():
	}
}

// followed returns the channel that a request is to follow, or errSessionOver
// or errNoChannel, of which the browser is told through the open connection: a
// refused handshake would be tried again for ever.
func (h *Handlers) followed(r *http.Request, p *components.Page) (store.Channel, error) {
	if p.Viewer == nil {
		return store.Channel{}, errSessionOver
	}
	channel, err := h.findChannel(r)
	if errors.Is(err, store.ErrNotFound) {
		return channel, errNoChannel
	}
	return channel, err
}

// subscribe completes the socket of a request with the subscriber to what comes
// after the view, and for a document the view as well.
func (h *Handlers) subscribe(s *socket, r *http.Request, p *components.Page, view *components.ChannelView) error {
	if p.Viewer != nil {
		s.userID, s.token = p.Viewer.ID, h.sessions.Token(r.Context())
		if r.PathValue("channel") == "" {
			s.subscriber = hub.NewSubscriber()
			return nil
		}
	}
	channel, err := h.followed(r, p)
	if err != nil {
		return err
	}
	if isDocument(r) {
		view.Channel, view.Read = channel, readUpTo(r)
		if err := h.newest(r.Context(), view); err != nil {
			return err
		}
	}
	s.channelID = channel.ID
	s.subscriber, err = h.hubs.Subscribe(r.Context(), channel.ID, view.Revision, hub.Visitor{
		User: userOf(p),
		Seen: r.URL.Query().Get("here"),
	})
	return err
}

// push sends what the subscriber is told until one of them ends, and returns
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
func next(ctx context.Context, subscriber *hub.Subscriber) ([][]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	frames, err := subscriber.Next(waiting)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return frames, err
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

// stop ends all connections and lets none in any more.
func (s *sockets) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	for _, sockets := range s.byUser {
		for socket := range sockets {
			socket.subscriber.Close(hub.ErrRestart)
		}
	}
}

// socket is one live connection, of whatever transport.
type socket struct {
	userID     int64
	token      string // of its session
	channelID  int64  // 0 for none
	subscriber *hub.Subscriber

	tab     string      // names the page to itself: see setReading
	reading atomic.Bool // somebody looks at the newest messages in it
	news    string      // the state of the news that its page shows, "" for none; only tell changes it
}

func (s *sockets) add(added *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUser == nil {
		s.byUser = map[int64]map[*socket]struct{}{}
	}
	if s.byUser[added.userID] == nil {
		s.byUser[added.userID] = map[*socket]struct{}{}
	}
	s.byUser[added.userID][added] = struct{}{}
	if s.ending {
		added.subscriber.Close(hub.ErrRestart)
	}
}

// byReader returns all connections by their users.
func (s *sockets) byReader() map[int64][]*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[int64][]*socket, len(s.byUser))
	for id, sockets := range s.byUser {
		all[id] = slices.Collect(maps.Keys(sockets))
	}
	return all
}

// setReading notes whether somebody looks at the newest messages in a tab.
func (s *sockets) setReading(userID int64, tab string, reading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.byUser[userID] {
		if socket.tab == tab {
			socket.reading.Store(reading)
		}
	}
}

// leave says that a user leaves a channel unread, although it may be open.
func (s *sockets) leave(userID, channelID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.byUser[userID] {
		if socket.channelID == channelID {
			socket.reading.Store(false)
		}
	}
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
