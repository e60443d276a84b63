package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"hubbub/e2e/throwaway"
)

// noon is the time of whatever happens in these tests.
var noon = time.Date(2026, time.November, 22, 12, 0, 0, 123456000, time.UTC)

// server is a PostgreSQL for the tests of this package, once one of them needs
// it.
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

// onBoth runs a test on both engines, each time with a new database.
func onBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newPostgres(t))
	})
}

// newSQLite returns a folder for a database.
func newSQLite(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "not", "there yet ?#%20")
}

// newPostgres returns the address of an empty database.
func newPostgres(t testing.TB) string {
	t.Helper()
	server.Do(func() { server.Postgres, server.err = throwaway.StartPostgres(context.Background()) })
	check(t, server.err)
	return must[string](t)(server.NewDatabase(t.Context()))
}

// openStore opens a store and closes it when the test ends.
func openStore(t testing.TB, database string) *Store {
	t.Helper()
	s, err := Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// openReader opens a connection of its own to a database that is in use.
func openReader(t testing.TB, database string) *pool {
	t.Helper()
	var other *pool
	switch engine := must[engine](t)(engineOf(database)).(type) {
	case *sqlite:
		other = must[*pool](t)(openSQLite(engine.path(), "deferred", 1))
	case *postgres:
		other = engine.connect(1)
	}
	t.Cleanup(func() { check(t, other.Close()) })
	return other
}

// closeStore closes a store unless it is closed.
func closeStore(t testing.TB, s *Store) {
	t.Helper()
	select {
	case <-s.writer.done:
	default:
		check(t, s.Close())
	}
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

func userName(t testing.TB, typed string) Name { return must[Name](t)(UserName(typed)) }

func channelName(t testing.TB, typed string) Name { return must[Name](t)(ChannelName(typed)) }

func newUser(t testing.TB, s *Store, name string) User {
	t.Helper()
	return must[User](t)(s.CreateUser(t.Context(), userName(t, name), "", "", noon))
}

func newChannel(t testing.TB, s *Store, name string) Channel {
	t.Helper()
	return must[Channel](t)(s.CreateChannel(t.Context(), channelName(t, name), KindOpen, 0, noon))
}

func post(t testing.TB, s *Store, c Channel, u User, body string) Message {
	t.Helper()
	return must[Message](t)(s.Post(t.Context(), Everything(), c, u, Draft{Body: body}, noon))
}

// own returns the scope of a user who is a member of nothing that is not open.
func own(userID int64) Scope { return Scope{userID: userID} }

// scopeOf returns the scope of a user as it is now.
func scopeOf(t testing.TB, s *Store, u User) Scope {
	t.Helper()
	return must[Scope](t)(s.Scope(t.Context(), u.ID))
}

// memberRole returns what a user is in a channel. It fails with ErrNotFound.
func memberRole(t testing.TB, s *Store, userID, channelID int64) (role Role, err error) {
	t.Helper()
	err = s.readers.QueryRowContext(t.Context(), `SELECT role FROM members WHERE user_id = $1 AND channel_id = $2`, userID, channelID).Scan(&role)
	return role, notFound(err)
}

// messagesIn returns the messages among changes.
func messagesIn(changes []Change) (messages []Message) {
	for _, change := range changes {
		if m, ok := change.(MessageChanged); ok {
			messages = append(messages, m.Message)
		}
	}
	return messages
}

// ids returns the ids of messages.
func ids(messages []Message) []int64 {
	var all []int64
	for _, m := range messages {
		all = append(all, m.ID)
	}
	return all
}

// upTo returns 1, 2, 3 ... n.
func upTo(n int) []int64 {
	var all []int64
	for i := range n {
		all = append(all, int64(i)+1)
	}
	return all
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
