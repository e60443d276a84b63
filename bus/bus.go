// Package bus carries notices between the nodes of one database, over
// PostgreSQL's LISTEN and NOTIFY or over NATS if there is one.
//
// The database holds the truth. A notice only says where to look, so a notice
// may come twice, late or out of order. A lost one is made up for by
// Listener.Missed, and by reading the database now and then.
//
// Every node listens to PostgreSQL. A node is on NATS while it both publishes
// and receives there. A node on NATS publishes to NATS only, unless another
// node has said lately that it is off NATS: then it publishes to both.
package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// warnInterval is the least time between two warnings about input that is not
// from a node.
const warnInterval = time.Minute

// timing is how often a bus does things and how long it waits for them. Tests
// use shorter times.
type timing struct {
	// checkInterval is how often connections are checked, and how often a node
	// that is off NATS says so.
	checkInterval time.Duration

	// serverTimeout is how long a server may take to answer a trivial request.
	serverTimeout time.Duration

	// pingInterval is how often a NATS server is pinged. The connection is given
	// up after two pings without an answer.
	pingInterval time.Duration

	// closeTimeout is how long Close goes on sending.
	closeTimeout time.Duration
}

// offNATSDuration is how long after another node has said that it is off NATS
// this node publishes to PostgreSQL too.
func (t timing) offNATSDuration() time.Duration { return 3 * t.checkInterval }

// Options configure a Bus.
type Options struct {
	// Database is the address of the database, as pgx takes it: a URL such as
	// postgres://hubbub@a,b/hubbub. What it leaves out comes from libpq's
	// environment variables and files.
	Database string

	// NATS is the URLs of NATS servers, such as "nats://a,nats://b:4222" or
	// "nats://a,b". It is "" if there are none.
	NATS string

	// Cluster identifies this database among others that use the same NATS. It is
	// the same at all nodes of the database and does not change. It may be "" if
	// there is no NATS.
	Cluster string

	Log *slog.Logger
}

// Listener receives what other nodes publish. The bus makes one call at a time.
// The methods do not block, because nothing is received meanwhile.
type Listener interface {
	// Receive is called with each notice of another node.
	Receive(n Notice)

	// Missed is called when notices may be lost, of this node or of others. The
	// listener then reads everything, publishes all its presence and asks for
	// that of the others. Missed is also called at the start, and more often than
	// necessary.
	Missed()
}

// Bus carries notices between the nodes of one database.
type Bus struct {
	timing
	database    *pgx.ConnConfig
	natsServers string
	natsSubject string
	log         *slog.Logger

	node      string
	ownPrefix []byte // the first bytes of all that this node sends
	cancel    context.CancelFunc
	work      sync.WaitGroup // all goroutines

	listenerMu sync.Mutex // held while the listener is called
	listener   Listener

	mu         sync.Mutex
	lastNumber int64 // of the notices published
	started    bool
	closed     bool

	postgresQueue *queue
	notifyFailing bool // the last NOTIFY failed
	listening     bool // PostgreSQL's notifications are received

	natsQueue   *queue     // nil if there is no NATS
	natsConn    *nats.Conn // nil while there is none
	connFailed  signal     // wakes the goroutine that maintains natsConn
	onNATS      bool       // the node publishes and receives through NATS
	natsOnly    bool       // the last notice was published to NATS only
	natsFailing bool       // the log says that NATS is away

	othersOnNATS       bool      // another node has been on NATS
	othersOffNATSUntil time.Time // until then another node may be off NATS

	lastWarned time.Time
}

// Open returns a bus that connects to nothing yet. It fails for a URL that can
// never work. The error does not contain the URL, because there may be a
// password in it.
func Open(options Options) (*Bus, error) {
	return open(options, timing{
		checkInterval: 2 * time.Second, serverTimeout: 3 * time.Second, pingInterval: time.Second, closeTimeout: 2 * time.Second,
	})
}

func open(options Options, t timing) (*Bus, error) {
	database, err := parseDatabase(options.Database)
	if err != nil {
		return nil, err
	}
	if database.ConnectTimeout == 0 {
		database.ConnectTimeout = t.serverTimeout // for each of its hosts
	}
	servers, err := parseServers(options.NATS)
	if err != nil {
		return nil, err
	}
	if servers != "" && options.Cluster == "" {
		return nil, errors.New("NATS: the name of the cluster is missing")
	}
	b := &Bus{
		timing: t, database: database, natsServers: servers, natsSubject: subject(options.Cluster), log: options.Log,
		node: rand.Text(), postgresQueue: newQueue(),
	}
	if servers != "" {
		b.natsQueue = newQueue()
	}
	if b.ownPrefix, err = json.Marshal(Notice{Node: b.node}); err != nil {
		return nil, err
	}
	b.ownPrefix = bytes.TrimSuffix(b.ownPrefix, []byte("}"))
	return b, nil
}

// Listen starts to carry notices, and calls l with those of other nodes. It is
// called once. The bus keeps trying to connect to servers that are away.
func (b *Bus) Listen(l Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	b.listener, b.cancel, b.started = l, cancel, true
	b.mu.Unlock()
	b.work.Go(func() { b.sendToPostgres(ctx) })
	b.work.Go(func() { b.listenToPostgres(ctx) })
	if b.natsQueue != nil {
		b.work.Go(func() { b.sendToNATS(ctx) })
		b.work.Go(func() { b.maintainNATS(ctx) })
	}
}

// Publish sends a notice to the other nodes. It does not block: a notice that
// cannot be sent now is queued. Presence and moments are not kept if sending
// fails. The listener's Missed is called once sending works again. After Close,
// Publish does nothing.
func (b *Bus) Publish(n Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.enqueue(n)
	}
}

// enqueue adds a notice to the queues it has to go through. The caller holds
// b.mu.
func (b *Bus) enqueue(n Notice) {
	b.lastNumber++
	n.Number = b.lastNumber
	e := envelope{Notice: n}
	if b.onNATS {
		b.natsQueue.add(e)
	}
	natsOnly := b.onNATS && b.listening && !time.Now().Before(b.othersOffNATSUntil)
	switch {
	case !natsOnly:
		b.postgresQueue.add(e)
	case !b.natsOnly:
		b.postgresQueue.add(envelope{control: control{NATSOnly: true}})
	}
	b.natsOnly = natsOnly
}

// Close sends what is queued and a last notice with Bye, and ends all that
// Listen has started. It sends for two seconds at most, or until ctx ends, and
// fails if not all could be sent.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closed || !b.started {
		b.closed = true
		b.mu.Unlock()
		return nil
	}
	b.enqueue(Notice{Bye: true})
	b.closed = true
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, b.closeTimeout)
	defer cancel()
	var err error
	if b.natsQueue != nil {
		// First, because what NATS does not take goes to PostgreSQL's queue.
		err = b.closeQueue(ctx, b.natsQueue)
	}
	err = errors.Join(err, b.closeQueue(ctx, b.postgresQueue))
	b.cancel()
	b.work.Wait()
	if err != nil {
		return fmt.Errorf("not all could be sent to the other nodes: %w", err)
	}
	return nil
}

// handle processes what came from a server.
func (b *Bus) handle(text []byte) {
	if bytes.HasPrefix(text, b.ownPrefix) {
		return
	}
	e, err := decode(text)
	if err != nil {
		b.warn("what came from the bus is no notice", err)
		return
	}
	if e.Node == b.node {
		return
	}
	if b.handleControl(e.control) {
		b.missed()
	}
	if !e.Notice.empty() {
		b.listenerMu.Lock()
		defer b.listenerMu.Unlock()
		b.listener.Receive(e.Notice)
	}
}

// handleControl processes what another node's bus says about itself. It reports
// whether this node may have missed notices.
func (b *Bus) handleControl(c control) (missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.OffNATS {
		if b.natsOnly {
			b.postgresQueue.add(envelope{control: control{NATSOnly: true}})
			b.natsOnly = false
		}
		b.othersOffNATSUntil = time.Now().Add(b.offNATSDuration())
	}
	if c.NATSOnly {
		b.othersOnNATS = true
		if !b.onNATS {
			b.postgresQueue.add(envelope{control: control{OffNATS: true}})
			missed = true
		}
	}
	return missed || c.Dropped
}

// announceOffNATS sends that this node is off NATS, if it is. Unless always is
// set, it sends that only if another node may be on NATS.
func (b *Bus) announceOffNATS(always bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.onNATS && (always || b.natsQueue != nil || b.othersOnNATS) {
		b.postgresQueue.add(envelope{control: control{OffNATS: true}})
	}
}

// missed calls the listener's Missed.
func (b *Bus) missed() {
	b.listenerMu.Lock()
	defer b.listenerMu.Unlock()
	b.listener.Missed()
}

// warn logs a warning unless it has logged one within warnInterval, because
// whoever has access to a server could fill the log otherwise.
func (b *Bus) warn(message string, err error) {
	b.mu.Lock()
	now := time.Now()
	due := now.Sub(b.lastWarned) >= warnInterval
	if due {
		b.lastWarned = now
	}
	b.mu.Unlock()
	if due {
		b.log.Warn(message, "error", err)
	}
}

// parseServers checks the URLs of NATS servers.
func parseServers(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	for server := range strings.SplitSeq(text, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" {
			return "", errors.New("NATS: not a URL such as nats://host:4222, or several with commas between")
		}
		if u.Scheme != "nats" && u.Scheme != "tls" {
			return "", errors.New("NATS: the URLs begin with nats:// or tls://")
		}
	}
	return text, nil
}

// backoff returns how long to wait before a server is tried again after a number
// of failed attempts. The longest wait is 100 milliseconds at first and doubles
// up to two seconds. The wait is shorter by up to a half, at random, so that the
// nodes do not all come at once.
func backoff(attempts int) time.Duration {
	most := min(100*time.Millisecond<<min(max(attempts-1, 0), 5), 2*time.Second)
	return most - mathrand.N(most/2)
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
