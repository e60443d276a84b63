package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxReactions is how many different reactions a message has at most.
	MaxReactions = 50

	// maxEmoji is how many bytes a reaction has at most: more than any emoji of
	// Unicode has.
	maxEmoji = 64

	// maxNames is how many names a reaction comes with.
	maxNames = 3
)

// What can be wrong with a reaction.
var (
	ErrTooManyReactions = errors.New("the message has too many different reactions")
	ErrEmojiInvalid     = errors.New("the reaction is no emoji")
)

// Reaction is one emoji that users have given to a message.
type Reaction struct {
	Emoji string
	By    []int64  // the users, from the one who gave it first
	Names []string // of the first few of them
}

// React gives the reaction of the scope's user to a message or takes it back, and
// returns the message as it is then. What is so already changes nothing. It fails
// with ErrNotFound, ErrTooManyReactions or ErrEmojiInvalid.
func (s *Store) React(ctx context.Context, scope Scope, channelID, id int64, emoji string, on bool) (Message, error) {
	if emoji == "" || len(emoji) > maxEmoji || !utf8.ValidString(emoji) ||
		strings.ContainsFunc(emoji, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return Message{}, ErrEmojiInvalid
	}
	return s.alter(ctx, scope, channelID, id, alteration{
		check: func(ctx context.Context, from querier, m Message) error {
			if m.Deleted {
				return ErrNotFound
			}
			given, known := false, false
			for _, r := range m.Reactions {
				if r.Emoji != emoji {
					continue
				}
				known = true
				for _, by := range r.By {
					given = given || by == scope.userID
				}
			}
			switch {
			case given == on:
				return errUnchanged
			case on && !known && len(m.Reactions) >= MaxReactions:
				return ErrTooManyReactions
			default:
				return nil
			}
		},
		apply: func(ctx context.Context, t *tx, m Message, revision int64) (flags, error) {
			if on {
				_, err := t.ExecContext(ctx, `
					INSERT INTO reactions (channel_id, message_id, emoji, user_id, revision) VALUES ($1, $2, $3, $4, $5)`,
					channelID, id, emoji, scope.userID, revision)
				return m.flags | hasReactions, err
			}
			_, err := t.ExecContext(ctx, `
				DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2 AND emoji = $3 AND user_id = $4`,
				channelID, id, emoji, scope.userID)
			if err != nil {
				return 0, err
			}
			var one int
			err = t.QueryRowContext(ctx, `
				SELECT 1 FROM reactions WHERE channel_id = $1 AND message_id = $2 LIMIT 1`, channelID, id).Scan(&one)
			if errors.Is(err, sql.ErrNoRows) {
				return m.flags &^ hasReactions, nil
			}
			return m.flags, err
		},
	})
}

// addReactions adds the reactions to messages, in the order of their first use.
func addReactions(ctx context.Context, from querier, byID map[int64]*Message, list string, args []any) error {
	rows, err := from.QueryContext(ctx, `
		SELECT r.message_id, r.emoji, r.user_id, u.name FROM reactions r JOIN users u ON u.id = r.user_id
		WHERE r.channel_id = $1 AND r.message_id IN (`+list+`) ORDER BY r.revision`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var messageID, userID int64
		var emoji, name string
		if err := rows.Scan(&messageID, &emoji, &userID, &name); err != nil {
			return err
		}
		r := reaction(byID[messageID], emoji)
		r.By = append(r.By, userID)
		if len(r.Names) < maxNames {
			r.Names = append(r.Names, name)
		}
	}
	return rows.Err()
}

// reaction returns a message's reaction with an emoji, and adds it where it is
// missing.
func reaction(m *Message, emoji string) *Reaction {
	for i := range m.Reactions {
		if m.Reactions[i].Emoji == emoji {
			return &m.Reactions[i]
		}
	}
	m.Reactions = append(m.Reactions, Reaction{Emoji: emoji})
	return &m.Reactions[len(m.Reactions)-1]
}
