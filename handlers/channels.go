package handlers

import (
	"errors"
	"net/http"
	"time"

	"hubbub/components"
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
func (h *Handlers) channels(r *http.Request, p *components.Page) (answer, error) {
	return h.showChannels(r, p, http.StatusOK, components.ChannelsView{})
}

// showChannels completes the view with the channels that there are.
func (h *Handlers) showChannels(r *http.Request, p *components.Page, status int, view components.ChannelsView) (answer, error) {
	channels, err := h.Store.Channels(r.Context())
	if err != nil {
		return answer{}, err
	}
	positions, err := h.Store.Positions(r.Context(), p.Viewer.ID)
	if err != nil {
		return answer{}, err
	}
	if p.Unread, err = h.unread(r.Context(), positions); err != nil {
		return answer{}, err
	}
	view.Channels = channels
	for i := range channels {
		if channels[i].ID == p.Viewer.LastChannel {
			view.Latest = &channels[i]
		}
	}
	return answer{status: status, page: components.Channels(p, view)}, nil
}

// createChannel makes a channel and leads into it.
func (h *Handlers) createChannel(r *http.Request, p *components.Page) (answer, error) {
	view := components.ChannelsView{Name: r.PostForm.Get("name")}
	name, err := store.ChannelName(view.Name)
	if err != nil {
		view.Error = channelNameError(p.Locale, err)
		return h.showChannels(r, p, http.StatusUnprocessableEntity, view)
	}
	if !h.posts.allow(viewerKey(p)) {
		return answer{}, errManyPosts
	}
	channel, err := h.Store.CreateChannel(r.Context(), name, time.Now())
	if errors.Is(err, store.ErrChannelExists) {
		view.Error = p.Locale.ChannelExists(name.Text)
		return h.showChannels(r, p, http.StatusConflict, view)
	}
	if err != nil {
		return answer{}, err
	}
	h.live.ChannelMade(channel)
	return leadsTo(components.ChannelPath(channel.Name)).says(flashChannelCreated, channel.Name), nil
}
