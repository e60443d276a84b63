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
func (h *Handlers) read(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	upTo, err := position(r.PostForm, "upto")
	if err != nil {
		return err
	}
	have, err := h.Store.Position(r.Context(), p.Viewer.ID, channel.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// Nobody has read what is not written yet.
	if upTo = min(upTo, channel.Revision); upTo > have {
		if err := h.Store.Read(r.Context(), p.Viewer.ID, channel.ID, upTo); err != nil {
			return err
		}
	}
	tab, reading := r.PostForm.Get("tab"), r.PostForm.Get("reading") == "1"
	if len(tab) <= maxKey {
		h.live.Reading(p.Viewer.ID, tab, reading)
	}
	h.live.PositionChanged(p.Viewer.ID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// markUnread sets the viewer's position back to before a message.
func (h *Handlers) markUnread(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	from, err := position(r.PostForm, "from")
	if err != nil || from == 0 {
		return errBadRequest
	}
	have, err := h.Store.Position(r.Context(), p.Viewer.ID, channel.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if have >= from {
		if err := h.Store.MarkUnread(r.Context(), p.Viewer.ID, channel.ID, from); err != nil {
			return err
		}
	}
	h.live.LeftUnread(p.Viewer.ID, channel)
	h.live.PositionChanged(p.Viewer.ID)
	if isHTMX(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.flash(w, flashMarkedUnread, channel.Name)
	h.redirect(w, r, "/channels")
	return nil
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
