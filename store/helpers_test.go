package store

import (
	"slices"
	"testing"
	"time"
)

// noon is the time of whatever happens in these tests.
var noon = time.Date(2026, time.November, 22, 12, 0, 0, 123456000, time.UTC)

// newStore returns an empty store in a folder of its own.
func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, t.TempDir())
}

// openStore opens the store in a folder and closes it when the test ends.
func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
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
	return must[User](t)(s.CreateUser(t.Context(), userName(t, name), "", noon))
}

func newChannel(t testing.TB, s *Store, name string) Channel {
	t.Helper()
	return must[Channel](t)(s.CreateChannel(t.Context(), channelName(t, name), noon))
}

func post(t testing.TB, s *Store, c Channel, u User, body string) Message {
	t.Helper()
	return must[Message](t)(s.Post(t.Context(), c, u, body, "", noon))
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
