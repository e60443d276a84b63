package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"

	"hubbub/components"
	"hubbub/store"
)

// request is what handlers answer: an HTTP request, who makes it, and what every
// page shows.
type request struct {
	*http.Request
	viewer *store.User      // nil when signed out
	scope  store.Scope      // what the viewer may see
	page   *components.Page // what templates get of it
}

// anonymous returns a request of which it is not known who makes it.
func (h *Handlers) anonymous(r *http.Request) *request {
	return &request{Request: r, page: &components.Page{
		Base:   h.base,
		Locale: language(r),
		Zone:   h.Zone,
		Assets: h.Assets,
		Here:   "/",
	}}
}

// newRequest returns a request. It can be answered even where there is an error.
func (h *Handlers) newRequest(r *http.Request) (*request, error) {
	q := h.anonymous(r)
	if r.Method == http.MethodGet {
		q.page.Here = r.URL.RequestURI()
	}
	viewer, err := h.viewer(r.Context())
	if err != nil {
		return q, err
	}
	if viewer != nil {
		if q.scope, err = h.Store.Scope(r.Context(), viewer.ID); err != nil {
			return q, err
		}
		q.viewer = viewer
		q.page.Viewer = &components.Viewer{ID: viewer.ID, Name: viewer.Name, HasPassword: viewer.HasPassword(), CreatedAt: viewer.CreatedAt}
	}
	return q, nil
}

// serve turns a handler into an http.Handler.
func (h *Handlers) serve(answer handler) http.Handler {
	return h.stream(func(w http.ResponseWriter, q *request) error {
		// Not in a stream, which writes its session at its end, over what has
		// become of it meanwhile.
		if q.viewer != nil {
			h.prolong(q.Context())
		}
		a, err := answer(q)
		if err == nil {
			h.write(w, q, a)
		}
		return err
	})
}

// stream turns a streamer into an http.Handler: it finds out who asks, in which
// language, reads the form, and answers for errors.
func (h *Handlers) stream(answer streamer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := h.newRequest(r)
		if err == nil && r.Method == http.MethodPost {
			err = parseForm(r)
		}
		if err == nil {
			err = q.checkAs()
		}
		if err == nil {
			err = attempt(answer, w, q)
		}
		if err != nil {
			h.write(w, q, h.failure(q, err))
		}
	})
}

// checkAs fails where a form was made for another viewer than the one whose
// session it comes with: in another tab somebody else has signed in since.
func (q *request) checkAs() error {
	if q.viewer != nil && q.PostForm.Has("as") && q.PostForm.Get("as") != strconv.FormatInt(q.viewer.ID, 10) {
		return errSomebodyElse
	}
	return nil
}

// attempt turns a panic, which concerns one request only, into an error.
func attempt(answer streamer, w http.ResponseWriter, q *request) (err error) {
	defer func() {
		cause := recover()
		if known, ok := cause.(error); ok && errors.Is(known, http.ErrAbortHandler) {
			panic(cause)
		}
		if cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return answer(w, q)
}

func parseForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return errBadRequest
	}
	return nil
}

// sessionOver reports whether the session with a token has ended. The context
// must not hold a session, because scs would believe that one.
func (h *Handlers) sessionOver(ctx context.Context, token string) (bool, error) {
	fresh, err := h.sessions.Load(ctx, token)
	if err != nil {
		return true, err
	}
	viewer, err := h.viewer(fresh)
	return viewer == nil, err
}

// viewer returns the user of the session in ctx, nil for nobody.
func (h *Handlers) viewer(ctx context.Context) (*store.User, error) {
	id := h.sessions.GetInt64(ctx, store.SessionUser)
	if id == 0 {
		return nil, nil
	}
	user, err := h.Store.User(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case user.Epoch != h.sessions.GetInt64(ctx, store.SessionEpoch):
		return nil, nil // a change of the password has ended it
	}
	return &user, nil
}
