package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// MaxUnread is how far unread messages are counted. A channel that has so
// many may have more.
const MaxUnread = 100

// Unread is a channel in which messages by others wait for a user.
type Unread struct {
	ChannelID int64
	Count     int // 1 to MaxUnread
}

// Positions is how far a user has read, everywhere, at a moment.
//
// A position is the id of the last post that the user has read in a channel, 0
// for none. What happens to messages after they were posted makes nothing unread
// and moves no position.
type Positions struct {
	userID      int64
	read        map[int64]int64 // by channel
	latestFirst []int64         // the channels, from the one visited last

	mu     sync.Mutex
	unread []Unread
	sum    int64 // the directory's sum when unread was counted, negative for never
}

// Of returns the user's position in a channel, and whether they have ever been
// in it.
func (p *Positions) Of(channelID int64) (id int64, visited bool) {
	id, visited = p.read[channelID]
	return id, visited
}

// Positions returns the positions of the scope's user, as they are now. They
// include channels that the user does not see any more, because they may be cached
// for longer than a scope is true: whoever reads channels by them gives a scope.
func (s *Store) Positions(ctx context.Context, scope Scope) (*Positions, error) {
	return s.positions.get(scope.userID, func() (*Positions, error) {
		rows, err := s.readers.QueryContext(ctx, `
			SELECT channel_id, revision FROM positions WHERE user_id = $1 ORDER BY visited_at DESC, channel_id`, scope.userID)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		p := &Positions{userID: scope.userID, read: map[int64]int64{}, sum: -1}
		for rows.Next() {
			var channelID, id int64
			if err := rows.Scan(&channelID, &id); err != nil {
				return nil, err
			}
			p.read[channelID] = id
			p.latestFirst = append(p.latestFirst, channelID)
		}
		return p, rows.Err()
	})
}

// Position returns the position of the scope's user in a channel. It fails with
// ErrNotFound where the user has never been in it or does not see it.
func (s *Store) Position(ctx context.Context, scope Scope, channelID int64) (int64, error) {
	if s.engine.shared() {
		var id int64
		err := s.readers.QueryRowContext(ctx, `
			SELECT p.revision FROM positions p JOIN channels c ON c.id = p.channel_id
			WHERE p.user_id = $1 AND p.channel_id = $2 AND c.kind <= $3`, scope.userID, channelID, scope.highest(channelID)).Scan(&id)
		return id, notFound(err)
	}
	if err := s.visible(ctx, scope, channelID); err != nil {
		return 0, err
	}
	p, err := s.Positions(ctx, scope)
	if err != nil {
		return 0, err
	}
	id, visited := p.Of(channelID)
	if !visited {
		return 0, ErrNotFound
	}
	return id, nil
}

// Visit registers that the scope's user has gone into a channel and has read it
// up to a post. It is the channel visited last, although another node's clock may
// be ahead. Whoever visits an open channel joins it. Visit fails with
// ErrNotFound.
//
// Where Unavailable holds for its error, the channel can be shown all the same:
// only the position is not kept.
func (s *Store) Visit(ctx context.Context, scope Scope, channelID, id int64, now time.Time) error {
	userID := scope.userID
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		var kind Kind
		if err := t.QueryRowContext(ctx, `SELECT kind FROM channels WHERE id = $1`, channelID).Scan(&kind); err != nil {
			return refuseMissing(err)
		}
		if err := t.allowKind(ctx, scope, channelID, kind); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, `
			INSERT INTO positions (user_id, channel_id, revision, visited_at)
			SELECT $1, $2, $3, CASE WHEN max(visited_at) >= $4 THEN max(visited_at) + 1 ELSE $4 END
			FROM positions WHERE user_id = $1
			ON CONFLICT (user_id, channel_id) DO UPDATE SET visited_at = excluded.visited_at,
				revision = CASE WHEN positions.revision < excluded.revision THEN excluded.revision ELSE positions.revision END`,
			userID, channelID, id, now.UnixMicro())
		if err != nil {
			return err
		}
		if kind == KindOpen {
			if err := s.join(ctx, t, channelID, userID, Ordinary, now); err != nil {
				return err
			}
		}
		t.changed(PositionChanged{userID, channelID})
		t.after(func() {
			s.users.drop(userID)
			s.positions.drop(userID)
		})
		return nil
	})
}

// Read registers that the scope's user has read a channel up to a post. A
// position never goes back by it, and there is none for a channel that was never
// visited.
func (s *Store) Read(ctx context.Context, scope Scope, channelID, id int64) error {
	return s.setPosition(ctx, scope, channelID, `
		UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision < $3`, id)
}

// MarkUnread sets the position of the scope's user back to before a message, if
// it is not before it already.
func (s *Store) MarkUnread(ctx context.Context, scope Scope, channelID, id int64) error {
	return s.setPosition(ctx, scope, channelID, `
		UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision > $3`, id-1)
}

func (s *Store) setPosition(ctx context.Context, scope Scope, channelID int64, statement string, id int64) error {
	userID := scope.userID
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		set, err := t.ExecContext(ctx, statement, userID, channelID, id)
		if err != nil {
			return err
		}
		if n, err := set.RowsAffected(); err != nil || n == 0 {
			return err
		}
		t.changed(PositionChanged{userID, channelID})
		t.after(func() { s.positions.drop(userID) })
		return nil
	})
}

// Unread returns the channels with unread messages for the user whose scope and
// positions these are, of those that the user has been in, in the order of their
// ids. They are shared: do not change them.
func (s *Store) Unread(ctx context.Context, scope Scope, p *Positions) (_ []Unread, err error) {
	if s.engine.shared() {
		return s.countUnread(ctx, scope.userID, scope.sees)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// What is summed up only rises: the same sum is the same state.
	sum, maybe := s.directory.unread(p.read)
	if !maybe {
		return nil, nil
	}
	if sum != p.sum {
		if p.unread, err = s.countUnread(ctx, scope.userID, Everything().sees); err != nil {
			return nil, err
		}
		p.sum = sum
	}
	return s.directory.onlyVisible(scope, p.unread), nil
}

// onlyVisible returns those counts that are of channels which a scope sees.
func (d *directory) onlyVisible(scope Scope, all []Unread) []Unread {
	d.mu.RLock()
	defer d.mu.RUnlock()
	invisible := func(u Unread) bool {
		_, err := d.visible(scope, d.byID[u.ChannelID])
		return err != nil
	}
	if !slices.ContainsFunc(all, invisible) {
		return all
	}
	var visible []Unread
	for _, u := range all {
		if !invisible(u) {
			visible = append(visible, u)
		}
	}
	return visible
}

// countUnread counts the unread messages of a user in the channels that sees
// reports to be visible.
func (s *Store) countUnread(ctx context.Context, userID int64, sees func(id int64, kind Kind) bool) ([]Unread, error) {
	rows, err := s.readers.QueryContext(ctx, `
		SELECT channel_id, kind, unread FROM (
			SELECT p.channel_id, c.kind, (SELECT count(*) FROM (
				SELECT 1 FROM messages m
				WHERE m.channel_id = p.channel_id AND m.id > p.revision AND m.deleted = 0 AND m.author_id <> p.user_id
				LIMIT $2) AS waiting) AS unread
			FROM positions p JOIN channels c ON c.id = p.channel_id
			WHERE p.user_id = $1 AND c.revision > p.revision) AS changed
		WHERE unread > 0 ORDER BY channel_id`, userID, MaxUnread)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Unread
	for rows.Next() {
		var u Unread
		var kind Kind
		if err := rows.Scan(&u.ChannelID, &kind, &u.Count); err != nil {
			return nil, err
		}
		if sees(u.ChannelID, kind) {
			all = append(all, u)
		}
	}
	return all, rows.Err()
}
