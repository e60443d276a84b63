package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// MaxBody is the longest body of a message, in characters.
const MaxBody = 4000

// ErrNotAuthor says that the message is another's.
var ErrNotAuthor = errors.New("the message is another's")

// Message is what a user posted. A deleted one keeps its numbers and loses
// its body. As a change in its channel it is the message after that change.
type Message struct {
	ChannelID  int64
	Channel    string // the channel's name
	ID         int64  // the revision of its posting
	Revision   int64  // the revision of its latest change
	AuthorID   int64
	AuthorName string
	PostedAt   time.Time // UTC, to the microsecond
	Deleted    bool
	Body       string
}

const selectMessages = `
	SELECT m.channel_id, c.name, m.id, m.revision, m.author_id, u.name, m.posted_at, m.deleted, m.body
	FROM messages m JOIN channels c ON c.id = m.channel_id JOIN users u ON u.id = m.author_id `

func scanMessage(row interface{ Scan(...any) error }) (Message, error) {
	var m Message
	var posted int64
	err := row.Scan(&m.ChannelID, &m.Channel, &m.ID, &m.Revision, &m.AuthorID, &m.AuthorName, &posted, &m.Deleted, &m.Body)
	m.PostedAt = time.UnixMicro(posted).UTC()
	return m, notFound(err)
}

func scanMessages(rows *sql.Rows) ([]Message, error) {
	defer rows.Close()
	var messages []Message
	for rows.Next() {
		m, err := scanMessage(rows)
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

// Post adds a message to a channel. A key that the author has used in the
// channel before adds nothing and returns the message that it named, as it is
// now; "" is no key.
func (s *Store) Post(ctx context.Context, channel Channel, author User, body, key string, now time.Time) (Message, error) {
	var posted Message
	err := s.writeWith(ctx, lockChannel(channel.ID), func(ctx context.Context, t *tx) error {
		m := Message{
			ChannelID: channel.ID, Channel: channel.Name,
			AuthorID: author.ID, AuthorName: author.Name,
			PostedAt: now.UTC().Truncate(time.Microsecond), Body: body,
		}
		var err error
		if m.Revision, err = nextRevision(ctx, t, channel.ID); err != nil {
			return err
		}
		m.ID = m.Revision
		added, err := t.ExecContext(ctx, `
			INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body, post_key)
			VALUES ($1, $2, $2, $3, $4, 0, $5, $6)
			ON CONFLICT (channel_id, author_id, post_key) WHERE post_key IS NOT NULL DO NOTHING`,
			m.ChannelID, m.ID, m.AuthorID, m.PostedAt.UnixMicro(), m.Body,
			sql.NullString{String: key, Valid: key != ""})
		if err != nil {
			return err
		}
		if n, err := added.RowsAffected(); err != nil || n == 1 {
			t.changed(m)
			posted = m
			return err
		}
		// The key was used before.
		lastRevision(t, channel.ID)
		posted, err = scanMessage(t.QueryRowContext(ctx, selectMessages+`
			WHERE m.channel_id = $1 AND m.author_id = $2 AND m.post_key = $3`, channel.ID, author.ID, key))
		return err
	})
	return posted, err
}

// DeleteMessage takes the body of a message away for good. It fails with
// ErrNotFound and, where the message is not by that author, with ErrNotAuthor.
// To delete what is deleted already changes nothing.
func (s *Store) DeleteMessage(ctx context.Context, channelID, id, authorID int64) error {
	return s.writeWith(ctx, lockChannel(channelID), func(ctx context.Context, t *tx) error {
		m, err := scanMessage(t.QueryRowContext(ctx, selectMessages+`
			WHERE m.channel_id = $1 AND m.id = $2`, channelID, id))
		if err != nil {
			return err
		}
		if m.AuthorID != authorID {
			return ErrNotAuthor
		}
		if m.Deleted {
			return nil
		}
		m.Deleted, m.Body = true, ""
		if m.Revision, err = nextRevision(ctx, t, channelID); err != nil {
			return err
		}
		deleted, err := t.ExecContext(ctx, `
			UPDATE messages SET revision = $1, deleted = 1, body = '' WHERE channel_id = $2 AND id = $3 AND deleted = 0`,
			m.Revision, channelID, id)
		if err != nil {
			return err
		}
		if n, err := deleted.RowsAffected(); err != nil || n == 1 {
			t.changed(m)
			return err
		}
		lastRevision(t, channelID) // another node was quicker
		return nil
	})
}

// numbers is where a transaction is with the revisions of a channel.
type numbers struct {
	stored int64 // in the channel's row
	next   int64 // of the next change, less one
}

// nextRevision raises a channel's revision for a change in this transaction.
// Whoever else changes the channel, on whatever node, waits for its end. What
// further changes raise is only written by storeRevisions.
func nextRevision(ctx context.Context, t *tx, channelID int64) (int64, error) {
	if n, ok := t.numbers[channelID]; ok {
		n.next++
		t.numbers[channelID] = n
		return n.next, nil
	}
	var revision int64
	err := t.QueryRowContext(ctx, `
		UPDATE channels SET revision = revision + 1 WHERE id = $1 RETURNING revision`, channelID).Scan(&revision)
	if err != nil {
		return 0, notFound(err)
	}
	t.numbers[channelID] = numbers{revision, revision}
	return revision, nil
}

// lastRevision takes back what nextRevision did: there was nothing to change.
func lastRevision(t *tx, channelID int64) {
	n := t.numbers[channelID]
	n.next--
	t.numbers[channelID] = n
}

// storeRevisions writes the revisions that channels have come to in this
// transaction.
func storeRevisions(ctx context.Context, t *tx) error {
	for channelID, n := range t.numbers {
		if n.next == n.stored {
			continue
		}
		if _, err := t.ExecContext(ctx, `UPDATE channels SET revision = $2 WHERE id = $1`, channelID, n.next); err != nil {
			return err
		}
	}
	return nil
}

// Newest returns the newest messages of a channel, n at most, oldest first,
// and the channel's revision at that moment.
func (s *Store) Newest(ctx context.Context, channelID int64, n int) (messages []Message, revision int64, err error) {
	err = s.read(ctx, func(t *transaction) error {
		if revision, err = readRevision(ctx, t, channelID); err != nil {
			return err
		}
		messages, err = queryBefore(ctx, t, channelID, revision+1, n)
		return err
	})
	return messages, revision, err
}

// Before returns the messages posted before the one with that id, n at most,
// oldest first.
func (s *Store) Before(ctx context.Context, channelID, id int64, n int) (messages []Message, err error) {
	err = s.read(ctx, func(t *transaction) error {
		messages, err = queryBefore(ctx, t, channelID, id, n)
		return err
	})
	return messages, err
}

// After returns the messages posted after the one with that id, n at most,
// oldest first.
func (s *Store) After(ctx context.Context, channelID, id int64, n int) ([]Message, error) {
	rows, err := s.readers.QueryContext(ctx, selectMessages+`
		WHERE m.channel_id = $1 AND m.id > $2 AND m.deleted = 0 ORDER BY m.id LIMIT $3`, channelID, id, n)
	if err != nil {
		return nil, err
	}
	return scanMessages(rows)
}

// Changes returns what has changed in a channel after a revision, n changes
// at most, in the order of their revisions, and the channel's revision at that
// moment. A message that changed twice is there once, as it is now.
func (s *Store) Changes(ctx context.Context, channelID, after int64, n int) (changes []Message, revision int64, err error) {
	// The latest revision is that of some message, so whoever has all changes
	// has it too: one question is enough.
	changes, err = queryChanges(ctx, s.readers, channelID, after, n)
	if err != nil {
		return nil, 0, err
	}
	if count := len(changes); count > 0 && count < n {
		return changes, changes[count-1].Revision, nil
	}
	err = s.read(ctx, func(t *transaction) error {
		if revision, err = readRevision(ctx, t, channelID); err != nil {
			return err
		}
		changes, err = queryChanges(ctx, t, channelID, after, n)
		return err
	})
	return changes, revision, err
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func queryChanges(ctx context.Context, from querier, channelID, after int64, n int) ([]Message, error) {
	rows, err := from.QueryContext(ctx, selectMessages+`
		WHERE m.channel_id = $1 AND m.revision > $2 ORDER BY m.revision LIMIT $3`, channelID, after, n)
	if err != nil {
		return nil, err
	}
	return scanMessages(rows)
}

// read runs do on one snapshot of the database.
func (s *Store) read(ctx context.Context, do func(t *transaction) error) error {
	t, err := s.readers.begin(ctx, s.engine.snapshot())
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // nothing was written
	return do(t)
}

func readRevision(ctx context.Context, t *transaction, channelID int64) (revision int64, err error) {
	err = t.QueryRowContext(ctx, `SELECT revision FROM channels WHERE id = $1`, channelID).Scan(&revision)
	return revision, notFound(err)
}

func queryBefore(ctx context.Context, t *transaction, channelID, id int64, n int) ([]Message, error) {
	rows, err := t.QueryContext(ctx, selectMessages+`
		WHERE m.channel_id = $1 AND m.id < $2 AND m.deleted = 0 ORDER BY m.id DESC LIMIT $3`, channelID, id, n)
	if err != nil {
		return nil, err
	}
	messages, err := scanMessages(rows)
	slices.Reverse(messages)
	return messages, err
}
