// Package live is what goes on after an answer: connections that rows are sent
// through, the transports they use, the counts of unread messages that they are
// sent, and what nodes tell each other. It knows who is connected; who may see
// what is for the package handlers to say.
package live

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"hubbub/bus"
	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// Options is what a Server works with.
type Options struct {
	Store *store.Store
	Bus   *bus.Bus // to the other nodes, nil where there are none
	Log   *slog.Logger

	Base    string         // path that the pages are under: "" or "/chat"
	Zone    *time.Location // of times in rows
	Origins []string       // patterns of hosts, beside a request's own, whose pages may open a WebSocket

	// SessionOver reports whether the session with a token has ended. It reads
	// the store each time.
	SessionOver func(ctx context.Context, token string) (bool, error)
}

// Server serves the live connections of one node and sends everybody what
// changes.
type Server struct {
	Options
	Outgoing    Outgoing // pages and documents
	hubs        *hub.Registry
	connections connections
	writers     writers
	seed        maphash.Seed // of digests of what rows show
	news        *news
	probes      probes
	access      *access

	work         sync.WaitGroup
	stop         context.CancelFunc
	stopping     <-chan struct{} // closed by stop
	stopWatching context.CancelFunc
}

// New returns a server that has begun its work in the background and listens to
// the store. Close ends it.
func New(o Options) *Server {
	s := &Server{Options: o, seed: maphash.MakeSeed()}
	s.hubs = hub.NewRegistry(source{s}, o.Log)
	s.news = newNews(s)
	s.access = newAccess(s)
	o.Store.Listen(s.publish)

	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.stopping = stop, ctx.Done()
	s.work.Go(func() { s.news.run(ctx) })
	s.work.Go(func() { s.access.run(ctx) })
	// Until the last connection has ended, because one that does not read would
	// hold a stop up.
	watching, stopWatching := context.WithCancel(context.Background())
	s.stopWatching = stopWatching
	s.work.Go(func() { s.connections.watch(watching) })
	if o.Bus != nil {
		s.hubs.OnAttendance(s.publishAttendance)
		nodes := newNodes(s)
		s.work.Go(func() { nodes.run(ctx) })
		o.Bus.Listen(nodes)
	}
	return s
}

// Close ends every connection, so that browsers come back to the node that
// follows, and waits for all that the server has begun, or for ctx.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	s.hubs.Close()
	s.connections.stop()
	done := make(chan struct{})
	go func() {
		s.connections.open.Wait()
		s.stopWatching()
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("live connections were left: %w", ctx.Err())
	}
}

// Connections returns how many live connections a user has to this node.
func (s *Server) Connections(userID int64) int { return len(s.connections.of(userID)) }

// Window returns the newest rows of a room, the channel's revision at which
// they are so, and whether there are older ones.
func (s *Server) Window(ctx context.Context, room store.Channel) (hub.Window, error) {
	return s.hubs.Window(ctx, room.ID, room.Revision)
}

// Presence returns who is in a room now, for the page of a viewer, who is about
// to be there too.
func (s *Server) Presence(room store.Channel, viewer *store.User) components.PresenceView {
	return presenceView(s.hubs.Presence(room.ID, hubUser(viewer)))
}

// hubUser is a user as the others in a room see them.
func hubUser(u *store.User) hub.User { return hub.User{ID: u.ID, Name: u.Name} }

// presenceView is a presence as pages and frames show it.
func presenceView(p hub.Presence) components.PresenceView {
	v := components.PresenceView{More: p.More, State: p.State()}
	for _, user := range p.Here {
		v.Here = append(v.Here, user.Name)
	}
	for _, user := range p.Typing {
		v.Typing = append(v.Typing, user.Name)
	}
	return v
}
