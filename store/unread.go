package store

import (
	"context"
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
type Positions struct {
	userID      int64
	revision    map[int64]int64 // by channel
	latestFirst []int64         // the channels, from the one visited last

	mu     sync.Mutex
	unread []Unread
	as     int64 // the sum of the channels' revisions at which unread was counted, negative for never
}

// Of returns the revision up to which the user has read a channel, and whether
// they have ever been in it.
func (p *Positions) Of(channelID int64) (revision int64, visited bool) {
	revision, visited = p.revision[channelID]
	return revision, visited
}

// Positions returns the positions of a user, as they are now.
func (s *Store) Positions(ctx context.Context, userID int64) (*Positions, error) {
	return s.positions.get(userID, func() (*Positions, error) {
		rows, err := s.readers.QueryContext(ctx, `
			SELECT channel_id, revision FROM positions WHERE user_id = $1 ORDER BY visited_at DESC, channel_id`, userID)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		p := &Positions{userID: userID, revision: map[int64]int64{}, as: -1}
		for rows.Next() {
			var channelID, revision int64
			if err := rows.Scan(&channelID, &revision); err != nil {
				return nil, err
			}
			p.revision[channelID] = revision
			p.latestFirst = append(p.latestFirst, channelID)
		}
		return p, rows.Err()
	})
}

// Position returns the revision up to which a user has read a channel. It
// fails with ErrNotFound where the user has never been in it.
func (s *Store) Position(ctx context.Context, userID, channelID int64) (int64, error) {
	if s.engine.shared() {
		var revision int64
		err := s.readers.QueryRowContext(ctx, `
			SELECT revision FROM positions WHERE user_id = $1 AND channel_id = $2`, userID, channelID).Scan(&revision)
		return revision, notFound(err)
	}
	p, err := s.Positions(ctx, userID)
	if err != nil {
		return 0, err
	}
	revision, visited := p.Of(channelID)
	if !visited {
		return 0, ErrNotFound
	}
	return revision, nil
}

// Visit notes that a user has gone into a channel, the last one for now, and
// has read it up to a revision. It is the last one although another node's clock
// may be ahead.
func (s *Store) Visit(ctx context.Context, userID, channelID, revision int64, now time.Time) error {
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO positions (user_id, channel_id, revision, visited_at)
			SELECT $1, $2, $3, CASE WHEN max(visited_at) >= $4 THEN max(visited_at) + 1 ELSE $4 END
			FROM positions WHERE user_id = $1
			ON CONFLICT (user_id, channel_id) DO UPDATE SET visited_at = excluded.visited_at,
				revision = CASE WHEN positions.revision < excluded.revision THEN excluded.revision ELSE positions.revision END`,
			userID, channelID, revision, now.UnixMicro())
		t.after(func() {
			s.users.drop(userID)
			s.positions.drop(userID)
		})
		return err
	})
}

// Read notes that a user has read a channel up to a revision. A position never
// goes back by it, and there is none for a channel that was never visited.
func (s *Store) Read(ctx context.Context, userID, channelID, revision int64) error {
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision < $3`,
			userID, channelID, revision)
		t.after(func() { s.positions.drop(userID) })
		return err
	})
}

// MarkUnread sets a user's position back to before a message, if it is not
// before it already.
func (s *Store) MarkUnread(ctx context.Context, userID, channelID, id int64) error {
	return s.writeWith(ctx, lockPosition(userID, channelID), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision > $3`,
			userID, channelID, id-1)
		t.after(func() { s.positions.drop(userID) })
		return err
	})
}

// Unread returns the channels with unread messages for the user whose positions
// these are, of those that the user has been in, in the order of their ids. They
// are shared: do not change them.
func (s *Store) Unread(ctx context.Context, p *Positions) (_ []Unread, err error) {
	if s.engine.shared() {
		return s.countUnread(ctx, p.userID)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Revisions only rise: the same sum is the same revisions.
	sum, changed := s.directory.changed(p.revision)
	if !changed {
		return nil, nil
	}
	if sum != p.as {
		if p.unread, err = s.countUnread(ctx, p.userID); err != nil {
			return nil, err
		}
		p.as = sum
	}
	return p.unread, nil
}

func (s *Store) countUnread(ctx context.Context, userID int64) ([]Unread, error) {
	rows, err := s.readers.QueryContext(ctx, `
		SELECT channel_id, unread FROM (
			SELECT p.channel_id, (SELECT count(*) FROM (
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
		if err := rows.Scan(&u.ChannelID, &u.Count); err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, rows.Err()
}
