package live

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"
)

// sessionTimeout is how long the store may take to say whether a session is
// over.
const sessionTimeout = 10 * time.Second

// sessionChecks ends the connections of sessions that are over. Whoever changes
// a user's sessions only says whose they are: what is true is in the store.
type sessionChecks struct {
	server *Server
	wake   chan struct{} // has room for one: there is somebody to check

	mu    sync.Mutex
	users map[int64]struct{} // whose sessions may be over
}

func newSessionChecks(s *Server) *sessionChecks {
	return &sessionChecks{server: s, wake: make(chan struct{}, 1), users: map[int64]struct{}{}}
}

// add has the sessions of users checked soon. It waits for nothing.
func (c *sessionChecks) add(users iter.Seq[int64]) {
	c.mu.Lock()
	for id := range users {
		c.users[id] = struct{}{}
	}
	c.mu.Unlock()
	signal(c.wake)
}

// run checks sessions until ctx ends. What fails is tried again.
func (c *sessionChecks) run(ctx context.Context) {
	log := repeatedFailure{log: c.server.Log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		users := c.users
		c.users = map[int64]struct{}{}
		c.mu.Unlock()
		err := c.check(ctx, users)
		log.report(ctx, "sessions cannot be checked, which is tried again", err)
		if err != nil {
			if !pause(ctx, time.Second) {
				return
			}
			c.add(maps.Keys(users))
		}
	}
}

// check ends the connections of users whose sessions are over, and takes those
// whom it has checked out of users.
func (c *sessionChecks) check(ctx context.Context, users map[int64]struct{}) error {
	for id := range users {
		over := map[string]bool{}
		for _, connection := range c.server.connections.of(id) {
			token := connection.token
			if _, known := over[token]; !known {
				var err error
				if over[token], err = c.isOver(ctx, token); err != nil {
					return err
				}
			}
			if over[token] {
				connection.subscriber.End(ErrSessionOver)
			}
		}
		delete(users, id)
	}
	return nil
}

func (c *sessionChecks) isOver(ctx context.Context, token string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	return c.server.SessionOver(ctx, token)
}
