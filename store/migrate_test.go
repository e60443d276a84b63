package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestMigrateFromEverySchema opens data of every earlier schema. For each
// there is a small installation in testdata.
func TestMigrateFromEverySchema(t *testing.T) {
	t.Parallel()
	files := must[[]string](t)(fs.Glob(migrations, "migrations/*.sql"))
	for version := 1; version <= len(files); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			onBoth(t, func(t *testing.T, database string) {
				fill(t, database, files[:version])
				s := openStore(t, database)
				want := describe(t, s)
				if want.channels != 2 || want.users != 2 || want.bodies != "hello|你好|" || want.revision != 4 {
					t.Errorf("got %+v", want)
				}
				anna := must[User](t)(s.UserByName(t.Context(), userName(t, "Anna")))
				general := must[Channel](t)(s.ChannelByName(t.Context(), Everything(), channelName(t, "general")))
				if m := must[Message](t)(s.Post(t.Context(), Everything(), general, anna, Draft{Body: "hello", Key: "key"}, noon)); m.ID != 1 {
					t.Errorf("a key from before posts again: %+v", m)
				}
				if m := post(t, s, general, anna, "new"); m.ID != 5 {
					t.Errorf("the next message: %+v", m)
				}
				// What was there before positions were is read where the user was last.
				empty := must[Channel](t)(s.ChannelByName(t.Context(), Everything(), channelName(t, "a/b")))
				if position, err := s.Position(t.Context(), own(anna.ID), empty.ID); position != 0 || err != nil {
					t.Errorf("Anna's position: %d, %v", position, err)
				}
				if role, err := memberRole(t, s, anna.ID, empty.ID); role != Ordinary || err != nil {
					t.Errorf("Anna's membership where she has been: %d, %v", role, err)
				}
				for token, open := range map[string]bool{"open": true, "over": false} {
					if _, found, err := s.Sessions().FindCtx(t.Context(), token); found != open || err != nil {
						t.Errorf("session %s: %v, %v", token, found, err)
					}
				}
			})
		})
	}
}

// fill runs some migrations, and then what testdata has for the last of them.
func fill(t *testing.T, database string, files []string) {
	t.Helper()
	engine := must[engine](t)(engineOf(database))
	db, readers, err := engine.open(t.Context())
	check(t, err)
	check(t, engine.alone(t.Context(), db.DB, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(t.Context(), `CREATE TABLE schema (version INTEGER NOT NULL)`)
		for i, file := range files {
			if err == nil {
				err = migrateTo(t.Context(), engine, conn, i+1, file)
			}
		}
		return err
	}))
	data := string(must[[]byte](t)(os.ReadFile(fmt.Sprintf("testdata/%04d.sql", len(files)))))
	if engine.shared() {
		data = regexp.MustCompile(`x'(\w*)'`).ReplaceAllString(data, `'\x$1'`)
	}
	must[sql.Result](t)(db.Exec(data))
	check(t, errors.Join(db.Close(), readers.Close()))
}

// TestReopen closes a store and finds everything again.
func TestReopen(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, u := newChannel(t, s, "general"), newUser(t, s, "Anna")
		for i := range 30 {
			post(t, s, c, u, fmt.Sprint("message ", i))
		}
		check(t, s.DeleteMessage(t.Context(), own(u.ID), c.ID, 7))
		check(t, s.Visit(t.Context(), own(u.ID), c.ID, 3, noon))
		before := describe(t, s)
		check(t, s.Close())

		s = openStore(t, database)
		if after := describe(t, s); !reflect.DeepEqual(after, before) {
			t.Errorf("got %+v, want %+v", after, before)
		}
		if m := post(t, s, c, u, "next"); m.ID != 32 {
			t.Errorf("the next message: %+v", m)
		}
		if s.engine.shared() {
			return
		}
		var verdict string
		check(t, s.readers.QueryRow(`PRAGMA integrity_check`).Scan(&verdict))
		if verdict != "ok" {
			t.Error(verdict)
		}
	})
}

// TestNewerSchema keeps an old program away from a newer one's data.
func TestNewerSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		must[sql.Result](t)(s.writer.db.Exec(`INSERT INTO schema (version) VALUES (99)`))
		check(t, s.Close())
		s, err := Open(t.Context(), database)
		if err == nil {
			closeStore(t, s)
			t.Fatal("it was opened")
		}
		if !strings.Contains(err.Error(), "newer Hubbub") || !strings.Contains(err.Error(), "99") {
			t.Errorf("got %q, want a sentence that says so", err)
		}
	})
}

// TestAloneEnds returns what was done alone, however its connection ends, and
// lets the next one in.
func TestAloneEnds(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	engine, other := must[*postgres](t)(postgresAt(database)), openReader(t, database)
	db := engine.connect(1)
	t.Cleanup(func() { check(t, db.Close()) })
	for how, end := range map[string]func(conn *sql.Conn, stop func()) error{
		"in order": func(*sql.Conn, func()) error { return nil },
		"stopped":  func(_ *sql.Conn, stop func()) error { stop(); return nil },
		"cut off": func(conn *sql.Conn, _ func()) error {
			var pid int
			err := conn.QueryRowContext(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid)
			if err == nil {
				_, err = other.Exec(`SELECT pg_terminate_backend($1)`, pid)
			}
			return err
		},
	} {
		for _, want := range []error{nil, errors.New("broken")} {
			ctx, stop := context.WithCancel(t.Context())
			err := engine.alone(ctx, db.DB, func(conn *sql.Conn) error {
				check(t, end(conn, stop))
				return want
			})
			stop()
			if err != want {
				t.Errorf("%s: got %v, want %v", how, err, want)
			}
		}
	}
}

// TestAloneWaits waits for another that is alone until a limit, and then fails. It
// ends with its context before that.
func TestAloneWaits(t *testing.T) {
	t.Parallel()
	engine := must[*postgres](t)(postgresAt(newPostgres(t)))
	db, other := engine.connect(1), engine.connect(1)
	t.Cleanup(func() { check(t, errors.Join(db.Close(), other.Close())) })
	wait := func(ctx context.Context, limit time.Duration) error {
		conn := must[*sql.Conn](t)(db.Conn(t.Context()))
		return errors.Join(lockMigrations(ctx, conn, limit), conn.Close())
	}
	check(t, engine.alone(t.Context(), other.DB, func(*sql.Conn) error {
		if err := wait(t.Context(), 50*time.Millisecond); err == nil || err.Error() != "another Hubbub has been migrating the database for more than 50ms" {
			t.Errorf("after the limit: %v", err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		if err := wait(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stopped: %v", err)
		}
		return nil
	}))
	check(t, wait(t.Context(), time.Minute))
}

// TestMigrateBesideReader has a node start while somebody reads for long, as a
// backup does, what its migration takes away. Others read meanwhile.
func TestMigrateBesideReader(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	fill(t, database, must[[]string](t)(fs.Glob(migrations, "migrations/*.sql"))[:4])
	other := openReader(t, database)
	backup := must[*sql.Tx](t)(openReader(t, database).BeginTx(t.Context(), nil))
	const reading = `SELECT count(*) FROM messages`
	var n int
	check(t, backup.QueryRow(reading).Scan(&n))

	opened := make(chan error, 1)
	go func() {
		s, err := Open(t.Context(), database)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	waitFor(t, func() bool {
		var waits bool
		check(t, other.QueryRow(`SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'messages'::regclass AND NOT granted)`).Scan(&waits))
		return waits
	})
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	check(t, other.QueryRowContext(soon, reading).Scan(&n))
	select {
	case err := <-opened:
		t.Errorf("it did not wait: %v", err)
	default:
	}
	check(t, backup.Rollback())
	check(t, <-opened)
}

// TestStepBack gives up after the limit, at the context's end, and at another
// error at once.
func TestStepBack(t *testing.T) {
	t.Parallel()
	engine := must[*postgres](t)(postgresAt("postgres://nobody@localhost/nothing"))
	blocked := &pgconn.PgError{Code: lockNotAvailable}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		about     string
		ctx       context.Context
		limit     time.Duration
		err, want error
	}{
		{"no error", t.Context(), time.Minute, nil, nil},
		{"another error", t.Context(), time.Minute, broken, broken},
		{"the limit", t.Context(), 0, blocked, blocked},
		{"the end", over, time.Minute, blocked, context.Canceled},
	} {
		tries := 0
		err := stepBack(tt.ctx, engine, tt.limit, func() error { tries++; return tt.err })
		if tries != 1 || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v after %d tries, want %v", tt.about, err, tries, tt.want)
		}
	}
}

// TestTypes holds the tables on PostgreSQL to be those on SQLite, column by
// column: a migration is turned from one into the other as text, which could
// miss a type that is written in another way.
func TestTypes(t *testing.T) {
	t.Parallel()
	columns := must[*sql.Rows](t)(openStore(t, newSQLite(t)).readers.Query(`
		SELECT t.name || '.' || c.name, c.type, c.pk, (SELECT max(pk) FROM pragma_table_info(t.name))
		FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT GLOB 'sqlite_*' AND t.name <> 'schema'`))
	defer columns.Close()
	want := map[string]string{}
	for columns.Next() {
		var name, kind string
		var place, keys int
		check(t, columns.Scan(&name, &kind, &place, &keys))
		want[name] = map[string]string{"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}[kind]
		if kind == "INTEGER" && place == 1 && keys == 1 {
			want[name] += " identity" // as SQLite gives such a column its next value
		}
	}
	check(t, columns.Err())
	if want["users.id"] != "bigint identity" || want["users.name"] != "text" || want["positions.user_id"] != "bigint" {
		t.Errorf("SQLite has %v", want)
	}

	rows := must[*sql.Rows](t)(openStore(t, newPostgres(t)).readers.Query(`
		SELECT table_name || '.' || column_name, data_type || CASE is_identity WHEN 'YES' THEN ' identity' ELSE '' END
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'schema'`))
	defer rows.Close()
	got := map[string]string{}
	for rows.Next() {
		var name, kind string
		check(t, rows.Scan(&name, &kind))
		got[name] = kind
	}
	check(t, rows.Err())
	for name, kind := range want {
		if got[name] != kind {
			t.Errorf("%s is %q on PostgreSQL, want %q", name, got[name], kind)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("PostgreSQL alone has %v", got)
	}
}

// TestOpenSettings holds every connection to what durability rests on.
func TestOpenSettings(t *testing.T) {
	t.Parallel()
	s := openStore(t, newSQLite(t))
	for name, db := range map[string]*sql.DB{"writer": s.writer.db.DB, "readers": s.readers.DB} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "10000",
		} {
			var got string
			check(t, db.QueryRow(`PRAGMA `+pragma).Scan(&got))
			if got != want {
				t.Errorf("%s: %s is %s, want %s", name, pragma, got, want)
			}
		}
	}
}

// TestOpenTwice keeps a second node away from a folder, until the first has ended.
func TestOpenTwice(t *testing.T) {
	t.Parallel()
	dir := newSQLite(t)
	first := openStore(t, dir)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if s, err := Open(short, dir); err == nil {
		closeStore(t, s)
		t.Fatal("it was opened twice")
	}
	opened := make(chan error)
	go func() {
		s, err := Open(t.Context(), dir)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	post(t, first, newChannel(t, first, "general"), newUser(t, first, "Anna"), "still here")
	check(t, first.Close())
	check(t, <-opened)
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "hubbub.db"), []byte(strings.Repeat("this is no database\n", 100)), 0o600))
	if s, err := Open(t.Context(), dir); err == nil {
		closeStore(t, s)
		t.Error("a file that is no database was opened")
	}
	if s, err := Open(t.Context(), filepath.Join(dir, "hubbub.db")); err == nil {
		closeStore(t, s)
		t.Error("a folder that is a file was opened")
	}
}

// contents is what a store holds, in short.
type contents struct {
	users, channels int
	revision        int64
	bodies          string
	all             []any
}

func describe(t *testing.T, s *Store) contents {
	t.Helper()
	var c contents
	for id := int64(1); ; id++ {
		u, err := s.User(t.Context(), id)
		if err != nil {
			break
		}
		c.users++
		c.all = append(c.all, u, must[*Positions](t)(s.Positions(t.Context(), own(id))).read)
	}
	for _, channel := range must[[]Channel](t)(s.Channels(t.Context(), Everything())) {
		c.channels++
		messages, revision, err := s.Newest(t.Context(), Everything(), channel.ID, 1000)
		check(t, err)
		c.revision += revision
		c.all = append(c.all, channel)
		for _, m := range messages {
			c.bodies += m.Body + "|"
			c.all = append(c.all, m)
		}
	}
	return c
}
