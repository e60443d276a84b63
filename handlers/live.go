package handlers

import (
	"errors"
	"net/http"

	"hubbub/components"
	"hubbub/live"
	"hubbub/store"
)

// follow answers with what changes in a room after a revision, and from then on
// as it changes: see live.Server.Serve.
func (h *Handlers) follow(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	query := r.URL.Query()
	after, err := position(query, "after")
	if err != nil {
		return err
	}
	q := live.Request{
		Page:     p,
		After:    after,
		Presence: query.Get("here"), News: query.Get("news"), Tab: query.Get("tab"), IsReading: query.Get("reading") == "1",
		Started: func() { started(r) },
	}
	if isDocument(r) {
		q.Document = &components.ChannelView{Channel: store.Channel{Name: r.PathValue("channel")}}
	}
	if p.Viewer != nil {
		q.Token, q.Deadline = h.sessions.Token(r.Context()), h.sessions.Deadline(r.Context())
	}
	switch room, err := h.followed(r, p); {
	case errors.Is(err, live.ErrSessionOver), errors.Is(err, live.ErrNoRoom):
		q.Refusal = err
	case err != nil:
		return err
	case room.ID != 0:
		q.Room = &room
		if q.Document != nil {
			q.Document.Channel, q.Document.Read = room, readUpTo(r)
			if err := h.newest(r.Context(), q.Document); err != nil {
				return err
			}
			q.After = q.Document.Revision
		}
	}
	return h.live.Serve(w, r, q)
}

// followed returns the room that a request is to follow, the zero Channel for
// none. It fails with what the browser is told through the open connection.
func (h *Handlers) followed(r *http.Request, p *components.Page) (store.Channel, error) {
	if p.Viewer == nil {
		return store.Channel{}, live.ErrSessionOver
	}
	if r.PathValue("channel") == "" {
		return store.Channel{}, nil
	}
	room, err := h.findRoom(r, p)
	if errors.Is(err, store.ErrNotFound) {
		return room, live.ErrNoRoom
	}
	return room, err
}
