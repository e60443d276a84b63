package bus

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// maxPayload is how many bytes one NOTIFY carries. PostgreSQL takes less than
	// 8000.
	maxPayload = 7999

	// notifyInterval is the least time between two sends, because each takes a
	// lock that the whole server shares: see sendToPostgres.
	notifyInterval = 5 * time.Millisecond
)

// parseDatabase parses the address of the database.
func parseDatabase(text string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(text)
	if err != nil {
		// The parser's error may contain a part of a password.
		return nil, errors.New("database: not an address such as postgres://user:password@host/name, or one with a setting that is wrong")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "hubbub bus"
	}
	return config, nil
}

// closeConn closes a connection and gives the server a second to answer.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the connection is closed even if this fails
}

// sendToPostgres sends PostgreSQL's queue until ctx ends or the queue is closed.
//
// It uses a connection of its own, and its transactions write nothing, because
// PostgreSQL commits transactions with a NOTIFY one at a time, over all its
// databases. A transaction that had written something would make the others
// wait for the disk.
func (b *Bus) sendToPostgres(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			closeConn(conn)
		}
	}()
	attempts := 0
	send := func(texts [][]byte) error {
		fresh := conn == nil
		for {
			err := b.notify(ctx, &conn, texts)
			if err == nil || fresh || ctx.Err() != nil {
				return err
			}
			fresh = true // the server may have been away since the last send
		}
	}
	b.sendQueue(ctx, b.postgresQueue, notifyInterval, func(waiting batch) time.Duration {
		err := send(b.encode(waiting, maxPayload))
		if err != nil {
			b.notifyFailed(waiting, err)
			attempts++
			return backoff(attempts)
		}
		attempts = 0
		b.notifySucceeded()
		return 0
	})
}

// notify sends texts on *conn, which it connects if it is nil. It closes a
// connection that fails and sets *conn to nil.
func (b *Bus) notify(ctx context.Context, conn **pgx.Conn, texts [][]byte) (err error) {
	if *conn == nil {
		if *conn, err = pgx.ConnectConfig(ctx, b.database); err != nil {
			*conn = nil
			return err
		}
	}
	payloads := make([]string, len(texts))
	for i, text := range texts {
		payloads[i] = string(text)
	}
	ctx, cancel := context.WithTimeout(ctx, b.serverTimeout)
	defer cancel()
	_, err = (*conn).Exec(ctx, "SELECT pg_notify('hubbub', payload) FROM unnest($1::text[]) AS payload", payloads)
	if err != nil {
		closeConn(*conn)
		*conn = nil
	}
	return err
}

// notifyFailed puts a batch that PostgreSQL has not taken back into the queue,
// without what will not be true any more.
func (b *Bus) notifyFailed(unsent batch, err error) {
	b.mu.Lock()
	unsent.add(b.postgresQueue.waiting.envelope(b.node))
	unsent.dropTransient()
	b.postgresQueue.waiting = unsent
	first := !b.notifyFailing
	b.notifyFailing = true
	b.mu.Unlock()
	if first {
		b.log.Warn("notices to other nodes cannot be sent through the database", "error", err)
	}
}

// notifySucceeded records that PostgreSQL has taken a batch.
func (b *Bus) notifySucceeded() {
	b.mu.Lock()
	again := b.notifyFailing
	b.notifyFailing = false
	b.mu.Unlock()
	if again {
		b.log.Info("notices to other nodes are sent through the database again")
		b.missed() // so that the listener publishes the presence that was dropped
	}
}

// listenToPostgres receives PostgreSQL's notifications until ctx ends. It
// reconnects when the connection fails.
func (b *Bus) listenToPostgres(ctx context.Context) {
	attempts := 0
	for {
		err := b.listenOnce(ctx, func() {
			if attempts > 0 {
				b.log.Info("notices of other nodes are received through the database again")
			}
			attempts = 0
		})
		b.setListening(false)
		if ctx.Err() != nil {
			return
		}
		if attempts == 0 {
			b.log.Warn("notices of other nodes cannot be received through the database", "error", err)
		}
		attempts++
		sleep(ctx, backoff(attempts))
	}
}

// listenOnce receives notifications until its connection fails or ctx ends, and
// returns why. It calls connected once it listens.
func (b *Bus) listenOnce(ctx context.Context, connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	timeout, cancel := context.WithTimeout(ctx, b.serverTimeout)
	defer cancel()
	if _, err := conn.Exec(timeout, "LISTEN hubbub"); err != nil {
		return err
	}
	connected()
	b.setListening(true)
	b.missed()
	b.announceOffNATS(true)
	for {
		if err := b.receiveAndPing(ctx, conn); err != nil {
			return err
		}
		b.announceOffNATS(false)
	}
}

// setListening records whether notifications are received. While they are not,
// and for a time after, another node may be off NATS without this node's
// knowing.
func (b *Bus) setListening(listening bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listening = listening
	if listening {
		b.othersOffNATSUntil = time.Now().Add(b.offNATSDuration())
	}
}

// receiveAndPing receives notifications for one checkInterval. Then it pings the
// server, because waiting alone does not detect a dead connection.
func (b *Bus) receiveAndPing(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, b.checkInterval)
	defer cancel()
	for {
		notification, err := conn.WaitForNotification(waiting)
		if notification != nil {
			b.handle([]byte(notification.Payload))
		}
		if err == nil {
			continue
		}
		// The timeout leaves the connection usable, even in the middle of a
		// notification.
		if waiting.Err() == nil || conn.IsClosed() {
			return err
		}
		break
	}
	timeout, cancel := context.WithTimeout(ctx, b.serverTimeout)
	defer cancel()
	return conn.Ping(timeout)
}
