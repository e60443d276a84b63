package handlers

import (
	"context"
	"errors"
	"net/http"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/live"
	"hubbub/locale"
	"hubbub/store"
)

// failure is an error that says itself what the person is told.
type failure struct {
	status int
	words  func(*locale.Locale) locale.Failure
}

func (f *failure) Error() string { return f.words(locale.All()[0]).Title }

// The errors that handlers return of their own accord. Field errors are not
// among them: those stand beside their field.
var (
	errSignedOut   = &failure{http.StatusUnauthorized, func(l *locale.Locale) locale.Failure { return l.SignInFirst }}
	errCrossOrigin = &failure{http.StatusForbidden, func(l *locale.Locale) locale.Failure { return l.CrossOrigin }}
	errNotYours    = &failure{http.StatusForbidden, func(l *locale.Locale) locale.Failure { return l.NotYours }}
	errNoPage      = &failure{http.StatusNotFound, func(l *locale.Locale) locale.Failure { return l.NotFound }}
	errMethod      = &failure{http.StatusMethodNotAllowed, func(l *locale.Locale) locale.Failure { return l.MethodNotAllowed }}
	errBadRequest  = &failure{http.StatusBadRequest, func(l *locale.Locale) locale.Failure { return l.BadRequest }}
	errTooLarge    = &failure{http.StatusRequestEntityTooLarge, func(l *locale.Locale) locale.Failure { return l.TooLarge }}
	errManyPosts   = &failure{http.StatusTooManyRequests, func(l *locale.Locale) locale.Failure { return l.TooManyPosts }}
	errManyLogins  = &failure{http.StatusTooManyRequests, func(l *locale.Locale) locale.Failure { return l.TooManySignIns }}
	errTimeout     = &failure{http.StatusServiceUnavailable, func(l *locale.Locale) locale.Failure { return l.Timeout }}
	errUnavailable = &failure{http.StatusServiceUnavailable, func(l *locale.Locale) locale.Failure { return l.Unavailable }}
	errInternal    = &failure{http.StatusInternalServerError, func(l *locale.Locale) locale.Failure { return l.ServerError }}
)

// failureOf returns what an error means to the person. What it does not know
// is an internal error, of which only the log learns more.
func failureOf(err error) *failure {
	var known *failure
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, store.ErrNotFound):
		return errNoPage
	case errors.Is(err, store.ErrNotAuthor):
		return errNotYours
	case errors.Is(err, store.ErrClosed), errors.Is(err, hub.ErrRestart), store.Unavailable(err):
		return errUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	default:
		return errInternal
	}
}

// fail answers for an error: with a page, or for htmx with a flash message
// that leaves the page and what was typed as they are.
func (h *Handlers) fail(w http.ResponseWriter, r *http.Request, p *components.Page, err error) {
	if live.GivenUp(r.Context(), err) {
		w.WriteHeader(live.StatusGivenUp)
		return
	}
	late := errors.Is(context.Cause(r.Context()), context.DeadlineExceeded)
	if late {
		err = errors.Join(context.DeadlineExceeded, err) // see starting
	}
	f := failureOf(err)
	if f.status >= http.StatusInternalServerError && !late {
		h.Log.ErrorContext(r.Context(), "a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	words := f.words(p.Locale)
	if f.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "10")
	}
	if isHTMX(r) {
		retarget(w, "#flash", "beforeend")
		h.render(w, r, p, f.status, components.FlashItem(p, components.Flash{Kind: components.Danger, Text: words.Text}))
		return
	}
	h.render(w, r, p, f.status, components.Failure(p, components.FailureView{
		Status: f.status, Title: words.Title, Text: words.Text,
		Kept: r.PostForm.Get("body"),
	}))
}

// isHTMX says whether htmx sent a request, and swaps in a part of a page.
func isHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// retarget tells htmx where an answer belongs.
func retarget(w http.ResponseWriter, target, swap string) {
	w.Header().Set("HX-Retarget", target)
	w.Header().Set("HX-Reswap", swap)
}
