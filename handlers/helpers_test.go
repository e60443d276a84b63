package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/html"

	"hubbub/bus"
	"hubbub/e2e/throwaway"
	"hubbub/static"
	"hubbub/store"
)

// limit is how long a test waits for what has to happen.
const limit = 20 * time.Second

// soon is how long what happens at once may take where much else runs: half of
// the time after which a node looks for itself.
const soon = 5 * time.Second

// Close codes by which browsers learn that they need not come back.
const (
	closeSignedOut websocket.StatusCode = 4401
	closeNoRoom    websocket.StatusCode = 4404
)

// assets are made once: compressing them takes a while.
var assets = sync.OnceValues(static.New)

// server is a node with a store of its own on a loopback address.
type server struct {
	*httptest.Server
	*Handlers
	dir string
	out *logBuffer
}

// newServer starts a node without rate limits. It stops when the test ends.
func newServer(t testing.TB, changes ...func(*Options)) *server {
	t.Helper()
	return openServer(t, t.TempDir(), changes...)
}

func openServer(t testing.TB, dir string, changes ...func(*Options)) *server {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	check(t, err)
	general, err := store.ChannelName("general")
	check(t, err)
	check(t, st.EnsureChannel(t.Context(), general, time.Now()))
	assets, err := assets()
	check(t, err)

	s := &server{Server: httptest.NewUnstartedServer(nil), dir: dir, out: &logBuffer{}}
	options := Options{Store: st, Assets: assets, Log: slog.New(slog.NewTextHandler(s.out, nil)), Zone: time.UTC}
	for _, change := range changes {
		change(&options)
	}
	if options.BaseURL != nil && options.BaseURL.Host == "" {
		options.BaseURL.Host = s.Listener.Addr().String()
	}
	s.Handlers = New(options)
	s.Config.Handler = s.Routes()
	s.Config.MaxHeaderBytes = MaxHeaderBytes
	s.Start()
	t.Cleanup(func() { s.stop(t) })
	return s
}

// postgres is a PostgreSQL for the tests of this package, once one of them needs
// it, and nats a NATS server.
var postgres, nats shared

// shared is a server for several tests.
type shared struct {
	sync.Once
	*throwaway.Postgres
	*throwaway.NATS
	err error
}

// TestMain ends the servers that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range []*shared{&postgres, &nats} {
		var err error
		switch {
		case s.Postgres != nil:
			err = s.Postgres.Close()
		case s.NATS != nil:
			err = s.NATS.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// newNodes starts two nodes on one database, that tell each other through
// PostgreSQL, or through NATS.
func newNodes(t testing.TB, byNATS bool) (a, b *server) {
	t.Helper()
	postgres.Do(func() { postgres.Postgres, postgres.err = throwaway.StartPostgres(context.Background()) })
	check(t, postgres.err)
	database, err := postgres.NewDatabase(t.Context())
	check(t, err)
	servers := ""
	if byNATS {
		nats.Do(func() { nats.NATS, nats.err = throwaway.StartNATS(context.Background()) })
		check(t, nats.err)
		servers = nats.NATS.URL()
	}
	onBus := func(o *Options) {
		var err error
		o.Bus, err = bus.Open(bus.Options{Database: database, NATS: servers, Cluster: database, Log: o.Log})
		check(t, err)
	}
	return openServer(t, database, onBus), openServer(t, database, onBus)
}

// on is a person whose next requests go to another node.
func (p *person) on(other *server) *person { return &person{p.t, other, p.Client} }

// stop ends the node in the order that main does.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if s.Store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	check(t, s.Handlers.Close(ctx))
	s.Server.Close()
	if s.Bus != nil {
		check(t, s.Bus.Close(ctx))
	}
	check(t, s.Store.Close())
	s.Store = nil
}

// under mounts the node under a path of its own address.
func under(path string) func(*Options) {
	return func(o *Options) { o.BaseURL = &url.URL{Scheme: "http", Path: path} }
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it did not come true: %s", what)
		}
	}
}

// channel makes a channel.
func (s *server) channel(t testing.TB, name string) store.Channel {
	t.Helper()
	prepared, err := store.ChannelName(name)
	check(t, err)
	c, err := s.Store.ChannelByName(t.Context(), store.Everything(), prepared)
	if err != nil {
		c, err = s.Store.CreateChannel(t.Context(), prepared, store.KindOpen, 0, time.Now())
	}
	check(t, err)
	return c
}

// user returns the user of a name.
func (s *server) user(t testing.TB, name string) store.User {
	t.Helper()
	prepared, err := store.UserName(name)
	check(t, err)
	u, err := s.Store.UserByName(t.Context(), prepared)
	check(t, err)
	return u
}

// fill posts n messages past the handlers, all at once.
func (s *server) fill(t testing.TB, channel, author string, n int) {
	t.Helper()
	c, u := s.channel(t, channel), s.user(t, author)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if _, err := s.Store.Post(t.Context(), store.Everything(), c, u, store.Draft{Body: fmt.Sprint("message ", i)}, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// person is someone with a browser: it keeps cookies and follows no redirect.
type person struct {
	t testing.TB
	s *server
	*http.Client
}

// visitor comes with a new browser.
func (s *server) visitor(t testing.TB) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	check(t, err)
	return &person{t, s, &http.Client{
		Jar: jar, Transport: s.Client().Transport, Timeout: limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signIn comes with a new browser and signs in, with a password where one is
// given.
func (s *server) signIn(t testing.TB, name string, password ...string) *person {
	t.Helper()
	p := s.visitor(t)
	form := []string{"name", name}
	if len(password) > 0 {
		form = append(form, "password", password[0])
	}
	p.post("/login", form...).leadsTo("/")
	return p
}

// reply is what a request was answered with.
type reply struct {
	*http.Response
	p    *person
	body string
}

// header is a header to be sent, in the arguments of get and post.
type header struct{ name, value string }

func (p *person) get(path string, headers ...header) reply {
	p.t.Helper()
	return p.send(http.MethodGet, path, nil, headers...)
}

// post sends a form of names and values.
func (p *person) post(path string, fields ...string) reply {
	p.t.Helper()
	return p.send(http.MethodPost, path, form(fields...))
}

// htmx posts as htmx does.
func (p *person) htmx(path string, fields ...string) reply {
	p.t.Helper()
	return p.send(http.MethodPost, path, form(fields...), header{"HX-Request", "true"})
}

func form(fields ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return values
}

func (p *person) send(method, path string, form url.Values, headers ...header) reply {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.s.URL+p.s.base+path, strings.NewReader(form.Encode()))
	check(p.t, err)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		request.Header.Set(h.name, h.value)
	}
	return p.ask(request)
}

func (p *person) ask(request *http.Request) reply {
	p.t.Helper()
	response, err := p.Do(request)
	check(p.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(p.t, err)
	return reply{response, p, string(body)}
}

// is checks an answer's status.
func (a reply) is(status int) reply {
	a.p.t.Helper()
	if a.StatusCode != status {
		a.p.t.Errorf("%s %s: %s, want %d\n%.600s", a.Request.Method, a.Request.URL, a.Status, status, a.body)
	}
	return a
}

// leadsTo checks that an answer is a redirect to a path of ours, and asks for
// that.
func (a reply) leadsTo(path string) {
	a.p.t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != a.p.s.base+path {
		a.p.t.Errorf("%s %s: %s to %q, want 303 to %q\n%.600s", a.Request.Method, a.Request.URL, a.Status, got, path, a.body)
	}
}

// says checks that the text of an answer, or a field in it, contains words.
func (a reply) says(words ...string) reply {
	a.p.t.Helper()
	for _, w := range words {
		if text := a.text(); !strings.Contains(text, w) {
			a.p.t.Errorf("%s %s does not say %q but\n%.600s", a.Request.Method, a.Request.URL, w, text)
		}
	}
	return a
}

func (a reply) saysNot(words ...string) reply {
	a.p.t.Helper()
	for _, w := range words {
		if strings.Contains(a.text(), w) || strings.Contains(a.body, w) {
			a.p.t.Errorf("%s %s says %q", a.Request.Method, a.Request.URL, w)
		}
	}
	return a
}

// text is the words of an answer and the values of its fields.
func (a reply) text() string {
	var text strings.Builder
	for n := range parse(a.p.t, a.body).Descendants() {
		switch n.Type {
		case html.TextNode:
			text.WriteString(n.Data)
		case html.ElementNode:
			if value, ok := attribute(n, "value"); ok {
				text.WriteString("[" + value + "]")
			}
		}
	}
	return text.String()
}

func parse(t testing.TB, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	check(t, err)
	return doc
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// A row is read up to its </li>: text in it is escaped, so it holds no other.
var (
	rowsIn   = regexp.MustCompile(`<li id="m-(\d+)" data-revision="(\d+)" `)
	framesIn = regexp.MustCompile(`^(?:` + rowsIn.String() +
		`|<hx-partial hx-target="#m-(\d+)" hx-swap="delete" data-revision="(\d+)"></hx-partial>` +
		`|<hx-partial hx-target="#m-(\d+)" hx-swap="outerHTML" data-revision="(\d+)">` +
		`|<hx-partial hx-target="#messages" hx-swap="innerHTML" data-revision="(\d+)">|</hx-partial>)`)
)

// row is a row as it was sent.
type row struct{ id, revision, html string }

// rows returns the rows of an answer, without what a page adds to them.
func (a reply) rows() []row {
	a.p.t.Helper()
	var rows []row
	page := strings.ReplaceAll(a.body, `<li class="same" `, `<li `)
	for _, at := range rowsIn.FindAllStringSubmatchIndex(page, -1) {
		html, _, ok := strings.Cut(page[at[0]:], "</li>")
		if !ok {
			a.p.t.Fatalf("a row without an end: %.600s", html)
		}
		rows = append(rows, row{page[at[2]:at[3]], page[at[4]:at[5]], html + "</li>"})
	}
	return rows
}

// replica is what a page holds, fed by frames.
type replica struct {
	rows     map[int64]string
	revision int64
	replaced int
}

// page returns what a channel's page shows.
func (p *person) page(channel string) *replica {
	p.t.Helper()
	a := p.get("/channels/" + url.PathEscape(channel)).is(http.StatusOK)
	r := &replica{rows: map[int64]string{}}
	for _, row := range a.rows() {
		r.rows[number(p.t, row.id)] = row.html
	}
	connect := regexp.MustCompile(`live\?after=(\d+)&`).FindStringSubmatch(a.body)
	if connect == nil {
		p.t.Fatalf("the page of %s is not live", channel)
	}
	r.revision = number(p.t, connect[1])
	return r
}

func number(t testing.TB, digits string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(digits, 10, 64)
	check(t, err)
	return n
}

// apply does what a frame says and keeps the newest rows.
func (r *replica) apply(t testing.TB, frame string) {
	t.Helper()
	for frame != "" {
		m := framesIn.FindStringSubmatch(frame)
		if m == nil {
			t.Fatalf("a frame with %.300q", frame)
		}
		part := m[0]
		if m[1] != "" {
			html, _, _ := strings.Cut(frame, "</li>")
			part = html + "</li>"
		}
		frame = frame[len(part):]
		revision := "0"
		switch {
		case m[1] != "":
			r.rows[number(t, m[1])] = part
			revision = m[2]
		case m[3] != "":
			delete(r.rows, number(t, m[3]))
			revision = m[4]
		case m[5] != "":
			html, rest, _ := strings.Cut(frame, "</hx-partial>")
			if id := number(t, m[5]); r.rows[id] != "" {
				r.rows[id] = html
			}
			frame, revision = rest, m[6]
		case m[7] != "":
			clear(r.rows)
			r.revision = 0
			r.replaced++
			revision = m[7]
		}
		r.revision = max(r.revision, number(t, revision))
	}
	ids := slices.Sorted(maps.Keys(r.rows))
	for _, id := range ids[:max(0, len(ids)-100)] {
		delete(r.rows, id)
	}
}

// shows compares what a page holds to a fresh one.
func (r *replica) shows(t testing.TB, about string, want *replica) {
	t.Helper()
	if !maps.Equal(r.rows, want.rows) || r.revision != want.revision {
		t.Errorf("%s: rows %v at %d, a fresh page has %v at %d", about,
			slices.Sorted(maps.Keys(r.rows)), r.revision, slices.Sorted(maps.Keys(want.rows)), want.revision)
	}
}

// feed is a live connection.
type feed struct {
	t testing.TB
	*websocket.Conn
}

// dial asks for a live connection.
func (p *person) dial(channel string, after int64, headers ...header) (*websocket.Conn, *http.Response, error) {
	return p.dialPath(fmt.Sprintf("/channels/%s/live?after=%d", url.PathEscape(channel), after), headers...)
}

// dialPath asks for a live connection at a path.
func (p *person) dialPath(path string, headers ...header) (*websocket.Conn, *http.Response, error) {
	options := &websocket.DialOptions{HTTPClient: p.Client, HTTPHeader: http.Header{}}
	for _, h := range headers {
		options.HTTPHeader.Set(h.name, h.value)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, p.s.URL+p.s.base+path, options)
	if err == nil {
		conn.SetReadLimit(16 << 20)
	}
	return conn, response, err
}

// live follows a channel.
func (p *person) live(channel string, after int64) *feed {
	p.t.Helper()
	conn, _, err := p.dial(channel, after)
	check(p.t, err)
	p.t.Cleanup(func() { _ = conn.CloseNow() }) // it may be closed
	return &feed{p.t, conn}
}

// next waits for a frame.
func (f *feed) next() string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), limit)
	defer cancel()
	_, frame, err := f.Read(ctx)
	check(f.t, err)
	return string(frame)
}

// follow feeds a page until it is at a revision.
func (f *feed) follow(r *replica, revision int64) {
	f.t.Helper()
	for r.revision < revision {
		r.apply(f.t, f.next())
	}
}

// ends waits for the end of a connection, which has to have a reason.
func (f *feed) ends(want websocket.StatusCode) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), limit)
	defer cancel()
	for {
		if _, _, err := f.Read(ctx); err != nil {
			if got := websocket.CloseStatus(err); got != want {
				f.t.Errorf("it ended with %v (%v), want %v", got, err, want)
			}
			return
		}
	}
}
