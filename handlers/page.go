package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"hubbub/components"
	"hubbub/locale"
	"hubbub/store"
)

// serve turns a page into an http.Handler: it finds out who asks, in which
// language, and answers for the errors.
func (h *Handlers) serve(answer page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := h.newPage(r)
		if err == nil && r.Method == http.MethodPost {
			err = parseForm(r)
		}
		if err == nil {
			err = attempt(answer, w, r, p)
		}
		if err != nil {
			h.fail(w, r, p, err)
		}
	})
}

// attempt turns a panic, which concerns one request only, into an error.
func attempt(answer page, w http.ResponseWriter, r *http.Request, p *components.Page) (err error) {
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
	// Not for a live answer: it writes its session at its end, over what has
	// become of it meanwhile.
	if viewer != nil && !strings.HasSuffix(r.URL.Path, "/live") {
		h.prolong(r.Context())
	}
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

// render answers with a component of the page, and with the flash message that
// waits for a page. All is rendered before the first byte is sent, so an error
// still can be answered for.
func (h *Handlers) render(w http.ResponseWriter, r *http.Request, p *components.Page, status int, c templ.Component) {
	if !isHTMX(r) {
		p.Flash = h.takeFlash(w, r, p.Locale)
		h.fillSide(r.Context(), p)
	}
	// A page is for one viewer at one moment. Back to it after a log-out must
	// not show it again.
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "HX-Request")
	h.write(w, r, status, c)
}

// fillSide completes a page with the channels that stand beside it, unless it
// has them. It does without them where the store cannot say: the page may be
// the one that says so.
func (h *Handlers) fillSide(ctx context.Context, p *components.Page) {
	if p.Viewer == nil || p.Near != nil {
		return
	}
	positions, err := h.Store.Positions(ctx, p.Viewer.ID)
	if err != nil {
		return
	}
	p.Near = h.Store.ChannelsNear(positions, maxNear)
	if p.Unread, err = h.unread(ctx, positions); err != nil {
		p.Unread = nil
	}
}

// write answers with a component, all of which is rendered first.
func (h *Handlers) write(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	body := h.buffers.get()
	// Whatever has become of the request's context: where its time is over, that
	// is what the page has to say.
	if err := c.Render(context.WithoutCancel(r.Context()), body); err != nil {
		h.Log.ErrorContext(r.Context(), "a page could not be rendered", "path", r.URL.Path, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	// An error here is the browser's going away. HTTP/2 may then still read what
	// it was given.
	if _, err := w.Write(body.Bytes()); err == nil {
		h.buffers.put(body)
	}
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
func (h *Handlers) chooseLanguage(w http.ResponseWriter, r *http.Request, _ *components.Page) error {
	for _, l := range locale.All() {
		if l.Lang == r.PostForm.Get("lang") {
			http.SetCookie(w, h.cookie(languageCookie, l.Lang, 365*24*60*60))
			next := localPath(r.PostForm.Get("next"))
			if next == "" {
				next = "/"
			}
			h.redirect(w, r, next)
			return nil
		}
	}
	return errBadRequest
}

// cookie returns a cookie for our pages that script cannot read. It lives for
// maxAge seconds; a negative number ends it.
func (h *Handlers) cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: h.base + "/", MaxAge: maxAge,
		HttpOnly: true, Secure: h.Secure, SameSite: http.SameSiteLaxMode,
	}
}

// A flash message waits in a cookie of its own for the page that comes next:
// showing one writes nothing to the store, and there is one for people who
// have just signed out. The cookie names the sentence, it does not hold it.
const flashCookie = "hubbub_flash"

// The flash messages by name.
const (
	flashUserCreated     = "user-created"
	flashNotLoggedIn     = "not-logged-in"
	flashLoggedOut       = "logged-out"
	flashAlreadySignedIn = "already-signed-in"
	flashChannelCreated  = "channel-created"
	flashPasswordSet     = "password-set"
	flashPasswordChanged = "password-changed"
	flashPasswordRemoved = "password-removed"
	flashMessageDeleted  = "message-deleted"
	flashMarkedUnread    = "marked-unread"
)

func flashOf(l *locale.Locale, name, about string) (components.Flash, bool) {
	switch name {
	case flashUserCreated:
		return components.Flash{Kind: components.Success, Text: l.UserCreated(about)}, true
	case flashNotLoggedIn:
		return components.Flash{Kind: components.Warning, Text: l.NotLoggedIn}, true
	case flashLoggedOut:
		return components.Flash{Kind: components.Info, Text: l.LoggedOut}, true
	case flashAlreadySignedIn:
		return components.Flash{Kind: components.Info, Text: l.AlreadySignedIn(about)}, true
	case flashChannelCreated:
		return components.Flash{Kind: components.Success, Text: l.ChannelCreated(about)}, true
	case flashPasswordSet:
		return components.Flash{Kind: components.Success, Text: l.PasswordSet}, true
	case flashPasswordChanged:
		return components.Flash{Kind: components.Success, Text: l.PasswordChanged}, true
	case flashPasswordRemoved:
		return components.Flash{Kind: components.Success, Text: l.PasswordRemoved}, true
	case flashMessageDeleted:
		return components.Flash{Kind: components.Info, Text: l.MessageDeleted}, true
	case flashMarkedUnread:
		return components.Flash{Kind: components.Info, Text: l.MarkedUnread(about)}, true
	}
	return components.Flash{}, false
}

// flash has the next page show a flash message about something.
func (h *Handlers) flash(w http.ResponseWriter, name, about string) {
	http.SetCookie(w, h.cookie(flashCookie, url.Values{name: {about}}.Encode(), 60))
}

// takeFlash returns the flash message that waits, and sees to it that it is
// shown once.
func (h *Handlers) takeFlash(w http.ResponseWriter, r *http.Request, l *locale.Locale) []components.Flash {
	c, err := r.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(w, h.cookie(flashCookie, "", -1))
	values, err := url.ParseQuery(c.Value)
	if err != nil {
		return nil
	}
	for name := range values {
		if f, ok := flashOf(l, name, values.Get(name)); ok {
			return []components.Flash{f}
		}
	}
	return nil
}

// sessionOver says whether the session of a request has ended meanwhile.
func (h *Handlers) sessionOver(ctx context.Context) (bool, error) {
	// A bare context: Load believes one that holds a session already.
	bare, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	return h.tokenOver(bare, h.sessions.Token(ctx))
}

// tokenOver says whether the session with a token has ended.
func (h *Handlers) tokenOver(ctx context.Context, token string) (bool, error) {
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
