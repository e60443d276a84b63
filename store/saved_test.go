package store

import (
	"errors"
	"testing"
	"time"
)

func TestSaved(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		c := newChannel(t, s, "general")
		private := must[Channel](t)(s.CreateChannel(t.Context(), channelName(t, "private"), KindPrivate, bea.ID, noon))
		check(t, s.AddMember(t.Context(), scopeOf(t, s, bea), private.ID, anna.ID, Ordinary, noon))
		first, second, secret := post(t, s, c, bea, "first"), post(t, s, c, bea, "second"), post(t, s, private, bea, "a secret")
		sent := record(s)
		scope := scopeOf(t, s, anna)
		for i, m := range []Message{first, second, secret} {
			check(t, s.Save(t.Context(), scope, m.ChannelID, m.ID, true, time.Time{}, noon.Add(time.Duration(i)*time.Minute)))
		}
		due := noon.Add(time.Hour)
		check(t, s.Save(t.Context(), scope, c.ID, first.ID, true, due, noon.Add(time.Hour)))
		saved := func(before time.Time, n int) (bodies string) {
			t.Helper()
			for _, m := range must[[]Saved](t)(s.Saved(t.Context(), scope, before, n)) {
				bodies += m.Message.Body + "|"
			}
			return bodies
		}
		if got := saved(time.Time{}, 9); got != "a secret|second|first|" {
			t.Errorf("saved: %s", got)
		}
		if got := saved(noon.Add(2*time.Minute), 1); got != "second|" {
			t.Errorf("the next page: %s", got)
		}
		all := must[[]Saved](t)(s.Saved(t.Context(), scope, time.Time{}, 9))
		if last := all[2]; !last.SavedAt.Equal(noon) || !last.RemindAt.Equal(due) || !all[1].RemindAt.IsZero() {
			t.Errorf("its times: %+v", all)
		}
		if other := must[[]Saved](t)(s.Saved(t.Context(), own(bea.ID), time.Time{}, 9)); len(other) != 0 {
			t.Errorf("another's: %+v", other)
		}
		// What is not visible any more is left out, and comes back with it.
		check(t, s.RemoveMember(t.Context(), scopeOf(t, s, bea), private.ID, anna.ID))
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), c.ID, second.ID))
		if got := saved(time.Time{}, 9); got != "first|" {
			t.Errorf("what is visible: %s", got)
		}
		for about, m := range map[string]Message{"deleted": second, "invisible": secret, "missing": {ChannelID: c.ID, ID: 99}} {
			if err := s.Save(t.Context(), own(anna.ID), m.ChannelID, m.ID, true, time.Time{}, noon); !errors.Is(err, ErrNotFound) {
				t.Errorf("saving what is %s: %v", about, err)
			}
		}
		check(t, s.AddMember(t.Context(), scopeOf(t, s, bea), private.ID, anna.ID, Ordinary, noon))
		if got := saved(time.Time{}, 9); got != "a secret|first|" {
			t.Errorf("back again: %s", got)
		}
		for id, want := range map[int64]bool{first.ID: true, 99: false} {
			if got := must[bool](t)(s.IsSaved(t.Context(), scope, c.ID, id)); got != want {
				t.Errorf("message %d is saved: %v", id, got)
			}
		}
		check(t, s.Save(t.Context(), scope, c.ID, first.ID, false, time.Time{}, noon))
		if got := saved(time.Time{}, 9); got != "a secret|" {
			t.Errorf("one less: %s", got)
		}
		wantChanges(t, s, "saving", sent, second.ID) // its delete
	})
}
