package store

import (
	"context"
	"time"
)

// Role is what a member may do in a channel.
type Role int64

// Roles of members.
const (
	Ordinary Role = 0
	Manager  Role = 1
)

// Join makes the scope's user a member of a channel. It fails with ErrNotFound.
// To join again changes nothing.
func (s *Store) Join(ctx context.Context, scope Scope, channelID int64, now time.Time) error {
	if err := s.visible(ctx, scope, channelID); err != nil {
		return err
	}
	return s.AddMember(ctx, scope, channelID, scope.userID, Ordinary, now)
}

// AddMember makes a user a member of a channel that the scope sees. It fails
// with ErrNotFound. To add a member again changes nothing.
func (s *Store) AddMember(ctx context.Context, scope Scope, channelID, userID int64, role Role, now time.Time) error {
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		if err := t.allow(ctx, scope, channelID); err != nil {
			return err
		}
		return s.join(ctx, t, channelID, userID, role, now)
	})
}

// RemoveMember ends a user's membership in a channel that the scope sees.
func (s *Store) RemoveMember(ctx context.Context, scope Scope, channelID, userID int64) error {
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		if err := t.allow(ctx, scope, channelID); err != nil {
			return err
		}
		removed, err := t.ExecContext(ctx, `DELETE FROM members WHERE channel_id = $1 AND user_id = $2`, channelID, userID)
		if err != nil {
			return err
		}
		if n, err := removed.RowsAffected(); err != nil || n == 0 {
			return err
		}
		s.membersChanged(t, MembersChanged{channelID, userID, false})
		return nil
	})
}

// join adds a member, if the user is none yet.
func (s *Store) join(ctx context.Context, t *tx, channelID, userID int64, role Role, now time.Time) error {
	added, err := t.ExecContext(ctx, `
		INSERT INTO members (channel_id, user_id, role, joined_at, joined_revision)
		SELECT id, $2, $3, $4, revision FROM channels WHERE id = $1
		ON CONFLICT (channel_id, user_id) DO NOTHING`, channelID, userID, role, now.UnixMicro())
	if err != nil {
		return err
	}
	if n, err := added.RowsAffected(); err != nil || n == 0 {
		return err
	}
	s.membersChanged(t, MembersChanged{channelID, userID, true})
	return nil
}

// membersChanged registers a change of members, on which a user's scope and
// positions depend.
func (s *Store) membersChanged(t *tx, change MembersChanged) {
	t.changed(change)
	t.after(func() {
		s.scopes.drop(change.UserID)
		s.positions.drop(change.UserID)
	})
}

// allow fails where a scope does not see a channel within the transaction. The
// scope may be older than the transaction, so a membership is looked up again.
func (t *tx) allow(ctx context.Context, scope Scope, channelID int64) error {
	var kind Kind
	if err := t.QueryRowContext(ctx, `SELECT kind FROM channels WHERE id = $1`, channelID).Scan(&kind); err != nil {
		return refuseMissing(err)
	}
	return t.allowKind(ctx, scope, channelID, kind)
}

// allowKind is allow for a channel whose kind is known.
func (t *tx) allowKind(ctx context.Context, scope Scope, channelID int64, kind Kind) error {
	if scope.all || kind == KindOpen {
		return nil
	}
	var one int
	err := t.QueryRowContext(ctx, `SELECT 1 FROM members WHERE channel_id = $1 AND user_id = $2`, channelID, scope.userID).Scan(&one)
	return refuseMissing(err)
}
