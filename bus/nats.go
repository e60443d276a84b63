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
	// maxMessage is how many bytes one NATS message carries, if the server allows
	// as many. A longer message is not from a node.
	maxMessage = 256 << 10

	// publishInterval is the least time between two sends.
	publishInterval = time.Millisecond

	// dialTimeout is how long a connection to a NATS server may take.
	dialTimeout = time.Second
)

var (
	errDisconnected = errors.New("not connected")
	errClosed       = errors.New("connection closed")
	errNoEcho       = errors.New("what is published does not come back")
	errTooLong      = errors.New("too long")
)

// subject returns the NATS subject that the nodes of a cluster use.
func subject(cluster string) string {
	digest := sha256.Sum256([]byte(cluster))
	return "hubbub." + hex.EncodeToString(digest[:8])
}

// sendToNATS sends NATS's queue until ctx ends or the queue is closed. What
// cannot be sent goes to PostgreSQL's queue.
func (b *Bus) sendToNATS(ctx context.Context) {
	b.sendQueue(ctx, b.natsQueue, publishInterval, func(waiting batch) time.Duration {
		if err := b.publishBatch(ctx, waiting); err != nil {
			b.leaveNATS(waiting, err)
		}
		return 0
	})
}

// publishBatch publishes a batch and returns when the server has confirmed that
// it has all of it. Sending more before that gains nothing.
func (b *Bus) publishBatch(ctx context.Context, waiting batch) error {
	b.mu.Lock()
	nc := b.natsConn
	b.mu.Unlock()
	if nc == nil {
		return errDisconnected
	}
	for _, text := range b.encode(waiting, min(maxMessage, int(nc.MaxPayload()))) {
		if err := nc.Publish(b.natsSubject, text); err != nil {
			return err
		}
	}
	timeout, cancel := context.WithTimeout(ctx, b.serverTimeout)
	defer cancel()
	return nc.FlushWithContext(timeout)
}

// maintainNATS keeps the node on NATS while that is possible, until ctx ends.
func (b *Bus) maintainNATS(ctx context.Context) {
	for {
		err := b.connectNATS(ctx)
		if ctx.Err() != nil {
			return
		}
		b.leaveNATS(batch{}, err)
		sleep(ctx, b.checkInterval)
	}
}

// connectNATS connects and stays connected until ctx ends. It fails where the
// library does not reconnect by itself: if the first attempt fails, or the
// connection is closed for good.
func (b *Bus) connectNATS(ctx context.Context) error {
	changed, closed := newSignal(), newSignal()
	nc, err := nats.Connect(b.natsServers,
		nats.Name("hubbub"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.Timeout(dialTimeout), nats.SetCustomDialer(dialer{ctx}), nats.SkipHostLookup(),
		nats.CustomReconnectDelay(backoff),
		nats.ReconnectBufSize(-1), // no buffer, because what cannot be sent now goes to PostgreSQL
		nats.PingInterval(b.pingInterval), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { changed.send() }),
		nats.ReconnectHandler(func(*nats.Conn) { changed.send() }),
		nats.ClosedHandler(func(*nats.Conn) { changed.send(); closed.send() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.warn("NATS reports an error", err) }),
	)
	if err != nil {
		return err
	}
	defer func() {
		nc.Close()
		<-closed
	}()
	subscription, err := nc.SubscribeSync(b.natsSubject)
	if err != nil {
		return err
	}
	b.setNATSConn(nc, changed)
	defer b.setNATSConn(nil, nil)

	ctx, cancel := context.WithCancel(ctx)
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer cancel()
	echoes := make(chan []byte, 16)
	receiving.Go(func() { b.receiveFromNATS(ctx, subscription, echoes) })

	for connection := uint64(0); ; {
		current := nc.Stats().Reconnects
		switch {
		case nc.IsClosed():
			return errClosed
		case !nc.IsConnected() || connection != current:
			b.leaveNATS(batch{}, errDisconnected)
		}
		connection = current
		var retry <-chan time.Time
		if nc.IsConnected() && !b.isOnNATS() {
			if err := b.testEcho(ctx, nc, echoes); err != nil {
				b.leaveNATS(batch{}, err)
				retry = time.After(b.checkInterval)
			} else if nc.Stats().Reconnects == connection {
				b.joinNATS()
			}
		}
		select {
		case <-changed:
		case <-retry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setNATSConn sets the connection to publish on, and the signal to send if that
// fails.
func (b *Bus) setNATSConn(nc *nats.Conn, failed signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.natsConn, b.connFailed = nc, failed
}

// receiveFromNATS handles messages until ctx ends or the connection is closed.
// It passes this node's own messages to echoes, if there is room.
func (b *Bus) receiveFromNATS(ctx context.Context, subscription *nats.Subscription, echoes chan<- []byte) {
	for {
		message, err := subscription.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer):
			b.missed()
		case err != nil:
			return
		case bytes.HasPrefix(message.Data, b.ownPrefix):
			select {
			case echoes <- message.Data:
			default:
			}
		case len(message.Data) > maxMessage:
			b.warn("what came from NATS is no notice", errTooLong)
		default:
			b.handle(message.Data)
		}
	}
}

// testEcho publishes a random message and waits until it comes back. Then the
// subscription is in force, and the server permits both to publish and to
// receive.
func (b *Bus) testEcho(ctx context.Context, nc *nats.Conn, echoes <-chan []byte) error {
	sent := append(bytes.Clone(b.ownPrefix), `,"echo":"`+rand.Text()+`"}`...)
	if err := nc.Publish(b.natsSubject, sent); err != nil {
		return err
	}
	timeout := time.NewTimer(b.serverTimeout)
	defer timeout.Stop()
	for {
		select {
		case received := <-echoes:
			if bytes.Equal(received, sent) {
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

// joinNATS makes the node publish to NATS.
func (b *Bus) joinNATS() {
	b.mu.Lock()
	b.onNATS = true
	again := b.natsFailing
	b.natsFailing = false
	b.mu.Unlock()
	if again {
		b.log.Info("notices to other nodes are sent through NATS")
	}
	b.missed() // others may have published before the node was subscribed
}

// leaveNATS makes the node publish to PostgreSQL only. It moves unsent, a batch
// that NATS has not confirmed, and NATS's queue to PostgreSQL's queue.
func (b *Bus) leaveNATS(unsent batch, err error) {
	b.mu.Lock()
	left := b.onNATS
	fromNATS, fromPostgres := b.natsQueue.take(), b.postgresQueue.take()
	unsent.add(fromNATS.envelope(b.node))
	unsent.add(fromPostgres.envelope(b.node))
	if left {
		b.onNATS, b.natsOnly = false, false
		unsent.OffNATS = true
		b.connFailed.send()
	}
	b.postgresQueue.add(unsent.envelope(b.node))
	first := !b.natsFailing && !b.closed
	b.natsFailing = true
	b.mu.Unlock()
	if first {
		b.log.Warn("NATS is away: notices to other nodes are sent through the database only", "error", err)
	}
	if left {
		b.missed() // others have published to NATS without knowing that this node had left
	}
}

// dialer makes connections until ctx ends.
type dialer struct{ ctx context.Context }

// Dial connects to a server.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(d.ctx, network, address)
}
