package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestReactions(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c := newChannel(t, s, "general")
		var users []User
		for _, name := range []string{"Anna", "Bea", "Carl", "Dora"} {
			users = append(users, newUser(t, s, name))
		}
		m := post(t, s, c, users[0], "hello")
		check(t, s.Visit(t.Context(), own(users[1].ID), c.ID, m.ID, noon))
		sent := record(s)
		react := func(u User, emoji string, on bool) Message {
			t.Helper()
			return must[Message](t)(s.React(t.Context(), own(u.ID), c.ID, m.ID, emoji, on))
		}
		react(users[3], "👍", true)
		react(users[0], "🎉", true)
		for _, u := range users {
			react(u, "👍", true) // the first of them again
		}
		wantChanges(t, s, "reactions", sent, m.ID, m.ID, m.ID, m.ID, m.ID)
		wantUnread(t, s, users[1])
		got := react(users[1], "😀", false)
		want := []Reaction{
			{"👍", []int64{users[3].ID, users[0].ID, users[1].ID, users[2].ID}, []string{"Dora", "Anna", "Bea"}},
			{"🎉", []int64{users[0].ID}, []string{"Anna"}},
		}
		if !reflect.DeepEqual(got.Reactions, want) {
			t.Errorf("got %+v, want %+v", got.Reactions, want)
		}
		wantChanges(t, s, "one taken back that was not given", sent)
		react(users[0], "🎉", false)
		react(users[0], "🎉", false)
		for _, u := range users {
			got = react(u, "👍", false)
		}
		wantChanges(t, s, "all taken back", sent, m.ID, m.ID, m.ID, m.ID, m.ID)
		if got.Reactions != nil || got.flags != 0 {
			t.Errorf("none is left: %+v", got)
		}

		for i := range MaxReactions {
			react(users[i%2], fmt.Sprint("emoji", i), true)
		}
		if _, err := s.React(t.Context(), own(users[0].ID), c.ID, m.ID, "one more", true); !errors.Is(err, ErrEmojiInvalid) {
			t.Errorf("with a space: %v", err)
		}
		got, err := s.React(t.Context(), own(users[0].ID), c.ID, m.ID, "more", true)
		if !errors.Is(err, ErrTooManyReactions) || len(got.Reactions) != MaxReactions {
			t.Errorf("one more: %d, %v", len(got.Reactions), err)
		}
		react(users[2], "emoji7", true)
		for _, emoji := range []string{"", "\n", "\xff", strings.Repeat("x", 65)} {
			if _, err := s.React(t.Context(), own(users[0].ID), c.ID, m.ID, emoji, true); !errors.Is(err, ErrEmojiInvalid) {
				t.Errorf("%q: %v", emoji, err)
			}
		}
		check(t, s.DeleteMessage(t.Context(), own(users[0].ID), c.ID, m.ID))
		for _, id := range []int64{m.ID, 99} {
			if _, err := s.React(t.Context(), own(users[0].ID), c.ID, id, "👍", true); !errors.Is(err, ErrNotFound) {
				t.Errorf("to message %d: %v", id, err)
			}
		}
	})
}

// TestReactAtOnce has many react to one message at once.
func TestReactAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, anna := newChannel(t, s, "general"), newUser(t, s, "Anna")
		m := post(t, s, c, anna, "hello")
		var users []User
		for i := range 40 {
			users = append(users, newUser(t, s, fmt.Sprint("User ", i)))
		}
		var group sync.WaitGroup
		for i, u := range users {
			for range 2 {
				group.Go(func() {
					if _, err := s.React(context.Background(), own(u.ID), c.ID, m.ID, []string{"👍", "🎉"}[i%2], true); err != nil {
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
		got := must[Message](t)(s.Message(t.Context(), own(anna.ID), c.ID, m.ID))
		if len(got.Reactions) != 2 || len(got.Reactions[0].By) != 20 || len(got.Reactions[1].By) != 20 || got.Revision != 41 {
			t.Errorf("got %+v", got)
		}
	})
}
