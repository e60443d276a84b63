package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"hubbub/bus"
	"hubbub/components"
	"hubbub/hub"
	"hubbub/locale"
	"hubbub/store"
)

// channelNameError says what is wrong with a channel's name.
func channelNameError(l *locale.Locale, err error) string {
	switch {
	case errors.Is(err, store.ErrNameEmpty):
		return l.ChannelNameEmpty
	case errors.Is(err, store.ErrNameTooLong):
		return l.ChannelNameTooLong(store.MaxChannelName)
	default:
		return l.ChannelNameForbidden
	}
}

// channels shows the list of channels.
func (h *Handlers) channels(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	return h.showChannels(w, r, p, http.StatusOK, components.ChannelsView{})
}

// showChannels completes the view with the channels that there are.
func (h *Handlers) showChannels(w http.ResponseWriter, r *http.Request, p *components.Page, status int, view components.ChannelsView) error {
	channels, err := h.Store.Channels(r.Context())
	if err != nil {
		return err
	}
	positions, err := h.Store.Positions(r.Context(), p.Viewer.ID)
	if err != nil {
		return err
	}
	if p.Unread, err = h.unread(r.Context(), positions); err != nil {
		return err
	}
	p.Near = h.Store.ChannelsNear(positions, maxNear)
	view.Channels = channels
	for i := range channels {
		if channels[i].ID == p.Viewer.LastChannel {
			view.Latest = &channels[i]
		}
	}
	h.render(w, r, p, status, components.Channels(p, view))
	return nil
}

// createChannel makes a channel and leads into it.
func (h *Handlers) createChannel(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	view := components.ChannelsView{Name: r.PostForm.Get("name")}
	name, err := store.ChannelName(view.Name)
	if err != nil {
		view.Error = channelNameError(p.Locale, err)
		return h.showChannels(w, r, p, http.StatusUnprocessableEntity, view)
	}
	if !h.posts.allow(viewerKey(p)) {
		return errManyPosts
	}
	channel, err := h.Store.CreateChannel(r.Context(), name, time.Now())
	if errors.Is(err, store.ErrChannelExists) {
		view.Error = p.Locale.ChannelExists(name.Text)
		return h.showChannels(w, r, p, http.StatusConflict, view)
	}
	if err != nil {
		return err
	}
	h.news.ofNewChannel()
	h.tell(bus.Notice{Channels: map[int64]int64{channel.ID: 0}})
	h.flash(w, flashChannelCreated, channel.Name)
	h.redirect(w, r, components.ChannelPath(channel.Name))
	return nil
}

// findChannel returns the channel that a request names, or an error for which
// noChannel may answer.
func (h *Handlers) findChannel(r *http.Request) (store.Channel, error) {
	name, err := store.ChannelName(r.PathValue("channel"))
	if err != nil {
		return store.Channel{}, store.ErrNotFound
	}
	channel, err := h.Store.ChannelByName(r.Context(), name)
	if err == nil {
		h.hubs.Hear(channel.ID, channel.Revision) // of another node, that could not tell
	}
	return channel, err
}

// channel shows a channel: its newest messages, or those before or after one.
func (h *Handlers) channel(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if errors.Is(err, store.ErrNotFound) {
		h.noChannel(w, r, p)
		return nil
	}
	if err != nil {
		return err
	}
	if channel.Name != r.PathValue("channel") {
		path := components.ChannelPath(channel.Name)
		if r.URL.RawQuery != "" {
			path += "?" + r.URL.RawQuery
		}
		h.redirect(w, r, path)
		return nil
	}
	before, err := position(r.URL.Query(), "before")
	if err != nil {
		return err
	}
	after, err := position(r.URL.Query(), "after")
	if err != nil {
		return err
	}
	view := components.ChannelView{Channel: channel}
	switch {
	case before > 0:
		messages, err := h.Store.Before(r.Context(), channel.ID, before, hub.WindowSize+1)
		if err != nil {
			return err
		}
		if len(messages) > hub.WindowSize {
			messages = messages[1:]
			view.Older = messages[0].ID
		}
		view.Newer = before - 1
		return h.showEarlier(w, r, p, view, messages)
	case after > 0:
		messages, err := h.Store.After(r.Context(), channel.ID, after, hub.WindowSize+1)
		if err != nil {
			return err
		}
		if len(messages) <= hub.WindowSize {
			// The channel's own page shows all of these, and goes on living.
			h.redirect(w, r, components.ChannelPath(channel.Name))
			return nil
		}
		messages = messages[:hub.WindowSize]
		view.Older, view.Newer = messages[0].ID, messages[len(messages)-1].ID
		return h.showEarlier(w, r, p, view, messages)
	default:
		view.Marking = r.URL.Query().Has("mark")
		return h.showChannel(w, r, p, http.StatusOK, view)
	}
}

// showEarlier completes the view with messages that need not be the newest.
func (h *Handlers) showEarlier(w http.ResponseWriter, r *http.Request, p *components.Page, view components.ChannelView, messages []store.Message) (err error) {
	if view.Rows, err = h.rows(r.Context(), messages); err != nil {
		return err
	}
	// Who looks at earlier ones may not have read the newest, unless they have
	// never been here: what was said before concerns nobody new.
	positions, err := h.visit(r.Context(), p, &view, 0)
	if err != nil {
		return err
	}
	return h.renderChannel(w, r, p, http.StatusOK, view, positions)
}

// showChannel completes the view with the channel's newest messages.
func (h *Handlers) showChannel(w http.ResponseWriter, r *http.Request, p *components.Page, status int, view components.ChannelView) error {
	if err := h.newest(r.Context(), &view); err != nil {
		return err
	}
	positions, err := h.visit(r.Context(), p, &view, view.Revision)
	if err != nil {
		return err
	}
	return h.renderChannel(w, r, p, status, view, positions)
}

// visit notes that the viewer is in the view's channel and has read it up to a
// revision. It completes the view with the position before, negative for a first
// visit, and returns the viewer's positions as they are then.
func (h *Handlers) visit(ctx context.Context, p *components.Page, view *components.ChannelView, upTo int64) (*store.Positions, error) {
	// Read once for all that the page says of them: each time asks the database
	// where there are other nodes.
	positions, err := h.Store.Positions(ctx, p.Viewer.ID)
	if err != nil {
		return nil, err
	}
	position, visited := positions.Of(view.Channel.ID)
	view.Read = position
	switch {
	case !visited:
		view.Read, upTo = -1, max(upTo, view.Channel.Revision)
	case upTo <= position && p.Viewer.LastChannel == view.Channel.ID:
		return positions, nil
	}
	if err := h.Store.Visit(ctx, p.Viewer.ID, view.Channel.ID, upTo, time.Now()); err != nil {
		return nil, err
	}
	h.moved(p.Viewer.ID)
	return h.Store.Positions(ctx, p.Viewer.ID)
}

// renderChannel completes the view with what stands around the messages.
func (h *Handlers) renderChannel(w http.ResponseWriter, r *http.Request, p *components.Page, status int, view components.ChannelView, positions *store.Positions) (err error) {
	p.Near = h.Store.ChannelsNear(positions, maxNear)
	if p.Unread, err = h.unread(r.Context(), positions); err != nil {
		return err
	}
	view.Presence = presenceView(h.hubs.Presence(view.Channel.ID, userOf(p)))
	if view.Key == "" {
		view.Key = newPostKey()
	}
	h.render(w, r, p, status, components.Channel(p, view))
	return nil
}

// newest completes the view with the rows of the channel's window.
func (h *Handlers) newest(ctx context.Context, view *components.ChannelView) error {
	window, err := h.hubs.Window(ctx, view.Channel.ID, view.Channel.Revision)
	if err != nil {
		return err
	}
	view.Rows = make([]components.Row, 0, len(window.Rows))
	for _, row := range window.Rows {
		view.Rows = append(view.Rows, viewRow(row))
	}
	view.Revision, view.Newest = window.Revision, true
	if window.Older {
		view.Older = window.Rows[0].ID
	}
	return nil
}

// noChannel says that there is no such channel and offers to create it.
func (h *Handlers) noChannel(w http.ResponseWriter, r *http.Request, p *components.Page) {
	view := components.MissingChannelView{Name: r.PathValue("channel")}
	if name, err := store.ChannelName(view.Name); err == nil {
		view.Name, view.Valid = name.Text, true
	}
	h.render(w, r, p, http.StatusNotFound, components.MissingChannel(p, view))
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
