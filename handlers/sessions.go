package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/alexedwards/scs/v2"

	"hubbub/components"
	"hubbub/locale"
	"hubbub/store"
)

const (
	// sessionLifetime is how long a browser stays signed in without a visit.
	sessionLifetime = 30 * 24 * time.Hour

	// sessionRenewal is how old a session gets before a visit makes it last
	// its whole life again: a write a day, not one a request.
	sessionRenewal = 24 * time.Hour
)

// maxHashing is how many passwords are hashed at once: each takes 19 MiB.
const maxHashing = 2

// passwordParams are those that OWASP recommends for argon2id.
func passwordParams() *argon2id.Params {
	return &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

func (h *Handlers) newSessions() *scs.SessionManager {
	m := scs.New()
	m.Store = h.Store.Sessions()
	m.Lifetime = sessionLifetime
	m.HashTokenInStore = true
	m.Codec = store.SessionCodec{}
	m.Cookie.Name = "hubbub_session"
	m.Cookie.Path = h.base + "/"
	m.Cookie.Secure = h.Secure
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		_ = parseForm(r) // the page gives back what was typed
		q := h.anonymous(r)
		h.write(w, q, h.failure(q, errors.Join(errUnavailable, err)))
	}
	return m
}

// home leads a user to the channel last visited, and shows everyone else the
// way in.
func (h *Handlers) home(q *request) (answer, error) {
	next := localPath(q.URL.Query().Get("next"))
	if q.viewer == nil {
		return h.signInPage(q, http.StatusOK, components.SignInView{Next: next, Key: newKey()}), nil
	}
	if next == "" {
		next = "/channels"
		channel, err := h.Store.Channel(q.Context(), q.scope, q.viewer.LastChannel)
		if err == nil {
			next = components.ChannelPath(channel.Name)
		} else if !errors.Is(err, store.ErrNotFound) {
			return answer{}, err
		}
	}
	return leadsTo(next), nil
}

// cookieCheck is a cookie that comes with the sign-in form and has to come back
// with it. It tells that the browser keeps cookies of ours: some are told not to,
// in frames of other sites or where a Secure cookie goes over http, and some
// proxies take them away.
const cookieCheck = "hubbub_cookies"

// signInPage shows the sign-in form.
func (h *Handlers) signInPage(q *request, status int, view components.SignInView) answer {
	return answer{
		status: status, page: components.SignIn(q.page, view),
		cookies: []*http.Cookie{h.cookie(cookieCheck, "kept", 0)},
	}
}

// logIn gives someone a new name, or lets them in under their own with its
// password. Nobody gets in as another by typing a name.
func (h *Handlers) logIn(q *request) (answer, error) {
	if q.viewer != nil {
		// Their name may have no password: another session would lose it.
		return leadsTo("/").says(flashAlreadySignedIn, q.viewer.Name), nil
	}
	if !h.logins.allow(addressKey(h.clientIP(q.Request))) {
		return answer{}, errManyLogins
	}
	view := components.SignInView{
		Name: q.PostForm.Get("name"),
		Next: localPath(q.PostForm.Get("next")),
		Key:  q.PostForm.Get("key"),
	}
	refuse := func(status int) (answer, error) {
		return h.signInPage(q, status, view), nil
	}
	if _, err := q.Cookie(cookieCheck); err != nil && q.PostForm.Has("cookie") {
		// Without a cookie the name would be lost in the moment that it is taken.
		view.NameError = q.page.Locale.CookiesBlocked
		return refuse(http.StatusBadRequest)
	}
	password := q.PostForm.Get("password")
	name, err := store.UserName(view.Name)
	if err != nil {
		view.NameError = nameError(q.page.Locale, err)
		return refuse(http.StatusUnprocessableEntity)
	}
	user, err := h.Store.UserByName(q.Context(), name)
	created := false
	switch {
	case errors.Is(err, store.ErrNotFound):
		if password != "" {
			if view.PasswordError = newPasswordError(q.page.Locale, password); view.PasswordError != "" {
				view.AskPassword = true
				return refuse(http.StatusUnprocessableEntity)
			}
		}
		hash, err := h.hash(q.Context(), password)
		if err != nil {
			return answer{}, err
		}
		user, err = h.Store.CreateUser(q.Context(), name, hash, formKey(view.Key), time.Now())
		if errors.Is(err, store.ErrNameTaken) {
			// By the same form, a moment ago?
			if user, err = h.Store.UserByName(q.Context(), name); err == nil && !user.MadeBy(formKey(view.Key), time.Now()) {
				err = store.ErrNameTaken
			}
		}
		if errors.Is(err, store.ErrNameTaken) || errors.Is(err, store.ErrNotFound) {
			view.NameError = q.page.Locale.NameTaken(name.Text)
			return refuse(http.StatusConflict)
		}
		if errors.Is(err, store.ErrNameForbidden) {
			view.NameError = nameError(q.page.Locale, err)
			return refuse(http.StatusUnprocessableEntity)
		}
		if err != nil {
			return answer{}, err
		}
		created = true
	case err != nil:
		return answer{}, err
	case user.MadeBy(formKey(view.Key), time.Now()):
		created = true
	case !user.HasPassword():
		view.NameError = q.page.Locale.NameTaken(name.Text)
		return refuse(http.StatusConflict)
	case password == "":
		view.AskPassword = true
		view.NameError = q.page.Locale.NameNeedsPassword(name.Text)
		return refuse(http.StatusConflict)
	default:
		matches, err := h.matches(q.Context(), password, user.Password)
		if err != nil {
			return answer{}, err
		}
		if !matches {
			view.AskPassword = true
			view.PasswordError = q.page.Locale.PasswordWrong
			return refuse(http.StatusUnprocessableEntity)
		}
	}
	if err := h.begin(q.Context(), user); err != nil {
		return answer{}, err
	}
	a := leadsTo(cmp.Or(view.Next, "/"))
	if created {
		a = a.says(flashUserCreated, user.Name)
	}
	return a, nil
}

// newKey returns a key that nobody can guess.
func newKey() string { return rand.Text() }

// formKey returns the key of a form that a browser was given, "" for one that
// could be guessed.
func formKey(key string) string {
	if len(key) < len(newKey()) || len(key) > maxKey {
		return ""
	}
	return key
}

// begin starts a user's session under a new token, so that one planted before
// the sign-in is worth nothing after it.
func (h *Handlers) begin(ctx context.Context, user store.User) error {
	if err := h.sessions.RenewToken(ctx); err != nil {
		return err
	}
	h.sessions.Put(ctx, store.SessionUser, user.ID)
	h.sessions.Put(ctx, store.SessionEpoch, user.Epoch)
	return nil
}

// prolong lets a session that is in use last.
func (h *Handlers) prolong(ctx context.Context) {
	if now := time.Now(); h.sessions.Deadline(ctx).Sub(now) < sessionLifetime-sessionRenewal {
		h.sessions.SetDeadline(ctx, now.Add(sessionLifetime).UTC())
	}
}

// askLogOut warns that a name without a password would be lost.
func (h *Handlers) askLogOut(q *request) (answer, error) {
	if q.viewer.HasPassword() {
		return leadsTo("/user"), nil // nothing would be lost
	}
	return shows(components.LogOut(q.page, components.LogOutView{})), nil
}

// logOut ends the session. A name without a password is only given up when
// that is confirmed; a password sent along saves it.
func (h *Handlers) logOut(q *request) (answer, error) {
	if q.viewer == nil {
		return leadsTo("/"), nil
	}
	if q.viewer.HasPassword() && q.PostForm.Has("password") {
		// An old page: the password that it would set is not the one there is.
		return leadsTo("/user"), nil
	}
	if !q.viewer.HasPassword() && q.PostForm.Get("confirm") == "" {
		if !q.PostForm.Has("password") {
			return leadsTo("/logout"), nil
		}
		password := q.PostForm.Get("password")
		if sentence := newPasswordError(q.page.Locale, password); sentence != "" {
			return refuses(http.StatusUnprocessableEntity, components.LogOut(q.page, components.LogOutView{PasswordError: sentence})), nil
		}
		if err := h.replacePassword(q.Context(), q.viewer, password); err != nil {
			return answer{}, err
		}
	}
	if err := h.sessions.Destroy(q.Context()); err != nil {
		return answer{}, err
	}
	return leadsTo("/").says(flashLoggedOut, ""), nil
}

// newPasswordError says what is wrong with a new password, "" for nothing.
func newPasswordError(l *locale.Locale, password string) string {
	switch n := utf8.RuneCountInString(password); {
	case n < components.MinPassword:
		return l.PasswordTooShort(components.MinPassword)
	case n > components.MaxPassword:
		return l.PasswordTooLong(components.MaxPassword)
	default:
		return ""
	}
}

// hash returns the hash of a password, "" for none.
func (h *Handlers) hash(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	if err := h.waitToHash(ctx); err != nil {
		return "", err
	}
	defer h.hashed()
	return argon2id.CreateHash(password, passwordParams())
}

// matches says whether a password is the one that was hashed.
func (h *Handlers) matches(ctx context.Context, password, hash string) (bool, error) {
	if utf8.RuneCountInString(password) > components.MaxPassword {
		return false, nil
	}
	if err := h.waitToHash(ctx); err != nil {
		return false, err
	}
	defer h.hashed()
	return argon2id.ComparePasswordAndHash(password, hash)
}

func (h *Handlers) waitToHash(ctx context.Context) error {
	select {
	case h.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Handlers) hashed() { <-h.hashing }
