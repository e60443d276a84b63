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
		return l.MessageTooLong(l.Number(utf8.RuneCountInString(typed)), l.Number(store.MaxBody))
	default:
		return l.BadRequest.Text
	}
}

// post adds a message to a room.
func (h *Handlers) post(r *http.Request, p *components.Page) (answer, error) {
	room, err := h.findRoom(r, p)
	if err != nil {
		return answer{}, err
	}
	typed, key := r.PostForm.Get("body"), r.PostForm.Get("key")
	refuse := func(status int, sentence string) (answer, error) {
		if isHTMX(r) {
			return answer{status: status, fragment: components.ComposerError(p, sentence), target: "#composer-error", swap: "innerHTML"}, nil
		}
		return h.newestOf(r, p, status, components.ChannelView{Channel: room, Body: typed, Error: sentence, Key: key})
	}
	if len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		key = "" // the page that is answered with gets another
		return refuse(http.StatusBadRequest, p.Locale.KeyInvalid)
	}
	body, err := store.Body(typed)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, bodyError(p.Locale, err, typed))
	}
	if !h.posts.allow(viewerKey(p)) {
		a, err := refuse(http.StatusTooManyRequests, p.Locale.TooManyPosts.Text)
		a.retryAfter = retryAfter
		return a, err
	}
	m, err := h.Store.Post(r.Context(), room, *p.Viewer, body, key, time.Now())
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
func (h *Handlers) deleteMessage(r *http.Request, p *components.Page) (answer, error) {
	room, err := h.findRoom(r, p)
	if err != nil {
		return answer{}, err
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return answer{}, errNoPage
	}
	if err := h.Store.DeleteMessage(r.Context(), room.ID, id, p.Viewer.ID); err != nil {
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
