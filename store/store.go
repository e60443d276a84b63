// Package store is what lasts: users, sessions, channels and messages, in one
// SQLite file or in PostgreSQL. A write that has returned without an error
// survives a kill -9 and a power cut.
package store

import (
	"context"
	"database/sql"
	"errors"
)

// ErrNotFound says that there is no such user, channel or message.
var ErrNotFound = errors.New("not found")

// Listener is told of the changes of each commit: after it is durable, in the
// order of their revisions, and before the writes that made them return. It
// runs in the writer's goroutine, so it must not wait for anything.
type Listener func(changes []Message)

// Store reads and writes one database. Its methods may be called by many
// goroutines at once.
type Store struct {
	engine  engine
	readers *pool
	writer  *writer

	// The directory follows what other nodes make: see Refresh. The caches are
	// only used where there are none.
	directory directory
	sessions  cache[string, session]
	users     cache[int64, User]
	positions cache[int64, *Positions]
}

// Open opens a database and brings an older one up to date. The database is
// SQLite in a folder, which is made where there is none, or the PostgreSQL at a
// URL such as postgres://user@host/database.
func Open(ctx context.Context, database string) (*Store, error) {
	engine, err := engineOf(database)
	if err != nil {
		return nil, err
	}
	writing, readers, err := engine.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, engine, readers.DB); err != nil { // whose waiting has no limit
		return nil, errors.Join(err, writing.Close(), readers.Close())
	}
	s := &Store{engine: engine, readers: readers, writer: startWriter(engine, writing)}
	s.Listen(func([]Message) {})
	s.sessions.off, s.users.off, s.positions.off = engine.shared(), engine.shared(), engine.shared()
	if _, _, err := s.Refresh(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Listen names the one listener. Call it before the first message is posted.
func (s *Store) Listen(listener Listener) {
	s.writer.listener = func(changes []Message) {
		listener(changes)
		// Last: whoever asks for a channel's revision finds its rows told.
		s.directory.reachAll(changes)
	}
}

// Close finishes the writes that were begun and closes the database.
func (s *Store) Close() error {
	return errors.Join(s.writer.close(), s.readers.Close())
}

// Cluster returns a name that all nodes of this database have in common and
// others seldom do, and whether there can be other nodes.
func (s *Store) Cluster(ctx context.Context) (name string, shared bool, err error) {
	if !s.engine.shared() {
		return "", false, nil
	}
	// Copies of a database, as for a rehearsal, should have another name.
	err = s.readers.QueryRowContext(ctx, `
		SELECT concat(current_database(), ' ', (SELECT created_at FROM channels ORDER BY id LIMIT 1))`).Scan(&name)
	return name, true, err
}

// Ping says whether the store can be read.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.readers.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// Unavailable says whether an error means that the database cannot be asked at
// present. Whether a write that failed so has taken place nobody knows.
func Unavailable(err error) bool { return sqliteAway(err) || postgresAway(err) }

// notFound turns the absence of a row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
