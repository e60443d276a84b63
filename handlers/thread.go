package handlers

import (
	"errors"
	"net/http"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// thread shows a message's own page: what can be done with it, and what answers
// it.
func (h *Handlers) thread(q *request) (answer, error) {
	room, id, err := h.findMessageID(q)
	if err != nil {
		return answer{}, err
	}
	after, err := position(q.URL.Query(), "after")
	if err != nil {
		return answer{}, err
	}
	return h.threadOf(q, room, id, after, components.ThreadView{})
}

// threadOf completes the view with a message and the replies after the one with
// an id. It fails with store.ErrNotFound where the message is gone.
func (h *Handlers) threadOf(q *request, room store.Channel, id, after int64, view components.ThreadView) (answer, error) {
	m, replies, err := h.Store.Thread(q.Context(), q.scope, room.ID, id, after, hub.WindowSize+1)
	if err == nil && m.Deleted {
		err = store.ErrNotFound
	}
	if err != nil {
		return answer{}, err
	}
	if len(replies) > hub.WindowSize {
		replies = replies[:hub.WindowSize]
		view.More = replies[len(replies)-1].ID
	}
	rows, err := h.rows(q.Context(), append([]store.Message{m}, replies...))
	if err != nil {
		return answer{}, err
	}
	if view.Saved, err = h.Store.IsSaved(q.Context(), q.scope, room.ID, m.ID); err != nil {
		return answer{}, err
	}
	view.Channel, view.Row, view.Replies = room, rows[0], rows[1:]
	view.IsOwn, view.Pinned = m.AuthorID == q.viewer.ID, m.Pinned
	if view.Key == "" {
		view.Key = newPostKey()
	}
	value := threadJSON{Message: messageAsJSON(m), Replies: messagesAsJSON(replies)}
	return answer{status: http.StatusOK, page: components.Thread(q.page, view), value: value}, nil
}

// edit shows the form that edits a message.
func (h *Handlers) edit(q *request) (answer, error) {
	_, m, err := h.findMessage(q)
	if err != nil {
		return answer{}, err
	}
	if m.AuthorID != q.viewer.ID {
		return answer{}, store.ErrNotAuthor
	}
	return shows(components.EditMessage(q.page, components.EditView{Message: m, Body: m.Body})), nil
}

// editMessage gives a message another text. Where somebody has edited it
// meanwhile, both texts are shown, and nothing is lost.
func (h *Handlers) editMessage(q *request) (answer, error) {
	room, m, err := h.findMessage(q)
	if err != nil {
		return answer{}, err
	}
	if m.AuthorID != q.viewer.ID {
		return answer{}, store.ErrNotAuthor
	}
	revision, err := position(q.PostForm, "revision")
	if err != nil {
		return answer{}, err
	}
	typed := q.PostForm.Get("body")
	refuse := func(status int, view components.EditView) (answer, error) {
		view.Body = typed
		a := refuses(status, components.EditMessage(q.page, view))
		a.value = failureJSON{status, q.page.Locale.EditTitle, view.Error}
		return a, nil
	}
	body, err := store.Body(typed)
	switch {
	case errors.Is(err, store.ErrBodyEmpty):
		return refuse(http.StatusUnprocessableEntity, components.EditView{Message: m, Error: q.page.Locale.EditEmpty})
	case err != nil:
		return refuse(http.StatusUnprocessableEntity, components.EditView{Message: m, Error: bodyError(q.page.Locale, err, typed)})
	}
	edited, err := h.Store.EditMessage(q.Context(), q.scope, room.ID, m.ID, store.Draft{Body: body}, revision, time.Now())
	if errors.Is(err, store.ErrConflict) {
		return refuse(http.StatusConflict, components.EditView{Message: edited, Conflict: true})
	}
	if err != nil {
		return answer{}, err
	}
	return leadsTo(components.MessagePath(room.ID, m.ID)+"/thread").says(flashMessageEdited, ""), nil
}

// history shows what a message said before its edits.
func (h *Handlers) history(q *request) (answer, error) {
	room, m, err := h.findMessage(q)
	if err != nil {
		return answer{}, err
	}
	versions, err := h.Store.Versions(q.Context(), q.scope, room.ID, m.ID)
	if err != nil {
		return answer{}, err
	}
	a := shows(components.History(q.page, m, versions))
	a.value = versionsAsJSON(versions)
	return a, nil
}
