package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrNoTarget says that the message to be answered is not in the channel, or is
// deleted.
var ErrNoTarget = errors.New("the message to be answered is gone")

const (
	// maxLine is how many characters of an answered message are quoted.
	maxLine = 120

	// maxQuotes is how many replies get new revisions when the line that they
	// quote has changed: the newest. Others show the new line when they are read.
	maxQuotes = 128
)

// Quote is the line that a reply shows of what it answers.
type Quote struct {
	ID         int64 // of the answered message
	AuthorID   int64
	AuthorName string
	Line       string // its first line, cut to some 120 characters; "" where it is deleted
	Deleted    bool
}

// firstLine returns what is quoted of a body.
func firstLine(body string) string {
	line, _, more := strings.Cut(strings.TrimSpace(body), "\n")
	line = strings.TrimSpace(line)
	if utf8.RuneCountInString(line) > maxLine {
		return string([]rune(line)[:maxLine-1]) + "…"
	}
	if more {
		line += " …"
	}
	return line
}

// Thread returns a message, deleted or not, and what answers it, directly or
// where it began the thread anywhere below: n replies at most after the one with
// an id, oldest first. It fails with ErrNotFound.
func (s *Store) Thread(ctx context.Context, scope Scope, channelID, id, after int64, n int) (m Message, replies []Message, err error) {
	err = s.read(ctx, func(t *transaction) error {
		if m, err = readMessage(ctx, t, scope, channelID, id); err != nil {
			return err
		}
		replies, err = queryMessages(ctx, t, `
			WHERE m.channel_id = $1 AND m.id > $3 AND m.deleted = 0
				AND m.id IN (SELECT id FROM messages WHERE channel_id = $1 AND root = $2 AND root <> 0
					UNION SELECT id FROM messages WHERE channel_id = $1 AND reply_to = $2 AND reply_to <> 0)
			ORDER BY m.id LIMIT $4`, channelID, id, after, n)
		return err
	})
	return m, replies, err
}

// target is what a post needs to know of the message that it answers.
type target struct {
	id   int64
	root int64 // of the thread that a reply to it belongs to
}

// readTarget reads the message that a draft answers. It fails with ErrNoTarget.
func readTarget(ctx context.Context, t *tx, channelID, id int64) (target, error) {
	var root int64
	err := t.QueryRowContext(ctx, `
		SELECT root FROM messages WHERE channel_id = $1 AND id = $2 AND deleted = 0`, channelID, id).Scan(&root)
	if errors.Is(err, sql.ErrNoRows) {
		return target{}, ErrNoTarget
	}
	if root == 0 {
		root = id
	}
	return target{id, root}, err
}

// countReply gives the message that a reply answers, and the one that began the
// thread, the count of replies that they have after a post.
func (s *Store) countReply(ctx context.Context, t *tx, channelID int64, to target, now time.Time) error {
	return s.eachAnswered(ctx, t, channelID, to, func(id, revision int64) error {
		_, err := t.ExecContext(ctx, `
			UPDATE messages SET revision = $3, replies = replies + 1, replied_at = $4, flags = flags | $5
			WHERE channel_id = $1 AND id = $2`, channelID, id, revision, now.UnixMicro(), isAnswered)
		return err
	})
}

// recountReplies is countReply after a reply was deleted.
func (s *Store) recountReplies(ctx context.Context, t *tx, channelID int64, to target) error {
	return s.eachAnswered(ctx, t, channelID, to, func(id, revision int64) error {
		var replies, last int64
		err := t.QueryRowContext(ctx, `
			SELECT count(*), coalesce(max(posted_at), 0) FROM messages
			WHERE channel_id = $1 AND deleted = 0 AND id IN (
				SELECT id FROM messages WHERE channel_id = $1 AND root = $2 AND root <> 0
				UNION SELECT id FROM messages WHERE channel_id = $1 AND reply_to = $2 AND reply_to <> 0)`,
			channelID, id).Scan(&replies, &last)
		if err != nil {
			return err
		}
		var answered flags
		if replies > 0 {
			answered = isAnswered
		}
		_, err = t.ExecContext(ctx, `
			UPDATE messages SET revision = $3, replies = $4, replied_at = $5, flags = flags - (flags & $6) + $7
			WHERE channel_id = $1 AND id = $2`, channelID, id, revision, replies, last, isAnswered, answered)
		return err
	})
}

// eachAnswered changes the message that a reply answers, and the one that began
// the thread, unless they are deleted. Each gets a revision of its own.
func (s *Store) eachAnswered(ctx context.Context, t *tx, channelID int64, to target, change func(id, revision int64) error) error {
	ids := []int64{to.id}
	if to.root != to.id {
		ids = append(ids, to.root)
	}
	for _, id := range ids {
		m, err := readMessage(ctx, t, Everything(), channelID, id)
		if err != nil {
			return err
		}
		if m.Deleted {
			continue
		}
		revision, err := nextRevision(ctx, t, Everything(), channelID)
		if err != nil {
			return err
		}
		if err := change(id, revision); err != nil {
			return err
		}
		if m, err = readMessage(ctx, t, Everything(), channelID, id); err != nil {
			return err
		}
		t.changed(MessageChanged{m})
	}
	return nil
}

// requote gives new revisions to the replies that show a line of a message which
// was changed.
func (s *Store) requote(ctx context.Context, t *tx, channelID, id int64) error {
	quoting, err := queryMessages(ctx, t, `
		WHERE m.channel_id = $1 AND m.reply_to = $2 AND m.reply_to <> 0 AND m.deleted = 0
		ORDER BY m.id DESC LIMIT $3`, channelID, id, maxQuotes)
	if err != nil {
		return err
	}
	for i := range quoting {
		m := &quoting[len(quoting)-1-i] // in their order
		if m.Revision, err = nextRevision(ctx, t, Everything(), channelID); err != nil {
			return err
		}
		if _, err = t.ExecContext(ctx, `
			UPDATE messages SET revision = $3 WHERE channel_id = $1 AND id = $2`, channelID, m.ID, m.Revision); err != nil {
			return err
		}
		t.changed(MessageChanged{*m})
	}
	return nil
}
