package store

import (
	"errors"
	"testing"
	"time"
)

func TestPins(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea, c := newUser(t, s, "Anna"), newUser(t, s, "Bea"), newChannel(t, s, "general")
		first, second := post(t, s, c, anna, "first"), post(t, s, c, anna, "second")
		sent := record(s)
		pin := func(id int64, on bool, at time.Duration) Message {
			t.Helper()
			return must[Message](t)(s.Pin(t.Context(), own(bea.ID), c.ID, id, on, noon.Add(at)))
		}
		if m := pin(second.ID, true, 0); !m.Pinned {
			t.Errorf("pinned: %+v", m)
		}
		pin(second.ID, true, time.Hour)
		pin(first.ID, true, time.Minute)
		wantChanges(t, s, "pins", sent, second.ID, first.ID)
		pins := must[[]Pin](t)(s.Pins(t.Context(), own(anna.ID), c.ID))
		if len(pins) != 2 || pins[0].Message.ID != first.ID || pins[1].Message.ID != second.ID || pins[0].UserName != "Bea" || !pins[1].PinnedAt.Equal(noon) || !pins[1].Message.Pinned {
			t.Errorf("pins: %+v", pins)
		}
		if m := pin(second.ID, false, 0); m.Pinned {
			t.Errorf("not pinned: %+v", m)
		}
		pin(second.ID, false, 0)
		wantChanges(t, s, "one pin less", sent, second.ID)
		for range MaxPins - 1 {
			pin(post(t, s, c, anna, "x").ID, true, 0)
		}
		if _, err := s.Pin(t.Context(), own(bea.ID), c.ID, second.ID, true, noon); !errors.Is(err, ErrTooManyPins) {
			t.Errorf("one pin too many: %v", err)
		}
		check(t, s.DeleteMessage(t.Context(), own(anna.ID), c.ID, first.ID))
		if n := must[int](t)(s.CountPins(t.Context(), own(anna.ID), c.ID)); n != MaxPins-1 {
			t.Errorf("after a delete: %d", n)
		}
		if _, err := s.Pin(t.Context(), own(bea.ID), c.ID, first.ID, true, noon); !errors.Is(err, ErrNotFound) {
			t.Errorf("a deleted message: %v", err)
		}
	})
}
