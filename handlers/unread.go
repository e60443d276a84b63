package handlers

import (
	"errors"

	"hubbub/components"
	"hubbub/store"
)

// read takes note of how far the viewer has read a channel, and whether they
// go on reading it in this tab.
func (h *Handlers) read(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	upTo, err := position(q.PostForm, "upto")
	if err != nil {
		return answer{}, err
	}
	have, err := h.Store.Position(q.Context(), q.scope, room.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return answer{}, err
	}
	// Nobody has read what is not written yet.
	if upTo = min(upTo, room.LastPost); upTo > have {
		if err := h.Store.Read(q.Context(), q.scope, room.ID, upTo); err != nil {
			return answer{}, err
		}
	}
	tab, reading := q.PostForm.Get("tab"), q.PostForm.Get("reading") == "1"
	if len(tab) <= maxKey {
		h.live.Reading(q.viewer.ID, tab, reading)
	}
	return done(), nil
}

// markUnread sets the viewer's position back to before a message.
func (h *Handlers) markUnread(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	from, err := position(q.PostForm, "from")
	if err != nil || from == 0 {
		return answer{}, errBadRequest
	}
	have, err := h.Store.Position(q.Context(), q.scope, room.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return answer{}, err
	}
	if have >= from {
		if err := h.Store.MarkUnread(q.Context(), q.scope, room.ID, from); err != nil {
			return answer{}, err
		}
	}
	h.live.LeftUnread(q.viewer.ID, room)
	return leadsTo("/channels").says(flashMarkedUnread, room.Name), nil
}

// unread returns what waits for the user whose positions these are, for a page
// about to be rendered.
func (h *Handlers) unread(q *request, positions *store.Positions) (*components.Unread, error) {
	latest, err := h.Store.LatestChannel(q.Context(), q.scope)
	if err != nil {
		return nil, err
	}
	channels, err := h.Store.Unread(q.Context(), q.scope, positions)
	return &components.Unread{Channels: channels, Latest: latest}, err
}
