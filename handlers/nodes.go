package handlers

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"hubbub/bus"
	"hubbub/hub"
	"hubbub/store"
)

const (
	// presenceEvery is how often other nodes are told of everybody here.
	presenceEvery = 5 * time.Second

	// lookEvery is how often a node looks at the database for what it should
	// have been told, and recheckEvery at the sessions of its connections.
	lookEvery    = 10 * time.Second
	recheckEvery = time.Minute

	// nodeTimeout is how long such a look may take.
	nodeTimeout = 10 * time.Second

	// wholeAtOnce is how many people of a channel are told as all there are. More
	// may have to be told in several messages.
	wholeAtOnce = 100
)

// tell tells the other nodes, if there are any.
func (h *Handlers) tell(n bus.Notice) {
	if h.Bus != nil {
		h.Bus.Tell(n)
	}
}

// moved says that a user's positions have changed, here and to other nodes.
func (h *Handlers) moved(userID int64) {
	h.news.ofUser(userID)
	h.tell(bus.Notice{Readers: []int64{userID}})
}

// neighbour hears what other nodes tell. It notes what takes a look at the
// database and leaves that to run.
type neighbour struct {
	h    *Handlers
	wake chan struct{} // has room for one: there is something to look at

	mu       sync.Mutex
	channels map[int64]int64    // that may be new, and the revisions they have come to
	users    map[int64]struct{} // whose sessions may be over
	all      bool               // look at everything

	numbers map[string]int64 // of the last presence heard from each node; only Heard touches it
	failing bool             // the last look failed; only run touches it
}

var _ bus.Listener = (*neighbour)(nil)

func newNeighbour(h *Handlers) *neighbour {
	return &neighbour{
		h: h, wake: make(chan struct{}, 1),
		channels: map[int64]int64{}, users: map[int64]struct{}{}, numbers: map[string]int64{},
	}
}

// Heard implements bus.Listener.
func (n *neighbour) Heard(notice bus.Notice) {
	for id, revision := range notice.Channels {
		n.h.hubs.Hear(id, revision)
	}
	for _, id := range notice.Readers {
		n.h.news.ofUser(id)
	}
	for _, m := range notice.Moments {
		n.live(m)
	}
	// An older word on who is there must not undo a newer one.
	if notice.Number >= n.numbers[notice.Node] {
		n.numbers[notice.Node] = notice.Number
		for _, p := range notice.Presence {
			n.h.hubs.Elsewhere(notice.Node, attendance(p))
		}
	}
	if notice.Bye {
		n.h.hubs.NodeGone(notice.Node)
		delete(n.numbers, notice.Node)
	}
	if notice.Ask {
		n.h.hubs.Retell()
	}
	n.note(func() {
		for id, revision := range notice.Channels {
			n.channels[id] = max(n.channels[id], revision)
		}
		for _, id := range notice.Users {
			n.users[id] = struct{}{}
		}
	})
}

// live takes a moment as if it were of this node.
func (n *neighbour) live(m bus.Moment) {
	switch m.Kind {
	case bus.Typing:
		n.h.hubs.Typing(m.Channel, hub.User{ID: m.User})
	case bus.Reading:
		n.h.sockets.setReading(m.User, m.Name, m.On)
		n.h.news.ofUser(m.User)
	case bus.Left:
		n.h.sockets.leave(m.User, m.Channel)
		n.h.news.ofUser(m.User)
	case bus.Probed:
		n.h.probes.arrive(m.Name)
	}
}

// Missed implements bus.Listener.
func (n *neighbour) Missed() {
	n.h.hubs.Retell()
	n.h.tell(bus.Notice{Ask: true})
	n.note(func() { n.all = true })
}

func (n *neighbour) note(what func()) {
	n.mu.Lock()
	what()
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run looks at what was heard of, and now and then at everything, until ctx
// ends: what is true is in the database, and a notice may be lost.
func (n *neighbour) run(ctx context.Context) {
	presence, look, recheck := time.NewTicker(presenceEvery), time.NewTicker(lookEvery), time.NewTicker(recheckEvery)
	defer presence.Stop()
	defer look.Stop()
	defer recheck.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-presence.C:
			n.h.hubs.Retell()
		case <-look.C:
			err = n.refresh(ctx)
		case <-recheck.C:
			err = n.recheckAll(ctx)
		case <-n.wake:
			err = n.look(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !n.failing {
			n.h.Log.Error("the node cannot follow the others, and tries again", "error", err)
		}
		n.failing = err != nil
		if err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

// look looks at what was heard of. What fails is tried again.
func (n *neighbour) look(ctx context.Context) error {
	n.mu.Lock()
	channels, users, all := n.channels, n.users, n.all
	n.channels, n.users, n.all = map[int64]int64{}, map[int64]struct{}{}, false
	n.mu.Unlock()
	err := n.lookAt(ctx, channels, users, all)
	if err != nil {
		n.note(func() { n.all = true })
	}
	return err
}

func (n *neighbour) lookAt(ctx context.Context, channels map[int64]int64, users map[int64]struct{}, all bool) error {
	if all {
		for id := range n.h.sockets.byReader() {
			n.h.news.ofUser(id)
		}
		return errors.Join(n.recheckAll(ctx), n.refresh(ctx))
	}
	if err := n.recheck(ctx, maps.Keys(users)); err != nil {
		return err
	}
	for id, revision := range channels {
		isNew, err := n.hear(ctx, id, revision)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if isNew {
			n.h.news.ofNewChannel()
		}
		n.h.news.ofChannel(id)
	}
	return nil
}

func (n *neighbour) hear(ctx context.Context, id, revision int64) (isNew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return n.h.Store.Hear(ctx, id, revision)
}

// refresh looks for channels that other nodes have made or changed.
func (n *neighbour) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	changed, err := n.h.Store.Refresh(ctx)
	for _, c := range changed {
		n.h.hubs.Hear(c.ID, c.Revision)
		n.h.news.ofChannel(c.ID)
		n.h.news.ofNewChannel()
	}
	return err
}

// recheckAll ends all connections whose sessions are over.
func (n *neighbour) recheckAll(ctx context.Context) error {
	return n.recheck(ctx, maps.Keys(n.h.sockets.byReader()))
}

// recheck ends the connections of users whose sessions are over.
func (n *neighbour) recheck(ctx context.Context, users iter.Seq[int64]) error {
	for id := range users {
		over := map[string]bool{}
		for _, token := range n.h.sockets.tokens(id) {
			if _, known := over[token]; known {
				continue
			}
			var err error
			if over[token], err = n.tokenOver(ctx, token); err != nil {
				return err
			}
		}
		n.h.sockets.close(id, func(token string) bool { return over[token] })
	}
	return nil
}

func (n *neighbour) tokenOver(ctx context.Context, token string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return n.h.tokenOver(ctx, token)
}

// announce tells other nodes who has come to channels here, and who has gone.
func (h *Handlers) announce(all []hub.Attendance) {
	var notice bus.Notice
	for _, a := range all {
		p := bus.Presence{Channel: a.ChannelID, Gone: slices.Clone(a.Gone), Whole: a.Whole && len(a.Here) <= wholeAtOnce}
		for _, u := range a.Here {
			p.Here = append(p.Here, bus.User{ID: u.ID, Name: u.Name})
		}
		notice.Presence = append(notice.Presence, p)
	}
	h.tell(notice)
}

// attendance is what another node says of a channel.
func attendance(p bus.Presence) hub.Attendance {
	a := hub.Attendance{ChannelID: p.Channel, Gone: p.Gone, Whole: p.Whole}
	for _, u := range p.Here {
		a.Here = append(a.Here, hub.User{ID: u.ID, Name: u.Name})
	}
	return a
}
