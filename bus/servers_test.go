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

// waitTime is how long a test waits for what has to come.
const waitTime = 30 * time.Second

// brief is the patience of a bus under test.
func brief() patience {
	return patience{beat: 300 * time.Millisecond, answer: 2500 * time.Millisecond, ping: 400 * time.Millisecond, closing: time.Second}
}

// shared are servers for the tests that leave them alone.
var shared struct {
	once     sync.Once
	err      error
	postgres *throwaway.Postgres
	nats     *throwaway.NATS
}

func TestMain(m *testing.M) {
	// They wait more than they work. A flag of the caller's has its way.
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

// servers returns the shared servers.
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

// node is a bus and all that its listener was told.
type node struct {
	*Bus
	name string
	log  *journal

	mu      sync.Mutex
	changed chan struct{} // closed when something comes
	knows   world
}

// world is what a listener knows.
type world struct {
	notices  int
	missed   int
	told     map[string]bool // nodes that told anything
	channels map[int64]int64
	users    map[int64]bool
	readers  map[int64]bool
	here     map[int64]map[int64]string // names by channel and user
	moments  map[Moment]bool
	asked    int
	bye      map[string]bool
}

func (n *node) Heard(notice Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.knows.notices++
	n.knows.told[notice.Node] = true
	for id, revision := range notice.Channels {
		n.knows.channels[id] = max(n.knows.channels[id], revision)
	}
	for _, id := range notice.Users {
		n.knows.users[id] = true
	}
	for _, id := range notice.Readers {
		n.knows.readers[id] = true
	}
	for _, p := range notice.Presence {
		if n.knows.here[p.Channel] == nil || p.Whole {
			n.knows.here[p.Channel] = map[int64]string{}
		}
		for _, u := range p.Here {
			n.knows.here[p.Channel][u.ID] = u.Name
		}
		for _, id := range p.Gone {
			delete(n.knows.here[p.Channel], id)
		}
	}
	for _, m := range notice.Moments {
		n.knows.moments[m] = true
	}
	if notice.Ask {
		n.knows.asked++
	}
	if notice.Bye {
		n.knows.bye[notice.Node] = true
	}
	n.stir()
}

func (n *node) Missed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.knows.missed++
	n.stir()
}

func (n *node) stir() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// await waits until what the listener knows is so.
func (n *node) await(t testing.TB, what string, so func(w *world) bool) {
	t.Helper()
	timeout := time.After(waitTime)
	for {
		n.mu.Lock()
		done, changed := so(&n.knows), n.changed
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			n.mu.Lock()
			defer n.mu.Unlock()
			t.Fatalf("%s: not so: %s\n%+v\n%s", n.name, what, n.knows, n.log)
		}
	}
}

// is waits until something is so in the bus.
func (n *node) is(t testing.TB, what string, so func(b *Bus) bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTime); ; time.Sleep(5 * time.Millisecond) {
		n.Bus.mu.Lock()
		done := so(n.Bus)
		n.Bus.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so: %s\n%s", n.name, what, n.log)
		}
	}
}

func listening(b *Bus) bool { return b.listening }

// settled reports whether what is told goes over NATS alone.
func settled(b *Bus) bool {
	return b.onNATS && b.listening && time.Now().After(b.deafUntil)
}

// missedSoFar counts how often the listener was told that it missed something.
func (n *node) missedSoFar() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.knows.missed
}

// start returns a node that listens, and is closed with the test.
func start(t testing.TB, name string, options Options) *node {
	t.Helper()
	n := &node{name: name, log: &journal{}, changed: make(chan struct{}), knows: world{
		told: map[string]bool{}, channels: map[int64]int64{}, users: map[int64]bool{}, readers: map[int64]bool{},
		here: map[int64]map[int64]string{}, moments: map[Moment]bool{}, bye: map[string]bool{},
	}}
	if options.Cluster == "" {
		options.Cluster = options.Database
	}
	options.Log = slog.New(slog.NewTextHandler(io.MultiWriter(n.log, t.Output()), nil)).With("node", name)
	var err error
	n.Bus, err = open(options, brief())
	check(t, err)
	n.Listen(n)
	t.Cleanup(func() {
		// By then the servers may be away.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = n.Close(ctx)
	})
	return n
}

// nodes opens several that are alike, and waits until they hear each other.
func nodes(t testing.TB, options Options, names ...string) []*node {
	t.Helper()
	var all []*node
	for _, name := range names {
		all = append(all, start(t, name, options))
	}
	for _, n := range all {
		n.is(t, "it listens to PostgreSQL", listening)
		if options.NATS != "" {
			n.is(t, "it is on NATS", func(b *Bus) bool { return b.onNATS })
		}
	}
	return all
}

// reach has a node tell the others of a channel and waits until they know.
func reach(t testing.TB, from *node, channel, revision int64, others ...*node) {
	t.Helper()
	from.Tell(Notice{Channels: map[int64]int64{channel: revision}})
	for _, n := range others {
		n.await(t, fmt.Sprintf("channel %d is at %d, as %s said", channel, revision, from.name), func(w *world) bool {
			got, ok := w.channels[channel]
			return ok && got >= revision
		})
	}
}

// journal is a log in memory.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) count(words string) int { return strings.Count(j.String(), words) }

// await waits until the log says something so often.
func (j *journal) await(t testing.TB, times int, words string) {
	t.Helper()
	for deadline := time.Now().Add(waitTime); j.count(words) != times; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log says %q %d times, want %d:\n%s", words, j.count(words), times, j)
		}
	}
}

// spy hears all that goes over a database.
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
		defer hangUp(conn)
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

// heardNone fails the test if anything with some words has gone over PostgreSQL
// that the nodes told before.
func (s *spy) heardNone(t testing.TB, words string, all ...*node) {
	t.Helper()
	for i, n := range all {
		last := int64(1_000_000 + i)
		n.Bus.mu.Lock()
		n.postgres.add(letter{Notice: Notice{Readers: []int64{last}}})
		n.Bus.mu.Unlock()
		for deadline := time.Now().Add(waitTime); len(s.heard(fmt.Sprint(last))) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the spy hears nothing of %s", n.name)
			}
		}
	}
	if texts := s.heard(words); len(texts) > 0 {
		t.Errorf("this went over PostgreSQL: %s", texts)
	}
}

// heard returns the texts so far that hold some words.
func (s *spy) heard(words string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.texts), func(text string) bool { return !strings.Contains(text, words) })
}

// wire is a way to a server that can be cut and held up.
type wire struct {
	addr, server string
	work         sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	pace  time.Duration // for each KiB
	held  chan struct{} // closed while bytes go through
	conns map[net.Conn]bool
}

func newWire(t testing.TB, server string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	w := &wire{addr: listener.Addr().String(), server: server, held: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(w.held)
	w.work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			w.work.Go(func() { w.join(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.restore()
		w.sever()
		w.work.Wait()
	})
	return w
}

// join passes bytes between a client and the server until either is gone.
func (w *wire) join(client net.Conn) {
	defer client.Close()
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	if cut {
		return
	}
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	w.mu.Lock()
	cut = w.cut
	w.conns[client], w.conns[server] = true, true
	w.mu.Unlock()
	if cut {
		w.sever()
		return
	}
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 1<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			w.mu.Lock()
			held, pace := w.held, w.pace
			w.mu.Unlock()
			<-held
			time.Sleep(pace)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	both.Go(func() { pass(client, server) })
	both.Go(func() { pass(server, client) })
	both.Wait()
	w.mu.Lock()
	delete(w.conns, client)
	delete(w.conns, server)
	w.mu.Unlock()
}

// sever ends all connections, and lets none be made until restore.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for conn := range maps.Keys(w.conns) {
		_ = conn.Close()
	}
}

// hold keeps back all bytes until restore, and tells nobody.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = make(chan struct{})
}

// slow has each KiB take so long.
func (w *wire) slow(pace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace = pace
}

func (w *wire) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
	select {
	case <-w.held:
	default:
		close(w.held)
	}
}

// through returns a database's URL by way of a wire.
func through(t testing.TB, text string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(text)
	check(t, err)
	w := newWire(t, u.Host)
	u.Host = w.addr
	return w, u.String()
}
