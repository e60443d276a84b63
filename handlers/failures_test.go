package handlers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/locale"
)

// TestTimeoutIsSaid answers a request whose time is over: with 503, for a post
// that is answered with 200 is taken for posted.
func TestTimeoutIsSaid(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, htmx := range []string{"true", ""} {
		r := httptest.NewRequestWithContext(over, http.MethodPost, "/channels/general/messages", strings.NewReader("body=kept"))
		r.Header.Set("HX-Request", htmx)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		check(t, r.ParseForm())
		p := &components.Page{Locale: locale.All()[0], Zone: s.Zone, Assets: s.Assets, Here: "/"}
		w := httptest.NewRecorder()
		s.fail(w, r, p, context.DeadlineExceeded)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), p.Locale.Timeout.Text) {
			t.Errorf("htmx %q: %d %s", htmx, w.Code, w.Body)
		}
	}
}

// TestOpenFails leaves nobody in the channel for whom no answer could begin.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	routes := s.Config.Handler
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// One that cannot be given more time, as live answers need it.
		routes.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}))
	defer front.Close()
	behind := *s
	behind.Server = front
	through := &person{t, &behind, anna.Client}
	channel, user := s.channel(t, "general"), s.user(t, "Anna")
	for _, accept := range []string{"text/event-stream", "text/html"} {
		through.get("/channels/general/live?after=0", header{"Accept", accept})
	}
	through.get("/channels/general/live?document")
	waitFor(t, "nobody is here", func() bool {
		return !slices.Contains(s.hubs.Presence(channel.ID, hub.User{ID: -1}).Here, hub.User{ID: user.ID, Name: user.Name})
	})
	if n := s.followers(t, "Anna"); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
