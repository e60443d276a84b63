package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hubbub/bus"
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

// publish hands the changes of one commit to the hubs of their channels.
func (h *Handlers) publish(messages []store.Message) {
	byChannel, reached := map[int64][]hub.Change{}, map[int64]int64{}
	for _, m := range messages {
		reached[m.ChannelID] = max(reached[m.ChannelID], m.Revision)
		change, err := h.change(context.Background(), m)
		if err != nil {
			// The hub will miss this revision and read it from the store.
			h.Log.Error("a row could not be rendered", "channel", m.ChannelID, "message", m.ID, "error", err)
			continue
		}
		byChannel[m.ChannelID] = append(byChannel[m.ChannelID], change)
	}
	for channelID, changes := range byChannel {
		h.hubs.Publish(channelID, changes)
		h.news.ofChannel(channelID)
	}
	h.tell(bus.Notice{Channels: reached})
}

// change renders a change once for everyone.
func (h *Handlers) change(ctx context.Context, m store.Message) (hub.Change, error) {
	c := hub.Change{Revision: m.Revision, ID: m.ID, Gone: m.Deleted}
	if m.Deleted {
		var frame bytes.Buffer
		err := components.Gone(m.ID, m.Revision).Render(ctx, &frame)
		c.Frame = frame.Bytes()
		return c, err
	}
	row, err := h.row(ctx, m)
	c.Row, c.Frame = row, row.HTML
	return c, err
}

// row renders a message.
func (h *Handlers) row(ctx context.Context, m store.Message) (hub.Row, error) {
	var html bytes.Buffer
	err := components.MessageRow(h.base, m, h.Zone).Render(ctx, &html)
	return hub.Row{ID: m.ID, Revision: m.Revision, AuthorID: m.AuthorID, PostedAt: m.PostedAt, HTML: bytes.Clone(html.Bytes())}, err
}

// rows renders messages that no hub holds.
func (h *Handlers) rows(ctx context.Context, messages []store.Message) ([]components.Row, error) {
	rows := make([]components.Row, 0, len(messages))
	for _, m := range messages {
		row, err := h.row(ctx, m)
		if err != nil {
			return nil, err
		}
		rows = append(rows, viewRow(row))
	}
	return rows, nil
}

// viewRow is what a page needs to know of a row.
func viewRow(row hub.Row) components.Row {
	return components.Row{ID: row.ID, HTML: row.HTML, AuthorID: row.AuthorID, PostedAt: row.PostedAt}
}

// source is where hubs read: the store, rendered.
type source struct{ *Handlers }

// Newest implements hub.Source.
func (s source) Newest(ctx context.Context, channelID int64, n int) (hub.Window, error) {
	messages, revision, err := s.Store.Newest(ctx, channelID, n)
	if err != nil {
		return hub.Window{}, err
	}
	w := hub.Window{Revision: revision, Older: len(messages) == n}
	for _, m := range messages {
		row, err := s.row(ctx, m)
		if err != nil {
			return hub.Window{}, err
		}
		w.Rows = append(w.Rows, row)
	}
	return w, nil
}

// Changes implements hub.Source.
func (s source) Changes(ctx context.Context, channelID, after int64, n int) ([]hub.Change, int64, error) {
	messages, revision, err := s.Store.Changes(ctx, channelID, after, n)
	if err != nil {
		return nil, 0, err
	}
	changes := make([]hub.Change, 0, len(messages))
	for _, m := range messages {
		c, err := s.change(ctx, m)
		if err != nil {
			return nil, 0, err
		}
		changes = append(changes, c)
	}
	return changes, revision, nil
}

// Replace implements hub.Source.
func (s source) Replace(w hub.Window) []byte {
	rows := make([][]byte, 0, len(w.Rows))
	for _, row := range w.Rows {
		rows = append(rows, row.HTML)
	}
	return components.Replace(rows, w.Revision)
}

// Presence implements hub.Source.
func (s source) Presence(p hub.Presence) []byte {
	var frame bytes.Buffer
	if err := components.PresenceFrame(presenceView(p)).Render(context.Background(), &frame); err != nil {
		s.Log.Error("a presence could not be rendered", "error", err)
		return nil
	}
	return frame.Bytes()
}
