package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flags says which details a message has, so that reading plain ones asks for
// none.
type flags int64

const (
	isEdited flags = 1 << iota
	isReply
	isAnswered
	hasReactions
	hasMentions
	isPinned
)

// Sizes of the lists of ids in statements, so that there are few statements. What
// a list lacks is filled up with 0, which is no id.
const (
	shortList = 8
	longList  = 128
)

// idList returns the placeholders of a list of ids, which follow one other
// argument, and the arguments.
func idList(first int64, ids []int64) (placeholders string, args []any) {
	size := longList
	if len(ids) <= shortList {
		size = shortList
	}
	var b strings.Builder
	args = append(make([]any, 0, size+1), first)
	for i := range size {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+2))
		id := int64(0)
		if i < len(ids) {
			id = ids[i]
		}
		args = append(args, id)
	}
	return b.String(), args
}

// addDetails completes messages with what their flags say that there is.
func addDetails(ctx context.Context, from querier, messages []Message) error {
	byChannel := map[int64]map[flags][]*Message{}
	for i := range messages {
		m := &messages[i]
		if m.flags == 0 || m.Deleted {
			continue
		}
		if byChannel[m.ChannelID] == nil {
			byChannel[m.ChannelID] = map[flags][]*Message{}
		}
		all := byChannel[m.ChannelID]
		m.Pinned = m.flags&isPinned != 0
		for _, kind := range []flags{isEdited | isReply | isAnswered, hasReactions, hasMentions} {
			if m.flags&kind != 0 {
				all[kind] = append(all[kind], m)
			}
		}
	}
	for channelID, all := range byChannel {
		for kind, flagged := range all {
			for some := range slices.Chunk(flagged, longList) {
				var ids []int64
				byID := map[int64]*Message{}
				for _, m := range some {
					ids = append(ids, m.ID)
					byID[m.ID] = m
				}
				list, args := idList(channelID, ids)
				add := addHistory
				switch kind {
				case hasReactions:
					add = addReactions
				case hasMentions:
					add = addMentions
				}
				if err := add(ctx, from, byID, list, args); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addHistory adds when messages were edited, what they answer, and how often
// they are answered.
func addHistory(ctx context.Context, from querier, byID map[int64]*Message, list string, args []any) error {
	rows, err := from.QueryContext(ctx, `
		SELECT m.id, m.edited_at, m.root, m.replies, m.replied_at, m.reply_to, coalesce(q.author_id, 0),
			coalesce(u.name, ''), coalesce(q.deleted, 1), substr(coalesce(q.body, ''), 1, `+strconv.Itoa(2*maxLine)+`)
		FROM messages m
			LEFT JOIN messages q ON q.channel_id = m.channel_id AND q.id = m.reply_to
			LEFT JOIN users u ON u.id = q.author_id
		WHERE m.channel_id = $1 AND m.id IN (`+list+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, edited, root, replied int64
		var replies int
		var q Quote
		var body string
		if err := rows.Scan(&id, &edited, &root, &replies, &replied, &q.ID, &q.AuthorID, &q.AuthorName, &q.Deleted, &body); err != nil {
			return err
		}
		m := byID[id]
		m.EditedAt, m.Root, m.Replies, m.LastReplyAt = timeOf(edited), root, replies, timeOf(replied)
		if q.ID != 0 {
			q.Line = firstLine(body)
			m.ReplyTo = &q
		}
	}
	return rows.Err()
}

// timeOf returns the time of some microseconds, the zero time for 0.
func timeOf(microseconds int64) time.Time {
	if microseconds == 0 {
		return time.Time{}
	}
	return time.UnixMicro(microseconds).UTC()
}

// microseconds is the inverse of timeOf.
func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
