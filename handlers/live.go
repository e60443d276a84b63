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
func (h *Handlers) follow(w http.ResponseWriter, q *request) error {
	query := q.URL.Query()
	after, err := position(query, "after")
	if err != nil {
		return err
	}
	l := live.Request{
		Viewer: q.viewer, Page: q.page,
		After:    after,
		Presence: query.Get("here"), News: query.Get("news"), Tab: query.Get("tab"), IsReading: query.Get("reading") == "1",
		Started: func() { started(q.Request) },
	}
	if q.isDocument() {
		l.Document = &components.ChannelView{Channel: store.Channel{Name: q.PathValue("channel")}}
	}
	if q.viewer != nil {
		l.Token, l.Deadline = h.sessions.Token(q.Context()), h.sessions.Deadline(q.Context())
	}
	switch room, err := h.followed(q); {
	case errors.Is(err, live.ErrSessionOver), errors.Is(err, live.ErrNoRoom):
		l.Refusal = err
	case err != nil:
		return err
	case room.ID != 0:
		l.Room = &room
		if l.Document != nil {
			l.Document.Channel, l.Document.Read = room, readUpTo(q.Request)
			if err := h.newest(q.Context(), l.Document); err != nil {
				return err
			}
			l.After = l.Document.Revision
		}
	}
	return h.live.Serve(w, q.Request, l)
}

// followed returns the room that a request is to follow, the zero Channel for
// none. It fails with what the browser is told through the open connection.
func (h *Handlers) followed(q *request) (store.Channel, error) {
	if q.viewer == nil {
		return store.Channel{}, live.ErrSessionOver
	}
	if q.PathValue("channel") == "" {
		return store.Channel{}, nil
	}
	room, err := h.findRoom(q)
	if errors.Is(err, store.ErrNotFound) {
		return room, live.ErrNoRoom
	}
	return room, err
}
