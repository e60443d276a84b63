package handlers

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// event is one of a stream: its data is a frame, unless it has a name.
type event struct{ name, data string }

// eventFeed follows a channel by text/event-stream.
type eventFeed struct {
	t     testing.TB
	lines *bufio.Reader
}

// events opens a stream, of which the first event says that it is open.
func (p *person) events(channel string, after int64) *eventFeed {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.s.URL+p.s.base+livePath(channel, after), nil)
	check(p.t, err)
	request.Header.Set("Accept", "text/event-stream")
	answer, err := p.Do(request)
	check(p.t, err)
	p.t.Cleanup(func() {
		cancel()
		_ = answer.Body.Close() // it may have ended
	})
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := answer.Header.Get(name); got != want {
			p.t.Errorf("a stream's %s is %q, want %q", name, got, want)
		}
	}
	f := &eventFeed{t: p.t, lines: bufio.NewReader(answer.Body)}
	if first := f.event(); answer.StatusCode != http.StatusOK || first != (event{"open", ""}) {
		p.t.Errorf("a stream begins with %s, %q", answer.Status, first)
	}
	return f
}

func livePath(channel string, after int64) string {
	return fmt.Sprintf("/channels/%s/live?after=%d", url.PathEscape(channel), after)
}

// event waits for an event, read as browsers do.
func (f *eventFeed) event() event {
	f.t.Helper()
	var e event
	var data []string
	for {
		line, err := f.lines.ReadString('\n')
		check(f.t, err)
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "data":
			data = append(data, value)
		case "":
			e.data = strings.Join(data, "\n")
			return e
		default:
			f.t.Fatalf("a stream with %q", line)
		}
	}
}

// next waits for a frame.
func (f *eventFeed) next() string {
	f.t.Helper()
	e := f.event()
	if e.name != "" {
		f.t.Fatalf("the event is %q, want a frame", e)
	}
	return e.data
}

// ends waits for the end of a stream, which has to have a name.
func (f *eventFeed) ends(name string) {
	f.t.Helper()
	for {
		switch e := f.event(); e {
		case event{name, ""}:
			if rest, err := f.lines.ReadString('\n'); rest != "" {
				f.t.Errorf("after its end comes %q, %v", rest, err)
			}
			return
		case event{"open", ""}, event{"over", ""}, event{"end", ""}:
			f.t.Errorf("it ended with %q, want %q", e, name)
			return
		}
	}
}

// held asks for one held answer.
func (p *person) held(channel string, after int64) reply {
	p.t.Helper()
	return p.get(livePath(channel, after), header{"Accept", "text/html"})
}

// followers are how many live connections a user has.
func (s *server) followers(t testing.TB, name string) int {
	t.Helper()
	return s.live.Connections(s.user(t, name).ID)
}

// revisions are those that a frame names, of which the page keeps the highest.
var revisions = regexp.MustCompile(`data-revision="(\d+)"`)

// heard is up to where a page is after a frame, by what live.js counts.
func heard(t testing.TB, after int64, frame string) int64 {
	t.Helper()
	if strings.HasPrefix(frame, `<hx-partial hx-target="#messages"`) {
		after = 0
	}
	for _, m := range revisions.FindAllStringSubmatch(frame, -1) {
		after = max(after, number(t, m[1]))
	}
	return after
}

// TestTransportEvents pushes rows and deletes, one event each and in order,
// however many lines they have.
func TestTransportEvents(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	here := bea.events("general", 0)
	var want []string
	for _, body := range []string{"one", "two\nlines", "\n\nevent: over\ndata: x\n\n", "data:\r\n\r\n:\rfour"} {
		want = append(want, anna.htmx("/channels/general/messages", "body", body).is(http.StatusOK).body)
	}
	anna.htmx("/channels/general/messages/2/delete").is(http.StatusNoContent)
	want = append(want, `<hx-partial hx-target="#m-2" hx-swap="delete" data-revision="5"></hx-partial>`)
	for _, frame := range want {
		if got := here.next(); got != frame {
			t.Errorf("pushed %q, want %q", got, frame)
		}
	}

	// One that comes back catches up with what it has missed.
	page := &replica{rows: map[int64]string{}, revision: 3}
	for back := bea.events("general", 3); page.revision < 5; {
		page.apply(t, back.next())
	}
	if _, deleted := page.rows[2]; deleted || page.rows[4] != want[3] || page.replaced != 0 {
		t.Errorf("the catch-up is %v, replaced %d times", page.rows, page.replaced)
	}
	bea.get("/channels/general/live?after=x", header{"Accept", "text/event-stream"}).is(http.StatusBadRequest)
}

// TestTransportOver tells a browser that it need not come back.
func TestTransportOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	here, there := s.signIn(t, "Anna", "password 1"), s.signIn(t, "Anna", "password 1")
	s.visitor(t).events("general", 0).ends("over")
	here.events("none", 0).ends("over")
	s.visitor(t).held("general", 0).is(http.StatusUnauthorized)
	here.held("none", 0).is(http.StatusNotFound)

	// A log-out ends those of its session at once, and no others.
	ended, stays := here.events("general", 0), there.events("general", 0)
	status := make(chan int)
	go func() { status <- here.held("general", 0).StatusCode }()
	waitFor(t, "three follow", func() bool { return s.followers(t, "Anna") == 3 })
	began := time.Now()
	logout := s.visitor(t)
	logout.Jar = here.Jar
	logout.post("/logout").leadsTo("/")
	ended.ends("over")
	if got := <-status; got != http.StatusUnauthorized {
		t.Errorf("the held answer is %d", got)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
	there.post("/channels/general/messages", "body", "hello")
	if frame := stays.next(); !strings.Contains(frame, "hello") {
		t.Errorf("pushed %q", frame)
	}
}

// TestTransportHeld answers once there is something to say: at once what was
// missed, else the next that happens.
func TestTransportHeld(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	answers := make(chan reply)
	go func() { answers <- bea.held("general", 0) }()
	waitFor(t, "Bea follows", func() bool { return s.followers(t, "Bea") == 1 })
	select {
	case early := <-answers:
		t.Fatalf("with nothing to say it says %q", early.body)
	default:
	}
	row := anna.htmx("/channels/general/messages", "body", "first").is(http.StatusOK).body
	answer := (<-answers).is(http.StatusOK)
	if answer.body != row || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("answered %v, %q, want %q", answer.Header, answer.body, row)
	}
	if again := bea.held("general", 0).is(http.StatusOK); !slices.Equal(again.rows(), answer.rows()) || len(again.rows()) != 1 {
		t.Errorf("one behind is answered %q, want %q", again.body, row)
	}
	waitFor(t, "nobody follows", func() bool { return s.followers(t, "Bea") == 0 })
}

// TestTransportHeldAgree asks again and again while others post and delete, each
// time for what comes after the last revision it was told. It ends up as a
// fresh page is.
func TestTransportHeldAgree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	s.fill(t, "general", "Anna", 150) // more than a page: it begins anew
	pages := []*replica{anna.page("general"), {rows: map[int64]string{}}}
	stop := make(chan struct{})
	last := int64(0)
	var readers, writers sync.WaitGroup
	for _, page := range pages {
		p := s.signIn(t, fmt.Sprint("Reader ", len(page.rows)))
		readers.Go(func() {
			for after := page.revision; ; {
				select {
				case <-stop:
					if after >= last {
						return
					}
				default:
				}
				frame := p.held("general", after).is(http.StatusOK).body
				page.apply(t, frame)
				after = heard(t, after, frame)
			}
		})
	}
	for i, p := range []*person{anna, bea} {
		writers.Go(func() {
			for n := range 40 {
				id := p.htmx("/channels/general/messages", "body", fmt.Sprint(i, " says ", n)).rows()[0].id
				if n%3 == i {
					p.htmx("/channels/general/messages/" + id + "/delete").is(http.StatusNoContent)
				}
			}
		})
	}
	writers.Wait()
	last = anna.page("general").revision + 1
	close(stop)
	anna.post("/channels/general/messages", "body", "the last") // who waits is answered
	fresh := anna.page("general")
	readers.Wait()
	for i, page := range pages {
		page.shows(t, fmt.Sprint("page ", i), fresh)
	}
}

// TestTransportsAgree follows one channel in all three ways: they are told the
// same, in the same order.
func TestTransportsAgree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	socket, stream := bea.live("general", 0), bea.events("general", 0)
	for n := range 20 {
		after := int64(n)
		answers := make(chan reply)
		go func() { answers <- bea.held("general", after) }()
		waitFor(t, "all three follow", func() bool { return s.followers(t, "Bea") == 3 })
		if n%4 == 3 {
			anna.htmx("/channels/general/messages/" + strconv.Itoa(n) + "/delete").is(http.StatusNoContent)
		} else {
			anna.htmx("/channels/general/messages", "body", fmt.Sprint("message\n", n)).is(http.StatusOK)
		}
		want := socket.next()
		if got := stream.next(); got != want {
			t.Errorf("the stream says %q, the socket %q", got, want)
		}
		if got := (<-answers).body; got != want {
			t.Errorf("the held answer says %q, the socket %q", got, want)
		}
		if got := heard(t, after, want); got != after+1 {
			t.Errorf("after %d comes %d", after, got)
		}
		waitFor(t, "the held answer is over", func() bool { return s.followers(t, "Bea") == 2 })
	}
}

// TestTransportsStop ends them all in good time when the node stops, and says
// to come back.
func TestTransportsStop(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	socket, stream := anna.live("general", 0), anna.events("general", 0)
	status := make(chan int)
	go func() { status <- anna.held("general", 0).StatusCode }()
	waitFor(t, "all three follow", func() bool { return s.followers(t, "Anna") == 3 })
	var readers sync.WaitGroup
	readers.Go(func() { socket.ends(websocket.StatusServiceRestart) })
	readers.Go(func() { stream.ends("end") })
	readers.Go(func() {
		if got := <-status; got != http.StatusServiceUnavailable {
			t.Errorf("the held answer is %d", got)
		}
	})
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	check(t, s.Handlers.Close(ctx))
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("they delay a stop by %v", took)
	}
	readers.Wait()
}
