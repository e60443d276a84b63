package store

import (
	"sync"
	"testing"
)

// TestCacheIsFresh reads all the time while others write: whoever has written
// reads what they wrote, never what was there before.
func TestCacheIsFresh(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		u, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
		check(t, s.Visit(t.Context(), own(u.ID), c.ID, 0, noon))
		id := u.ID
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := s.User(t.Context(), id); err != nil {
						t.Error(err)
					}
					if _, err := s.Position(t.Context(), own(id), c.ID); err != nil {
						t.Error(err)
					}
					if _, _, err := s.Sessions().FindCtx(t.Context(), "token"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := int64(1); i <= 300; i++ {
			changed := must[User](t)(s.SetPassword(t.Context(), u, "hash", ""))
			u = changed
			if got := must[User](t)(s.User(t.Context(), u.ID)); got != changed {
				t.Fatalf("the user is %+v after a change to %+v", got, changed)
			}
			check(t, s.Read(t.Context(), own(u.ID), c.ID, i))
			wantPosition(t, s, u, c, i)
			check(t, s.Sessions().CommitCtx(t.Context(), "token", []byte{byte(i)}, noon.AddDate(10, 0, 0)))
			if data, found, err := s.Sessions().FindCtx(t.Context(), "token"); !found || err != nil || data[0] != byte(i) {
				t.Fatalf("the session is %v, %v, %v after a change to %d", data, found, err, byte(i))
			}
			m := post(t, s, c, u, "body")
			if got := must[Channel](t)(s.Channel(t.Context(), Everything(), c.ID)); got.Revision != m.Revision {
				t.Fatalf("the channel is at %d after %d", got.Revision, m.Revision)
			}
		}
		close(stop)
		readers.Wait()
		check(t, s.Sessions().DeleteCtx(t.Context(), "token"))
		if _, found, err := s.Sessions().FindCtx(t.Context(), "token"); found || err != nil {
			t.Errorf("an ended session is found: %v", err)
		}
	})
}
