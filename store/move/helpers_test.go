package move

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hubbub/e2e/throwaway"
	"hubbub/store"
)

// noon is the time of whatever happens in these tests.
var noon = time.Date(2026, time.November, 22, 12, 0, 0, 123456000, time.UTC)

// server is a PostgreSQL for the tests of this package.
var server struct {
	sync.Once
	*throwaway.Postgres
	err error
}

// TestMain ends the server that tests have started.
func TestMain(m *testing.M) {
	code := m.Run()
	if server.Postgres != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// newSQLite returns a folder for a database.
func newSQLite(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "not", "there yet ?#%20")
}

// file returns the path of the database in a folder.
func file(dir string) string { return filepath.Join(dir, "hubbub.db") }

// newPostgres returns the address of an empty database.
func newPostgres(t testing.TB) string {
	t.Helper()
	server.Do(func() { server.Postgres, server.err = throwaway.StartPostgres(context.Background()) })
	check(t, server.err)
	return must[string](t)(server.NewDatabase(t.Context()))
}

// openSQLite opens the database in a folder, which there has to be.
func openSQLite(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(file(dir))))
	db.SetMaxOpenConns(1)
	return db
}

// openDatabase opens a database beside a store, until the test ends.
func openDatabase(t *testing.T, database string) *sql.DB {
	t.Helper()
	if strings.Contains(database, "://") {
		return postgresPool(t, database)
	}
	db := openSQLite(t, database)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// openStore opens a store and closes it when the test ends.
func openStore(t testing.TB, database string) *store.Store {
	t.Helper()
	s := must[*store.Store](t)(store.Open(t.Context(), database))
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// schemas returns the migrations, in their order.
func schemas(t testing.TB) []string {
	t.Helper()
	return must[[]string](t)(filepath.Glob("../migrations/*.sql"))
}

// fill makes a SQLite installation of an earlier schema.
func fill(t *testing.T, dir string, version int) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o750))
	db := openSQLite(t, dir)
	must[sql.Result](t)(db.Exec(`CREATE TABLE schema (version INTEGER NOT NULL)`))
	for i, path := range append(schemas(t)[:version:version], fmt.Sprintf("../testdata/%04d.sql", version)) {
		must[sql.Result](t)(db.Exec(string(must[[]byte](t)(os.ReadFile(path)))))
		if i < version {
			must[sql.Result](t)(db.Exec(`INSERT INTO schema (version) VALUES ($1)`, i+1))
		}
	}
	check(t, db.Close())
}

// contents is what a store holds, in short.
type contents struct {
	users, channels int
	revision        int64
	all             []any
}

func describe(t *testing.T, s *store.Store) contents {
	t.Helper()
	var c contents
	for id := int64(1); ; id++ {
		u, err := s.User(t.Context(), id)
		if err != nil {
			break
		}
		c.users++
		c.all = append(c.all, u)
		for _, channel := range must[[]store.Channel](t)(s.Channels(t.Context(), store.Everything())) {
			position, visited := must[*store.Positions](t)(s.Positions(t.Context(), scopeOf(t, s, u))).Of(channel.ID)
			c.all = append(c.all, position, visited)
		}
	}
	for _, channel := range must[[]store.Channel](t)(s.Channels(t.Context(), store.Everything())) {
		c.channels++
		messages, revision, err := s.Newest(t.Context(), store.Everything(), channel.ID, 1000)
		check(t, err)
		c.revision += revision
		c.all = append(c.all, channel)
		for _, m := range messages {
			c.all = append(c.all, m)
		}
	}
	return c
}

func scopeOf(t testing.TB, s *store.Store, u store.User) store.Scope {
	t.Helper()
	return must[store.Scope](t)(s.Scope(t.Context(), u.ID))
}

// check stops a test that cannot go on.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns a value that there has to be.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func userName(t testing.TB, typed string) store.Name {
	t.Helper()
	return must[store.Name](t)(store.UserName(typed))
}

func channelName(t testing.TB, typed string) store.Name {
	t.Helper()
	return must[store.Name](t)(store.ChannelName(typed))
}

func newUser(t testing.TB, s *store.Store, name string) store.User {
	t.Helper()
	return must[store.User](t)(s.CreateUser(t.Context(), userName(t, name), "", "", noon))
}

func newChannel(t testing.TB, s *store.Store, name string) store.Channel {
	t.Helper()
	return must[store.Channel](t)(s.CreateChannel(t.Context(), channelName(t, name), store.KindOpen, 0, noon))
}

func post(t testing.TB, s *store.Store, c store.Channel, u store.User, body string) store.Message {
	t.Helper()
	return must[store.Message](t)(s.Post(t.Context(), store.Everything(), c, u, store.Draft{Body: body}, noon))
}

func equal(t testing.TB, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// waitFor waits until something is so, as long as the test may run.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited for ten seconds in vain")
		}
	}
}
