package store

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		sessions := s.Sessions()
		soon := time.Now().Add(time.Hour)
		find := func(token string) string {
			t.Helper()
			data, found, err := sessions.FindCtx(t.Context(), token)
			check(t, err)
			if !found {
				return "none"
			}
			return string(data)
		}
		expect := func(token, want string) {
			t.Helper()
			if got := find(token); got != want {
				t.Errorf("session %s: got %q, want %q", token, got, want)
			}
		}
		commit := func(token, data string, expiry time.Time) {
			t.Helper()
			check(t, sessions.CommitCtx(t.Context(), token, []byte(data), expiry))
		}
		expect("a", "none")
		commit("a", "one", soon)
		commit("b", "other", soon)
		expect("a", "one")
		commit("a", "two", soon)
		expect("a", "two")

		// What has ended stays so, whoever comes late with a copy.
		check(t, sessions.DeleteCtx(t.Context(), "a"))
		expect("a", "none")
		commit("a", "two", soon)
		expect("a", "none")
		expect("b", "other")
		var kept []byte
		check(t, s.readers.QueryRow(`SELECT data FROM sessions WHERE token = 'a'`).Scan(&kept))
		if !bytes.Equal(kept, []byte{}) {
			t.Errorf("an ended session keeps its data: %q", kept)
		}

		commit("past", "x", time.Now().Add(-time.Second))
		expect("past", "none")
		commit("b", "other", time.Now().Add(2*time.Hour)) // prolonged
		check(t, sessions.DeleteExpired(t.Context(), soon.Add(time.Minute)))
		expect("b", "other")
		var left int
		check(t, s.readers.QueryRow(`SELECT count(*) FROM sessions`).Scan(&left))
		if left != 1 {
			t.Errorf("%d sessions are left, want one", left)
		}
	})
}

// TestSessionEndsOnce ends sessions while others write them.
func TestSessionEndsOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		sessions := openStore(t, database).Sessions()
		soon := time.Now().Add(time.Hour)
		var group sync.WaitGroup
		for i := range 20 {
			token := fmt.Sprint("token ", i)
			check(t, sessions.CommitCtx(t.Context(), token, []byte("x"), soon))
			for range 3 {
				group.Go(func() {
					if err := sessions.CommitCtx(t.Context(), token, []byte("late"), soon); err != nil {
						t.Error(err)
					}
				})
			}
			group.Go(func() {
				if err := sessions.DeleteCtx(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for i := range 20 {
			if _, found, err := sessions.FindCtx(t.Context(), fmt.Sprint("token ", i)); found || err != nil {
				t.Errorf("session %d is back: %v, %v", i, found, err)
			}
		}
	})
}
