package live

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hubbub/hub"
)

// connection is one live connection, of whatever transport.
type connection struct {
	userID     int64
	token      string    // of its session
	deadline   time.Time // of its session
	channelID  int64     // 0 for none
	subscriber *hub.Subscriber

	tab     string      // names the page to itself: see setReading
	reading atomic.Bool // somebody looks at the newest messages in it
	news    string      // the state of the news that its page shows, "" for none; only news.send changes it

	socket *socket // nil where it is not a WebSocket
}

// connections knows the live connections of each user, to end them with their
// session, and waits for them all at the end.
type connections struct {
	mu     sync.Mutex
	byUser map[int64][]*connection
	counts map[int64]int // by user, those that are still being made too
	ending bool
	open   sync.WaitGroup
}

// How many connections to this node one user may have, and how many may be open
// to tell browsers that they are signed out.
const (
	maxPerUser   = 64
	maxSignedOut = 1000
)

// ErrTooMany says that a user has as many connections as one may have.
var ErrTooMany = errors.New("too many live connections")

// begin counts a connection of a user in, 0 for nobody. It fails with
// hub.ErrRestart or ErrTooMany.
func (all *connections) begin(userID int64) error {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.ending {
		return hub.ErrRestart
	}
	if all.counts == nil {
		all.counts = map[int64]int{}
	}
	if n := all.counts[userID]; n >= maxSignedOut || userID != 0 && n >= maxPerUser {
		return ErrTooMany
	}
	all.counts[userID]++
	all.open.Add(1)
	return nil
}

// end counts a connection out.
func (all *connections) end(userID int64) {
	all.mu.Lock()
	if all.counts[userID]--; all.counts[userID] == 0 {
		delete(all.counts, userID)
	}
	all.mu.Unlock()
	all.open.Done()
}

// beginWork counts in what is done for a connection beside it, unless the node
// is stopping. The caller counts it out of open.
func (all *connections) beginWork() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if !all.ending {
		all.open.Add(1)
	}
	return !all.ending
}

// stop ends all connections and lets none in any more.
func (all *connections) stop() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.ending = true
	for _, connections := range all.byUser {
		for _, c := range connections {
			c.subscriber.End(hub.ErrRestart)
		}
	}
}

func (all *connections) add(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byUser == nil {
		all.byUser = map[int64][]*connection{}
	}
	all.byUser[c.userID] = append(all.byUser[c.userID], c)
	if all.ending {
		c.subscriber.End(hub.ErrRestart)
	}
}

func (all *connections) remove(c *connection) {
	all.mu.Lock()
	defer all.mu.Unlock()
	left := slices.DeleteFunc(all.byUser[c.userID], func(other *connection) bool { return other == c })
	if len(left) == 0 {
		delete(all.byUser, c.userID)
		return
	}
	all.byUser[c.userID] = left
}

// each returns all connections by their users.
func (all *connections) each() map[int64][]*connection {
	all.mu.Lock()
	defer all.mu.Unlock()
	copied := make(map[int64][]*connection, len(all.byUser))
	for id, connections := range all.byUser {
		copied[id] = slices.Clone(connections)
	}
	return copied
}

// of returns the connections of a user.
func (all *connections) of(userID int64) []*connection {
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.Clone(all.byUser[userID])
}

// setReading notes whether somebody looks at the newest messages in a tab, and
// reports whether the tab is connected to this node.
func (all *connections) setReading(userID int64, tab string, reading bool) (known bool) {
	for _, c := range all.of(userID) {
		if c.tab == tab {
			c.reading.Store(reading)
			known = true
		}
	}
	return known
}

// stopReading notes that a user leaves a room unread, although it may be open.
func (all *connections) stopReading(userID, channelID int64) {
	for _, c := range all.of(userID) {
		if c.channelID == channelID {
			c.reading.Store(false)
		}
	}
}

// watch looks after the WebSockets, once a second, until ctx ends.
func (all *connections) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, connections := range all.each() {
				for _, c := range connections {
					all.check(c, now)
				}
			}
		}
	}
}

// check does what would take a timer for each WebSocket: it ends one whose
// session is over, gives up one that does not read, and tries one that has been
// silent.
func (all *connections) check(c *connection, now time.Time) {
	t := c.socket
	switch {
	case t == nil:
	case now.After(c.deadline):
		c.subscriber.End(ErrSessionOver)
	case t.wire.stalls():
		_ = t.wire.Close() // the write that hangs fails
	case t.wire.writing.Load() > 0: // a ping would have to wait, and be given up
	case t.isSilent() && all.beginWork():
		c.subscriber.Send(hub.NewFrame([]byte(" "))) // which script can see
		go func() {
			defer all.open.Done()
			if err := t.ping(); err != nil {
				c.subscriber.End(err)
			}
		}()
	}
}
