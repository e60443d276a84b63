package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/locale"
	"hubbub/store"
)

// maxKey is the longest key of a post, in bytes.
const maxKey = 64

// newPostKey returns a key under which a composer posts once. It begins with the
// time, as script's do: keys lie in the store's index in their order, and with
// random ones each post would change a page of its own.
func newPostKey() string { return strconv.FormatInt(time.Now().UnixMilli(), 36) + rand.Text() }

// bodyError says what is wrong with a message's body.
func bodyError(l *locale.Locale, err error, typed string) string {
	switch {
	case errors.Is(err, store.ErrBodyEmpty):
		return l.MessageEmpty
	case errors.Is(err, store.ErrBodyTooLong):
		return l.MessageTooLong(utf8.RuneCountInString(typed)-store.MaxBody, store.MaxBody)
	default:
		return l.BadRequest.Text
	}
}

// post adds a message to a room. Refused, its text stays where it was typed: in
// the composer, or on the page of the message that it answers.
func (h *Handlers) post(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	typed, key := q.PostForm.Get("body"), q.PostForm.Get("key")
	replyTo, err := position(q.PostForm, "reply_to")
	if err != nil {
		return answer{}, err
	}
	refuse := func(status int, sentence string) (answer, error) {
		if q.isHTMX() {
			return answer{status: status, fragment: components.ComposerError(q.page, sentence), target: "#composer-error", swap: "innerHTML"}, nil
		}
		if replyTo != 0 {
			a, err := h.threadOf(q, room, replyTo, 0, components.ThreadView{Body: typed, Error: sentence, Key: key})
			if !errors.Is(err, store.ErrNotFound) {
				a.status = status
				return a, err
			}
		}
		return h.newestOf(q, status, components.ChannelView{Channel: room, Body: typed, Error: sentence, Key: key})
	}
	if len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		key = "" // the page that is answered with gets another
		return refuse(http.StatusBadRequest, q.page.Locale.KeyInvalid)
	}
	body, err := store.Body(typed)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, bodyError(q.page.Locale, err, typed))
	}
	if !h.posts.allow(viewerKey(q)) {
		a, err := refuse(http.StatusTooManyRequests, q.page.Locale.TooManyPosts.Text)
		a.retryAfter = retryAfter
		return a, err
	}
	m, err := h.Store.Post(q.Context(), q.scope, room, *q.viewer, store.Draft{Body: body, Key: key, ReplyTo: replyTo}, time.Now())
	switch {
	case errors.Is(err, store.ErrKeyUsed):
		key = "" // the page that is answered with gets another
		return refuse(http.StatusConflict, q.page.Locale.KeyUsed)
	case errors.Is(err, store.ErrNoTarget):
		return refuse(http.StatusConflict, q.page.Locale.ReplyGone)
	case err != nil:
		return answer{}, err
	}
	a := leadsTo(cmp.Or(localPath(q.PostForm.Get("next")), components.ChannelPath(room.Name)))
	if !m.Deleted { // posted before with this key, and gone
		a.fragment = components.MessageRow(h.base, m, h.Zone)
	}
	return a, nil
}

// findMessageID returns the id of the message that a request names, and its
// room, if the viewer may see that. It fails with store.ErrNotFound otherwise. A
// message is named by its room's id, or below its room's page.
func (h *Handlers) findMessageID(q *request) (room store.Channel, id int64, err error) {
	if id, err = strconv.ParseInt(q.PathValue("id"), 10, 64); err != nil {
		return room, id, store.ErrNotFound
	}
	if q.PathValue("channel") != "" {
		room, err = h.findRoom(q)
		return room, id, err
	}
	roomID, err := strconv.ParseInt(q.PathValue("room"), 10, 64)
	if err != nil {
		return room, id, store.ErrNotFound
	}
	if room, err = h.Store.Channel(q.Context(), q.scope, roomID); err == nil {
		h.live.Reached(room)
	}
	return room, id, err
}

// findMessage returns the message that a request names, and its room. It fails
// as findMessageID does, and where the message is deleted.
func (h *Handlers) findMessage(q *request) (room store.Channel, m store.Message, err error) {
	room, id, err := h.findMessageID(q)
	if err == nil {
		m, err = h.Store.Message(q.Context(), q.scope, room.ID, id)
	}
	return room, m, err
}

// message shows the room around a message.
func (h *Handlers) message(q *request) (answer, error) {
	room, m, err := h.findMessage(q)
	if err != nil {
		return answer{}, err
	}
	const around = hub.WindowSize / 2
	messages, err := h.Store.Before(q.Context(), q.scope, room.ID, m.ID, around+1)
	if err != nil {
		return answer{}, err
	}
	view := components.ChannelView{Channel: room, Target: m.ID}
	if len(messages) > around {
		messages = messages[1:]
		view.Older = messages[0].ID
	}
	newer, err := h.Store.After(q.Context(), q.scope, room.ID, m.ID, around)
	if err != nil {
		return answer{}, err
	}
	messages = append(append(messages, m), newer...)
	view.Newer = messages[len(messages)-1].ID
	return h.earlierOf(q, view, messages)
}

// deleteMessage takes one of the viewer's own messages away.
func (h *Handlers) deleteMessage(q *request) (answer, error) {
	room, id, err := h.findMessageID(q)
	if err != nil {
		return answer{}, err
	}
	if err := h.Store.DeleteMessage(q.Context(), q.scope, room.ID, id); err != nil {
		return answer{}, err
	}
	return leadsTo(components.ChannelPath(room.Name)).says(flashMessageDeleted, ""), nil
}

// rows renders messages that no hub holds.
func (h *Handlers) rows(ctx context.Context, messages []store.Message) ([]components.Row, error) {
	rows := make([]components.Row, 0, len(messages))
	for _, m := range messages {
		row, err := components.NewRow(ctx, h.base, m, h.Zone)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}
