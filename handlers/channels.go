package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

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
	return h.Store.ChannelByName(r.Context(), name)
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
	if p.Viewer.LastChannel != channel.ID {
		if err := h.Store.SetLastChannel(r.Context(), p.Viewer.ID, channel.ID); err != nil {
			return err
		}
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
		view.Rows, err = h.rows(r.Context(), messages)
		if err != nil {
			return err
		}
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
		view.Rows, err = h.rows(r.Context(), messages)
		if err != nil {
			return err
		}
	default:
		return h.showChannel(w, r, p, http.StatusOK, view)
	}
	if view.Channels, err = h.Store.Channels(r.Context()); err != nil {
		return err
	}
	view.Key = newKey()
	h.render(w, r, p, http.StatusOK, components.Channel(p, view))
	return nil
}

// showChannel completes the view with the channel's newest messages.
func (h *Handlers) showChannel(w http.ResponseWriter, r *http.Request, p *components.Page, status int, view components.ChannelView) error {
	window, err := h.hubs.Window(r.Context(), view.Channel.ID)
	if err != nil {
		return err
	}
	for _, row := range window.Rows {
		view.Rows = append(view.Rows, components.Row{HTML: row.HTML, AuthorID: row.AuthorID, PostedAt: row.PostedAt})
	}
	view.Revision, view.Newest = window.Revision, true
	if window.Older {
		view.Older = window.Rows[0].ID
	}
	if view.Channels, err = h.Store.Channels(r.Context()); err != nil {
		return err
	}
	if view.Key == "" {
		view.Key = newKey()
	}
	h.render(w, r, p, status, components.Channel(p, view))
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
