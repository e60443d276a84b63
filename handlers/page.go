package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"hubbub/components"
	"hubbub/locale"
	"hubbub/store"
)

// serve turns a handler into an http.Handler.
func (h *Handlers) serve(answer handler) http.Handler {
	return h.stream(func(w http.ResponseWriter, r *http.Request, p *components.Page) error {
		// Not in a stream, which writes its session at its end, over what has
		// become of it meanwhile.
		if p.Viewer != nil {
			h.prolong(r.Context())
		}
		a, err := answer(r, p)
		if err == nil {
			h.write(w, r, p, a)
		}
		return err
	})
}

// stream turns a streamer into an http.Handler: it finds out who asks, in which
// language, reads the form, and answers for errors.
func (h *Handlers) stream(answer streamer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := h.newPage(r)
		if err == nil && r.Method == http.MethodPost {
			err = parseForm(r)
		}
		if err == nil {
			err = attempt(answer, w, r, p)
		}
		if err != nil {
			h.write(w, r, p, h.failure(r, p, err))
		}
	})
}

// attempt turns a panic, which concerns one request only, into an error.
func attempt(answer streamer, w http.ResponseWriter, r *http.Request, p *components.Page) (err error) {
	defer func() {
		cause := recover()
		if known, ok := cause.(error); ok && errors.Is(known, http.ErrAbortHandler) {
			panic(cause)
		}
		if cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return answer(w, r, p)
}

// newPage returns what is known of every page. It is usable even with an
// error.
func (h *Handlers) newPage(r *http.Request) (*components.Page, error) {
	p := &components.Page{
		Base:   h.base,
		Locale: language(r),
		Zone:   h.Zone,
		Assets: h.Assets,
		Here:   "/",
	}
	if r.Method == http.MethodGet {
		p.Here = r.URL.RequestURI()
	}
	viewer, err := h.viewer(r.Context())
	if err != nil {
		return p, err
	}
	p.Viewer = viewer
	return p, nil
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

// languageCookie remembers the language that someone chose.
const languageCookie = "hubbub_lang"

func language(r *http.Request) *locale.Locale {
	choice := ""
	if c, err := r.Cookie(languageCookie); err == nil {
		choice = c.Value
	}
	return locale.Match(choice, r.Header.Get("Accept-Language"))
}

// chooseLanguage remembers a language, signed in or not.
func (h *Handlers) chooseLanguage(r *http.Request, _ *components.Page) (answer, error) {
	for _, l := range locale.All() {
		if l.Lang == r.PostForm.Get("lang") {
			a := leadsTo(cmp.Or(localPath(r.PostForm.Get("next")), "/"))
			a.cookies = []*http.Cookie{h.cookie(languageCookie, l.Lang, 365*24*60*60)}
			return a, nil
		}
	}
	return answer{}, errBadRequest
}

// cookie returns a cookie for our pages that script cannot read. It lives for
// maxAge seconds; a negative number ends it.
func (h *Handlers) cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: h.base + "/", MaxAge: maxAge,
		HttpOnly: true, Secure: h.Secure, SameSite: http.SameSiteLaxMode,
	}
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
	id := h.sessions.GetInt64(ctx, sessionUser)
	if id == 0 {
		return nil, nil
	}
	user, err := h.Store.User(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case user.Epoch != h.sessions.GetInt64(ctx, sessionEpoch):
		return nil, nil // a change of the password has ended it
	}
	return &user, nil
}
