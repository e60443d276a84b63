package handlers

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"hubbub/bus"
	"hubbub/hub"
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
// database and leaves that to others: it waits for nothing.
type neighbour struct {
	h    *Handlers
	wake chan struct{} // has room for one: there is something to look at
	all  chan struct{} // has room for one: there is everything to look at

	mu       sync.Mutex
	channels map[int64]int64    // that may be new, and the revisions they have come to
	users    map[int64]struct{} // whose sessions may be over
}

var _ bus.Listener = (*neighbour)(nil)

func newNeighbour(h *Handlers) *neighbour {
	return &neighbour{
		h: h, wake: make(chan struct{}, 1), all: make(chan struct{}, 1),
		channels: map[int64]int64{}, users: map[int64]struct{}{},
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
	for _, p := range notice.Presence {
		n.h.hubs.Elsewhere(notice.Node, notice.Number, attendance(p))
	}
	if notice.Bye {
		n.h.hubs.NodeGone(notice.Node)
	}
	if notice.Ask {
		n.h.hubs.Retell()
	}
	n.note(notice.Channels, slices.Values(notice.Users))
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
	signal(n.all)
}

// note has channels and users looked at.
func (n *neighbour) note(channels map[int64]int64, users iter.Seq[int64]) {
	n.mu.Lock()
	for id, revision := range channels {
		n.channels[id] = max(n.channels[id], revision)
	}
	for id := range users {
		n.users[id] = struct{}{}
	}
	n.mu.Unlock()
	signal(n.wake)
}

// signal wakes whoever waits for a channel that has room for one.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run follows the other nodes until ctx ends.
func (n *neighbour) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { n.retell(ctx) })
	work.Go(func() { n.sweep(ctx) })
	n.follow(ctx)
}

// retell tells the other nodes of everybody here, again and again.
func (n *neighbour) retell(ctx context.Context) {
	for pause(ctx, presenceEvery) {
		n.h.hubs.Retell()
	}
}

// follow looks at what was heard of. What fails is tried again.
func (n *neighbour) follow(ctx context.Context) {
	log := trouble{log: n.h.Log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		err := n.look(ctx)
		log.note(ctx, "what other nodes have told cannot be looked at, which is tried again", err)
		if err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

// sweep looks at everything, now and then and when notices may have been lost:
// what is true is in the database.
func (n *neighbour) sweep(ctx context.Context) {
	log := trouble{log: n.h.Log}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	all := time.NewTicker(recheckEvery)
	defer all.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			err = n.refresh(ctx)
		case <-all.C:
			err = n.lookAtAll(ctx)
		case <-n.all:
			if err = n.lookAtAll(ctx); err != nil {
				signal(n.all)
			}
		}
		log.note(ctx, "the database cannot be looked at for what other nodes do, which is tried again", err)
		if err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

// trouble tells the log once of what fails again and again.
type trouble struct {
	log     *slog.Logger
	failing bool
}

func (t *trouble) note(ctx context.Context, what string, err error) {
	if err != nil && !t.failing && ctx.Err() == nil {
		t.log.Error(what, "error", err)
	}
	t.failing = err != nil
}

// look looks at what was heard of.
func (n *neighbour) look(ctx context.Context) (err error) {
	n.mu.Lock()
	channels, users := n.channels, n.users
	n.channels, n.users = map[int64]int64{}, map[int64]struct{}{}
	n.mu.Unlock()
	defer func() {
		if err != nil {
			n.note(channels, maps.Keys(users))
		}
	}()
	if err := n.recheck(ctx, maps.Keys(users)); err != nil {
		return err
	}
	for id, revision := range channels {
		isNew, err := n.hear(ctx, id, revision)
		if err != nil {
			return err
		}
		if isNew {
			n.h.news.ofNewChannel()
		}
		n.h.news.ofChannel(id)
	}
	return nil
}

// lookAtAll looks at the channels, at what everyone here has read, and at all
// sessions.
func (n *neighbour) lookAtAll(ctx context.Context) error {
	err := n.refresh(ctx)
	for id := range n.h.sockets.byReader() {
		n.h.news.ofUser(id)
	}
	return errors.Join(err, n.recheck(ctx, maps.Keys(n.h.sockets.byReader())))
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
	changed, receded, err := n.h.Store.Refresh(ctx)
	for _, c := range changed {
		n.h.hubs.Hear(c.ID, c.Revision)
		n.h.news.ofChannel(c.ID)
		n.h.news.ofNewChannel()
	}
	for _, c := range receded {
		n.h.hubs.Reload(c.ID)
		n.h.news.ofChannel(c.ID)
	}
	return err
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
		p := bus.Presence{Channel: a.ChannelID, Gone: slices.Clone(a.Gone), Whole: a.Whole}
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
