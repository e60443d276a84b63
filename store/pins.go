package store

import (
	"context"
	"errors"
	"slices"
	"time"
)

// MaxPins is how many messages of a channel are pinned at most.
const MaxPins = 100

// ErrTooManyPins says that a channel has as many pins as it may have.
var ErrTooManyPins = errors.New("the channel has too many pins")

// Pin is a message that a channel keeps in view.
type Pin struct {
	Message  Message
	UserID   int64 // who pinned it
	UserName string
	PinnedAt time.Time
}

// Pin pins a message for its channel, in the name of the scope's user, or takes
// the pin away, and returns the message as it is then. What is so already changes
// nothing. It fails with ErrNotFound or ErrTooManyPins.
func (s *Store) Pin(ctx context.Context, scope Scope, channelID, id int64, on bool, now time.Time) (Message, error) {
	return s.alter(ctx, scope, channelID, id, alteration{
		check: func(ctx context.Context, from querier, m Message) error {
			switch {
			case m.Deleted:
				return ErrNotFound
			case m.Pinned == on:
				return errUnchanged
			case !on:
				return nil
			}
			n, err := countPins(ctx, from, channelID)
			if err == nil && n >= MaxPins {
				err = ErrTooManyPins
			}
			return err
		},
		apply: func(ctx context.Context, t *tx, m Message, _ int64) (flags, error) {
			if on {
				_, err := t.ExecContext(ctx, `
					INSERT INTO pins (channel_id, message_id, user_id, pinned_at) VALUES ($1, $2, $3, $4)`,
					channelID, id, scope.userID, now.UnixMicro())
				return m.flags | isPinned, err
			}
			_, err := t.ExecContext(ctx, `DELETE FROM pins WHERE channel_id = $1 AND message_id = $2`, channelID, id)
			return m.flags &^ isPinned, err
		},
	})
}

func countPins(ctx context.Context, from querier, channelID int64) (n int, err error) {
	err = from.QueryRowContext(ctx, `SELECT count(*) FROM pins WHERE channel_id = $1`, channelID).Scan(&n)
	return n, err
}

// CountPins returns how many messages of a channel are pinned. It fails with
// ErrNotFound.
func (s *Store) CountPins(ctx context.Context, scope Scope, channelID int64) (int, error) {
	if err := s.visible(ctx, scope, channelID); err != nil {
		return 0, err
	}
	return countPins(ctx, s.readers, channelID)
}

// Pins returns the pinned messages of a channel, from the one pinned last. It
// fails with ErrNotFound.
func (s *Store) Pins(ctx context.Context, scope Scope, channelID int64) (pins []Pin, err error) {
	err = s.read(ctx, func(t *transaction) error {
		if _, err := readRevision(ctx, t, scope, channelID); err != nil {
			return err
		}
		messages, err := queryMessages(ctx, t, `
			JOIN pins p ON p.channel_id = m.channel_id AND p.message_id = m.id
			WHERE p.channel_id = $1 AND m.deleted = 0`, channelID)
		if err != nil {
			return err
		}
		rows, err := t.QueryContext(ctx, `
			SELECT p.message_id, p.user_id, u.name, p.pinned_at FROM pins p JOIN users u ON u.id = p.user_id
			WHERE p.channel_id = $1 ORDER BY p.pinned_at DESC, p.message_id DESC`, channelID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Pin
			var id, pinned int64
			if err := rows.Scan(&id, &p.UserID, &p.UserName, &pinned); err != nil {
				return err
			}
			i := slices.IndexFunc(messages, func(m Message) bool { return m.ID == id })
			if i >= 0 {
				p.Message, p.PinnedAt = messages[i], timeOf(pinned)
				pins = append(pins, p)
			}
		}
		return rows.Err()
	})
	return pins, err
}
