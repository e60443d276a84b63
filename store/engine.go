package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// engine is what differs between the databases. All else, the SQL too, is the
// same for both.
type engine interface {
	// open returns the one connection that writes and those that read.
	open(ctx context.Context) (writing, readers *pool, err error)

	// single returns one connection to a database that is there already.
	single() (*pool, error)

	// explain turns an error of opening into one that says what is wrong and what
	// can be done.
	explain(err error) error

	// alone runs do while no other node does, on one connection. It fails where
	// another does for long, a minute on PostgreSQL. Where it could begin, it
	// returns what do does.
	alone(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) error

	// types turns the types in the migrations into the engine's own.
	types() *strings.Replacer

	// snapshot is the kind of transaction in which all reads see one moment.
	snapshot() *sql.TxOptions

	// shared reports whether other nodes write to the database as well.
	shared() bool

	// writeLimit is how long a transaction that writes may take, 0 for as long
	// as it takes.
	writeLimit() time.Duration

	// shortWait is a statement after which a transaction waits for a lock for two
	// seconds at most, "" where a lock keeps nobody else waiting.
	shortWait() string

	// inOrder is a statement that has transactions which run it wait for each
	// other, "" where they do anyway.
	inOrder() string

	// intact fails where what was opened is not what lies there now, so that
	// commits would be lost.
	intact() error

	// blocked reports whether a write failed because others have locked for too long
	// what it needs.
	blocked(err error) bool

	// collided reports whether a transaction failed, and was undone, only because
	// of another that ran at the same time.
	collided(err error) bool
}

// engineOf returns the engine for a database: see Open.
func engineOf(database string) (engine, error) {
	scheme, _, isURL := strings.Cut(database, "://")
	switch {
	case !isURL:
		return sqliteIn(database), nil
	case scheme == "postgres" || scheme == "postgresql":
		return postgresAt(database)
	default:
		return nil, fmt.Errorf("a database is a folder or postgres://…, not %s://…", scheme)
	}
}

// Exclusively runs do on a connection to a database that no other Hubbub opens
// or migrates meanwhile. The database is as in Open, but a folder must have one.
// What do calls as migrate brings the database to the newest schema.
//
// It is for tools that work on the tables themselves.
func Exclusively(ctx context.Context, database string, do func(conn *sql.Conn, migrate func() error) error) error {
	engine, err := engineOf(database)
	if err != nil {
		return err
	}
	db, err := engine.single()
	if err != nil {
		return err
	}
	err = engine.alone(ctx, db.DB, func(conn *sql.Conn) error {
		return do(conn, func() error { return migrateAlone(ctx, engine, conn) })
	})
	_ = db.Close() // what is done by then is done
	return err
}
