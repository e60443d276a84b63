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
		return l.MessageTooLong(l.Number(utf8.RuneCountInString(typed)), l.Number(store.MaxBody))
	default:
		return l.BadRequest.Text
	}
}

// post adds a message to a channel.
func (h *Handlers) post(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	typed, key := r.PostForm.Get("body"), r.PostForm.Get("key")
	refuse := func(status int, sentence string) error {
		if isHTMX(r) {
			retarget(w, "#composer-error", "innerHTML")
			h.render(w, r, p, status, components.ComposerError(p, sentence))
			return nil
		}
		return h.showChannel(w, r, p, status, components.ChannelView{
			Channel: channel, Body: typed, Error: sentence, Key: key,
		})
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
		w.Header().Set("Retry-After", "10")
		return refuse(http.StatusTooManyRequests, p.Locale.TooManyPosts.Text)
	}
	m, err := h.Store.Post(r.Context(), channel, *p.Viewer, body, key, time.Now())
	if err != nil {
		return err
	}
	if !isHTMX(r) {
		h.redirect(w, r, components.ChannelPath(channel.Name))
		return nil
	}
	if m.Deleted {
		w.WriteHeader(http.StatusNoContent) // posted before with this key, and gone
		return nil
	}
	h.render(w, r, p, http.StatusOK, components.MessageRow(h.base, m, h.Zone))
	return nil
}

// deleteMessage takes one of the viewer's own messages away.
func (h *Handlers) deleteMessage(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return errNoPage
	}
	if err := h.Store.DeleteMessage(r.Context(), channel.ID, id, p.Viewer.ID); err != nil {
		return err
	}
	if isHTMX(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.flash(w, flashMessageDeleted, "")
	h.redirect(w, r, components.ChannelPath(channel.Name))
	return nil
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

// viewRow is what a page needs to know of a row.
func viewRow(row hub.Row) components.Row {
	return components.Row{ID: row.ID, HTML: row.HTML, AuthorID: row.AuthorID, PostedAt: row.PostedAt}
}
