// Package store is what lasts: users, sessions, channels and messages, in one
// SQLite file or in PostgreSQL. A write that has returned without an error
// survives a kill -9 and a power cut.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
)

// ErrNotFound says that there is no such user, channel or message.
var ErrNotFound = errors.New("not found")

// Store reads and writes one database. Its methods may be called by many
// goroutines at once.
type Store struct {
	engine  engine
	readers *pool
	writer  *writer

	// The directory follows what other nodes make: see Refresh. The caches are
	// only used where there are no other nodes.
	directory directory
	scopes    cache[int64, Scope]
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
		return nil, engine.explain(err)
	}
	if err := migrate(ctx, engine, readers.DB); err != nil { // the readers' waiting has no limit
		return nil, errors.Join(engine.explain(err), writing.Close(), readers.Close())
	}
	s := &Store{engine: engine, readers: readers, writer: startWriter(engine, writing)}
	s.Listen(func([]Change) {})
	if engine.shared() {
		s.sessions.off, s.users.off, s.positions.off, s.scopes.off = true, true, true, true
	}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(engine.explain(err), s.Close())
	}
	if _, _, err := s.Refresh(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin makes what a new database lacks, and what this version adds to rows of
// earlier ones.
func (s *Store) begin(ctx context.Context) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `INSERT INTO installation (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, rand.Text())
		return err
	})
	if err != nil {
		return err
	}
	return s.renewLooks(ctx)
}

// Listen sets the one listener. Call it before the first write.
func (s *Store) Listen(listener Listener) {
	s.writer.listener = func(changes []Change) {
		s.directory.count(changes)
		listener(changes)
		// Last: whoever reads a channel's revision can expect its rows to be
		// published.
		s.directory.reach(changes)
	}
}

// Close finishes the writes that were begun and closes the database. It may be
// called again.
func (s *Store) Close() error {
	return errors.Join(s.writer.close(), s.readers.Close())
}

// Cluster returns a name that all nodes of this database have in common and
// no others have, and whether there can be other nodes.
func (s *Store) Cluster(ctx context.Context) (name string, shared bool, err error) {
	if !s.engine.shared() {
		return "", false, nil
	}
	// Copies of a database, as for a rehearsal, should have another name.
	err = s.readers.QueryRowContext(ctx, `SELECT concat(current_database(), ' ', name) FROM installation`).Scan(&name)
	return name, true, err
}

// Ready fails where the store cannot be read or written, or does not answer
// before the context ends. It writes and waits for the disk, like a post.
func (s *Store) Ready(ctx context.Context) error {
	var one int
	if err := s.readers.QueryRowContext(ctx, `SELECT count(*) FROM installation`).Scan(&one); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	job := &write{ctx: ctx, do: probe, err: make(chan error, 1)}
	if err := s.writer.run(job, ctx.Done()); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// probe writes a row and deletes it. It is of no use to others, so nodes do not
// wait for each other as they would for one row.
func probe(ctx context.Context, t *tx) error {
	var id int64
	if err := t.QueryRowContext(ctx, `INSERT INTO probes DEFAULT VALUES RETURNING id`).Scan(&id); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `DELETE FROM probes WHERE id = $1`, id)
	return err
}

// Unavailable reports whether an error means that the database cannot be read or
// written at present: it does not answer, its disk is full or may not be written,
// or its file is gone. Nobody knows whether a write that failed so has taken
// place.
//
// Reading may work where writing does not, so a page can be shown although what
// it would write about itself, such as a position, fails with such an error.
func Unavailable(err error) bool {
	return errors.Is(err, errFileGone) || sqliteUnavailable(err) || postgresUnavailable(err)
}

// notFound turns the absence of a row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
