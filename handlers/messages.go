package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hubbub/components"
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

// post adds a message to a room.
func (h *Handlers) post(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	typed, key := q.PostForm.Get("body"), q.PostForm.Get("key")
	refuse := func(status int, sentence string) (answer, error) {
		if q.isHTMX() {
			return answer{status: status, fragment: components.ComposerError(q.page, sentence), target: "#composer-error", swap: "innerHTML"}, nil
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
	if !h.posts.allow(viewerKey(q.page)) {
		a, err := refuse(http.StatusTooManyRequests, q.page.Locale.TooManyPosts.Text)
		a.retryAfter = retryAfter
		return a, err
	}
	m, err := h.Store.Post(q.Context(), q.scope, room, *q.viewer, store.Draft{Body: body, Key: key}, time.Now())
	if errors.Is(err, store.ErrKeyUsed) {
		key = "" // the page that is answered with gets another
		return refuse(http.StatusConflict, q.page.Locale.KeyUsed)
	}
	if err != nil {
		return answer{}, err
	}
	a := leadsTo(components.ChannelPath(room.Name))
	if !m.Deleted { // posted before with this key, and gone
		a.fragment = components.MessageRow(h.base, m, h.Zone)
	}
	return a, nil
}

// deleteMessage takes one of the viewer's own messages away.
func (h *Handlers) deleteMessage(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	id, err := strconv.ParseInt(q.PathValue("id"), 10, 64)
	if err != nil {
		return answer{}, errNoPage
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
