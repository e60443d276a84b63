package handlers

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hubbub/hub"
)

// sockets knows the live connections of each user, to end them with their
// session, and waits for them all at the end.
type sockets struct {
	mu     sync.Mutex
	byUser map[int64][]*socket
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
		for _, socket := range sockets {
			socket.subscriber.Close(hub.ErrRestart)
		}
	}
}

// socket is one live connection, of whatever transport.
type socket struct {
	userID     int64
	token      string    // of its session
	deadline   time.Time // of its session
	channelID  int64     // 0 for none
	subscriber *hub.Subscriber

	tab     string      // names the page to itself: see setReading
	reading atomic.Bool // somebody looks at the newest messages in it
	news    string      // the state of the news that its page shows, "" for none; only tell changes it

	transport *socketTransport // nil where it is not a WebSocket
}

func (s *sockets) add(added *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUser == nil {
		s.byUser = map[int64][]*socket{}
	}
	s.byUser[added.userID] = append(s.byUser[added.userID], added)
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
		all[id] = slices.Clone(sockets)
	}
	return all
}

// tend looks after the WebSockets, once a second, until ctx ends.
func (s *sockets) tend(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, sockets := range s.byReader() {
				for _, socket := range sockets {
					s.tendOne(socket, now)
				}
			}
		}
	}
}

// tendOne does what would take a timer for each connection: it ends one whose
// session is over, gives up one that does not read, and tries one that has been
// silent.
func (s *sockets) tendOne(socket *socket, now time.Time) {
	t := socket.transport
	switch {
	case t == nil:
	case now.After(socket.deadline):
		socket.subscriber.Close(errSessionOver)
	case t.wire.stalls():
		_ = t.wire.Close() // the write that hangs fails
	case t.wire.writing.Load() > 0: // a ping would have to wait, and be given up
	case t.isSilent() && s.begin():
		socket.subscriber.Tell([]byte(" ")) // which script can see
		go func() {
			defer s.end()
			if err := t.ping(); err != nil {
				socket.subscriber.Close(err)
			}
		}()
	}
}

// setReading notes whether somebody looks at the newest messages in a tab, and
// reports whether it is known.
func (s *sockets) setReading(userID int64, tab string, reading bool) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.byUser[userID] {
		if socket.tab == tab {
			socket.reading.Store(reading)
			known = true
		}
	}
	return known
}

// leave says that a user leaves a channel unread, although it may be open.
func (s *sockets) leave(userID, channelID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.byUser[userID] {
		if socket.channelID == channelID {
			socket.reading.Store(false)
		}
	}
}

func (s *sockets) remove(removed *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.byUser[removed.userID], func(other *socket) bool { return other == removed })
	if len(left) == 0 {
		delete(s.byUser, removed.userID)
		return
	}
	s.byUser[removed.userID] = left
}

// tokens returns the session tokens of a user's connections.
func (s *sockets) tokens(userID int64) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tokens []string
	for _, socket := range s.byUser[userID] {
		tokens = append(tokens, socket.token)
	}
	return tokens
}

// close ends the connections of a user whose session token is over.
func (s *sockets) close(userID int64, over func(token string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, socket := range s.byUser[userID] {
		if over(socket.token) {
			socket.subscriber.Close(errSessionOver)
		}
	}
}
