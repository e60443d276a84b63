package handlers

import (
	"errors"
	"slices"

	"hubbub/components"
	"hubbub/store"
)

// react gives the viewer's reaction to a message, or takes it back: set=on or
// set=off says which, so that a repeated request changes nothing. A button in a
// row, which is the same for everyone, says neither, and turns it round.
func (h *Handlers) react(q *request) (answer, error) {
	room, m, err := h.findMessage(q)
	if err != nil {
		return answer{}, err
	}
	emoji := q.PostForm.Get("emoji")
	on := !slices.ContainsFunc(m.Reactions, func(r store.Reaction) bool {
		return r.Emoji == emoji && slices.Contains(r.By, q.viewer.ID)
	})
	if q.PostForm.Has("set") {
		if on, err = isOn(q); err != nil {
			return answer{}, err
		}
	}
	_, err = h.Store.React(q.Context(), q.scope, room.ID, m.ID, emoji, on)
	if errors.Is(err, store.ErrEmojiInvalid) {
		return answer{}, errBadRequest
	}
	if errors.Is(err, store.ErrTooManyReactions) {
		return answer{}, errManyReactions
	}
	return backFrom(q, room, m.ID), err
}

// isOn returns the switch that a form sets.
func isOn(q *request) (bool, error) {
	switch q.PostForm.Get("set") {
	case "on":
		return true, nil
	case "off":
		return false, nil
	default:
		return false, errBadRequest
	}
}

// backFrom leads from an act on a message to where its form was: the path that it
// names, or the message in its room.
func backFrom(q *request, room store.Channel, id int64) answer {
	if next := localPath(q.PostForm.Get("next")); next != "" {
		return leadsTo(next)
	}
	return leadsTo(components.MessagePath(room.ID, id))
}
