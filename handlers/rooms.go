package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/live"
	"hubbub/store"
)

// findRoom returns the room that a request names, if the viewer may see it. It
// fails with store.ErrNotFound otherwise, whether there is such a room or not.
func (h *Handlers) findRoom(q *request) (store.Channel, error) {
	name, err := store.ChannelName(q.PathValue("channel"))
	if err != nil {
		return store.Channel{}, store.ErrNotFound
	}
	room, err := h.Store.ChannelByName(q.Context(), q.scope, name)
	if err == nil {
		h.live.Reached(room)
	}
	return room, err
}

// room shows a room: its newest messages, or those before or after one.
func (h *Handlers) room(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if errors.Is(err, store.ErrNotFound) {
		return missingRoom(q), nil
	}
	if err != nil {
		return answer{}, err
	}
	if room.Name != q.PathValue("channel") {
		path := components.ChannelPath(room.Name)
		if q.URL.RawQuery != "" {
			path += "?" + q.URL.RawQuery
		}
		return leadsTo(path), nil
	}
	before, err := position(q.URL.Query(), "before")
	if err != nil {
		return answer{}, err
	}
	after, err := position(q.URL.Query(), "after")
	if err != nil {
		return answer{}, err
	}
	switch {
	case q.acceptsJSON():
		return h.roomAsJSON(q, room, before, after)
	case before > 0:
		return h.roomBefore(q, room, before)
	case after > 0:
		return h.roomAfter(q, room, after)
	default:
		return h.newestOf(q, http.StatusOK, components.ChannelView{Channel: room, Marking: q.URL.Query().Has("mark")})
	}
}

// roomBefore shows the messages before one.
func (h *Handlers) roomBefore(q *request, room store.Channel, before int64) (answer, error) {
	messages, err := h.Store.Before(q.Context(), q.scope, room.ID, before, hub.WindowSize+1)
	if err != nil {
		return answer{}, err
	}
	view := components.ChannelView{Channel: room, Newer: before - 1}
	if len(messages) > hub.WindowSize {
		messages = messages[1:]
		view.Older = messages[0].ID
	}
	return h.earlierOf(q, view, messages)
}

// roomAfter shows the messages after one, or leads to the newest where those are
// all of them: that page goes on living.
func (h *Handlers) roomAfter(q *request, room store.Channel, after int64) (answer, error) {
	messages, err := h.Store.After(q.Context(), q.scope, room.ID, after, hub.WindowSize+1)
	if err != nil {
		return answer{}, err
	}
	if len(messages) <= hub.WindowSize {
		return leadsTo(components.ChannelPath(room.Name)), nil
	}
	messages = messages[:hub.WindowSize]
	view := components.ChannelView{Channel: room, Older: messages[0].ID, Newer: messages[len(messages)-1].ID}
	return h.earlierOf(q, view, messages)
}

// earlierOf completes the view with messages that need not be the newest.
func (h *Handlers) earlierOf(q *request, view components.ChannelView, messages []store.Message) (_ answer, err error) {
	if view.Rows, err = h.rows(q.Context(), messages); err != nil {
		return answer{}, err
	}
	// Who looks at earlier ones may not have read the newest, unless they have
	// never been here: what was said before concerns nobody new.
	positions, err := h.visit(q, &view, 0)
	if err != nil {
		return answer{}, err
	}
	return h.roomPage(q, http.StatusOK, view, positions)
}

// newestOf completes the view with the room's newest messages.
func (h *Handlers) newestOf(q *request, status int, view components.ChannelView) (answer, error) {
	if err := h.newest(q.Context(), &view); err != nil {
		return answer{}, err
	}
	newest := view.Channel.LastPost
	if n := len(view.Rows); n > 0 {
		newest = max(newest, view.Rows[n-1].ID) // which may have come since
	}
	positions, err := h.visit(q, &view, newest)
	if err != nil {
		return answer{}, err
	}
	return h.roomPage(q, status, view, positions)
}

// newest completes the view with the rows of the room's window.
func (h *Handlers) newest(ctx context.Context, view *components.ChannelView) error {
	window, err := h.live.Window(ctx, view.Channel)
	if err != nil {
		return err
	}
	view.Rows = make([]components.Row, 0, len(window.Rows))
	for _, row := range window.Rows {
		view.Rows = append(view.Rows, components.Row{ID: row.ID, HTML: row.HTML, AuthorID: row.AuthorID, PostedAt: row.PostedAt})
	}
	view.Revision, view.Newest = window.Revision, true
	if window.Older {
		view.Older = window.Rows[0].ID
	}
	return nil
}

// visit records that the viewer is in the view's room and has read it up to a
// post. It completes the view with the position before, negative for a first
// visit, and returns the viewer's positions as they are then. A page that its
// browser loads ahead of time is no visit.
func (h *Handlers) visit(q *request, view *components.ChannelView, upTo int64) (*store.Positions, error) {
	// Read once for all that the page says of them: each time asks the database
	// where there are other nodes.
	positions, err := h.Store.Positions(q.Context(), q.scope)
	if err != nil {
		return nil, err
	}
	position, visited := positions.Of(view.Channel.ID)
	view.Read = position
	if !visited {
		view.Read, upTo = -1, max(upTo, view.Channel.LastPost)
	}
	if q.isSpeculative() || visited && upTo <= position && q.viewer.LastChannel == view.Channel.ID {
		return positions, nil
	}
	err = h.Store.Visit(q.Context(), q.scope, view.Channel.ID, upTo, time.Now())
	if store.Unavailable(err) {
		// A full disk keeps nobody from reading.
		h.Log.WarnContext(q.Context(), "a visit could not be recorded", "channel", view.Channel.ID, "error", err)
		return positions, nil
	}
	if err != nil {
		return nil, err
	}
	return h.Store.Positions(q.Context(), q.scope)
}

// isSpeculative reports whether a browser asks for a page that nobody may ever
// look at: by HEAD, or ahead of time (Sec-Purpose, Fetch Standard 2.2.5).
func (q *request) isSpeculative() bool {
	return q.Method == http.MethodHead || strings.HasPrefix(q.Header.Get("Sec-Purpose"), "prefetch")
}

// roomPage completes the view with what stands around the messages.
func (h *Handlers) roomPage(q *request, status int, view components.ChannelView, positions *store.Positions) (_ answer, err error) {
	q.page.Near = h.Store.ChannelsNear(q.scope, positions, live.MaxNear)
	if q.page.Unread, err = h.unread(q, positions); err != nil {
		return answer{}, err
	}
	view.Presence = h.live.Presence(view.Channel, q.viewer)
	if view.Key == "" {
		view.Key = newPostKey()
	}
	return answer{status: status, page: components.Channel(q.page, view)}, nil
}

// missingRoom says that there is no such room and offers to create it.
func missingRoom(q *request) answer {
	view := components.MissingChannelView{Name: q.PathValue("channel")}
	if name, err := store.ChannelName(view.Name); err == nil {
		view.Name, view.Valid = name.Text, true
	}
	words := errNoPage.words(q.page.Locale)
	a := refuses(http.StatusNotFound, components.MissingChannel(q.page, view))
	a.value = failureJSON{http.StatusNotFound, words.Title, q.page.Locale.MissingChannel(view.Name)}
	return a
}

// position returns the message id in a query, 0 where there is none.
func position(query url.Values, name string) (int64, error) {
	if !query.Has(name) {
		return 0, nil
	}
	id, err := strconv.ParseInt(query.Get(name), 10, 64)
	if err != nil || id < 0 {
		return 0, errBadRequest
	}
	return id, nil
}
