package handlers

import (
	"time"

	"hubbub/components"
	"hubbub/store"
)

// maxSaved is how many saved messages a page shows.
const maxSaved = 100

// save keeps a message for the viewer, or keeps it no more. Nobody else learns of
// it.
func (h *Handlers) save(q *request) (answer, error) {
	room, id, err := h.findMessageID(q)
	if err != nil {
		return answer{}, err
	}
	on, err := isOn(q)
	if err != nil {
		return answer{}, err
	}
	if err := h.Store.Save(q.Context(), q.scope, room.ID, id, on, time.Time{}, time.Now()); err != nil {
		return answer{}, err
	}
	return backFrom(q, room, id), nil
}

// saved shows what the viewer keeps, from what was saved last.
func (h *Handlers) saved(q *request) (answer, error) {
	saved, err := h.Store.Saved(q.Context(), q.scope, time.Time{}, maxSaved)
	if err != nil {
		return answer{}, err
	}
	messages := make([]store.Message, 0, len(saved))
	for _, s := range saved {
		messages = append(messages, s.Message)
	}
	rows, err := h.rows(q.Context(), messages)
	if err != nil {
		return answer{}, err
	}
	a := shows(components.Saved(q.page, rows))
	a.value = messagesAsJSON(messages)
	return a, nil
}
