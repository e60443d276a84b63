// Package bus carries notices between the nodes of one database: over
// PostgreSQL's LISTEN and NOTIFY, or over NATS where there is one. What is true
// is in the database. A notice only says where to look, so notices may come
// twice, late or in another order, and one that is lost is made up for by
// Listener.Missed and by looking at the database now and then.
//
// Every node listens to PostgreSQL. A node that is on NATS tells only NATS,
// unless it has heard of a node that is deaf, which is one that is not on NATS:
// then it tells both for a while.
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

// wonderTime is the least time between two words in the log on what is none of ours.
const wonderTime = time.Minute

// patience is how long a bus waits for what. Tests have less of it.
type patience struct {
	// beat is how often the connections are looked after, and how often a deaf
	// node says so.
	beat time.Duration

	// answer is how long a server may take for what takes it no time.
	answer time.Duration

	// ping is how often a NATS server is asked whether it is there. It may leave
	// two such questions unanswered.
	ping time.Duration

	// closing is how long Close goes on sending.
	closing time.Duration
}

// deaf is how long a node that has said that it is deaf is told through
// PostgreSQL as well.
func (p patience) deaf() time.Duration { return 3 * p.beat }

// Options are what a Bus needs.
type Options struct {
	// Database is the address of the database, as pgx takes it: a URL such as
	// postgres://hubbub@a,b/hubbub. What it leaves out comes from libpq's
	// environment variables and files.
	Database string

	// NATS is the URLs of NATS servers, such as "nats://a,nats://b:4222", or
	// "nats://a,b", or "" for none.
	NATS string

	// Cluster tells this database from others that use the same NATS. All nodes
	// of the database have the same, and it does not change. It may be "" where
	// there is no NATS.
	Cluster string

	Log *slog.Logger
}

// Listener hears what other nodes tell. It is called for one thing at a time
// and waits for nothing.
type Listener interface {
	// Heard takes what another node has told.
	Heard(n Notice)

	// Missed says that notices may be lost, of this node or of others: look at
	// everything, tell all presence, ask for that of others. It comes at the
	// start too, and more often than needed.
	Missed()
}

// Bus carries notices between the nodes of one database.
type Bus struct {
	patience
	database *pgx.ConnConfig
	servers  string // of NATS
	subject  string // of NATS
	log      *slog.Logger

	node   string
	own    []byte // how the texts of this node begin
	cancel context.CancelFunc
	work   sync.WaitGroup // all goroutines

	hearing  sync.Mutex // held while the listener is called
	listener Listener

	mu      sync.Mutex
	number  int64 // of the last notice
	started bool
	closed  bool

	postgres  *line
	silent    bool      // PostgreSQL does not take what is told
	listening bool      // and here is what it says
	deafUntil time.Time // till when others may be deaf
	othersOn  bool      // others may be on NATS

	nats       *line      // nil where there is none
	conn       *nats.Conn // nil unless there is one
	connFailed bell       // wakes what tends conn
	onNATS     bool       // the node tells and hears through NATS
	alone      bool       // and what it told last went nowhere else
	natsAway   bool       // it is not, and the log says so

	wondered time.Time // when the log was last told of something odd
}

// Open returns a bus that connects to nothing yet. It fails for a URL that can
// never work; the error does not hold it, for there may be a password in it.
func Open(options Options) (*Bus, error) {
	return open(options, patience{beat: 2 * time.Second, answer: 3 * time.Second, ping: time.Second, closing: 2 * time.Second})
}

func open(options Options, p patience) (*Bus, error) {
	database, err := parseDatabase(options.Database)
	if err != nil {
		return nil, err
	}
	if database.ConnectTimeout == 0 {
		database.ConnectTimeout = p.answer // for each of its hosts
	}
	servers, err := parseServers(options.NATS)
	if err != nil {
		return nil, err
	}
	if servers != "" && options.Cluster == "" {
		return nil, errors.New("NATS: what tells this database from others is missing")
	}
	b := &Bus{
		patience: p, database: database, servers: servers, subject: subject(options.Cluster), log: options.Log,
		node: rand.Text(),
	}
	if b.own, err = json.Marshal(Notice{Node: b.node}); err != nil {
		return nil, err
	}
	b.own = bytes.TrimSuffix(b.own, []byte("}"))
	b.postgres = newLine()
	if servers != "" {
		b.nats = newLine()
	}
	return b, nil
}

// Listen starts to carry notices, and has the listener hear those of other
// nodes. It is called once. Servers that are away are tried again and again.
func (b *Bus) Listen(l Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	b.mu.Lock()
	b.listener, b.cancel, b.started = l, cancel, true
	b.mu.Unlock()
	b.work.Go(func() { b.notify(ctx) })
	b.work.Go(func() { b.listen(ctx) })
	if b.nats != nil {
		b.work.Go(func() { b.publish(ctx) })
		b.work.Go(func() { b.tend(ctx) })
	}
}

// Tell tells the other nodes, and waits for nothing. What cannot be sent now
// waits, but for presence and moments: when the others can be told again, the
// listener's Missed is called. After Close nothing is told.
func (b *Bus) Tell(n Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.tell(n)
	}
}

// tell is Tell under the lock.
func (b *Bus) tell(n Notice) {
	b.number++
	n.Number = b.number
	l := letter{Notice: n}
	if b.onNATS {
		b.nats.add(l)
	}
	alone := b.onNATS && b.listening && !time.Now().Before(b.deafUntil)
	switch {
	case !alone:
		b.postgres.add(l)
	case !b.alone:
		b.postgres.add(letter{signs: signs{NATS: true}})
	}
	b.alone = alone
}

// Close sends what waits and says goodbye, for two seconds at most or until ctx
// ends, and ends all that Listen began. It fails if not all could be sent.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closed || !b.started {
		b.closed = true
		b.mu.Unlock()
		return nil
	}
	b.tell(Notice{Bye: true})
	b.closed = true
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, b.closing)
	defer cancel()
	var err error
	if b.nats != nil {
		err = b.finish(ctx, b.nats) // what it cannot send is left to PostgreSQL
	}
	err = errors.Join(err, b.finish(ctx, b.postgres))
	b.cancel()
	b.work.Wait()
	if err != nil {
		return fmt.Errorf("the other nodes were not told all: %w", err)
	}
	return nil
}

// hear takes what came from a server.
func (b *Bus) hear(text []byte) {
	if bytes.HasPrefix(text, b.own) {
		return
	}
	l, err := read(text)
	if err != nil {
		b.wonder("what came from the bus is no notice", err)
		return
	}
	if l.Node == b.node {
		return
	}
	if b.heed(l.signs) {
		b.missed()
	}
	if l.says() {
		b.hearing.Lock()
		defer b.hearing.Unlock()
		b.listener.Heard(l.Notice)
	}
}

// heed does what another node's bus asks for. It reports whether this node may
// have missed something.
func (b *Bus) heed(s signs) (missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.Deaf {
		if b.alone {
			b.postgres.add(letter{signs: signs{NATS: true}})
			b.alone = false
		}
		b.deafUntil = time.Now().Add(b.deaf())
	}
	if s.NATS {
		b.othersOn = true
		if !b.onNATS {
			b.postgres.add(letter{signs: signs{Deaf: true}})
			missed = true
		}
	}
	return missed || s.Unsure
}

// sayDeaf says that this node hears only PostgreSQL, if that is so and anyone
// may have to know.
func (b *Bus) sayDeaf(anyone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.onNATS && (anyone || b.nats != nil || b.othersOn) {
		b.postgres.add(letter{signs: signs{Deaf: true}})
	}
}

func (b *Bus) missed() {
	b.hearing.Lock()
	defer b.hearing.Unlock()
	b.listener.Missed()
}

// wonder logs what ought not to be, but not again and again: others may have
// put it there.
func (b *Bus) wonder(what string, err error) {
	b.mu.Lock()
	now := time.Now()
	quiet := now.Sub(b.wondered) < wonderTime
	if !quiet {
		b.wondered = now
	}
	b.mu.Unlock()
	if !quiet {
		b.log.Warn(what, "error", err)
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

// backoff is how long to wait before a server is tried again, after so many
// attempts: 100 milliseconds at first, doubling to two seconds, and less by up to
// a half, by chance, so that the nodes do not all come at once.
func backoff(attempts int) time.Duration {
	most := min(100*time.Millisecond<<min(max(attempts-1, 0), 5), 2*time.Second)
	return most - mathrand.N(most/2)
}

// pause waits, or returns when ctx ends.
func pause(ctx context.Context, d time.Duration) {
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
