package handlers

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hubbub/store"
)

// TestLive posts and deletes in two channels: both people see both at once,
// and nothing strays.
func TestLive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	s.channel(t, "other")
	here, there := bea.live("general", 0), bea.live("other", 0)
	for i := range 5 {
		body := fmt.Sprint("in general ", i)
		row := anna.htmx("/channels/general/messages", "body", body).is(http.StatusOK)
		if frame := here.next(); frame != row.body || !strings.Contains(frame, body) {
			t.Errorf("pushed %q, answered %q", frame, row.body)
		}
		anna.post("/channels/other/messages", "body", "elsewhere").leadsTo("/channels/other")
		if frame := there.next(); !strings.Contains(frame, "elsewhere") {
			t.Errorf("pushed %q", frame)
		}
	}
	anna.htmx("/channels/general/messages/2/delete").is(http.StatusNoContent)
	if frame, want := here.next(), `<hx-partial hx-target="#m-2" hx-swap="delete" data-revision="6"></hx-partial>`; frame != want {
		t.Errorf("a delete is pushed as %q, want %q", frame, want)
	}
	anna.get("/channels/general").saysNot("elsewhere", "in general 1")
	anna.get("/channels/other").saysNot("in general")

	// Catching up, the deleted is a number and no more.
	for _, channel := range []string{"general", "other"} {
		frame := anna.live(channel, 1).next()
		if strayed := map[string]string{"general": "elsewhere", "other": "in general"}[channel]; strings.Contains(frame, strayed) || strings.Contains(frame, "in general 1") {
			t.Errorf("the catch-up of %s says %q", channel, frame)
		}
	}
}

// TestCatchUp brings pages up to date that were away for a while.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	s.fill(t, "general", "Anna", 50)
	near := anna.page("general")
	s.fill(t, "general", "Anna", 60)
	for _, id := range []string{"3", "50", "51", "110"} {
		anna.htmx("/channels/general/messages/" + id + "/delete").is(http.StatusNoContent)
	}
	fresh := anna.page("general")
	if len(fresh.rows) != 100 || fresh.revision != 114 {
		t.Fatalf("%d rows at %d", len(fresh.rows), fresh.revision)
	}
	far := &replica{rows: map[int64]string{}}
	for about, page := range map[string]*replica{"near": near, "far": far} {
		anna.live("general", page.revision).follow(page, fresh.revision)
		page.shows(t, about, fresh)
	}
	if near.replaced != 0 || far.replaced != 1 {
		t.Errorf("replaced %d and %d times, want 0 and 1", near.replaced, far.replaced)
	}
}

// TestPagesAgree has many post and delete while pages come and go. Fed by
// frames alone they end up as a fresh page is.
func TestPagesAgree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	people := []*person{s.signIn(t, "Anna"), s.signIn(t, "Bea"), s.signIn(t, "Cem")}
	var writers, readers sync.WaitGroup
	for i, p := range people {
		random := rand.New(rand.NewPCG(uint64(i), 3))
		writers.Go(func() {
			for n := range 30 {
				id := p.htmx("/channels/general/messages", "body", fmt.Sprint(i, " says ", n)).rows()[0].id
				if random.IntN(3) == 0 {
					p.htmx("/channels/general/messages/" + id + "/delete").is(http.StatusNoContent)
				}
			}
		})
	}
	pages := make([]*replica, 6)
	stopped, last := make(chan struct{}), int64(0)
	for i := range pages {
		p := people[i%3]
		random := rand.New(rand.NewPCG(uint64(i), 4))
		readers.Go(func() {
			page := p.page("general")
			pages[i] = page
			for {
				f := p.live("general", page.revision)
				select {
				case <-stopped:
					f.follow(page, last)
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Millisecond)
				for {
					_, frame, err := f.Read(ctx)
					if err != nil {
						break // cut off, perhaps within a frame
					}
					page.apply(t, string(frame))
				}
				cancel()
			}
		})
	}
	writers.Wait()
	fresh := people[0].page("general")
	last = fresh.revision
	close(stopped)
	readers.Wait()
	for i, page := range pages {
		page.shows(t, fmt.Sprint("page ", i), fresh)
	}
}

func TestLiveRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	for origin, want := range map[string]int{
		"": http.StatusSwitchingProtocols, s.URL: http.StatusSwitchingProtocols,
		"null": http.StatusForbidden, "https://evil.example": http.StatusForbidden,
		s.URL + ".evil.example": http.StatusForbidden, "http://evil@" + s.URL[7:] + "@evil": http.StatusForbidden,
		"file://": http.StatusForbidden,
	} {
		var headers []header
		if origin != "" {
			headers = append(headers, header{"Origin", origin})
		}
		conn, response, err := anna.dial("general", 0, headers...)
		if response == nil || response.StatusCode != want {
			t.Errorf("origin %q: %v, %v; want %d", origin, response, err, want)
		}
		if err == nil {
			check(t, conn.CloseNow())
		}
	}
	s.visitor(t).live("general", 0).ends(closeSignedOut)
	s.visitor(t).live("none", 0).ends(closeSignedOut)
	anna.live("none", 0).ends(closeNoRoom)
	for _, after := range []string{"x", "-1", "99999999999999999999"} {
		anna.get("/channels/general/live?after=" + after).is(http.StatusBadRequest)
	}
}

// TestLiveTakesNoCommands closes connections that send anything.
func TestLiveTakesNoCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	for _, size := range []int{0, 5, 1 << 20} {
		f := anna.live("general", 0)
		// An error is its being closed meanwhile.
		_ = f.Write(t.Context(), websocket.MessageText, make([]byte, size))
		f.ends(websocket.StatusPolicyViolation)
	}
	anna.post("/channels/general/messages", "body", "still well").leadsTo("/channels/general")
	began := time.Now()
	s.stop(t)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("such connections delay a stop by %v", took)
	}
}

// TestLogOutClosesSockets ends those of the session at once and no others.
func TestLogOutClosesSockets(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	here, there, bea := s.signIn(t, "Anna", "password 1"), s.signIn(t, "Anna", "password 1"), s.signIn(t, "Bea")
	ended := []*feed{here.live("general", 0), here.live("general", 0)}
	stay := []*feed{there.live("general", 0), bea.live("general", 0)}
	began := time.Now()
	here.post("/logout").leadsTo("/")
	for _, f := range ended {
		f.ends(closeSignedOut)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
	bea.post("/channels/general/messages", "body", "hello")
	for _, f := range stay {
		if frame := f.next(); !strings.Contains(frame, "hello") {
			t.Errorf("pushed %q", frame)
		}
	}
}

// TestPasswordClosesSockets ends the other sessions of a user.
func TestPasswordClosesSockets(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	here, there, bea := s.signIn(t, "Anna", "password 1"), s.signIn(t, "Anna", "password 1"), s.signIn(t, "Bea")
	ended := there.live("general", 0)
	stay := []*feed{here.live("general", 0), bea.live("general", 0)}
	here.post("/user/password", "current", "password 1", "password", "password 2").leadsTo("/user")
	ended.ends(closeSignedOut)
	there.live("general", 0).ends(closeSignedOut)
	there.get("/user").leadsTo("/?next=%2Fuser")
	here.get("/user").is(http.StatusOK)
	bea.post("/channels/general/messages", "body", "hello")
	for _, f := range stay {
		if frame := f.next(); !strings.Contains(frame, "hello") {
			t.Errorf("pushed %q", frame)
		}
	}
}

// TestSessionOver knows every way in which a session ends while a connection
// is being made.
func TestSessionOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	token := func() string {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, s.URL, nil)
		check(t, err)
		for _, c := range anna.Jar.Cookies(request.URL) {
			if c.Name == "hubbub_session" {
				return c.Value
			}
		}
		t.Fatal("no session")
		return ""
	}
	over := func(token string) bool {
		t.Helper()
		over, err := s.sessionOver(t.Context(), token)
		check(t, err)
		return over
	}
	annas := token()
	if over(annas) {
		t.Error("it is not over")
	}
	_, err := s.Store.SetPassword(t.Context(), s.user(t, "Anna"), "", "")
	check(t, err)
	if !over(annas) {
		t.Error("a change of the password has ended it")
	}
	anna = s.signIn(t, "Bea")
	beas := token()
	anna.post("/logout", "confirm", "yes").leadsTo("/")
	if !over(beas) {
		t.Error("a log-out has ended it")
	}
}

// atHandshake does something when a connection is taken over.
type atHandshake struct {
	http.ResponseWriter
	do func()
}

func (a atHandshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.do()
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// TestLogOutDuringHandshake ends the session of a connection that is not yet
// known, and by a change of the password as well.
func TestLogOutDuringHandshake(t *testing.T) {
	t.Parallel()
	for _, end := range []func(*person){
		func(p *person) { p.post("/logout").leadsTo("/") },
		func(p *person) {
			p.s.signIn(p.t, "Anna", "password 1").post("/user/password", "current", "password 1", "password", "password 2").leadsTo("/user")
		},
	} {
		s := newServer(t)
		anna := s.signIn(t, "Anna", "password 1")
		routes := s.Config.Handler
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			routes.ServeHTTP(atHandshake{w, func() { end(anna) }}, r)
		}))
		defer front.Close()
		behind := *s
		behind.Server = front
		(&person{t, &behind, anna.Client}).live("general", 0).ends(closeSignedOut)
	}
}

// TestRestart closes connections with 1012. On the node that follows, pages
// catch up with what was posted meanwhile.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openServer(t, dir)
	anna := s.signIn(t, "Anna")
	s.fill(t, "general", "Anna", 3)
	page := anna.page("general")
	feeds := []*feed{anna.live("general", 3), anna.live("general", 3)}
	var readers sync.WaitGroup
	for _, f := range feeds {
		readers.Go(func() { f.ends(websocket.StatusServiceRestart) })
	}
	s.stop(t)
	readers.Wait()

	s = openServer(t, dir)
	bea := s.signIn(t, "Bea")
	bea.post("/channels/general/messages", "body", "meanwhile")
	bea.live("general", page.revision).follow(page, 4)
	page.shows(t, "after the restart", bea.page("general"))
}

// TestSlowReader stops reading: others do not wait, and it is given up.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	// It takes little in, so that soon all waits on this side.
	bea.Transport = smallReader()
	slow := bea.live("general", 0)
	page, quick := anna.page("general"), anna.live("general", 0)
	body := strings.Repeat("http://a ", store.MaxBody/9) // it becomes the longest row
	c, u := s.channel(t, "general"), s.user(t, "Anna")
	for sent := int64(0); sent < 280; sent += 20 {
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := s.Store.Post(t.Context(), store.Everything(), c, u, store.Draft{Body: body}, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		quick.follow(page, sent+20)
		group.Wait()
	}
	fresh := anna.page("general") // which shows fewer, because they are long
	for id := range page.rows {
		if _, ok := fresh.rows[id]; !ok {
			delete(page.rows, id)
		}
	}
	page.shows(t, "the quick one", fresh)
	waitFor(t, "the slow one is given up", func() bool { return s.live.Connections(s.user(t, "Bea").ID) == 0 })
	if err := slow.CloseNow(); err != nil {
		t.Error(err)
	}
}

// smallReader connects so that little waits on the browser's side.
func smallReader() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}}
}

// TestDelivery answers a post only when it can be read by everyone: what a
// page shows right after it, and what follows its revision, is everything.
func TestDelivery(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var group sync.WaitGroup
	for i := range 8 {
		p := s.signIn(t, fmt.Sprint("Person ", i))
		group.Go(func() {
			for n := range 15 {
				body := fmt.Sprintf("%d:%d.", i, n)
				p.post("/channels/general/messages", "body", body).leadsTo("/channels/general")
				if page := p.get("/channels/general"); len(regexp.MustCompile(`>`+body+`<`).FindAllString(page.body, -1)) != 1 {
					t.Errorf("%s is not there once, right after its post", body)
				}
			}
		})
	}
	group.Wait()
}
