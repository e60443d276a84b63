package store

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// TestScope shows a private channel to its members. For anybody else it is the
// same as a channel that does not exist.
func TestScope(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		open := newChannel(t, s, "open")
		private := must[Channel](t)(s.CreateChannel(t.Context(), channelName(t, "private"), KindPrivate, anna.ID, noon))
		if private.Kind != KindPrivate {
			t.Errorf("made %+v", private)
		}
		if role, err := memberRole(t, s, anna.ID, private.ID); role != Manager || err != nil {
			t.Errorf("its maker is %d, %v", role, err)
		}
		m := post(t, s, private, anna, "a secret")
		member, outsider := scopeOf(t, s, anna), scopeOf(t, s, bea)
		check(t, s.Visit(t.Context(), member, private.ID, m.ID, noon))

		reads := map[string]func(scope Scope, id int64) error{
			"Channel": func(scope Scope, id int64) error { _, err := s.Channel(t.Context(), scope, id); return err },
			"Newest":  func(scope Scope, id int64) error { _, _, err := s.Newest(t.Context(), scope, id, 9); return err },
			"Before":  func(scope Scope, id int64) error { _, err := s.Before(t.Context(), scope, id, 99, 9); return err },
			"After":   func(scope Scope, id int64) error { _, err := s.After(t.Context(), scope, id, 0, 9); return err },
			"Changes": func(scope Scope, id int64) error { _, _, err := s.Changes(t.Context(), scope, id, 0, 9); return err },
			"changes from the end": func(scope Scope, id int64) error {
				_, _, err := s.Changes(t.Context(), scope, id, 1, 9)
				return err
			},
			"Message":  func(scope Scope, id int64) error { _, err := s.Message(t.Context(), scope, id, m.ID); return err },
			"Position": func(scope Scope, id int64) error { _, err := s.Position(t.Context(), scope, id); return err },
			"Visit":    func(scope Scope, id int64) error { return s.Visit(t.Context(), scope, id, 0, noon) },
			"Join":     func(scope Scope, id int64) error { return s.Join(t.Context(), scope, id, noon) },
			"AddMember": func(scope Scope, id int64) error {
				return s.AddMember(t.Context(), scope, id, anna.ID, Ordinary, noon)
			},
			"Versions": func(scope Scope, id int64) error { _, err := s.Versions(t.Context(), scope, id, m.ID); return err },
			"Thread": func(scope Scope, id int64) error {
				_, _, err := s.Thread(t.Context(), scope, id, m.ID, 0, 9)
				return err
			},
			"React": func(scope Scope, id int64) error {
				_, err := s.React(t.Context(), scope, id, m.ID, "x", true)
				return err
			},
			"Pin": func(scope Scope, id int64) error {
				_, err := s.Pin(t.Context(), scope, id, m.ID, true, noon)
				return err
			},
			"Pins":      func(scope Scope, id int64) error { _, err := s.Pins(t.Context(), scope, id); return err },
			"CountPins": func(scope Scope, id int64) error { _, err := s.CountPins(t.Context(), scope, id); return err },
			"Save": func(scope Scope, id int64) error {
				return s.Save(t.Context(), scope, id, m.ID, true, time.Time{}, noon)
			},
			"EditMessage": func(scope Scope, id int64) error {
				_, err := s.EditMessage(t.Context(), scope, id, m.ID, Draft{Body: "a secret"}, 1, noon)
				return err
			},
			"Post": func(scope Scope, id int64) error {
				_, err := s.Post(t.Context(), scope, Channel{ID: id}, bea, Draft{Body: "x"}, noon)
				return err
			},
		}
		for name, read := range reads {
			missing, invisible := read(outsider, 99), read(outsider, private.ID)
			if !errors.Is(missing, ErrNotFound) || missing.Error() != invisible.Error() {
				t.Errorf("%s: a missing channel is %v, an invisible one %v", name, missing, invisible)
			}
			if name == "Post" {
				continue // Anna has no use for Bea's name
			}
			if err := read(member, private.ID); err != nil {
				t.Errorf("%s for a member: %v", name, err)
			}
		}
		for name, tt := range map[string]struct{ missing, invisible error }{
			"DeleteMessage": {s.DeleteMessage(t.Context(), outsider, 99, m.ID), s.DeleteMessage(t.Context(), outsider, private.ID, m.ID)},
			"RemoveMember":  {s.RemoveMember(t.Context(), outsider, 99, anna.ID), s.RemoveMember(t.Context(), outsider, private.ID, anna.ID)},
		} {
			if !errors.Is(tt.missing, ErrNotFound) || tt.invisible.Error() != tt.missing.Error() {
				t.Errorf("%s: a missing channel is %v, an invisible one %v", name, tt.missing, tt.invisible)
			}
		}
		lists := func(scope Scope) (all string, latest int64) {
			t.Helper()
			positions := must[*Positions](t)(s.Positions(t.Context(), scope))
			all = names(must[[]Channel](t)(s.Channels(t.Context(), scope))) + " " + names(s.ChannelsNear(scope, positions, 9)) + " " +
				names(must[[]Channel](t)(s.ChannelsAfter(t.Context(), scope, 0, 9)))
			return all, must[int64](t)(s.LatestChannel(t.Context(), scope))
		}
		wantLists := func(about string, scope Scope, names string, latest int64) {
			t.Helper()
			if all, id := lists(scope); all != names+" "+names+" "+names || id != latest {
				t.Errorf("%s: %q, the latest is %d", about, all, id)
			}
		}
		wantLists("an outsider", outsider, "open", open.ID)
		wantLists("a member", member, "openprivate", private.ID)
		wantLists("everything", Everything(), "openprivate", private.ID)

		// Whoever is added sees it, and loses it again.
		check(t, s.AddMember(t.Context(), member, private.ID, bea.ID, Ordinary, noon))
		added := scopeOf(t, s, bea)
		wantLists("one who was added", added, "openprivate", private.ID)
		check(t, s.Visit(t.Context(), added, private.ID, 0, noon))
		wantUnread(t, s, bea, Unread{private.ID, 1})
		check(t, s.RemoveMember(t.Context(), member, private.ID, bea.ID))
		removed := scopeOf(t, s, bea)
		wantLists("one who was removed", removed, "open", open.ID)
		if _, err := s.Position(t.Context(), removed, private.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("the position of one who was removed: %v", err)
		}
		wantUnread(t, s, bea)
		// Whoever still reads with a scope from before leaves nothing behind.
		stale := must[*Positions](t)(s.Positions(t.Context(), added))
		must[[]Unread](t)(s.Unread(t.Context(), added, stale))
		wantUnread(t, s, bea)
		if near := names(s.ChannelsNear(removed, must[*Positions](t)(s.Positions(t.Context(), removed)), 9)); near != "open" {
			t.Errorf("near, after a read with an old scope: %q", near)
		}
		// And writes no more.
		if err := s.Visit(t.Context(), added, private.ID, 0, noon); !errors.Is(err, ErrNotFound) {
			t.Errorf("a visit with an old scope: %v", err)
		}
		if _, err := s.Post(t.Context(), added, private, bea, Draft{Body: "x"}, noon); !errors.Is(err, ErrNotFound) {
			t.Errorf("a post with an old scope: %v", err)
		}
		if next := post(t, s, private, anna, "next"); next.ID != m.ID+3 { // after a reaction and a pin
			t.Errorf("refused posts used up revisions: %+v", next)
		}
	})
}

// TestNodesSeeMembers reads on one node what another has just changed of members.
func TestNodesSeeMembers(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	anna, bea := newUser(t, a, "Anna"), newUser(t, a, "Bea")
	for i := range 20 {
		name := channelName(t, "room "+string(rune('a'+i)))
		c := must[Channel](t)(a.CreateChannel(t.Context(), name, KindPrivate, anna.ID, noon))
		if _, err := b.ChannelByName(t.Context(), scopeOf(t, b, bea), name); !errors.Is(err, ErrNotFound) {
			t.Fatalf("an outsider finds %v", err)
		}
		if got := must[Channel](t)(b.ChannelByName(t.Context(), scopeOf(t, b, anna), name)); got.ID != c.ID {
			t.Fatalf("its maker finds %+v", got)
		}
		check(t, a.AddMember(t.Context(), scopeOf(t, a, anna), c.ID, bea.ID, Ordinary, noon))
		must[Channel](t)(b.Channel(t.Context(), scopeOf(t, b, bea), c.ID))
		check(t, a.RemoveMember(t.Context(), scopeOf(t, a, anna), c.ID, bea.ID))
		if _, _, err := b.Newest(t.Context(), scopeOf(t, b, bea), c.ID, 9); !errors.Is(err, ErrNotFound) {
			t.Fatalf("one who was removed reads: %v", err)
		}
	}
}

// TestChanges holds each write to the changes that it sends, and to send them
// when what they are about can be read.
func TestChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		var sent []Change
		var look func()
		s.Listen(func(changes []Change) {
			sent = append(sent, changes...)
			look()
		})
		look = func() {}
		expect := func(about string, want ...Change) {
			t.Helper()
			if len(sent) != len(want) {
				t.Errorf("%s: sent %+v, want %+v", about, sent, want)
			}
			for i := range min(len(sent), len(want)) {
				if !reflect.DeepEqual(sent[i], want[i]) {
					t.Errorf("%s: sent %+v, want %+v", about, sent[i], want[i])
				}
			}
			sent = nil
		}
		anna := newUser(t, s, "Anna")
		expect("a new user")
		c := must[Channel](t)(s.CreateChannel(t.Context(), channelName(t, "general"), KindOpen, anna.ID, noon))
		expect("a new channel", ChannelChanged{c}, MembersChanged{c.ID, anna.ID, true})
		other := newChannel(t, s, "other")
		expect("another's new channel", ChannelChanged{other})
		scope := scopeOf(t, s, anna)

		m := post(t, s, c, anna, "hello")
		expect("a post", MessageChanged{m})
		look = func() {
			if id, err := s.Position(t.Context(), scope, other.ID); err != nil || id != 0 {
				t.Errorf("a listener reads the position %d, %v", id, err)
			}
		}
		check(t, s.Visit(t.Context(), scope, other.ID, 0, noon))
		look = func() {}
		expect("a first visit", MembersChanged{other.ID, anna.ID, true}, PositionChanged{anna.ID, other.ID})
		check(t, s.Visit(t.Context(), scope, c.ID, 0, noon))
		expect("a maker's visit", PositionChanged{anna.ID, c.ID})
		check(t, s.Read(t.Context(), scope, c.ID, m.ID))
		expect("reading", PositionChanged{anna.ID, c.ID})
		check(t, s.Read(t.Context(), scope, c.ID, m.ID))
		expect("reading again")
		check(t, s.MarkUnread(t.Context(), scope, c.ID, m.ID))
		expect("marking", PositionChanged{anna.ID, c.ID})
		check(t, s.Join(t.Context(), scope, c.ID, noon))
		expect("joining again")
		check(t, s.RemoveMember(t.Context(), scope, c.ID, anna.ID))
		expect("leaving", MembersChanged{c.ID, anna.ID, false})
		check(t, s.RemoveMember(t.Context(), scope, c.ID, anna.ID))
		expect("leaving again")
		must[User](t)(s.SetPassword(t.Context(), anna, "hash", ""))
		expect("a new password", UserChanged{anna.ID})

		// Sessions: whose they are is in what is written.
		write := func(token string, userID int64, expires time.Time) {
			t.Helper()
			data := must[[]byte](t)(SessionCodec{}.Encode(expires, map[string]any{SessionUser: userID, SessionEpoch: int64(1)}))
			check(t, s.Sessions().CommitCtx(t.Context(), token, data, expires))
		}
		soon := time.Now().Add(time.Hour)
		write("a", anna.ID, soon)
		write("nobody's", 0, soon)
		write("past", anna.ID, time.Now().Add(-time.Hour))
		write("past and over", anna.ID, time.Now().Add(-time.Hour))
		expect("new sessions")
		check(t, s.Sessions().DeleteCtx(t.Context(), "nobody's"))
		check(t, s.Sessions().DeleteCtx(t.Context(), "none"))
		expect("the end of sessions that are nobody's")
		check(t, s.Sessions().DeleteCtx(t.Context(), "past and over"))
		check(t, s.Sessions().DeleteCtx(t.Context(), "a"))
		expect("the end of hers", UserChanged{anna.ID}, UserChanged{anna.ID})
		check(t, s.Sessions().DeleteCtx(t.Context(), "a"))
		expect("the end of one that has ended")
		check(t, s.Sessions().DeleteExpired(t.Context(), time.Now()))
		expect("one that has expired", UserChanged{anna.ID})

		check(t, s.DeleteMessage(t.Context(), scope, c.ID, m.ID))
		m.Revision, m.Deleted, m.Body = 2, true, ""
		expect("a delete", MessageChanged{m})
	})
}

// TestOldSessionEnds has a session end that a version without the column of its
// user has written.
func TestOldSessionEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		var sent []Change
		s.Listen(func(changes []Change) { sent = append(sent, changes...) })
		soon := time.Now().Add(time.Hour)
		data := must[[]byte](t)(SessionCodec{}.Encode(soon, map[string]any{SessionUser: int64(7)}))
		_, err := s.writer.db.Exec(`INSERT INTO sessions (token, data, ended, expires_at) VALUES ('a', $1, 0, $2)`, data, soon.UnixMicro())
		check(t, err)
		check(t, s.Sessions().DeleteCtx(t.Context(), "a"))
		if len(sent) != 1 || sent[0] != (UserChanged{7}) {
			t.Errorf("sent %+v", sent)
		}
	})
}

// TestPositionsCountPosts deletes what is read: that makes nothing unread, and
// leaves the id that positions are compared with.
func TestPositionsCountPosts(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea, c := newUser(t, s, "Anna"), newUser(t, s, "Bea"), newChannel(t, s, "general")
		first, second := post(t, s, c, bea, "first"), post(t, s, c, bea, "second")
		check(t, s.Visit(t.Context(), own(anna.ID), c.ID, second.ID, noon))
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), c.ID, first.ID))
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), c.ID, second.ID))
		wantUnread(t, s, anna)
		if got := must[Channel](t)(s.ChannelByName(t.Context(), own(anna.ID), channelName(t, "general"))); got.LastPost != second.ID || got.Revision != 4 {
			t.Errorf("the channel is %+v", got)
		}
		check(t, s.Close())
		s = openStore(t, database)
		if got := must[Channel](t)(s.Channel(t.Context(), own(anna.ID), c.ID)); got.LastPost != second.ID {
			t.Errorf("after a restart: %+v", got)
		}
		post(t, s, c, bea, "third")
		wantUnread(t, s, anna, Unread{c.ID, 1})
	})
}
