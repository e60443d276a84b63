package bus

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hubbub/e2e/throwaway"
)

// waitTimeout is how long a test waits for what has to happen.
const waitTimeout = 30 * time.Second

// shortTiming is the timing of a bus under test.
func shortTiming() timing {
	return timing{
		checkInterval: 300 * time.Millisecond, serverTimeout: 2500 * time.Millisecond, pingInterval: 400 * time.Millisecond,
		closeTimeout: time.Second,
	}
}

// shared holds servers for the tests that neither stop nor pause them.
var shared struct {
	once     sync.Once
	err      error
	postgres *throwaway.Postgres
	nats     *throwaway.NATS
}

func TestMain(m *testing.M) {
	// Tests wait more than they compute. This overrides the number of CPUs only,
	// because m.Run parses the caller's flags later.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	if shared.postgres != nil {
		if err := shared.postgres.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if shared.nats != nil {
		if err := shared.nats.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// servers returns the shared servers, and starts them for the first test.
func servers(t testing.TB) (*throwaway.Postgres, *throwaway.NATS) {
	t.Helper()
	shared.once.Do(func() {
		if shared.postgres, shared.err = throwaway.StartPostgres(context.Background()); shared.err == nil {
			shared.nats, shared.err = throwaway.StartNATS(context.Background())
		}
	})
	check(t, shared.err)
	return shared.postgres, shared.nats
}

// database returns the URL of a new database on the shared server.
func database(t testing.TB) string {
	t.Helper()
	postgres, _ := servers(t)
	text, err := postgres.NewDatabase(t.Context())
	check(t, err)
	return text
}

// ownPostgres starts a server that the test may stop, and returns the URL of a
// database on it.
func ownPostgres(t testing.TB) (*throwaway.Postgres, string) {
	t.Helper()
	p, err := throwaway.StartPostgres(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	text, err := p.NewDatabase(t.Context())
	check(t, err)
	return p, text
}

// ownNATS starts a server that the test may stop.
func ownNATS(t testing.TB) *throwaway.NATS {
	t.Helper()
	n, err := throwaway.StartNATS(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, n.Close()) })
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a bus and its listener, which records what it receives.
type node struct {
	*Bus
	name string
	log  *logBuffer

	mu       sync.Mutex
	changed  chan struct{} // closed when received changes
	received record
}

// record is all that a listener has received.
type record struct {
	notices  int
	missed   int
	senders  map[string]bool // by node
	channels map[int64]int64
	users    map[int64]bool
	readers  map[int64]bool
	here     map[int64]map[int64]string // names by channel and user
	moments  map[Moment]bool
	asked    int
	bye      map[string]bool
}

// Receive implements Listener.
func (n *node) Receive(notice Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received.notices++
	n.received.senders[notice.Node] = true
	for id, revision := range notice.Channels {
		n.received.channels[id] = max(n.received.channels[id], revision)
	}
	for _, id := range notice.Users {
		n.received.users[id] = true
	}
	for _, id := range notice.Readers {
		n.received.readers[id] = true
	}
	for _, p := range notice.Presence {
		if n.received.here[p.Channel] == nil || p.Whole {
			n.received.here[p.Channel] = map[int64]string{}
		}
		for _, u := range p.Here {
			n.received.here[p.Channel][u.ID] = u.Name
		}
		for _, id := range p.Gone {
			delete(n.received.here[p.Channel], id)
		}
	}
	for _, m := range notice.Moments {
		n.received.moments[m] = true
	}
	if notice.Ask {
		n.received.asked++
	}
	if notice.Bye {
		n.received.bye[notice.Node] = true
	}
	n.wakeWaiters()
}

// Missed implements Listener.
func (n *node) Missed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received.missed++
	n.wakeWaiters()
}

// wakeWaiters wakes all calls of await. The caller holds n.mu.
func (n *node) wakeWaiters() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// await waits until what the listener has received meets a condition.
func (n *node) await(t testing.TB, what string, condition func(r *record) bool) {
	t.Helper()
	timeout := time.After(waitTimeout)
	for {
		n.mu.Lock()
		done, changed := condition(&n.received), n.changed
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Fatalf("%s: this did not happen: %s\n%+v\n%s", n.name, what, n.received, n.log)
		}
	}
}

// awaitState waits until the state of the bus meets a condition.
func (n *node) awaitState(t testing.TB, what string, condition func(b *Bus) bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(5 * time.Millisecond) {
		n.Bus.mu.Lock()
		done := condition(n.Bus)
		n.Bus.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: this did not happen: %s\n%s", n.name, what, n.log)
		}
	}
}

func listening(b *Bus) bool { return b.listening }

func onNATS(b *Bus) bool { return b.onNATS }

// publishesToNATSOnly reports whether the next notice goes through NATS only.
func publishesToNATSOnly(b *Bus) bool {
	return b.onNATS && b.listening && time.Now().After(b.othersOffNATSUntil)
}

// missedCalls returns how often Missed was called.
func (n *node) missedCalls() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.received.missed
}

// start returns a node whose bus listens. It is closed at the end of the test.
func start(t testing.TB, name string, options Options) *node {
	t.Helper()
	n := &node{name: name, log: &logBuffer{}, changed: make(chan struct{}), received: record{
		senders: map[string]bool{}, channels: map[int64]int64{}, users: map[int64]bool{}, readers: map[int64]bool{},
		here: map[int64]map[int64]string{}, moments: map[Moment]bool{}, bye: map[string]bool{},
	}}
	if options.Cluster == "" {
		options.Cluster = options.Database
	}
	options.Log = slog.New(slog.NewTextHandler(io.MultiWriter(n.log, t.Output()), nil)).With("node", name)
	var err error
	n.Bus, err = open(options, shortTiming())
	check(t, err)
	n.Listen(n)
	t.Cleanup(func() {
		// It may fail, because the test may have stopped the servers.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = n.Close(ctx)
	})
	return n
}

// nodes starts several nodes with the same options, and waits until they receive
// from each other.
func nodes(t testing.TB, options Options, names ...string) []*node {
	t.Helper()
	var all []*node
	for _, name := range names {
		all = append(all, start(t, name, options))
	}
	for _, n := range all {
		n.awaitState(t, "it listens to PostgreSQL", listening)
		if options.NATS != "" {
			n.awaitState(t, "it is on NATS", onNATS)
		}
	}
	return all
}

// publishAndAwait publishes the revision of a channel at a node, and waits until
// the others have received it.
func publishAndAwait(t testing.TB, from *node, channel, revision int64, others ...*node) {
	t.Helper()
	from.Publish(Notice{Channels: map[int64]int64{channel: revision}})
	for _, n := range others {
		n.await(t, fmt.Sprintf("it receives from %s that channel %d is at revision %d", from.name, channel, revision), func(r *record) bool {
			got, ok := r.channels[channel]
			return ok && got >= revision
		})
	}
}

// logBuffer keeps a log in memory.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) count(words string) int { return strings.Count(l.String(), words) }

// await waits until the log contains words a number of times.
func (l *logBuffer) await(t testing.TB, times int, words string) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); l.count(words) != times; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log says %q %d times, want %d:\n%s", words, l.count(words), times, l)
		}
	}
}

// spy records all notifications of a database.
type spy struct {
	mu    sync.Mutex
	texts []string
}

func newSpy(t testing.TB, database string) *spy {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	check(t, err)
	_, err = conn.Exec(t.Context(), "LISTEN hubbub")
	check(t, err)
	s := &spy{}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		defer closeConn(conn)
		for {
			notification, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.texts = append(s.texts, notification.Payload)
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		cancel()
		work.Wait()
	})
	return s
}

// assertNone fails the test if anything that the nodes have published before, and
// that contains words, has gone through PostgreSQL.
func (s *spy) assertNone(t testing.TB, words string, all ...*node) {
	t.Helper()
	for i, n := range all {
		last := int64(1_000_000 + i)
		n.Bus.mu.Lock()
		n.postgresQueue.add(envelope{Notice: Notice{Readers: []int64{last}}})
		n.Bus.mu.Unlock()
		for deadline := time.Now().Add(waitTimeout); len(s.containing(fmt.Sprint(last))) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the spy receives nothing from %s", n.name)
			}
		}
	}
	if texts := s.containing(words); len(texts) > 0 {
		t.Errorf("this went through PostgreSQL: %s", texts)
	}
}

// containing returns the notifications so far that contain words.
func (s *spy) containing(words string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.texts), func(text string) bool { return !strings.Contains(text, words) })
}

// proxy forwards connections to a server, and can fail in several ways.
type proxy struct {
	addr, server string
	work         sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	delay time.Duration // for each KiB
	held  chan struct{} // closed while bytes are forwarded
	conns map[net.Conn]bool
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &proxy{addr: listener.Addr().String(), server: server, held: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.held)
	p.work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.forward(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.restore()
		p.disconnect()
		p.work.Wait()
	})
	return p
}

// forward copies bytes between a client and the server until either disconnects.
func (p *proxy) forward(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.mu.Lock()
	cut = p.cut
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	if cut {
		p.disconnect()
		return
	}
	var both sync.WaitGroup
	copyAll := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 1<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			p.mu.Lock()
			held, delay := p.held, p.delay
			p.mu.Unlock()
			<-held
			time.Sleep(delay)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { copyAll(client, server) })
	both.Go(func() { copyAll(server, client) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// disconnect closes all connections, and refuses new ones until restore.
func (p *proxy) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for conn := range maps.Keys(p.conns) {
		_ = conn.Close()
	}
}

// hold forwards no bytes until restore, and leaves the connections open.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
}

// slowDown delays each KiB.
func (p *proxy) slowDown(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// restore makes the proxy forward again, at the delay that is set.
func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	select {
	case <-p.held:
	default:
		close(p.held)
	}
}

// throughProxy returns a proxy to a database's server, and the database's URL
// through it.
func throughProxy(t testing.TB, text string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(text)
	check(t, err)
	p := newProxy(t, u.Host)
	u.Host = p.addr
	return p, u.String()
}
