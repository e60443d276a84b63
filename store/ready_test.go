package store

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReady(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		for range 3 {
			check(t, s.Ready(t.Context()))
		}
		// A writer that hangs is not ready, and is not waited for.
		release := hold(t, s)
		defer release()
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.Ready(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the writer hangs: %v", err)
		}
	})
}

// TestReadyAtStandby asks a database that may only be read.
func TestReadyAtStandby(t *testing.T) {
	t.Parallel()
	s := openStore(t, newPostgres(t))
	_, err := s.writer.db.Exec(`SET default_transaction_read_only = on`)
	check(t, err)
	if err := s.Ready(t.Context()); !Unavailable(err) {
		t.Errorf("got %v", err)
	}
}

// TestDiskFull reads on where nothing can be written.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := openStore(t, newSQLite(t))
	anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
	post(t, s, c, anna, "before")
	// As a full disk: the file may not grow.
	_, err := s.writer.db.Exec(`PRAGMA max_page_count = 1`)
	check(t, err)
	long := strings.Repeat("long ", 3000)
	if _, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: long}, noon); !Unavailable(err) {
		t.Errorf("a post: %v", err)
	}
	if messages, _, err := s.Newest(t.Context(), own(anna.ID), c.ID, 9); err != nil || len(messages) != 1 {
		t.Errorf("reading: %+v, %v", messages, err)
	}
	_, err = s.writer.db.Exec(`PRAGMA max_page_count = 1000000`)
	check(t, err)
	if m := post(t, s, c, anna, long); m.ID != 2 {
		t.Errorf("the next: %+v", m)
	}
}

// TestReadOnly reads on where nothing may be written.
func TestReadOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
		post(t, s, c, anna, "before")
		forbid := `PRAGMA query_only = ON`
		if s.engine.shared() {
			forbid = `SET default_transaction_read_only = on`
		}
		_, err := s.writer.db.Exec(forbid)
		check(t, err)
		if err := s.Ready(t.Context()); !Unavailable(err) {
			t.Errorf("ready: %v", err)
		}
		if err := s.Visit(t.Context(), own(anna.ID), c.ID, 1, noon); !Unavailable(err) {
			t.Errorf("a position: %v", err)
		}
		if messages, _, err := s.Newest(t.Context(), own(anna.ID), c.ID, 9); err != nil || len(messages) != 1 {
			t.Errorf("reading: %+v, %v", messages, err)
		}
		must[*Positions](t)(s.Positions(t.Context(), own(anna.ID)))
	})
}

// TestFileGone acknowledges nothing that goes to a file without a name, and goes
// on where the file is back.
func TestFileGone(t *testing.T) {
	t.Parallel()
	for _, file := range []string{sqliteFile, sqliteFile + "-wal"} {
		dir := newSQLite(t)
		s := openStore(t, dir)
		anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
		post(t, s, c, anna, "before")
		check(t, s.Ready(t.Context()))
		path := filepath.Join(dir, file)
		fails := func(about string) {
			t.Helper()
			if _, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: about}, noon); !Unavailable(err) {
				t.Errorf("%s %s: a post ends with %v", file, about, err)
			}
			if err := s.Ready(t.Context()); !Unavailable(err) {
				t.Errorf("%s %s: ready: %v", file, about, err)
			}
		}
		check(t, os.Rename(path, path+".away"))
		fails("removed")
		check(t, os.WriteFile(path, nil, 0o600))
		fails("replaced")
		check(t, os.Rename(path+".away", path))
		check(t, s.Ready(t.Context()))
		if m := post(t, s, c, anna, "after"); m.ID != 2 {
			t.Errorf("%s put back: the next is %+v", file, m)
		}
	}
}

// TestOpenExplains says what is wrong with a database, whose it is, who runs, and
// what to do.
func TestOpenExplains(t *testing.T) {
	t.Parallel()
	fails := func(database string) string {
		t.Helper()
		s, err := Open(t.Context(), database)
		if err == nil {
			closeStore(t, s)
			t.Fatalf("%s was opened", database)
		}
		return err.Error()
	}
	contains := func(got string, want ...string) {
		t.Helper()
		for _, want := range want {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, sqliteFile)
	check(t, os.WriteFile(file, []byte(strings.Repeat("this is no database\n", 100)), 0o600))
	contains(fails(dir), file+" is no SQLite database", "belongs to ", "Hubbub runs as ", "restore a backup")

	dir = newSQLite(t)
	check(t, openStore(t, dir).Close())
	file = filepath.Join(dir, sqliteFile)
	data := must[[]byte](t)(os.ReadFile(file))
	for i := range 3000 {
		data[100+i] = 0xff
	}
	check(t, os.WriteFile(file, data, 0o600))
	contains(fails(dir), file+" is damaged", "restore a backup")

	dir = t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, sqliteFile), 0o700))
	contains(fails(dir), "cannot be opened", "belongs to ")

	for database, want := range map[string]string{
		"postgres://me:sec%zzret@host/db":           "write a % as %25",
		"postgres://me:sec/ret@host/db":             "the port is not a number",
		"postgres://me:secret@host:port/db":         "the port is not a number",
		"postgres://me:secret@host/db?sslmode=on":   "sslmode",
		"postgres://me:secret@127.0.0.1:1/database": `connecting to PostgreSQL as user "me", to database "database": 127.0.0.1:1`,
	} {
		got := fails(database)
		contains(got, want)
		if strings.Contains(got, "sec") {
			t.Errorf("a password is in %q", got)
		}
	}
}

// TestOpenExplainsRefusals puts the server's words first, and says what to do.
func TestOpenExplainsRefusals(t *testing.T) {
	t.Parallel()
	u := must[*url.URL](t)(url.Parse(newPostgres(t)))
	u.Path = "/missing"
	s, err := Open(t.Context(), u.String())
	if err == nil {
		closeStore(t, s)
		t.Fatal("a missing database was opened")
	}
	first, rest, _ := strings.Cut(err.Error(), `database "missing" does not exist`)
	if rest == "" || strings.Contains(first, "tls") || !strings.Contains(rest, "Make the database first") {
		t.Errorf("got %q", err)
	}
}
