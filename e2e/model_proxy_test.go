package e2e

import (
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stallLimit is how long a stalled connection stays open, longer than any
// client waits for a sign of life.
const stallLimit = 8 * time.Second

// fate is what becomes of one connection.
type fate struct {
	obstacle obstacle
	foreign  *foreignAnswer // that its requests are given, nil for none
	end      ending
	after    time.Duration // till the end
}

// ending is how the trouble with a connection begins.
type ending int

const (
	endsNever  ending = iota
	endsCut           // it is closed
	endsReset         // so it is, and what is on its way is lost
	stallsUp          // nothing more gets through to the server
	stallsDown        // nothing more gets through to the client
	stallsBoth        // nothing more gets through
)

// A line is one client's own way to the servers: a proxy on a loopback address,
// with an obstacle of its own that always stands. While there is trouble each
// connection may have another obstacle, a bad end, and something on it that
// answers in the server's place.
type line struct {
	URL string // in place of a server's

	net.Listener
	own      obstacle
	calm     *atomic.Bool // there is no trouble any more
	random   *rand.Rand   // used by Accept alone
	server   *http.Server
	upstream *http.Transport

	mu     sync.Mutex
	closed bool
	conns  map[*lineConn]struct{}
	work   sync.WaitGroup
}

// newLine returns a line to nodes, of which each request goes to any. The n-th
// connection on it has the n-th fate that is drawn from random.
func newLine(t *testing.T, n *nodes, own obstacle, random *rand.Rand, calm *atomic.Bool) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{
		URL: "http://" + listener.Addr().String(), Listener: listener,
		own: own, calm: calm, random: random,
		upstream: &http.Transport{DialContext: n.dial, DisableKeepAlives: len(n.all) > 1},
		conns:    map[*lineConn]struct{}{},
	}
	handler, err := passOn(n.all[0], l.upstream, obstacleOf)
	if err != nil {
		t.Fatal(err)
	}
	l.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !l.begin() {
				panic(http.ErrAbortHandler)
			}
			defer l.work.Done()
			if foreign := fateOf(r).foreign; foreign != nil && !l.calm.Load() {
				foreign.give(w, r)
				return
			}
			handler.ServeHTTP(w, r)
		}),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, lineKey{}, conn.(*lineConn).fate)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	l.begin()
	go func() {
		defer l.work.Done()
		_ = l.server.Serve(l) // until it is closed
	}()
	t.Cleanup(l.close)
	return l
}

// lineKey is the key of a connection's fate in a request's context.
type lineKey struct{}

func fateOf(r *http.Request) fate { return r.Context().Value(lineKey{}).(fate) }

func obstacleOf(r *http.Request) obstacle { return fateOf(r).obstacle }

// Accept draws the fate of the next connection. Each takes as many numbers, so
// that the next one's does not depend on it.
func (l *line) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f := fate{obstacle: l.own}
	if other := obstacle(l.random.IntN(20)); other <= strips {
		f.obstacle = other
	}
	f.end = []ending{
		endsNever, endsNever, endsNever, endsCut, endsCut, endsReset, endsReset, stallsUp, stallsDown, stallsBoth,
	}[l.random.IntN(10)]
	if n := l.random.IntN(10 * len(foreignAnswers)); n < len(foreignAnswers) {
		f.foreign = &foreignAnswers[n]
	}
	f.after = 50*time.Millisecond + time.Duration(l.random.Int64N(int64(1950*time.Millisecond)))
	if l.calm.Load() {
		f = fate{obstacle: l.own}
	}
	c := &lineConn{Conn: conn, line: l, fate: f, stalled: make(chan struct{}), closed: make(chan struct{})}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	if f.end != endsNever && l.begin() {
		go func() {
			defer l.work.Done()
			c.meetFate()
		}()
	}
	return c, nil
}

// begin counts work in, unless the line is closed.
func (l *line) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.work.Add(1)
	}
	return !l.closed
}

func (l *line) forget(c *lineConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close ends all connections and waits for what is under way.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	conns := l.conns
	l.conns = map[*lineConn]struct{}{}
	l.mu.Unlock()
	_ = l.server.Close() // whatever it says of the listener
	for c := range conns {
		_ = c.Close()
	}
	l.work.Wait()
	l.upstream.CloseIdleConnections()
}

// lineConn is a connection of a client with a line.
type lineConn struct {
	net.Conn
	line    *line
	fate    fate
	stalled chan struct{} // closed when it stalls
	closed  chan struct{} // closed when it is
	once    sync.Once
}

// meetFate has the connection end as it has to, if it lives so long.
func (c *lineConn) meetFate() {
	if !c.lives(c.fate.after) {
		return
	}
	switch c.fate.end {
	case endsCut:
	case endsReset:
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // it may be closed
	default:
		close(c.stalled)
		c.lives(stallLimit)
	}
	_ = c.Close()
}

// lives reports whether the connection is open for so long.
func (c *lineConn) lives(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.closed:
		return false
	}
}

// isStalled waits for the end of a connection that has stalled.
func (c *lineConn) isStalled() bool {
	select {
	case <-c.stalled:
		<-c.closed
		return true
	default:
		return false
	}
}

// Read takes what the client has sent. That it has gone away is news as well,
// and does not get through either.
func (c *lineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.fate.end != stallsDown && c.isStalled() {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *lineConn) Write(b []byte) (int, error) {
	if c.fate.end != stallsUp && c.isStalled() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *lineConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		close(c.closed)
		c.line.forget(c)
		err = c.Conn.Close()
	})
	return err
}

// foreignMark is in all that foreign answers say.
const foreignMark = "Corporate sign-in"

// foreignPage is the page of a portal. Much of it looks like ours.
const foreignPage = `<!doctype html><html lang="en"><head><title>` + foreignMark + `</title></head><body>
<form action="/portal" method="post"><p class="error">` + foreignMark + `</p><input name="user"></form>
<div id="earlier"><a href="/portal">` + foreignMark + `</a></div>
<ol id="messages"><li id="m-1" data-revision="999999" data-author="1"><b>` + foreignMark + `</b><div class="body">` + foreignMark + `</div></li><li>` + foreignMark + `</li></ol>
</body></html>`

// foreignAnswer is what something on the way says in our place.
type foreignAnswer struct {
	status   int
	location string
	body     string
}

// foreignAnswers are those that proxies, portals and sign-in pages are known to
// give.
var foreignAnswers = []foreignAnswer{
	{http.StatusOK, "", foreignPage},
	{http.StatusOK, "", ""},
	{http.StatusNoContent, "", ""},
	{http.StatusFound, "/portal", ""},
	{http.StatusFound, "/", foreignPage},
	{http.StatusUnauthorized, "", foreignPage},
	{http.StatusForbidden, "", foreignPage},
	{http.StatusNotFound, "", ""},
	{http.StatusConflict, "", foreignPage},
	{http.StatusRequestEntityTooLarge, "", foreignPage},
	{http.StatusUnprocessableEntity, "", ""},
	{http.StatusInternalServerError, "", foreignPage},
	{http.StatusBadGateway, "", foreignPage},
	{http.StatusServiceUnavailable, "", ""},
	{http.StatusGatewayTimeout, "", foreignPage},
	{http.StatusNetworkAuthenticationRequired, "", foreignPage},
}

// give gives the answer.
func (a foreignAnswer) give(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("HX-Retarget", "body")
	if r.URL.Path == "/portal" {
		_, _ = io.WriteString(w, foreignPage)
		return
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// errForeign says that something on the way has answered.
var errForeign = errors.New("an answer that is not ours")

// ours reports whether an answer is the server's own: script judges by the same
// header.
func ours(answer *http.Response) bool { return answer.Header.Get("Hubbub") != "" }

// stay is the CheckRedirect of a client that goes nowhere else, as script does
// not: we redirect none of its requests.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ofScript reports whether script has made a request, or was led there.
func ofScript(r *http.Request) bool {
	return r.Header.Get("HX-Request") != "" || strings.HasSuffix(r.URL.Path, "/live") || r.URL.Path == "/portal"
}
