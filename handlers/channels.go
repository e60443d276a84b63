package handlers

import (
	"errors"
	"net/http"
	"time"

	"hubbub/components"
	"hubbub/live"
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
func (h *Handlers) channels(q *request) (answer, error) {
	return h.showChannels(q, http.StatusOK, components.ChannelsView{})
}

// showChannels completes the view with the channels that there are.
func (h *Handlers) showChannels(q *request, status int, view components.ChannelsView) (answer, error) {
	channels, err := h.Store.Channels(q.Context(), q.scope)
	if err != nil {
		return answer{}, err
	}
	positions, err := h.Store.Positions(q.Context(), q.scope)
	if err != nil {
		return answer{}, err
	}
	if q.page.Unread, err = h.unread(q, positions); err != nil {
		return answer{}, err
	}
	q.page.Near = h.Store.ChannelsNear(q.scope, positions, live.MaxNear)
	view.Channels = channels
	for i := range channels {
		if channels[i].ID == q.viewer.LastChannel {
			view.Latest = &channels[i]
		}
	}
	return answer{status: status, page: components.Channels(q.page, view)}, nil
}

// createChannel makes a channel and leads into it.
func (h *Handlers) createChannel(q *request) (answer, error) {
	view := components.ChannelsView{Name: q.PostForm.Get("name")}
	name, err := store.ChannelName(view.Name)
	if err != nil {
		view.Error = channelNameError(q.page.Locale, err)
		return h.showChannels(q, http.StatusUnprocessableEntity, view)
	}
	if !h.posts.allow(viewerKey(q)) {
		return answer{}, errManyPosts
	}
	channel, err := h.Store.CreateChannel(q.Context(), name, store.KindOpen, q.viewer.ID, time.Now())
	if errors.Is(err, store.ErrChannelExists) {
		view.Error = q.page.Locale.ChannelExists(name.Text)
		return h.showChannels(q, http.StatusConflict, view)
	}
	if err != nil {
		return answer{}, err
	}
	return leadsTo(components.ChannelPath(channel.Name)).says(flashChannelCreated, channel.Name), nil
}

// fillSide completes a page with the channels that stand beside it, unless it
// has them. It does without them where the store cannot say, because the page may
// be the one that says so.
func (h *Handlers) fillSide(q *request) {
	if q.viewer == nil || q.page.Near != nil {
		return
	}
	positions, err := h.Store.Positions(q.Context(), q.scope)
	if err != nil {
		return
	}
	q.page.Near = h.Store.ChannelsNear(q.scope, positions, live.MaxNear)
	if q.page.Unread, err = h.unread(q, positions); err != nil {
		q.page.Unread = nil
	}
}
