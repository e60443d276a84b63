package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteFile is the name of the database in its folder.
const sqliteFile = "hubbub.db"

// errFileGone says that the database's file is not the one that was opened.
var errFileGone = errors.New("the database's file was removed or replaced while Hubbub runs on it: put it back, or start Hubbub anew")

// sqlite is SQLite in a folder.
type sqlite struct {
	dir   string
	files []os.FileInfo // of the database and its log, as they were when intact was first called
}

// sqliteIn returns the engine for a folder.
func sqliteIn(dir string) *sqlite { return &sqlite{dir: dir} }

// path is the database's file.
func (e *sqlite) path() string { return filepath.Join(e.dir, sqliteFile) }

func (e *sqlite) open(ctx context.Context) (writing, readers *pool, err error) {
	if err := os.MkdirAll(e.dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("making the data folder: %w%s", err, e.ownership(filepath.Dir(e.dir)))
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

func (e *sqlite) single() (*pool, error) {
	if _, err := os.Stat(e.path()); err != nil {
		return nil, err // SQLite would make one
	}
	return openSQLite(e.path(), "immediate", 1)
}

// lock keeps other nodes away from the folder until it is closed or the process
// has ended, because they would not see what this one has in memory. It waits for
// a node that is about to end. It is SQLite's own lock on an empty file, so it
// works wherever SQLite does.
func (e *sqlite) lock(ctx context.Context) (*sql.DB, error) {
	file, err := connectSQLite(filepath.Join(e.dir, "hubbub.lock"), 1, url.Values{"_pragma": {"busy_timeout(10000)"}})
	if err != nil {
		return nil, err
	}
	if _, err := file.ExecContext(ctx, `PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT`); err != nil {
		if sqliteCode(err)&0xff == sqlite3.SQLITE_BUSY {
			err = fmt.Errorf("another Hubbub runs on the data in %s", e.dir)
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
func (*sqlite) alone(ctx context.Context, db *sql.DB, do func(conn *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close())
}

func (*sqlite) types() *strings.Replacer { return strings.NewReplacer() }

func (*sqlite) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (*sqlite) shared() bool { return false }

func (*sqlite) writeLimit() time.Duration { return 0 }

func (*sqlite) shortWait() string { return "" }

func (*sqlite) inOrder() string { return "" }

// intact compares the files with what they were at its first call. SQLite would
// write on to files that have no name any more. Only the writer calls it.
func (e *sqlite) intact() error {
	var files []os.FileInfo
	for _, path := range []string{e.path(), e.path() + "-wal"} {
		info, err := os.Stat(path)
		if err != nil {
			return errors.Join(errFileGone, err)
		}
		files = append(files, info)
	}
	if e.files == nil {
		e.files = files
	}
	for i, info := range files {
		if !os.SameFile(info, e.files[i]) {
			return errFileGone
		}
	}
	return nil
}

func (*sqlite) collided(error) bool { return false }

func (*sqlite) blocked(error) bool { return false }

// sqliteUnavailable reports whether an error of SQLite is the machine's fault.
func sqliteUnavailable(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// sqliteCode returns the extended result code of an error, 0 for another's.
func sqliteCode(err error) int {
	var failure *modernc.Error
	if errors.As(err, &failure) {
		return failure.Code()
	}
	return 0
}

// explain says what an error at opening means and what can be done.
func (e *sqlite) explain(err error) error {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s cannot be written: let its owner run Hubbub, or change who may write it%s: %w", e.path(), e.ownership(e.path()), err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%s cannot be opened: let the folder's owner run Hubbub, or change who may write in it%s: %w", e.path(), e.ownership(e.dir), err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s is damaged: restore a backup of it%s: %w", e.path(), e.ownership(e.path()), err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is no SQLite database: give another folder, or restore a backup%s: %w", e.path(), e.ownership(e.path()), err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk that holds %s is full: make room: %w", e.path(), err)
	default:
		return err
	}
}

// ownership says in brackets to whom a file belongs and who runs this program.
func (e *sqlite) ownership(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	runs := "someone unknown"
	if current, err := user.Current(); err == nil {
		runs = current.Username
	}
	return fmt.Sprintf(" (%s belongs to %s with mode %v; Hubbub runs as %s)", path, owner(info), info.Mode(), runs)
}
