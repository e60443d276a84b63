package e2e

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"hubbub/e2e/throwaway"
)

// postgres is the one PostgreSQL of all tests that do not stop it.
var postgres sharedPostgres

// sharedPostgres starts PostgreSQL when the first test needs it.
type sharedPostgres struct {
	once sync.Once
	*throwaway.Postgres
	err error
}

func (p *sharedPostgres) start() error {
	p.once.Do(func() { p.Postgres, p.err = throwaway.StartPostgres(context.Background()) })
	return p.err
}

func (p *sharedPostgres) close() error {
	if p.Postgres == nil {
		return nil
	}
	return p.Close()
}

// nodes are servers on one database.
type nodes struct {
	all      []*server
	database string              // its URL; "" for a server's own SQLite
	postgres *throwaway.Postgres // that has the database, nil for SQLite
	nats     *throwaway.NATS     // nil for none
	flags    []string
	inOrder  bool // dial prefers the first node to the others
}

// nodesOption sets up nodes before they start.
type nodesOption func(*testing.T, *nodes)

// ownPostgres gives nodes a PostgreSQL that the test may stop.
func ownPostgres(t *testing.T, n *nodes) {
	t.Helper()
	var err error
	if n.postgres, err = throwaway.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, n.postgres.Close()) })
}

// withNATS gives nodes a NATS server, which the test may stop.
func withNATS(t *testing.T, n *nodes) {
	t.Helper()
	var err error
	if n.nats, err = throwaway.StartNATS(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, n.nats.Close()) })
	n.flags = append(n.flags, "--nats="+n.nats.URL())
}

// withFlags gives all nodes more flags.
func withFlags(flags ...string) nodesOption {
	return func(_ *testing.T, n *nodes) { n.flags = append(n.flags, flags...) }
}

// buses are the ways in which nodes tell each other what is new.
var buses = map[string][]nodesOption{"NOTIFY": nil, "NATS": {withNATS}}

// startNodes starts some servers on a new database of PostgreSQL. They let
// tests be faster than people, and are stopped when the test ends.
func startNodes(t *testing.T, count int, options ...nodesOption) *nodes {
	t.Helper()
	n := &nodes{}
	for _, o := range options {
		o(t, n)
	}
	if n.postgres == nil {
		noError(t, postgres.start())
		n.postgres = postgres.Postgres
	}
	var err error
	n.database, err = n.postgres.NewDatabase(t.Context())
	noError(t, err)
	for range count {
		n.all = append(n.all, quick(t, append([]string{"--database=" + n.database}, n.flags...)...))
	}
	return n
}

// noError stops a test that cannot go on.
func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens the database as it is, past all nodes.
func (n *nodes) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, address := "pgx", n.database
	if n.postgres == nil {
		driver, address = "sqlite", filepath.Join(n.all[0].Data, "hubbub.db")
	}
	db, err := sql.Open(driver, address)
	noError(t, err)
	t.Cleanup(func() { noError(t, db.Close()) })
	return db
}

// kill ends all nodes by a signal.
func (n *nodes) kill(t *testing.T, signal syscall.Signal) {
	t.Helper()
	var ending sync.WaitGroup
	for _, s := range n.all {
		ending.Go(func() { s.kill(t, signal) })
	}
	ending.Wait()
}

// dial connects to any node, or to another where that one refuses: a load
// balancer without sticky sessions.
func (n *nodes) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	order := rand.Perm(len(n.all))
	if n.inOrder {
		slices.Sort(order)
	}
	var refused error
	for _, i := range order {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, n.all[i].addr)
		if err == nil {
			return conn, nil
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

// cable is one node's own way to a server that others reach as well. It can be
// cut, and it can forget its connections, as a machine does that dies and is
// followed by another: they stay open, and nobody ever answers.
type cable struct {
	net.Listener
	to string // the server's address

	mu     sync.Mutex
	isCut  bool
	conns  map[net.Conn]struct{}
	closed chan struct{}
	gone   chan struct{} // closed when the present connections are forgotten
	work   sync.WaitGroup
}

// newCable returns a cable to the server of a URL, and the URL by which it is
// reached through the cable.
func newCable(t *testing.T, address string) (*cable, string) {
	t.Helper()
	u, err := url.Parse(address)
	noError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	c := &cable{
		Listener: listener, to: u.Host, conns: map[net.Conn]struct{}{},
		closed: make(chan struct{}), gone: make(chan struct{}),
	}
	c.work.Go(c.serve)
	t.Cleanup(func() {
		_ = c.Close() // serve ends
		close(c.closed)
		c.cut(true)
		c.work.Wait()
	})
	u.Host = listener.Addr().String()
	return c, u.String()
}

func (c *cable) serve() {
	for {
		near, err := c.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil || !c.join(near, far) {
			_ = near.Close()
			continue
		}
		c.work.Go(func() { c.carry(near, far) })
		c.work.Go(func() { c.carry(far, near) })
	}
}

// join keeps two ends to be cut, unless the cable is.
func (c *cable) join(near, far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		_ = far.Close()
		return false
	}
	c.conns[near], c.conns[far] = struct{}{}, struct{}{}
	return true
}

// carry carries one way until either end is closed.
func (c *cable) carry(from, to net.Conn) {
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	_, _ = io.Copy(writer(func(b []byte) (int, error) {
		select {
		case <-gone:
			<-c.closed
		default:
		}
		return to.Write(b)
	}), from)
	_, _ = from.Close(), to.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, from)
}

// writer is a function that writes.
type writer func([]byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(b []byte) (int, error) { return w(b) }

// forget has nothing more come through on the present connections.
func (c *cable) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gone)
	c.gone = make(chan struct{})
}

// cut cuts the cable, or mends it.
func (c *cable) cut(isCut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = isCut
	for conn := range c.conns {
		if isCut {
			_ = conn.Close()
		}
	}
}
