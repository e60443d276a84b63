// Package handlers answers HTTP: it checks who may do what, asks the store,
// and answers with components. routes.go is the table of all that it answers
// to, errors.go turns errors into answers, and there is a file for each noun.
package handlers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"hubbub/bus"
	"hubbub/live"
	"hubbub/static"
	"hubbub/store"
)

// Options is what the handlers work with.
type Options struct {
	Store  *store.Store
	Bus    *bus.Bus // to the other nodes, nil where there are none
	Assets *static.Assets
	Log    *slog.Logger

	BaseURL *url.URL       // the public address, nil for whatever a browser uses
	Secure  bool           // browsers reach Hubbub through https
	Zone    *time.Location // of times on pages where there is no script

	PostRate       int            // posts a user may make in a minute, 0 for any number
	LoginRate      int            // sign-ins an address may try in a minute, 0 for any number
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
}

// Handlers answers the requests of one node.
type Handlers struct {
	Options
	base     string // path that the pages are under: "" or "/chat"
	live     *live.Server
	sessions *scs.SessionManager
	buffers  buffers // for pages
	posts    *limiter
	writes   *limiter
	logins   *limiter
	hashing  chan struct{} // room for the password hashes computed at once
	work     sync.WaitGroup
	stop     context.CancelFunc
}

// New returns handlers that have begun their work in the background. Close
// ends it.
func New(o Options) *Handlers {
	h := &Handlers{
		Options: o,
		posts:   newLimiter(o.PostRate),
		writes:  newLimiter(writeRate(o.PostRate)),
		logins:  newLimiter(o.LoginRate),
		hashing: make(chan struct{}, maxHashing),
	}
	if o.BaseURL != nil {
		h.base = strings.TrimSuffix(o.BaseURL.EscapedPath(), "/")
	}
	h.sessions = h.newSessions()
	h.live = live.New(live.Options{
		Store: o.Store, Bus: o.Bus, Log: o.Log,
		Base: h.base, Zone: o.Zone, Origins: h.originPatterns(), SessionOver: h.sessionOver,
	})
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.work.Go(func() { h.sweep(ctx) })
	return h
}

// Close ends every live connection, so that browsers come back to the node
// that follows, and waits for all that the handlers have begun, or for ctx.
func (h *Handlers) Close(ctx context.Context) error {
	h.stop()
	done := make(chan struct{})
	go func() {
		h.work.Wait()
		close(done)
	}()
	if err := h.live.Close(ctx); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("what runs in the background was left: %w", ctx.Err())
	}
}

// sweep forgets, from time to time, what nobody needs any more.
func (h *Handlers) sweep(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			h.posts.sweep(now)
			h.writes.sweep(now)
			h.logins.sweep(now)
			if err := h.Store.Sessions().DeleteExpired(ctx, now); err != nil && ctx.Err() == nil {
				h.Log.Error("expired sessions were not deleted", "error", err)
			}
		}
	}
}

// signedIn is a handler for signed-in users. Anyone else is led to the sign-in
// page and, once in, to where they wanted to go.
func signedIn(next handler) handler {
	return func(q *request) (answer, error) {
		if q.viewer != nil {
			return next(q)
		}
		if q.Method != http.MethodGet && q.Method != http.MethodHead || q.isHTMX() || q.acceptsJSON() {
			return answer{}, errSignedOut
		}
		return leadsTo("/?"+url.Values{"next": {q.page.Here}}.Encode()).says(flashNotLoggedIn, ""), nil
	}
}

// localPath returns a path of ours that someone asked to be led to, or "" for
// anything that could lead elsewhere.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return ""
	}
	// Browsers read a backslash as a slash and drop control characters.
	if strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) {
		return ""
	}
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.Contains(u.Path, "//") {
		return ""
	}
	// A path that climbs could leave the one that we are mounted under.
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if name, err := url.PathUnescape(segment); err != nil || name == "." || name == ".." {
			return ""
		}
	}
	return u.RequestURI()
}
