package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Keys of PostgreSQL's advisory locks, which all who use the database share:
// the letters of "hubbub" and a number.
const (
	migrationLock = 0x687562627562_01
	orderLock     = 0x687562627562_02
)

// maxLockWait is how long a start waits for another Hubbub that migrates, and
// then for those who have locked what it migrates.
const maxLockWait = time.Minute

const (
	// maxIdle is how long a connection may have been idle to be used untried.
	maxIdle = time.Second

	// maxPing is how long the server may take to answer on a connection that was
	// idle. Two such are tried at most, and after them a new one is made.
	maxPing = 2 * time.Second
)

// postgres is PostgreSQL, for several nodes.
type postgres struct {
	config *pgx.ConnConfig
}

// postgresAt returns the engine for a URL. What the URL leaves out comes from
// libpq's environment variables and files.
func postgresAt(database string) (*postgres, error) {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("the address of the database is none that PostgreSQL's clients take: %s", wrongPart(err))
	}
	if config.ValidateConnect == nil {
		// A standby is no use, also where it is the only one that answers.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	if _, named := config.RuntimeParams["application_name"]; !named {
		config.RuntimeParams["application_name"] = "hubbub"
	}
	return &postgres{config}, nil
}

// wrongPart says what is wrong with an address. It quotes nothing of it, because
// that may be a piece of a password.
func wrongPart(err error) string {
	text := err.Error()
	text = text[strings.LastIndex(text, "`: ")+1:] // what follows the quoted address
	switch {
	case strings.Contains(text, "percent"), strings.Contains(text, "escape"):
		return "a % in it is not followed by two hexadecimal digits (write a % as %25)"
	case strings.Contains(text, "port"):
		return "the port is not a number (in a user or password, write / as %2F, : as %3A, @ as %40, # as %23, ? as %3F)"
	case strings.Contains(text, "userinfo"):
		return "the user or password has a character that must be escaped (write / as %2F, : as %3A, @ as %40, # as %23, ? as %3F)"
	case strings.Contains(text, "host"), strings.Contains(text, "lookup"):
		return "the host is not well-formed"
	case strings.Contains(text, "sslmode"), strings.Contains(text, "TLS"), strings.Contains(text, "ssl"):
		return "its settings of TLS (sslmode, sslrootcert, sslcert, sslkey) do not fit, or their files cannot be read"
	case strings.Contains(text, "service"):
		return "its service is not in the service file"
	case strings.Contains(text, "timeout"):
		return "its timeout is not a number of seconds"
	case strings.Contains(text, "target_session_attrs"):
		return "its target_session_attrs is none of PostgreSQL's"
	default:
		return "it should be like postgres://user:password@host:5432/database?sslmode=require"
	}
}

func (e *postgres) single() (*pool, error) { return e.connect(1), nil }

// explain names the address without its password, and the server's own words
// before those of lost attempts with and without TLS.
func (e *postgres) explain(err error) error {
	var connecting *pgconn.ConnectError
	if !errors.As(err, &connecting) {
		return err
	}
	var reasons []string
	for _, attempt := range attempts(connecting.Unwrap()) {
		if reason := attempt.Error(); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return &explained{fmt.Sprintf("connecting to PostgreSQL as user %q, to database %q: %s%s",
		e.config.User, e.config.Database, strings.Join(reasons, "; "), advice(sqlState(err))), err}
}

// explained is an error in better words.
type explained struct {
	words string
	error
}

func (e *explained) Error() string { return e.words }

func (e *explained) Unwrap() error { return e.error }

// attempts returns the errors that are joined in one.
func attempts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // exactly this one
		return joined.Unwrap()
	}
	return []error{err}
}

// rank puts what the server says first, and what concerns only TLS last: an
// attempt without it may have followed.
func rank(reason string) int {
	switch {
	case strings.Contains(reason, "SQLSTATE"):
		return 0
	case strings.Contains(reason, "tls error"):
		return 2
	default:
		return 1
	}
}

// advice says what can be done about a refusal to connect.
func advice(state string) string {
	switch state {
	case "28P01":
		return ". The password is wrong, or the user does not exist"
	case "28000":
		return ". The server's pg_hba.conf does not let this user in from here"
	case "3D000":
		return ". Make the database first (createdb)"
	case "53300":
		return ". The server has no room for more connections (max_connections)"
	default:
		return ""
	}
}

func (e *postgres) open(context.Context) (writing, readers *pool, err error) {
	return e.connect(1, durable, limited), e.connect(max(8, 2*runtime.NumCPU())), nil
}

// connect returns a pool of at most conns connections with some settings.
func (e *postgres) connect(conns int, settings ...string) *pool {
	db := stdlib.OpenDB(*e.config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		for _, setting := range settings {
			if _, err := conn.Exec(ctx, setting); err != nil {
				return err
			}
		}
		return nil
	}), stdlib.OptionShouldPing(isDead))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return &pool{DB: db, unprepared: true}
}

// isDead pings a connection that was idle before it is used, so that database/sql
// discards it where that fails. A firewall may have forgotten it, or its server's
// machine may be gone: then nothing answers, and a query would wait for as long as
// its context allows. TCP's keepalive does not help, because it rests while an
// answer is awaited.
func isDead(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration < maxIdle {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, maxPing)
	defer cancel()
	return p.Conn.Ping(ctx) != nil
}

// Settings of the connection that writes, but for what the server or the
// address sets otherwise.
const (
	// durable has commits wait for the disk: what is acknowledged must last.
	durable = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

	// limited makes the server release the locks of a node that disappears in the
	// midst of a transaction, as with its machine, and keeps this node's writes
	// from waiting for such locks. Transactions of a healthy node take far less
	// time.
	limited = `SELECT set_config(name, wanted, false)
		FROM (VALUES ('idle_in_transaction_session_timeout', '6s'), ('lock_timeout', '1s')) AS settings (name, wanted)
		WHERE current_setting(name) = '0'`
)

func (e *postgres) alone(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := lockMigrations(ctx, conn, maxLockWait); err != nil {
		return errors.Join(err, conn.Close())
	}
	err = do(conn)
	// The lock ends with its connection. To ask for its end could fail, and what
	// was done is done: the context may be over, the database away.
	conn.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // it returns what it is given
	return err
}

// lockMigrations takes the migrations' lock for a connection. It fails where
// another has it for longer than the limit, because nothing here can report that
// and go on: a node that fails to start is started again.
func lockMigrations(ctx context.Context, conn *sql.Conn, limit time.Duration) error {
	waiting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("another Hubbub has been migrating the database for more than %v", limit))
	defer cancel()
	_, err := conn.ExecContext(waiting, `SELECT pg_advisory_lock($1)`, int64(migrationLock))
	if err != nil && waiting.Err() != nil {
		return context.Cause(waiting)
	}
	return err
}

func (*postgres) types() *strings.Replacer {
	return strings.NewReplacer(
		"INTEGER PRIMARY KEY", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
		"INTEGER", "BIGINT",
		"BLOB", "BYTEA",
	)
}

func (*postgres) snapshot() *sql.TxOptions {
	return &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
}

func (*postgres) shared() bool { return true }

func (*postgres) writeLimit() time.Duration { return 5 * time.Second }

// More than deadlock_timeout, by default a second: after that the server ends an
// autovacuum that is in the way.
func (*postgres) shortWait() string { return "SET LOCAL lock_timeout = '2s'" }

func (*postgres) inOrder() string { return fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", orderLock) }

// The server notices by itself.
func (*postgres) intact() error { return nil }

func (*postgres) collided(err error) bool {
	state := sqlState(err)
	return state == "40P01" || state == "40001" // a deadlock, a failure to serialise
}

func (*postgres) blocked(err error) bool { return sqlState(err) == lockNotAvailable }

// lockNotAvailable is PostgreSQL's code for a lock that others kept too long.
const lockNotAvailable = "55P03"

// postgresUnavailable reports whether an error means that PostgreSQL cannot be asked now.
func postgresUnavailable(err error) bool {
	switch state := sqlState(err); {
	case strings.HasPrefix(state, "08"), // the connection has failed
		strings.HasPrefix(state, "53"),     // no room on the disk, or for another connection
		strings.HasPrefix(state, "57"),     // it stops, or starts, or was asked to end this
		state == "25P03", state == "25P04", // a transaction took too long
		state == lockNotAvailable,
		state == "25006": // it is a standby
		return true
	case state != "":
		return false
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false // whoever asked would not wait longer
	}
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, sql.ErrTxDone) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

// sqlState returns the code that PostgreSQL has refused something with, "" for
// another's error.
func sqlState(err error) string {
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}
