package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxMessage is the length in bytes of what one NATS message carries, if the
	// server allows it. Longer ones are none of ours.
	maxMessage = 256 << 10

	// publishPace is the least time between two sends.
	publishPace = time.Millisecond

	// dialTime is how long a NATS server may take to answer.
	dialTime = time.Second
)

var (
	errAway    = errors.New("not connected")
	errClosed  = errors.New("connection closed")
	errNoEcho  = errors.New("what is published does not come back")
	errTooLong = errors.New("too long")
)

// subject is where the nodes of a cluster meet on NATS.
func subject(cluster string) string {
	digest := sha256.Sum256([]byte(cluster))
	return "hubbub." + hex.EncodeToString(digest[:8])
}

// publish sends what NATS is to carry until ctx ends or all is sent. What NATS
// does not take goes over PostgreSQL.
func (b *Bus) publish(ctx context.Context) {
	b.carry(ctx, b.nats, publishPace, func(d draft) time.Duration {
		if err := b.publishAll(ctx, d); err != nil {
			b.leaveNATS(d, err)
		}
		return 0
	})
}

// publishAll returns when the server has confirmed that it has all. Until then
// there is nothing to be had from sending more.
func (b *Bus) publishAll(ctx context.Context, d draft) error {
	b.mu.Lock()
	nc := b.conn
	b.mu.Unlock()
	if nc == nil {
		return errAway
	}
	for _, text := range b.write(d, min(maxMessage, int(nc.MaxPayload()))) {
		if err := nc.Publish(b.subject, text); err != nil {
			return err
		}
	}
	confirmed, cancel := context.WithTimeout(ctx, b.answer)
	defer cancel()
	return nc.FlushWithContext(confirmed)
}

// tend keeps the node on NATS where it can until ctx ends.
func (b *Bus) tend(ctx context.Context) {
	for {
		err := b.connectNATS(ctx)
		if ctx.Err() != nil {
			return
		}
		b.leaveNATS(draft{}, err)
		pause(ctx, b.beat)
	}
}

// connectNATS connects and keeps connected until ctx ends. It fails where the
// library does not try again by itself: if nobody answers at first, or the
// connection is closed for good.
func (b *Bus) connectNATS(ctx context.Context) error {
	changed, closed := newBell(), newBell()
	nc, err := nats.Connect(b.servers,
		nats.Name("hubbub"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.Timeout(dialTime), nats.SetCustomDialer(dialer{ctx}), nats.SkipHostLookup(),
		nats.CustomReconnectDelay(backoff),
		nats.ReconnectBufSize(-1), // what cannot be sent now goes another way
		nats.PingInterval(b.ping), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { changed.ring() }),
		nats.ReconnectHandler(func(*nats.Conn) { changed.ring() }),
		nats.ClosedHandler(func(*nats.Conn) { changed.ring(); closed.ring() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.wonder("NATS complains", err) }),
	)
	if err != nil {
		return err
	}
	defer func() {
		nc.Close()
		<-closed
	}()
	subscription, err := nc.SubscribeSync(b.subject)
	if err != nil {
		return err
	}
	b.setConn(nc, changed)
	defer b.setConn(nil, nil)

	ctx, cancel := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	defer hearing.Wait()
	defer cancel()
	echoes := make(chan []byte, 16)
	hearing.Go(func() { b.subscribe(ctx, subscription, echoes) })

	for connection := uint64(0); ; {
		now := nc.Stats().Reconnects
		switch {
		case nc.IsClosed():
			return errClosed
		case !nc.IsConnected() || connection != now:
			b.leaveNATS(draft{}, errAway)
		}
		connection = now
		var again <-chan time.Time
		if nc.IsConnected() && !b.isOnNATS() {
			if err := b.echo(ctx, nc, echoes); err != nil {
				b.leaveNATS(draft{}, err)
				again = time.After(b.beat)
			} else if nc.Stats().Reconnects == connection {
				b.enterNATS()
			}
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setConn notes the connection to publish on, and what to ring if that fails.
func (b *Bus) setConn(nc *nats.Conn, failed bell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn, b.connFailed = nc, failed
}

// subscribe hears NATS until ctx ends or the connection is closed. What this
// node has published itself it gives to echoes, if there is room.
func (b *Bus) subscribe(ctx context.Context, subscription *nats.Subscription, echoes chan<- []byte) {
	for {
		message, err := subscription.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer):
			b.missed()
		case err != nil:
			return
		case bytes.HasPrefix(message.Data, b.own):
			select {
			case echoes <- message.Data:
			default:
			}
		case len(message.Data) > maxMessage:
			b.wonder("what came from NATS is no notice", errTooLong)
		default:
			b.hear(message.Data)
		}
	}
}

// echo publishes a word and waits until it comes back: then the subscription is
// in force, and nothing forbids to publish or to hear.
func (b *Bus) echo(ctx context.Context, nc *nats.Conn, echoes <-chan []byte) error {
	word := append(bytes.Clone(b.own), `,"echo":"`+rand.Text()+`"}`...)
	if err := nc.Publish(b.subject, word); err != nil {
		return err
	}
	timeout := time.NewTimer(b.answer)
	defer timeout.Stop()
	for {
		select {
		case heard := <-echoes:
			if bytes.Equal(heard, word) {
				return nil
			}
		case <-timeout.C:
			return errNoEcho
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Bus) isOnNATS() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.onNATS
}

// enterNATS has what is told go over NATS.
func (b *Bus) enterNATS() {
	b.mu.Lock()
	b.onNATS = true
	again := b.natsAway
	b.natsAway = false
	b.mu.Unlock()
	if again {
		b.log.Info("other nodes are told through NATS")
	}
	b.missed() // what was published while the node was not subscribed
}

// leaveNATS has what is told go over PostgreSQL, first of all a draft that was
// to be published and what waits behind it.
func (b *Bus) leaveNATS(d draft, err error) {
	b.mu.Lock()
	left := b.onNATS
	behind, others := b.nats.take(), b.postgres.take()
	d.add(behind.letter(b.node))
	d.add(others.letter(b.node))
	if left {
		b.onNATS, b.alone = false, false
		d.Deaf = true
		b.connFailed.ring()
	}
	b.postgres.add(d.letter(b.node))
	first := !b.natsAway && !b.closed
	b.natsAway = true
	b.mu.Unlock()
	if first {
		b.log.Warn("other nodes are told through the database alone: NATS is away", "error", err)
	}
	if left {
		b.missed() // what was published while nobody knew of it
	}
}

// dialer has connections made until ctx ends.
type dialer struct{ ctx context.Context }

// Dial connects to a server.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTime}).DialContext(d.ctx, network, address)
}
