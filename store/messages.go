package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// MaxBody is the longest body of a message, in characters.
const MaxBody = 16_000

// What can be wrong with a change of messages.
var (
	// ErrNotAuthor says that the message is another's.
	ErrNotAuthor = errors.New("the message is another's")

	// ErrKeyUsed says that the author has posted something else under the key.
	ErrKeyUsed = errors.New("something else was posted under the key")
)

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

	// What plain messages do not have, and deleted ones have no more.
	EditedAt    time.Time  // of the latest edit, zero for none
	ReplyTo     *Quote     // what it answers, nil for nothing
	Root        int64      // the id of the message that began the thread, 0 where it answers nothing
	Replies     int        // how many answer it, or are in the thread that it began
	LastReplyAt time.Time  // when the last of these was posted, zero for none
	Reactions   []Reaction // in the order of their first use
	Mentions    []Mention  // each text once
	Pinned      bool

	flags flags
}

const selectMessages = `
	SELECT m.channel_id, c.name, m.id, m.revision, m.author_id, u.name, m.posted_at, m.deleted, m.body, m.flags
	FROM messages m JOIN channels c ON c.id = m.channel_id JOIN users u ON u.id = m.author_id `

func scanMessage(row interface{ Scan(...any) error }) (Message, error) {
	var m Message
	var posted int64
	err := row.Scan(&m.ChannelID, &m.Channel, &m.ID, &m.Revision, &m.AuthorID, &m.AuthorName, &posted, &m.Deleted, &m.Body, &m.flags)
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

// Draft is what a person wants to post.
type Draft struct {
	Body string
	Key  string // the author's name for this post, so that it is made once; "" for none

	ReplyTo  int64     // the id of the message in the same channel that it answers, 0 for none
	Mentions []Mention // whom it mentions, by what is typed in the body
}

// Post adds a message to a channel that the scope sees. It fails with
// ErrNotFound, and with ErrNoTarget where what it answers is gone.
//
// The same draft under a key that the author has used in the channel before adds
// nothing and returns the message that it made, as it is now. Another text or
// another target under such a key, and the key of a deleted message, is
// ErrKeyUsed.
func (s *Store) Post(ctx context.Context, scope Scope, channel Channel, author User, draft Draft, now time.Time) (Message, error) {
	var posted Message
	err := s.writeWith(ctx, lockChannel(channel.ID), func(ctx context.Context, t *tx) error {
		m := Message{
			ChannelID: channel.ID, Channel: channel.Name,
			AuthorID: author.ID, AuthorName: author.Name,
			PostedAt: now.UTC().Truncate(time.Microsecond), Body: draft.Body,
		}
		var err error
		if m.Revision, err = nextRevision(ctx, t, scope, channel.ID); err != nil {
			return err
		}
		m.ID = m.Revision
		var to target
		if draft.ReplyTo != 0 {
			to, err = readTarget(ctx, t, channel.ID, draft.ReplyTo)
			m.flags |= isReply
		}
		if errors.Is(err, ErrNoTarget) {
			undoRevision(t, channel.ID)
			if posted, err = postedBefore(ctx, t, channel.ID, author.ID, draft); errors.Is(err, ErrNotFound) {
				err = refuse(ErrNoTarget)
			}
			return err
		}
		if err != nil {
			return err
		}
		if len(draft.Mentions) > 0 {
			m.flags |= hasMentions
		}
		added, err := t.ExecContext(ctx, `
			INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body, post_key, flags, reply_to, root)
			VALUES ($1, $2, $2, $3, $4, 0, $5, $6, $7, $8, $9)
			ON CONFLICT (channel_id, author_id, post_key) WHERE post_key IS NOT NULL DO NOTHING`,
			m.ChannelID, m.ID, m.AuthorID, m.PostedAt.UnixMicro(), m.Body,
			sql.NullString{String: draft.Key, Valid: draft.Key != ""}, m.flags, to.id, to.root)
		if err != nil {
			return err
		}
		n, err := added.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			undoRevision(t, channel.ID)
			posted, err = postedBefore(ctx, t, channel.ID, author.ID, draft)
			return err
		}
		if m.flags != 0 {
			if _, err := insertMentions(ctx, t, channel.ID, m.ID, draft.Mentions); err != nil {
				return err
			}
			if m, err = readMessage(ctx, t, Everything(), channel.ID, m.ID); err != nil {
				return err
			}
		}
		t.changed(MessageChanged{m})
		posted = m
		if to.id != 0 {
			return s.countReply(ctx, t, channel.ID, to, m.PostedAt)
		}
		return nil
	})
	return posted, err
}

// postedBefore returns the message that a draft has made before. It fails with
// ErrNotFound where its key is not used, and is refused with ErrKeyUsed where the
// key was used for something else.
func postedBefore(ctx context.Context, t *tx, channelID, authorID int64, draft Draft) (Message, error) {
	if draft.Key == "" {
		return Message{}, ErrNotFound
	}
	messages, err := queryMessages(ctx, t, `
		WHERE m.channel_id = $1 AND m.author_id = $2 AND m.post_key = $3`, channelID, authorID, draft.Key)
	if err != nil {
		return Message{}, err
	}
	if len(messages) == 0 {
		return Message{}, ErrNotFound
	}
	m := messages[0]
	body, target := m.Body, int64(0)
	if m.ReplyTo != nil {
		target = m.ReplyTo.ID
	}
	if !m.EditedAt.IsZero() {
		err := t.QueryRowContext(ctx, `
			SELECT body FROM versions WHERE channel_id = $1 AND message_id = $2 ORDER BY revision LIMIT 1`, channelID, m.ID).Scan(&body)
		if err != nil {
			return Message{}, err
		}
	}
	if m.Deleted || body != draft.Body || target != draft.ReplyTo {
		return Message{}, refuse(ErrKeyUsed)
	}
	return m, nil
}

// Message returns a message. It fails with ErrNotFound, also where the message is
// deleted.
func (s *Store) Message(ctx context.Context, scope Scope, channelID, id int64) (Message, error) {
	m, err := readMessage(ctx, s.readers, scope, channelID, id)
	if err == nil && m.Deleted {
		err = ErrNotFound
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

// readMessage reads a message that a scope sees, deleted or not.
func readMessage(ctx context.Context, from querier, scope Scope, channelID, id int64) (Message, error) {
	messages, err := queryMessages(ctx, from, `
		WHERE m.channel_id = $1 AND m.id = $2 AND c.kind <= $3`, channelID, id, scope.highest(channelID))
	if err != nil {
		return Message{}, err
	}
	if len(messages) == 0 {
		return Message{}, ErrNotFound
	}
	return messages[0], nil
}

// DeleteMessage takes away for good what a message says and said before, its
// reactions, mentions and pin. Replies to it stay. It fails with ErrNotFound and,
// where the message is not by the scope's user, with ErrNotAuthor. To delete what
// is deleted already changes nothing.
func (s *Store) DeleteMessage(ctx context.Context, scope Scope, channelID, id int64) error {
	_, err := s.alter(ctx, scope, channelID, id, alteration{
		check: func(_ context.Context, _ querier, m Message) error {
			switch {
			case m.AuthorID != scope.userID:
				return ErrNotAuthor
			case m.Deleted:
				return errUnchanged
			default:
				return nil
			}
		},
		apply: func(ctx context.Context, t *tx, m Message, _ int64) (flags, error) {
			_, err := t.ExecContext(ctx, `
				UPDATE messages SET deleted = 1, body = '' WHERE channel_id = $1 AND id = $2`, channelID, id)
			for _, part := range []struct {
				flag      flags
				statement string
			}{
				{isEdited, `DELETE FROM versions WHERE channel_id = $1 AND message_id = $2`},
				{hasReactions, `DELETE FROM reactions WHERE channel_id = $1 AND message_id = $2`},
				{hasMentions, `DELETE FROM mentions WHERE channel_id = $1 AND message_id = $2`},
				{isPinned, `DELETE FROM pins WHERE channel_id = $1 AND message_id = $2`},
			} {
				if err == nil && m.flags&part.flag != 0 {
					_, err = t.ExecContext(ctx, part.statement, channelID, id)
				}
			}
			return 0, err
		},
	})
	return err
}

// numbers is how far a transaction has numbered the changes of a channel.
type numbers struct {
	stored int64 // in the channel's row
	last   int64 // of the last change
	kind   Kind  // of the channel
}

// nextRevision raises a channel's revision for a change in this transaction, if
// the scope may write there. Other writers of the channel, on any node, wait
// until the transaction ends. The channel's row is written at the first change
// here, and for all others by storeRevisions.
func nextRevision(ctx context.Context, t *tx, scope Scope, channelID int64) (int64, error) {
	n, ok := t.numbers[channelID]
	if !ok {
		err := t.QueryRowContext(ctx, `
			UPDATE channels SET revision = revision + 1 WHERE id = $1 RETURNING revision, kind`, channelID).Scan(&n.stored, &n.kind)
		if err != nil {
			return 0, refuseMissing(err)
		}
		n.last = n.stored - 1
		t.numbers[channelID] = n
	}
	if err := t.allowKind(ctx, scope, channelID, n.kind); err != nil {
		return 0, err
	}
	n.last++
	t.numbers[channelID] = n
	return n.last, nil
}

// undoRevision takes back the last revision, for there was nothing to change.
func undoRevision(t *tx, channelID int64) {
	n := t.numbers[channelID]
	n.last--
	t.numbers[channelID] = n
}

// storeRevisions writes the revisions that channels have come to in this
// transaction.
func storeRevisions(ctx context.Context, t *tx) error {
	for channelID, n := range t.numbers {
		if n.last == n.stored {
			continue
		}
		if _, err := t.ExecContext(ctx, `UPDATE channels SET revision = $2 WHERE id = $1`, channelID, n.last); err != nil {
			return err
		}
	}
	return nil
}

// Newest returns the newest messages of a channel, n at most, oldest first,
// and the channel's revision at that moment. It fails with ErrNotFound.
func (s *Store) Newest(ctx context.Context, scope Scope, channelID int64, n int) (messages []Message, revision int64, err error) {
	err = s.read(ctx, func(t *transaction) error {
		if revision, err = readRevision(ctx, t, scope, channelID); err != nil {
			return err
		}
		messages, err = queryBefore(ctx, t, scope, channelID, revision+1, n)
		return err
	})
	return messages, revision, err
}

// Before returns the messages posted before the one with that id, n at most,
// oldest first. It fails with ErrNotFound.
func (s *Store) Before(ctx context.Context, scope Scope, channelID, id int64, n int) (messages []Message, err error) {
	messages, err = queryBefore(ctx, s.readers, scope, channelID, id, n)
	if err == nil && len(messages) == 0 {
		err = s.visible(ctx, scope, channelID)
	}
	return messages, err
}

// After returns the messages posted after the one with that id, n at most,
// oldest first. It fails with ErrNotFound.
func (s *Store) After(ctx context.Context, scope Scope, channelID, id int64, n int) ([]Message, error) {
	messages, err := queryMessages(ctx, s.readers, `
		WHERE m.channel_id = $1 AND m.id > $2 AND m.deleted = 0 AND c.kind <= $4 ORDER BY m.id LIMIT $3`,
		channelID, id, n, scope.highest(channelID))
	if err == nil && len(messages) == 0 {
		err = s.visible(ctx, scope, channelID)
	}
	return messages, err
}

// Changes returns what has changed in a channel after a revision, n changes
// at most, in the order of their revisions, and the channel's revision at that
// moment. A message that changed twice is there once, as it is now. It fails
// with ErrNotFound.
func (s *Store) Changes(ctx context.Context, scope Scope, channelID, after int64, n int) (changes []Message, revision int64, err error) {
	// The latest revision is that of some message, so whoever has all changes
	// has it too: one question is enough.
	changes, err = queryChanges(ctx, s.readers, scope, channelID, after, n)
	if err != nil {
		return nil, 0, err
	}
	if count := len(changes); count > 0 && count < n {
		return changes, changes[count-1].Revision, nil
	}
	err = s.read(ctx, func(t *transaction) error {
		if revision, err = readRevision(ctx, t, scope, channelID); err != nil {
			return err
		}
		changes, err = queryChanges(ctx, t, scope, channelID, after, n)
		return err
	})
	return changes, revision, err
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// queryMessages reads messages, with all that belongs to them.
func queryMessages(ctx context.Context, from querier, condition string, args ...any) ([]Message, error) {
	rows, err := from.QueryContext(ctx, selectMessages+condition, args...)
	if err != nil {
		return nil, err
	}
	messages, err := scanMessages(rows)
	if err != nil {
		return nil, err
	}
	return messages, addDetails(ctx, from, messages)
}

func queryChanges(ctx context.Context, from querier, scope Scope, channelID, after int64, n int) ([]Message, error) {
	return queryMessages(ctx, from, `
		WHERE m.channel_id = $1 AND m.revision > $2 AND c.kind <= $4 ORDER BY m.revision LIMIT $3`,
		channelID, after, n, scope.highest(channelID))
}

func queryBefore(ctx context.Context, from querier, scope Scope, channelID, id int64, n int) ([]Message, error) {
	messages, err := queryMessages(ctx, from, `
		WHERE m.channel_id = $1 AND m.id < $2 AND m.deleted = 0 AND c.kind <= $4 ORDER BY m.id DESC LIMIT $3`,
		channelID, id, n, scope.highest(channelID))
	slices.Reverse(messages)
	return messages, err
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

func readRevision(ctx context.Context, t *transaction, scope Scope, channelID int64) (revision int64, err error) {
	err = t.QueryRowContext(ctx, `SELECT revision FROM channels WHERE id = $1 AND kind <= $2`, channelID, scope.highest(channelID)).Scan(&revision)
	return revision, notFound(err)
}
