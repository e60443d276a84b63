package live

import (
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
	"time"

	"hubbub/store"
)

// accessTimeout is how long the store may take to say what somebody may see.
const accessTimeout = 10 * time.Second

// access ends the connections of those who may not see any more what they are
// sent: their session is over, or the room is closed to them. Whoever changes
// that only says whose access to check, because what is true is in the store.
type access struct {
	server *Server
	wake   chan struct{} // has room for one: there is somebody to check

	mu    sync.Mutex
	users map[int64]struct{} // whose access may have changed
}

func newAccess(s *Server) *access {
	return &access{server: s, wake: make(chan struct{}, 1), users: map[int64]struct{}{}}
}

// add has the access of users checked soon. It waits for nothing.
func (a *access) add(users iter.Seq[int64]) {
	a.mu.Lock()
	for id := range users {
		a.users[id] = struct{}{}
	}
	a.mu.Unlock()
	signal(a.wake)
}

// addOne is add for one user.
func (a *access) addOne(userID int64) {
	a.add(func(yield func(int64) bool) { yield(userID) })
}

// run checks until ctx ends. What fails is tried again.
func (a *access) run(ctx context.Context) {
	log := repeatedFailure{log: a.server.Log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		a.mu.Lock()
		users := a.users
		a.users = map[int64]struct{}{}
		a.mu.Unlock()
		err := a.check(ctx, users)
		log.report(ctx, "who may see what cannot be checked, which is tried again", err)
		if err != nil {
			if !pause(ctx, time.Second) {
				return
			}
			a.add(maps.Keys(users))
		}
	}
}

// check ends connections of users, and takes those whom it has checked out of
// the map.
func (a *access) check(ctx context.Context, users map[int64]struct{}) error {
	for id := range users {
		for _, c := range a.server.connections.of(id) {
			reason, err := a.denied(ctx, c)
			if err != nil {
				return err
			}
			if reason != nil {
				c.subscriber.End(reason)
			}
		}
		delete(users, id)
	}
	return nil
}

// denied returns why a connection has to end: ErrSessionOver or ErrNoRoom, nil
// where it may go on.
func (a *access) denied(ctx context.Context, c *connection) (reason, err error) {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	if over, err := a.server.SessionOver(ctx, c.token); over || err != nil {
		return ErrSessionOver, err
	}
	if c.channelID == 0 {
		return nil, nil
	}
	scope, err := a.server.Store.Scope(ctx, c.userID)
	if err != nil {
		return nil, err
	}
	_, err = a.server.Store.Channel(ctx, scope, c.channelID)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoRoom, nil
	}
	return nil, err
}
