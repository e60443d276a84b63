package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"hubbub/components"
	"hubbub/locale"
	"hubbub/store"
)

// nameError says what is wrong with a display name.
func nameError(l *locale.Locale, err error) string {
	switch {
	case errors.Is(err, store.ErrNameEmpty):
		return l.NameEmpty
	case errors.Is(err, store.ErrNameTooLong):
		return l.NameTooLong(store.MaxUserName)
	default:
		return l.NameForbidden
	}
}

// user shows the viewer's own page.
func (h *Handlers) user(q *request) (answer, error) {
	return shows(components.User(q.page, components.UserView{})), nil
}

// setPassword sets, changes or removes the viewer's password. It ends every
// other session of the user.
func (h *Handlers) setPassword(q *request) (answer, error) {
	var view components.UserView
	refuse := func() (answer, error) {
		return refuses(http.StatusUnprocessableEntity, components.User(q.page, view)), nil
	}
	if !h.logins.allow(addressKey(h.clientIP(q.Request))) {
		return answer{}, errManyLogins
	}
	had := q.viewer.HasPassword()
	if had {
		matches, err := h.matches(q.Context(), q.PostForm.Get("current"), q.viewer.Password)
		if err != nil {
			return answer{}, err
		}
		if !matches && q.PostForm.Has("remove") {
			view.RemoveError = q.page.Locale.PasswordWrong
			return refuse()
		}
		if !matches {
			view.CurrentError = q.page.Locale.PasswordWrong
			return refuse()
		}
	}
	password := q.PostForm.Get("password")
	told := flashPasswordSet
	switch {
	case had && q.PostForm.Has("remove"):
		password, told = "", flashPasswordRemoved
	case had:
		told = flashPasswordChanged
		fallthrough
	default:
		if view.PasswordError = newPasswordError(q.page.Locale, password); view.PasswordError != "" {
			return refuse()
		}
	}
	if err := h.replacePassword(q.Context(), q.viewer, password); err != nil {
		return answer{}, err
	}
	return leadsTo("/user").says(told, ""), nil
}

// replacePassword gives the viewer another password, "" for none, keeps this
// session and ends the others, their connections too.
func (h *Handlers) replacePassword(ctx context.Context, viewer *store.User, password string) error {
	hash, err := h.hash(ctx, password)
	if err != nil {
		return err
	}
	user, err := h.Store.SetPassword(ctx, *viewer, hash, h.sessions.Token(ctx))
	if err != nil {
		return err
	}
	h.sessions.Put(ctx, store.SessionEpoch, user.Epoch)
	return nil
}

// ownStyle is the stylesheet that tells a user's own rows from others'. Rows
// are the same for everyone; what differs is which of these a page links to.
func (h *Handlers) ownStyle(w http.ResponseWriter, r *http.Request) {
	l := locale.Match(r.URL.Query().Get("lang"), "")
	serveStyle(w, r, "public, max-age=86400", func(id int64) string { return components.OwnCSS(id, l) })
}

// serveStyle answers with the style sheet for the id in a request's path.
func serveStyle(w http.ResponseWriter, r *http.Request, cacheControl string, style func(id int64) string) {
	name, isStyle := strings.CutSuffix(r.PathValue("stylesheet"), ".css")
	id, err := strconv.ParseInt(name, 10, 64)
	if !isStyle || err != nil || id < 1 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", cacheControl)
	fmt.Fprint(w, style(id))
}
