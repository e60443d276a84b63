package handlers

import (
	"errors"
	"time"

	"hubbub/components"
	"hubbub/store"
)

// pin pins a message for its room, or takes the pin away.
func (h *Handlers) pin(q *request) (answer, error) {
	room, id, err := h.findMessageID(q)
	if err != nil {
		return answer{}, err
	}
	on, err := isOn(q)
	if err != nil {
		return answer{}, err
	}
	_, err = h.Store.Pin(q.Context(), q.scope, room.ID, id, on, time.Now())
	if errors.Is(err, store.ErrTooManyPins) {
		return answer{}, errManyPins
	}
	return backFrom(q, room, id), err
}

// pins shows the pinned messages of a room, from the one pinned last.
func (h *Handlers) pins(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	pins, err := h.Store.Pins(q.Context(), q.scope, room.ID)
	if err != nil {
		return answer{}, err
	}
	messages := make([]store.Message, 0, len(pins))
	for _, pin := range pins {
		messages = append(messages, pin.Message)
	}
	rows, err := h.rows(q.Context(), messages)
	if err != nil {
		return answer{}, err
	}
	a := shows(components.Pins(q.page, room, rows))
	a.value = messagesAsJSON(messages)
	return a, nil
}
