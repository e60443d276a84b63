package store

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestUnread(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		general, other, quiet := newChannel(t, s, "general"), newChannel(t, s, "other"), newChannel(t, s, "quiet")

		// A channel that was never visited has no position and nothing unread.
		post(t, s, general, bea, "before")
		if _, err := s.Position(t.Context(), own(anna.ID), general.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("a position without a visit: %v", err)
		}
		check(t, s.Read(t.Context(), own(anna.ID), general.ID, 1))
		check(t, s.MarkUnread(t.Context(), own(anna.ID), general.ID, 1))
		wantUnread(t, s, anna)

		// What others post after a visit is unread, one's own is not.
		for _, c := range []Channel{general, other, quiet} {
			check(t, s.Visit(t.Context(), own(anna.ID), c.ID, 1, noon))
		}
		second := post(t, s, general, bea, "second")
		third := post(t, s, general, bea, "third")
		post(t, s, general, anna, "her own")
		post(t, s, other, bea, "first, which is of revision 1 and read")
		post(t, s, other, bea, "second")
		wantUnread(t, s, anna, Unread{general.ID, 2}, Unread{other.ID, 1})
		wantUnread(t, s, bea)

		// What is deleted is not unread any more.
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), general.ID, second.ID))
		wantUnread(t, s, anna, Unread{general.ID, 1}, Unread{other.ID, 1})

		// Reading goes forward, and back only on demand.
		check(t, s.Read(t.Context(), own(anna.ID), general.ID, third.ID))
		check(t, s.Read(t.Context(), own(anna.ID), general.ID, 1))
		wantPosition(t, s, anna, general, third.ID)
		wantUnread(t, s, anna, Unread{other.ID, 1})
		check(t, s.MarkUnread(t.Context(), own(anna.ID), general.ID, third.ID))
		wantPosition(t, s, anna, general, third.ID-1)
		check(t, s.MarkUnread(t.Context(), own(anna.ID), general.ID, third.ID+1))
		wantPosition(t, s, anna, general, third.ID-1)
		wantUnread(t, s, anna, Unread{general.ID, 1}, Unread{other.ID, 1})
		check(t, s.Visit(t.Context(), own(anna.ID), general.ID, 99, noon))
		check(t, s.Visit(t.Context(), own(anna.ID), general.ID, 5, noon))
		wantPosition(t, s, anna, general, 99)
		if _, err := s.Position(t.Context(), own(bea.ID), general.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("one user's position became another's: %v", err)
		}

		// Counting stops where it is said to.
		for i := range MaxUnread + 5 {
			post(t, s, quiet, bea, fmt.Sprint(i))
		}
		wantUnread(t, s, anna, Unread{other.ID, 1}, Unread{quiet.ID, MaxUnread})
		want := map[int64]int64{general.ID: 99, other.ID: 1, quiet.ID: 1}
		if got := must[*Positions](t)(s.Positions(t.Context(), own(anna.ID))).read; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func wantUnread(t *testing.T, s *Store, u User, want ...Unread) {
	t.Helper()
	scope := scopeOf(t, s, u)
	positions := must[*Positions](t)(s.Positions(t.Context(), scope))
	if got := must[[]Unread](t)(s.Unread(t.Context(), scope, positions)); !reflect.DeepEqual(got, want) {
		t.Errorf("unread for %s: got %v, want %v", u.Name, got, want)
	}
}

func wantPosition(t *testing.T, s *Store, u User, c Channel, want int64) {
	t.Helper()
	if got := must[int64](t)(s.Position(t.Context(), own(u.ID), c.ID)); got != want {
		t.Errorf("the position of %s in %s: got %d, want %d", u.Name, c.Name, got, want)
	}
}

func TestChannelsNear(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna := newUser(t, s, "Anna")
		if id := must[int64](t)(s.LatestChannel(t.Context(), Everything())); id != 0 {
			t.Errorf("the latest of no channels: %d", id)
		}
		channels := map[string]Channel{}
		for _, name := range []string{"e", "d", "c", "b", "a"} {
			channels[name] = newChannel(t, s, name)
		}
		near := func(n int) string {
			return names(s.ChannelsNear(Everything(), must[*Positions](t)(s.Positions(t.Context(), own(anna.ID))), n))
		}
		if got := near(3); got != "abc" {
			t.Errorf("without a visit: got %s, want the newest", got)
		}
		for i, name := range []string{"b", "e", "d"} {
			check(t, s.Visit(t.Context(), own(anna.ID), channels[name].ID, 0, noon.Add(time.Duration(i)*time.Second)))
		}
		for n, want := range map[int]string{1: "d", 2: "de", 3: "bde", 4: "abde", 5: "abcde", 9: "abcde"} {
			if got := near(n); got != want {
				t.Errorf("near, %d at most: got %s, want %s", n, got, want)
			}
		}
		after := func(id int64, n int) string {
			return names(must[[]Channel](t)(s.ChannelsAfter(t.Context(), Everything(), id, n)))
		}
		if got := after(channels["c"].ID, 9); got != "ab" {
			t.Errorf("after c: %s", got)
		}
		if got := after(0, 2); got != "ab" {
			t.Errorf("the newest two: %s", got)
		}
		if id := must[int64](t)(s.LatestChannel(t.Context(), Everything())); id != channels["a"].ID || after(id, 9) != "" {
			t.Errorf("the latest: %d", id)
		}
	})
}

// names are those of channels, in their order.
func names(channels []Channel) (all string) {
	for _, c := range channels {
		all += c.Name
	}
	return all
}
