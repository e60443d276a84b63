package store

import (
	"context"
	"math"
)

// Kind is who may see a channel.
type Kind int64

// Kinds of channels.
const (
	KindOpen    Kind = 0 // everybody may read and join it
	KindPrivate Kind = 1 // only its members know that it exists
	KindDirect  Kind = 2 // a conversation of its members
)

// Scope is what one user may see: the open channels and those of which the user
// is a member. Reads and writes for a person take the person's scope, and what
// it does not see is ErrNotFound, like what does not exist.
type Scope struct {
	userID int64
	all    bool
	rooms  map[int64]bool // the channels that are not open, of which the user is a member
}

// Everything returns the scope that sees all channels. It is for the program
// itself, never for what is shown to one person.
func Everything() Scope { return Scope{all: true} }

// UserID returns the id of the scope's user, 0 for nobody.
func (s Scope) UserID() int64 { return s.userID }

// sees reports whether a channel of some kind is visible.
func (s Scope) sees(id int64, kind Kind) bool { return kind <= s.highest(id) }

// highest returns the highest kind at which a channel is visible.
func (s Scope) highest(id int64) Kind {
	if s.all || s.rooms[id] {
		return math.MaxInt64
	}
	return KindOpen
}

// Scope returns what a user may see now. A user who does not exist sees the open
// channels.
func (s *Store) Scope(ctx context.Context, userID int64) (Scope, error) {
	return s.scopes.get(userID, func() (Scope, error) {
		rows, err := s.readers.QueryContext(ctx, `
			SELECT m.channel_id FROM members m JOIN channels c ON c.id = m.channel_id
			WHERE m.user_id = $1 AND c.kind <> 0`, userID)
		if err != nil {
			return Scope{}, err
		}
		defer rows.Close()
		scope := Scope{userID: userID}
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return Scope{}, err
			}
			if scope.rooms == nil {
				scope.rooms = map[int64]bool{}
			}
			scope.rooms[id] = true
		}
		return scope, rows.Err()
	})
}

// visible fails with ErrNotFound where a scope does not see a channel.
func (s *Store) visible(ctx context.Context, scope Scope, channelID int64) error {
	_, err := s.Channel(ctx, scope, channelID)
	return err
}
