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
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteIn is SQLite in a folder.
type sqliteIn string

// path is the database's file.
func (e sqliteIn) path() string { return filepath.Join(string(e), "hubbub.db") }

func (e sqliteIn) open(ctx context.Context) (writing, readers *pool, err error) {
	if err := os.MkdirAll(string(e), 0o750); err != nil {
		return nil, nil, fmt.Errorf("making the data folder: %w", err)
	}
	lock, err := e.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	if writing, err = openSQLite(e.path(), "immediate", 1); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	writing.lock = lock
	if readers, err = openSQLite(e.path(), "deferred", max(4, runtime.NumCPU())); err != nil {
		return nil, nil, errors.Join(err, writing.Close())
	}
	return writing, readers, nil
}

// lock keeps other nodes away from the folder until it is closed, or the process
// has ended: they would not see what this one has in memory. It waits for one
// that is about to end. It is SQLite's own lock on a file that holds nothing,
// so it works wherever SQLite does.
func (e sqliteIn) lock(ctx context.Context) (*sql.DB, error) {
	file, err := connectSQLite(filepath.Join(string(e), "hubbub.lock"), 1, url.Values{"_pragma": {"busy_timeout(10000)"}})
	if err != nil {
		return nil, err
	}
	if _, err := file.ExecContext(ctx, `PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT`); err != nil {
		if sqliteCode(err)&0xff == sqlite3.SQLITE_BUSY {
			err = fmt.Errorf("another Hubbub runs on the data in %s", string(e))
		}
		return nil, errors.Join(err, file.Close())
	}
	return file.DB, nil
}

// openSQLite opens a pool of at most conns connections.
//
// synchronous=FULL makes a commit wait for the disk, and secure_delete
// overwrites what is deleted instead of only unlinking it.
func openSQLite(path, txlock string, conns int) (*pool, error) {
	return connectSQLite(path, conns, url.Values{
		"_txlock": {txlock},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
			"foreign_keys(ON)", "secure_delete(ON)",
		},
	})
}

// connectSQLite opens a pool of at most conns connections to a file.
func connectSQLite(path string, conns int, settings url.Values) (*pool, error) {
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: settings.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return &pool{DB: db}, nil
}

// alone need not do anything more: the folder is locked.
func (sqliteIn) alone(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close())
}

func (sqliteIn) types() *strings.Replacer { return strings.NewReplacer() }

func (sqliteIn) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (sqliteIn) shared() bool { return false }

func (sqliteIn) writeLimit() time.Duration { return 0 }

func (sqliteIn) brief() string { return "" }

func (sqliteIn) inOrder() string { return "" }

func (sqliteIn) isTaken(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return true
	}
	return false
}

func (sqliteIn) collided(error) bool { return false }

func (sqliteIn) blocked(error) bool { return false }

// sqliteAway says whether an error of SQLite is the machine's.
func sqliteAway(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// sqliteCode returns the extended result code of an error, 0 for another's.
func sqliteCode(err error) int {
	var failure *sqlite.Error
	if errors.As(err, &failure) {
		return failure.Code()
	}
	return 0
}
