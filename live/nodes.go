package live

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"hubbub/bus"
	"hubbub/hub"
)

const (
	// presenceEvery is how often other nodes are sent the presence of everybody
	// here.
	presenceEvery = 5 * time.Second

	// refreshEvery is how often a node reads which channels other nodes have
	// changed, and recheckEvery how often everything else that a lost notice
	// would have said.
	refreshEvery = 10 * time.Second
	recheckEvery = time.Minute

	// nodeTimeout is how long such a read may take.
	nodeTimeout = 10 * time.Second
)

// nodes receives what other nodes send. A notice only says what has changed:
// nodes reads that from the database, in goroutines of its own, so that the bus
// never waits.
type nodes struct {
	server  *Server
	changed chan struct{} // has room for one: a channel is to be read
	missed  chan struct{} // has room for one: everything is to be read

	mu       sync.Mutex
	channels map[int64]int64 // that may be new, and the revisions they have come to
}

var _ bus.Listener = (*nodes)(nil)

func newNodes(s *Server) *nodes {
	return &nodes{
		server: s, changed: make(chan struct{}, 1), missed: make(chan struct{}, 1),
		channels: map[int64]int64{},
	}
}

// Receive implements bus.Listener.
func (n *nodes) Receive(notice bus.Notice) {
	for id, revision := range notice.Channels {
		n.server.hubs.SetRevision(id, revision)
	}
	for _, id := range notice.Readers {
		n.server.news.userChanged(id)
	}
	for _, m := range notice.Moments {
		n.receiveMoment(m)
	}
	for _, p := range notice.Presence {
		n.server.hubs.SetRemote(notice.Node, notice.Number, attendance(p))
	}
	if notice.Bye {
		n.server.hubs.RemoveNode(notice.Node)
	}
	if notice.Ask {
		n.server.hubs.AnnounceAll()
	}
	n.server.access.add(slices.Values(notice.Users))
	n.add(notice.Channels)
}

// receiveMoment handles a moment as if it were of this node.
func (n *nodes) receiveMoment(m bus.Moment) {
	switch m.Kind {
	case bus.Typing:
		n.server.hubs.Typing(m.Channel, hub.User{ID: m.User})
	case bus.Reading:
		n.server.connections.setReading(m.User, m.Name, m.On)
		n.server.news.userChanged(m.User)
	case bus.Left:
		n.server.connections.stopReading(m.User, m.Channel)
		n.server.news.userChanged(m.User)
	case bus.Probed:
		n.server.probes.arrive(m.Name)
	}
}

// Missed implements bus.Listener.
func (n *nodes) Missed() {
	n.server.hubs.AnnounceAll()
	n.server.notify(bus.Notice{Ask: true})
	signal(n.missed)
}

// add has channels read that have come to revisions.
func (n *nodes) add(channels map[int64]int64) {
	n.mu.Lock()
	for id, revision := range channels {
		n.channels[id] = max(n.channels[id], revision)
	}
	n.mu.Unlock()
	signal(n.changed)
}

// run follows the other nodes until ctx ends.
func (n *nodes) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		for pause(ctx, presenceEvery) {
			n.server.hubs.AnnounceAll()
		}
	})
	work.Go(func() { n.recheck(ctx) })
	n.follow(ctx)
}

// follow reads what notices have said to have changed. What fails is tried
// again.
func (n *nodes) follow(ctx context.Context) {
	log := repeatedFailure{log: n.server.Log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.changed:
		}
		err := n.readChanged(ctx)
		log.report(ctx, "what other nodes have changed cannot be read, which is tried again", err)
		if err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

func (n *nodes) readChanged(ctx context.Context) (err error) {
	n.mu.Lock()
	channels := n.channels
	n.channels = map[int64]int64{}
	n.mu.Unlock()
	for id, revision := range channels {
		isNew, err := n.readChannel(ctx, id, revision)
		if err != nil {
			n.add(channels)
			return err
		}
		if isNew {
			n.server.news.channelMade()
		}
		n.server.news.channelChanged(id)
	}
	return nil
}

func (n *nodes) readChannel(ctx context.Context, id, revision int64) (isNew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return n.server.Store.NoteChannel(ctx, id, revision)
}

// recheck reads everything now and then, and when notices may have been lost,
// because what is true is in the database.
func (n *nodes) recheck(ctx context.Context) {
	log := repeatedFailure{log: n.server.Log}
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	all := time.NewTicker(recheckEvery)
	defer all.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-refresh.C:
			err = n.refresh(ctx)
		case <-all.C:
			err = n.refreshAll(ctx)
		case <-n.missed:
			if err = n.refreshAll(ctx); err != nil {
				signal(n.missed)
			}
		}
		log.report(ctx, "what other nodes do cannot be read, which is tried again", err)
		if err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

// refreshAll reads the channels, and has the positions and sessions of everyone
// here read.
func (n *nodes) refreshAll(ctx context.Context) error {
	users := maps.Keys(n.server.connections.each())
	n.server.access.add(users)
	for id := range users {
		n.server.news.userChanged(id)
	}
	return n.refresh(ctx)
}

// refresh reads which channels other nodes have made or changed.
func (n *nodes) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	changed, receded, err := n.server.Store.Refresh(ctx)
	for _, c := range changed {
		n.server.hubs.SetRevision(c.ID, c.Revision)
		n.server.news.channelChanged(c.ID)
		n.server.news.channelMade()
	}
	for _, c := range receded {
		n.server.hubs.Reload(c.ID)
		n.server.news.channelChanged(c.ID)
	}
	return err
}

// attendance is what another node says of a channel.
func attendance(p bus.Presence) hub.Attendance {
	a := hub.Attendance{ChannelID: p.Channel, Gone: p.Gone, Whole: p.Whole}
	for _, u := range p.Here {
		a.Here = append(a.Here, hub.User{ID: u.ID, Name: u.Name})
	}
	return a
}

// repeatedFailure logs once what fails again and again.
type repeatedFailure struct {
	log       *slog.Logger
	isFailing bool
}

// report logs an error unless the last call had one too.
func (f *repeatedFailure) report(ctx context.Context, what string, err error) {
	if err != nil && !f.isFailing && ctx.Err() == nil {
		f.log.Error(what, "error", err)
	}
	f.isFailing = err != nil
}
