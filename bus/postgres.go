package bus

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// maxPayload is the length in bytes of what one NOTIFY carries: less than
	// 8000.
	maxPayload = 7999

	// notifyPace is the least time between two sends: each takes a lock that
	// PostgreSQL has one of, see notify.
	notifyPace = 5 * time.Millisecond
)

// parseDatabase reads the address of the database.
func parseDatabase(text string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(text)
	if err != nil {
		// The parser's own words may hold a piece of a password.
		return nil, errors.New("database: not an address such as postgres://user:password@host/name, or one with a setting that is wrong")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "hubbub bus"
	}
	return config, nil
}

// hangUp closes a connection.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // politeness: it is closed in any case
}

// notify sends what PostgreSQL is to carry until ctx ends or all is sent.
//
// It has a connection of its own, and its transactions write nothing: of all
// transactions with a NOTIFY, in all its databases, PostgreSQL has one commit at
// a time. One that had written something would have the others wait until the
// disk has it.
func (b *Bus) notify(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			hangUp(conn)
		}
	}()
	attempts := 0
	send := func(texts [][]byte) error {
		fresh := conn == nil
		for {
			err := b.notifyOn(ctx, &conn, texts)
			if err == nil || fresh || ctx.Err() != nil {
				return err
			}
			fresh = true // the server may have been away since the last send
		}
	}
	b.carry(ctx, b.postgres, notifyPace, func(d draft) time.Duration {
		err := send(b.write(d, maxPayload))
		if err != nil {
			b.keep(d, err)
			attempts++
			return backoff(attempts)
		}
		attempts = 0
		b.sent()
		return 0
	})
}

// notifyOn sends texts on a connection, which it makes if there is none. A
// connection that fails is closed.
func (b *Bus) notifyOn(ctx context.Context, conn **pgx.Conn, texts [][]byte) (err error) {
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
	ctx, cancel := context.WithTimeout(ctx, b.answer)
	defer cancel()
	_, err = (*conn).Exec(ctx, "SELECT pg_notify('hubbub', payload) FROM unnest($1::text[]) AS payload", payloads)
	if err != nil {
		hangUp(*conn)
		*conn = nil
	}
	return err
}

// keep has a draft wait that PostgreSQL has not taken, but for what will not be
// true any more.
func (b *Bus) keep(d draft, err error) {
	b.mu.Lock()
	d.add(b.postgres.waiting.letter(b.node))
	d.age()
	b.postgres.waiting = d
	first := !b.silent
	b.silent = true
	b.mu.Unlock()
	if first {
		b.log.Warn("the database does not take what other nodes are to be told", "error", err)
	}
}

// sent notes that PostgreSQL has taken what there was.
func (b *Bus) sent() {
	b.mu.Lock()
	again := b.silent
	b.silent = false
	b.mu.Unlock()
	if again {
		b.log.Info("the database takes what other nodes are to be told again")
		b.missed() // presence was not kept
	}
}

// listen hears PostgreSQL until ctx ends.
func (b *Bus) listen(ctx context.Context) {
	attempts := 0
	for {
		err := b.listenOnce(ctx, func() {
			if attempts > 0 {
				b.log.Info("other nodes are heard through the database again")
			}
			attempts = 0
		})
		b.setListening(false)
		if ctx.Err() != nil {
			return
		}
		if attempts == 0 {
			b.log.Warn("other nodes are not heard through the database", "error", err)
		}
		attempts++
		pause(ctx, backoff(attempts))
	}
}

// listenOnce hears PostgreSQL until its connection fails, which it says, or ctx
// ends. It calls heard when it does.
func (b *Bus) listenOnce(ctx context.Context, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	answered, cancel := context.WithTimeout(ctx, b.answer)
	defer cancel()
	if _, err := conn.Exec(answered, "LISTEN hubbub"); err != nil {
		return err
	}
	heard()
	b.setListening(true)
	b.missed()
	b.sayDeaf(true)
	for {
		if err := b.receive(ctx, conn); err != nil {
			return err
		}
		b.sayDeaf(false)
	}
}

// setListening notes whether this node would hear that another is deaf. At first
// it does not know whether one is.
func (b *Bus) setListening(listening bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listening = listening
	if listening {
		b.deafUntil = time.Now().Add(b.deaf())
	}
}

// receive hears PostgreSQL for a beat. Then it has the server answer: of a line
// that is dead without anyone's being told, nothing would ever be heard.
func (b *Bus) receive(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, b.beat)
	defer cancel()
	for {
		notification, err := conn.WaitForNotification(waiting)
		if notification != nil {
			b.hear([]byte(notification.Payload))
		}
		if err == nil {
			continue
		}
		// The end of the wait leaves the connection as it is, even in the midst
		// of a notification.
		if waiting.Err() == nil || conn.IsClosed() {
			return err
		}
		break
	}
	answered, cancel := context.WithTimeout(ctx, b.answer)
	defer cancel()
	return conn.Ping(answered)
}
