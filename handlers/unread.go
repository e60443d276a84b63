package handlers

import (
	"context"
	"errors"
	"net/http"

	"hubbub/components"
	"hubbub/store"
)

// read takes note of how far the viewer has read a channel, and whether they
// go on reading it in this tab.
func (h *Handlers) read(r *http.Request, p *components.Page) (answer, error) {
	room, err := h.findRoom(r, p)
	if err != nil {
		return answer{}, err
	}
	upTo, err := position(r.PostForm, "upto")
	if err != nil {
		return answer{}, err
	}
	have, err := h.Store.Position(r.Context(), p.Viewer.ID, room.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return answer{}, err
	}
	// Nobody has read what is not written yet.
	if upTo = min(upTo, room.Revision); upTo > have {
		if err := h.Store.Read(r.Context(), p.Viewer.ID, room.ID, upTo); err != nil {
			return answer{}, err
		}
	}
	tab, reading := r.PostForm.Get("tab"), r.PostForm.Get("reading") == "1"
	if len(tab) <= maxKey {
		h.live.Reading(p.Viewer.ID, tab, reading)
	}
	h.live.PositionChanged(p.Viewer.ID)
	return done(), nil
}

// markUnread sets the viewer's position back to before a message.
func (h *Handlers) markUnread(r *http.Request, p *components.Page) (answer, error) {
	room, err := h.findRoom(r, p)
	if err != nil {
		return answer{}, err
	}
	from, err := position(r.PostForm, "from")
	if err != nil || from == 0 {
		return answer{}, errBadRequest
	}
	have, err := h.Store.Position(r.Context(), p.Viewer.ID, room.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return answer{}, err
	}
	if have >= from {
		if err := h.Store.MarkUnread(r.Context(), p.Viewer.ID, room.ID, from); err != nil {
			return answer{}, err
		}
	}
	h.live.LeftUnread(p.Viewer.ID, room)
	h.live.PositionChanged(p.Viewer.ID)
	return leadsTo("/channels").says(flashMarkedUnread, room.Name), nil
}

// unread returns what waits for the user whose positions these are, for a page
// about to be rendered.
func (h *Handlers) unread(ctx context.Context, positions *store.Positions) (*components.Unread, error) {
	latest, err := h.Store.LatestChannel(ctx)
	if err != nil {
		return nil, err
	}
	channels, err := h.Store.Unread(ctx, positions)
	return &components.Unread{Channels: channels, Latest: latest}, err
}
