package live

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hubbub/bus"
	"hubbub/components"
	"hubbub/store"
)

// limit is how long a test waits for what has to happen.
const limit = 20 * time.Second

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

// node serves one room to whoever says who they are, because who may see what
// is not for this package to decide.
type node struct {
	*Server
	t       testing.TB
	address string
	room    store.Channel
	ended   sync.Map // tokens of sessions that are over
}

// newNode starts a node on a store of its own. It stops when the test ends.
func newNode(t testing.TB) *node {
	t.Helper()
	return openNode(t, t.TempDir(), nil)
}

// openNode starts a node on a database.
func openNode(t testing.TB, database string, onBus *bus.Bus) *node {
	t.Helper()
	st, err := store.Open(t.Context(), database)
	check(t, err)
	name, err := store.ChannelName("general")
	check(t, err)
	check(t, st.EnsureChannel(t.Context(), name, time.Now()))
	n := &node{t: t}
	n.room, err = st.ChannelByName(t.Context(), store.Everything(), name)
	check(t, err)
	n.Server = New(Options{
		Store: st, Bus: onBus, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Zone: time.UTC,
		SessionOver: func(_ context.Context, token string) (bool, error) {
			_, over := n.ended.Load(token)
			return over, nil
		},
	})
	server := httptest.NewServer(http.HandlerFunc(n.serve))
	n.address = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		check(t, n.Close(ctx))
		server.Close()
		if onBus != nil {
			check(t, onBus.Close(ctx))
		}
		check(t, st.Close())
	})
	return n
}

// serve follows the room for the user whose id the path is. The user's token is
// the same.
func (n *node) serve(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.URL.Path, "/")
	id, err := strconv.ParseInt(token, 10, 64)
	if err == nil {
		var user store.User
		if user, err = n.Store.User(r.Context(), id); err == nil {
			err = n.Serve(w, r, Request{
				Viewer: &user, Page: &components.Page{}, Room: &n.room,
				Token: token, Deadline: time.Now().Add(time.Hour), Started: func() {},
			})
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// user makes a user.
func (n *node) user(name string) store.User {
	n.t.Helper()
	prepared, err := store.UserName(name)
	check(n.t, err)
	u, err := n.Store.CreateUser(n.t.Context(), prepared, "", "", time.Now())
	check(n.t, err)
	return u
}

// post posts a message by a user.
func (n *node) post(u store.User, body string) {
	n.t.Helper()
	_, err := n.Store.Post(n.t.Context(), store.Everything(), n.room, u, store.Draft{Body: body}, time.Now())
	check(n.t, err)
}

// endSession ends the session of a user.
func (n *node) endSession(u store.User) {
	n.ended.Store(strconv.FormatInt(u.ID, 10), true)
	n.access.addOne(u.ID)
}

// feed is a live connection.
type feed struct {
	t testing.TB
	*websocket.Conn
}

// follow connects a user by a WebSocket.
func (n *node) follow(u store.User, by *http.Transport) *feed {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), limit)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, n.address+"/"+strconv.FormatInt(u.ID, 10), &websocket.DialOptions{HTTPClient: &http.Client{Transport: by}})
	check(n.t, err)
	conn.SetReadLimit(16 << 20)
	n.t.Cleanup(func() { _ = conn.CloseNow() }) // it may be closed
	return &feed{n.t, conn}
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

// drain reads until a connection ends, and returns why it did.
func (f *feed) drain() error {
	for {
		if _, _, err := f.Read(f.t.Context()); err != nil {
			return err
		}
	}
}

// smallReader connects by sockets that take few bytes ahead.
func smallReader() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}}
}
