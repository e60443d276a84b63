package store

import (
	"context"
	"slices"
	"time"
)

// Saved is a message that a user keeps for themselves.
type Saved struct {
	Message  Message
	SavedAt  time.Time
	RemindAt time.Time // zero for never
}

// Save keeps a message for the scope's user, or keeps it no more. A time to be
// reminded at may be zero. To save again sets that time. It fails with
// ErrNotFound. Nobody else learns of it.
func (s *Store) Save(ctx context.Context, scope Scope, channelID, id int64, on bool, remindAt, now time.Time) error {
	if on {
		if _, err := s.Message(ctx, scope, channelID, id); err != nil {
			return err
		}
	}
	return s.writeWith(ctx, lockPosition(scope.userID, channelID), func(ctx context.Context, t *tx) error {
		if !on {
			_, err := t.ExecContext(ctx, `
				DELETE FROM saved WHERE user_id = $1 AND channel_id = $2 AND message_id = $3`, scope.userID, channelID, id)
			return err
		}
		_, err := t.ExecContext(ctx, `
			INSERT INTO saved (user_id, channel_id, message_id, saved_at, remind_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (user_id, channel_id, message_id) DO UPDATE SET remind_at = excluded.remind_at`,
			scope.userID, channelID, id, now.UnixMicro(), microseconds(remindAt))
		return err
	})
}

// IsSaved reports whether the scope's user keeps a message.
func (s *Store) IsSaved(ctx context.Context, scope Scope, channelID, id int64) (saved bool, err error) {
	err = s.readers.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT 1 FROM saved WHERE user_id = $1 AND channel_id = $2 AND message_id = $3)`,
		scope.userID, channelID, id).Scan(&saved)
	return saved, err
}

// Saved returns what the scope's user keeps, from what was saved last: n messages
// at most that were saved before a time, or the latest for the zero time. What
// the user may not see any more, and what is deleted, is left out.
func (s *Store) Saved(ctx context.Context, scope Scope, before time.Time, n int) (saved []Saved, err error) {
	limit := microseconds(before)
	if limit == 0 {
		limit = 1<<63 - 1
	}
	const condition = `
		WHERE s.user_id = $1 AND s.saved_at < $2 AND m.deleted = 0
			AND (c.kind = 0 OR EXISTS (SELECT 1 FROM members WHERE channel_id = c.id AND user_id = $1))
		ORDER BY s.saved_at DESC, s.channel_id, s.message_id LIMIT $3`
	err = s.read(ctx, func(t *transaction) error {
		messages, err := queryMessages(ctx, t, `
			JOIN saved s ON s.channel_id = m.channel_id AND s.message_id = m.id`+condition, scope.userID, limit, n)
		if err != nil {
			return err
		}
		rows, err := t.QueryContext(ctx, `
			SELECT s.channel_id, s.message_id, s.saved_at, s.remind_at FROM saved s
				JOIN messages m ON m.channel_id = s.channel_id AND m.id = s.message_id JOIN channels c ON c.id = s.channel_id`+condition,
			scope.userID, limit, n)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var channelID, id, at, remind int64
			if err := rows.Scan(&channelID, &id, &at, &remind); err != nil {
				return err
			}
			i := slices.IndexFunc(messages, func(m Message) bool { return m.ChannelID == channelID && m.ID == id })
			saved = append(saved, Saved{messages[i], timeOf(at), timeOf(remind)})
		}
		return rows.Err()
	})
	return saved, err
}
