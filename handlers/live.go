package handlers

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

// transport is one of the ways to push frames in an answer: see transports.go.
// A WebSocket is none: it has left HTTP behind. See socket.go.
type transport interface {
	// open starts the answer. Where it fails it has answered.
	open(ctx context.Context) error

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

	// Subscribed before the handshake: what is posted meanwhile waits.
	// What it keeps is copied: a part of a string holds on to all of it.
	s := &socket{news: strings.Clone(r.URL.Query().Get("news")), tab: strings.Clone(r.URL.Query().Get("tab"))}
	s.reading.Store(r.URL.Query().Get("reading") == "1")
	handed := false // to what goes on when this has returned
	defer func() {
		if handed {
			return
		}
		// However it ended: nobody may stay for whom there is no connection.
		if s.subscriber != nil {
			s.subscriber.Close(context.Canceled)
		}
		h.sockets.remove(s)
		h.sockets.end()
	}()
	view := components.ChannelView{Channel: store.Channel{Name: r.PathValue("channel")}, Revision: after}
	refusal := h.subscribe(s, r, p, &view)
	if refusal != nil && !errors.Is(refusal, errSessionOver) && !errors.Is(refusal, errNoChannel) {
		return refusal
	}
	started(r)
	if isSocket(r) {
		handed = true
		return h.liveSocket(w, r, s, refusal)
	}
	t := h.transport(w, r, p, view)
	if err := t.open(r.Context()); err != nil {
		return nil //nolint:nilerr // open has answered
	}
	if refusal == nil {
		refusal = h.enter(r, s)
	}
	if refusal == nil {
		ctx, cancel := context.WithDeadlineCause(r.Context(), s.deadline, errSessionOver)
		defer cancel()
		refusal = push(ctx, t, s.subscriber)
		h.leave(ctx, s, refusal)
	}
	t.close(r.Context(), refusal)
	return nil
}

// enter has a connection found by all that may end it. It fails where the
// session ended before that.
func (h *Handlers) enter(r *http.Request, s *socket) error {
	h.sockets.add(s)
	h.news.ofUser(s.userID)
	if over, err := h.sessionOver(r.Context()); over {
		reason := cmp.Or(err, errSessionOver)
		h.leave(r.Context(), s, reason)
		return reason
	}
	return nil
}

// leave takes a connection back, for a reason of which the browser is told
// next.
func (h *Handlers) leave(ctx context.Context, s *socket, reason error) {
	s.subscriber.Close(reason)
	h.sockets.remove(s)
	h.news.ofUser(s.userID)
	if errors.Is(reason, hub.ErrRestart) {
		disperse(ctx)
	}
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
		s.userID, s.token, s.deadline = p.Viewer.ID, strings.Clone(h.sessions.Token(r.Context())), h.sessions.Deadline(r.Context())
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
	s.subscriber, err = h.hubs.Subscribe(r.Context(), channel.ID, view.Revision, channel.Revision, hub.Visitor{
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
