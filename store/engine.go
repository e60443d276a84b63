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

	// alone runs do while no other node does, on one connection. It fails where
	// another does for long, a minute on PostgreSQL. Where it could begin, it
	// returns what do does.
	alone(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) error

	// types turns the types in the migrations into the engine's own.
	types() *strings.Replacer

	// snapshot is the kind of transaction in which all reads see one moment.
	snapshot() *sql.TxOptions

	// shared says whether other nodes write to the database as well.
	shared() bool

	// writeLimit is how long a transaction that writes may take, 0 for as long
	// as it takes.
	writeLimit() time.Duration

	// brief is a statement after which a transaction waits for a lock for two
	// seconds at most, "" where a lock keeps nobody else waiting.
	brief() string

	// inOrder is a statement that has transactions which run it wait for each
	// other, "" where they do anyway.
	inOrder() string

	// isTaken says whether a write failed because a unique value exists already.
	isTaken(err error) bool

	// blocked says whether a write failed because others have locked for too long
	// what it needs.
	blocked(err error) bool

	// collided says whether a transaction failed, and was undone, only because
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
