package store

import (
	"context"
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

// Position returns the revision up to which a user has read a channel. It
// fails with ErrNotFound where the user has never been in it.
func (s *Store) Position(ctx context.Context, userID, channelID int64) (revision int64, err error) {
	err = s.readers.QueryRowContext(ctx, `
		SELECT revision FROM positions WHERE user_id = $1 AND channel_id = $2`, userID, channelID).Scan(&revision)
	return revision, notFound(err)
}

// Visit notes that a user has gone into a channel, the last one for now, and
// has read it up to a revision.
func (s *Store) Visit(ctx context.Context, userID, channelID, revision int64, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE users SET last_channel = $1 WHERE id = $2`, channelID, userID)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `
			INSERT INTO positions (user_id, channel_id, revision, visited_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, channel_id) DO UPDATE SET visited_at = excluded.visited_at,
				revision = CASE WHEN positions.revision < excluded.revision THEN excluded.revision ELSE positions.revision END`,
			userID, channelID, revision, now.UnixMicro())
		return err
	})
}

// Read notes that a user has read a channel up to a revision. A position never
// goes back by it, and there is none for a channel that was never visited.
func (s *Store) Read(ctx context.Context, userID, channelID, revision int64) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision < $3`,
			userID, channelID, revision)
		return err
	})
}

// MarkUnread sets a user's position back to before a message, if it is not
// before it already.
func (s *Store) MarkUnread(ctx context.Context, userID, channelID, id int64) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			UPDATE positions SET revision = $3 WHERE user_id = $1 AND channel_id = $2 AND revision > $3`,
			userID, channelID, id-1)
		return err
	})
}

// Unread returns the channels with unread messages for a user, of those that
// the user has been in.
func (s *Store) Unread(ctx context.Context, userID int64) ([]Unread, error) {
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

// Positions returns the positions of a user, by channel.
func (s *Store) Positions(ctx context.Context, userID int64) (map[int64]int64, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT channel_id, revision FROM positions WHERE user_id = $1`, userID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	positions := map[int64]int64{}
	for rows.Next() {
		var channelID, revision int64
		if err := rows.Scan(&channelID, &revision); err != nil {
			return nil, err
		}
		positions[channelID] = revision
	}
	return positions, rows.Err()
}
