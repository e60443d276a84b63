// Package store is what lasts: users, sessions, channels and messages in one
// SQLite file. A write that has returned without an error survives a kill -9
// and a power cut.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
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
	readers *pool
	writer  *writer

	directory directory
	sessions  cache[string, session]
	users     cache[int64, User]
	positions cache[int64, *positions]
}

// Open opens the database in the folder dir, which it makes where there is
// none, and brings an older one up to date.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	path := filepath.Join(dir, "hubbub.db")

	writing, err := openSQLite(path, "immediate", 1)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, writing.DB); err != nil {
		return nil, errors.Join(err, writing.Close())
	}
	readers, err := openSQLite(path, "deferred", max(4, runtime.NumCPU()))
	if err != nil {
		return nil, errors.Join(err, writing.Close())
	}
	s := &Store{readers: readers, writer: startWriter(writing)}
	if err := s.directory.load(ctx, readers); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Listen names the one listener. Call it before the first message is posted.
func (s *Store) Listen(listener Listener) { s.writer.listener = listener }

// openSQLite opens a pool of at most conns connections.
//
// synchronous=FULL makes a commit wait for the disk, and secure_delete
// overwrites what is deleted instead of only unlinking it.
func openSQLite(path, txlock string, conns int) (*pool, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		"_txlock": {txlock},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
			"foreign_keys(ON)", "secure_delete(ON)",
		},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return &pool{DB: db}, nil
}

// Close finishes the writes that were begun and closes the database.
func (s *Store) Close() error {
	return errors.Join(s.writer.close(), s.readers.Close())
}

// Ping says whether the store can be read.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.readers.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// isTaken says whether a write failed because a unique value exists already.
func isTaken(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	code := failure.Code()
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// notFound turns the absence of a row into ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
