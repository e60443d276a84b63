package store

import (
	"errors"
	"testing"
)

func TestChannels(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		if got := must[[]Channel](t)(s.Channels(t.Context(), Everything())); len(got) != 0 {
			t.Errorf("a new store has channels: %+v", got)
		}
		for _, name := range []string{"zebra", "Ant", "a/b ?#%", "会议室"} {
			c := newChannel(t, s, name)
			if c.Name != name || c.Revision != 0 || !c.CreatedAt.Equal(noon) {
				t.Errorf("new: %+v", c)
			}
			if got := must[Channel](t)(s.Channel(t.Context(), Everything(), c.ID)); got != c {
				t.Errorf("by id: got %+v, want %+v", got, c)
			}
			if got := must[Channel](t)(s.ChannelByName(t.Context(), Everything(), channelName(t, name))); got != c {
				t.Errorf("by name: got %+v, want %+v", got, c)
			}
		}
		for _, name := range []string{"ant", "ANT", "ａｎｔ"} {
			if _, err := s.CreateChannel(t.Context(), channelName(t, name), KindOpen, 0, noon); !errors.Is(err, ErrChannelExists) {
				t.Errorf("creating %q: %v, want ErrChannelExists", name, err)
			}
			if got, err := s.ChannelByName(t.Context(), Everything(), channelName(t, name)); err != nil || got.Name != "Ant" {
				t.Errorf("finding %q: %+v, %v", name, got, err)
			}
		}
		var names []string
		for _, c := range must[[]Channel](t)(s.Channels(t.Context(), Everything())) {
			names = append(names, c.Name)
		}
		if len(names) != 4 || names[0] != "a/b ?#%" || names[1] != "Ant" || names[2] != "zebra" {
			t.Errorf("got %q, want them by name", names)
		}
		if _, err := s.Channel(t.Context(), Everything(), 99); !errors.Is(err, ErrNotFound) {
			t.Errorf("a missing channel: %v", err)
		}
		if _, err := s.ChannelByName(t.Context(), Everything(), channelName(t, "none")); !errors.Is(err, ErrNotFound) {
			t.Errorf("a missing channel's name: %v", err)
		}
	})
}

// TestEnsureChannel makes a first channel in a new installation and none in others.
func TestEnsureChannel(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		names := func() (all []string) {
			for _, c := range must[[]Channel](t)(s.Channels(t.Context(), Everything())) {
				all = append(all, c.Name)
			}
			return all
		}
		for _, name := range []string{"general", "general", "other"} {
			check(t, s.EnsureChannel(t.Context(), channelName(t, name), noon))
			if got := names(); len(got) != 1 || got[0] != "general" {
				t.Errorf("after %s: %q", name, got)
			}
		}
	})
}
