package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hubbub/store"
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
		q := s.anonymous(r)
		w := httptest.NewRecorder()
		s.write(w, q, s.failure(q, context.DeadlineExceeded))
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), q.page.Locale.Timeout.Text) {
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
		return !slices.Contains(s.live.Presence(channel, &store.User{ID: -1}).Here, user.Name)
	})
	if n := s.followers(t, "Anna"); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestGivenUp blames nobody for a request whose browser has gone: the log has it
// as 499 and no error.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	routes := s.Config.Handler
	begun := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if !strings.HasSuffix(r.URL.Path, "/live") {
			<-r.Context().Done()
		}
		routes.ServeHTTP(w, r)
	}))
	defer front.Close()

	for _, asked := range []struct{ method, path, accept string }{
		{http.MethodGet, "/channels/general", ""},
		{http.MethodGet, "/channels/general/document", ""},
		{http.MethodPost, "/channels", ""},
		{http.MethodGet, "/channels/general/live", ""}, // held, and given up then
	} {
		ctx, giveUp := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, asked.method, front.URL+asked.path+"?after=0", nil)
		check(t, err)
		for _, cookie := range anna.Jar.Cookies(request.URL) {
			request.AddCookie(cookie)
		}
		answered := make(chan error, 1)
		go func() {
			response, err := front.Client().Do(request)
			if err == nil {
				err = response.Body.Close()
			}
			answered <- err
		}()
		<-begun
		if strings.HasSuffix(asked.path, "/live") {
			waitFor(t, "Anna follows", func() bool { return s.followers(t, "Anna") == 1 })
		}
		giveUp()
		if err := <-answered; err == nil {
			t.Errorf("%s %s was answered", asked.method, asked.path)
		}
		line := "method=" + asked.method + " path=" + asked.path + " status="
		waitFor(t, "the log has "+line, func() bool { return strings.Contains(s.out.String(), line) })
		if !strings.Contains(s.out.String(), "level=INFO msg=request "+line+"499 ") {
			t.Errorf("%s %s:\n%s", asked.method, asked.path, s.out)
		}
	}
	if strings.Contains(s.out.String(), "level=ERROR") {
		t.Errorf("there is an error:\n%s", s.out)
	}
}

// TestNotGivenUp has what fails for another reason stay an error, although the
// request's context is over.
func TestNotGivenUp(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, failing := range map[string]struct {
		cause, err error
		status     int
	}{
		"a limit of ours": {context.DeadlineExceeded, context.Canceled, http.StatusServiceUnavailable},
		"a fault":         {context.Canceled, errors.New("a fault"), http.StatusInternalServerError},
	} {
		over, cancel := context.WithCancelCause(t.Context())
		cancel(failing.cause)
		r := httptest.NewRequestWithContext(over, http.MethodGet, "/channels", nil)
		w := httptest.NewRecorder()
		s.logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := s.anonymous(r)
			s.write(w, q, s.failure(q, failing.err))
		})).ServeHTTP(w, r)
		if line := fmt.Sprintf("level=ERROR msg=request method=GET path=/channels status=%d ", failing.status); w.Code != failing.status || !strings.Contains(s.out.String(), line) {
			t.Errorf("%s: %d, want %d\n%s", name, w.Code, failing.status, s.out)
		}
	}
	if !strings.Contains(s.out.String(), `error="a fault"`) {
		t.Errorf("the fault is not named:\n%s", s.out)
	}
}
