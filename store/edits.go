package store

import (
	"context"
	"errors"
	"time"
)

// ErrConflict says that the message has another text than the one that was
// edited.
var ErrConflict = errors.New("the message was edited meanwhile")

// errUnchanged says that there is nothing to change.
var errUnchanged = errors.New("nothing is changed")

// Version is what a message said before an edit.
type Version struct {
	Body      string
	WrittenAt time.Time
}

// alteration is one change of a message that exists.
type alteration struct {
	// check fails where the change is refused, and with errUnchanged where there
	// is nothing to change. It runs before the write is queued, where most
	// refusals are found, and again in the transaction.
	check func(ctx context.Context, from querier, m Message) error

	// apply changes the message with a new revision and returns the flags that it
	// has then.
	apply func(ctx context.Context, t *tx, m Message, revision int64) (flags, error)
}

// alter changes a message and returns it as it is then. Where check fails it
// returns the message as it is, unless the error is ErrNotFound.
func (s *Store) alter(ctx context.Context, scope Scope, channelID, id int64, a alteration) (m Message, err error) {
	m, err = readMessage(ctx, s.readers, scope, channelID, id)
	if err == nil {
		err = a.check(ctx, s.readers, m)
	}
	switch {
	case errors.Is(err, errUnchanged):
		return m, nil
	case errors.Is(err, ErrNotFound):
		return Message{}, err
	case err != nil:
		return m, err
	}
	err = s.writeWith(ctx, lockChannel(channelID), func(ctx context.Context, t *tx) error {
		// First, because it locks the channel.
		revision, err := nextRevision(ctx, t, scope, channelID)
		if err != nil {
			return err
		}
		if m, err = readMessage(ctx, t, scope, channelID, id); err == nil {
			err = a.check(ctx, t, m)
		}
		if isRefusal(err) {
			undoRevision(t, channelID)
			return refuse(err)
		}
		if err != nil {
			return err
		}
		flags, err := a.apply(ctx, t, m, revision)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `
			UPDATE messages SET revision = $3, flags = $4 WHERE channel_id = $1 AND id = $2`, channelID, id, revision, flags); err != nil {
			return err
		}
		before := m
		if m, err = readMessage(ctx, t, scope, channelID, id); err != nil {
			return err
		}
		t.changed(MessageChanged{m})
		if before.flags&isAnswered != 0 && (m.Deleted || firstLine(m.Body) != firstLine(before.Body)) {
			if err := s.requote(ctx, t, channelID, id); err != nil {
				return err
			}
		}
		if m.Deleted && before.ReplyTo != nil {
			return s.recountReplies(ctx, t, channelID, target{before.ReplyTo.ID, before.Root})
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	if errors.Is(err, ErrNotFound) {
		m = Message{}
	}
	return m, err
}

// isRefusal reports whether an error is a check's, and not the database's.
func isRefusal(err error) bool {
	for _, refusal := range []error{
		errUnchanged, ErrNotFound, ErrNotAuthor, ErrConflict, ErrTooManyReactions, ErrTooManyPins,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// EditMessage replaces the body of a message, and whom it mentions, by those of a
// draft; all else in the draft is left out of account. The revision is that of
// the message as it was edited. The text before is kept as a version. The same
// text changes nothing.
//
// It fails with ErrNotFound, with ErrNotAuthor where the message is not by the
// scope's user, and with ErrConflict where its body has changed since that
// revision: the message is then returned as it is.
func (s *Store) EditMessage(ctx context.Context, scope Scope, channelID, id int64, draft Draft, revision int64, now time.Time) (Message, error) {
	return s.alter(ctx, scope, channelID, id, alteration{
		check: func(ctx context.Context, from querier, m Message) error {
			switch bodyRevision, err := bodyRevision(ctx, from, m); {
			case err != nil:
				return err
			case m.Deleted:
				return ErrNotFound
			case m.AuthorID != scope.userID:
				return ErrNotAuthor
			case m.Body == draft.Body:
				return errUnchanged
			case bodyRevision > revision:
				return ErrConflict
			default:
				return nil
			}
		},
		apply: func(ctx context.Context, t *tx, m Message, revision int64) (flags, error) {
			written := m.EditedAt
			if written.IsZero() {
				written = m.PostedAt
			}
			before, err := bodyRevision(ctx, t, m)
			if err != nil {
				return 0, err
			}
			_, err = t.ExecContext(ctx, `
				INSERT INTO versions (channel_id, message_id, revision, body, written_at) VALUES ($1, $2, $3, $4, $5)`,
				channelID, id, before, m.Body, written.UnixMicro())
			if err != nil {
				return 0, err
			}
			_, err = t.ExecContext(ctx, `
				UPDATE messages SET body = $3, body_revision = $4, edited_at = $5 WHERE channel_id = $1 AND id = $2`,
				channelID, id, draft.Body, revision, now.UnixMicro())
			if err != nil {
				return 0, err
			}
			if m.flags&hasMentions != 0 {
				if _, err := t.ExecContext(ctx, `DELETE FROM mentions WHERE channel_id = $1 AND message_id = $2`, channelID, id); err != nil {
					return 0, err
				}
			}
			mentions, err := insertMentions(ctx, t, channelID, id, draft.Mentions)
			return m.flags&^hasMentions | isEdited | mentions, err
		},
	})
}

// bodyRevision returns the revision with which a message got its body.
func bodyRevision(ctx context.Context, from querier, m Message) (revision int64, err error) {
	if m.flags&isEdited == 0 {
		return m.ID, nil
	}
	err = from.QueryRowContext(ctx, `
		SELECT body_revision FROM messages WHERE channel_id = $1 AND id = $2`, m.ChannelID, m.ID).Scan(&revision)
	return revision, err
}

// Versions returns what a message said before its edits, oldest first. It fails
// with ErrNotFound, also where the message is deleted.
func (s *Store) Versions(ctx context.Context, scope Scope, channelID, id int64) ([]Version, error) {
	var versions []Version
	err := s.read(ctx, func(t *transaction) error {
		m, err := readMessage(ctx, t, scope, channelID, id)
		if err == nil && m.Deleted {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		rows, err := t.QueryContext(ctx, `
			SELECT body, written_at FROM versions WHERE channel_id = $1 AND message_id = $2 ORDER BY revision`, channelID, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var v Version
			var written int64
			if err := rows.Scan(&v.Body, &written); err != nil {
				return err
			}
			v.WrittenAt = timeOf(written)
			versions = append(versions, v)
		}
		return rows.Err()
	})
	return versions, err
}
