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

func (e sqliteIn) open(context.Context) (writing, readers *pool, err error) {
	if err := os.MkdirAll(string(e), 0o750); err != nil {
		return nil, nil, fmt.Errorf("making the data folder: %w", err)
	}
	if writing, err = openSQLite(e.path(), "immediate", 1); err != nil {
		return nil, nil, err
	}
	if readers, err = openSQLite(e.path(), "deferred", max(4, runtime.NumCPU())); err != nil {
		return nil, nil, errors.Join(err, writing.Close())
	}
	return writing, readers, nil
}

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

// alone need not do anything: two nodes on one folder are not supported.
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

func (sqliteIn) inOrder() string { return "" }

func (sqliteIn) isTaken(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return true
	}
	return false
}

func (sqliteIn) collided(error) bool { return false }

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
