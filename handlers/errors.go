package handlers

import (
	"context"
	"errors"
	"net/http"

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
	errSignedOut       = &failure{http.StatusUnauthorized, func(l *locale.Locale) locale.Failure { return l.SignInFirst }}
	errCrossOrigin     = &failure{http.StatusForbidden, func(l *locale.Locale) locale.Failure { return l.CrossOrigin }}
	errNotYours        = &failure{http.StatusForbidden, func(l *locale.Locale) locale.Failure { return l.NotYours }}
	errNoPage          = &failure{http.StatusNotFound, func(l *locale.Locale) locale.Failure { return l.NotFound }}
	errMethod          = &failure{http.StatusMethodNotAllowed, func(l *locale.Locale) locale.Failure { return l.MethodNotAllowed }}
	errBadRequest      = &failure{http.StatusBadRequest, func(l *locale.Locale) locale.Failure { return l.BadRequest }}
	errSomebodyElse    = &failure{http.StatusConflict, func(l *locale.Locale) locale.Failure { return l.SomebodyElse }}
	errPasswordChanged = &failure{http.StatusConflict, func(l *locale.Locale) locale.Failure { return l.PasswordChangedMeanwhile }}
	errTooLarge        = &failure{http.StatusRequestEntityTooLarge, func(l *locale.Locale) locale.Failure { return l.TooLarge }}
	errManyConnections = &failure{http.StatusTooManyRequests, func(l *locale.Locale) locale.Failure { return l.TooManyConnections }}
	errManyPosts       = &failure{http.StatusTooManyRequests, func(l *locale.Locale) locale.Failure { return l.TooManyPosts }}
	errManyLogins      = &failure{http.StatusTooManyRequests, func(l *locale.Locale) locale.Failure { return l.TooManySignIns }}
	errManyReactions   = &failure{http.StatusConflict, func(l *locale.Locale) locale.Failure { return locale.Failure{Title: l.React, Text: l.TooManyReactions} }}
	errManyPins        = &failure{http.StatusConflict, func(l *locale.Locale) locale.Failure { return locale.Failure{Title: l.Pin, Text: l.TooManyPins} }}
	errTimeout         = &failure{http.StatusServiceUnavailable, func(l *locale.Locale) locale.Failure { return l.Timeout }}
	errUnavailable     = &failure{http.StatusServiceUnavailable, func(l *locale.Locale) locale.Failure { return l.Unavailable }}
	errInternal        = &failure{http.StatusInternalServerError, func(l *locale.Locale) locale.Failure { return l.ServerError }}
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
	case errors.Is(err, store.ErrPasswordChanged):
		return errPasswordChanged
	case errors.Is(err, live.ErrTooMany):
		return errManyConnections
	case errors.Is(err, store.ErrClosed), errors.Is(err, hub.ErrRestart), store.Unavailable(err):
		return errUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	default:
		return errInternal
	}
}

// isOverdue reports whether a limit of ours has ended a request.
func isOverdue(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}
