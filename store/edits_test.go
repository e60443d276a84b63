package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

// record returns the changes of messages that a store sends from now on. Read
// them while nothing is written.
func record(s *Store) *[]Message {
	var sent []Message
	s.Listen(func(changes []Change) { sent = append(sent, messagesIn(changes)...) })
	return &sent
}

// wantChanges holds a channel to have sent changes of some messages, in the order
// of their revisions, each as it is read now. It forgets them.
func wantChanges(t *testing.T, s *Store, about string, sent *[]Message, want ...int64) {
	t.Helper()
	equal(t, about+": changed", ids(*sent), want)
	latest := map[int64]Message{}
	for i, m := range *sent {
		if i > 0 && m.ChannelID == (*sent)[i-1].ChannelID && m.Revision != (*sent)[i-1].Revision+1 {
			t.Errorf("%s: revision %d follows %d", about, m.Revision, (*sent)[i-1].Revision)
		}
		latest[m.ID] = m
	}
	for _, m := range latest {
		got := must[Message](t)(readMessage(t.Context(), s.readers, Everything(), m.ChannelID, m.ID))
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: sent %+v, read %+v", about, m, got)
		}
	}
	*sent = nil
}

func TestEditMessage(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea, c := newUser(t, s, "Anna"), newUser(t, s, "Bea"), newChannel(t, s, "general")
		sent := record(s)
		m := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "a secret", Key: "key"}, noon))
		check(t, s.Visit(t.Context(), own(bea.ID), c.ID, m.ID, noon))
		wantChanges(t, s, "a post", sent, m.ID)
		edit := func(u User, body string, revision int64, at time.Duration) (Message, error) {
			return s.EditMessage(t.Context(), own(u.ID), c.ID, m.ID, Draft{Body: body}, revision, noon.Add(at))
		}

		first, err := edit(anna, "another secret", m.Revision, time.Minute)
		if err != nil || first.Body != "another secret" || first.ID != m.ID || first.Revision != 2 || !first.EditedAt.Equal(noon.Add(time.Minute)) || !first.PostedAt.Equal(noon) {
			t.Errorf("edited: %+v, %v", first, err)
		}
		wantChanges(t, s, "an edit", sent, m.ID)
		wantUnread(t, s, bea)

		for _, tt := range []struct {
			about    string
			user     User
			body     string
			revision int64
			want     error
		}{
			{"of another's", bea, "x", 2, ErrNotAuthor},
			{"of an older text", anna, "x", 1, ErrConflict},
			{"to the same text", anna, "another secret", 1, nil},
		} {
			got, err := edit(tt.user, tt.body, tt.revision, time.Hour)
			if !errors.Is(err, tt.want) || got.Body != "another secret" {
				t.Errorf("an edit %s: %+v, %v", tt.about, got, err)
			}
		}
		wantChanges(t, s, "refused edits", sent)

		// A reaction meanwhile is no conflict.
		must[Message](t)(s.React(t.Context(), own(bea.ID), c.ID, m.ID, "👍", true))
		second, err := edit(anna, "no secret", 2, 2*time.Minute)
		if err != nil || second.Revision != 4 || len(second.Reactions) != 1 {
			t.Errorf("after a reaction: %+v, %v", second, err)
		}
		wantChanges(t, s, "a reaction and an edit", sent, m.ID, m.ID)
		versions := must[[]Version](t)(s.Versions(t.Context(), own(bea.ID), c.ID, m.ID))
		if want := []Version{{"a secret", noon.Truncate(time.Microsecond)}, {"another secret", noon.Add(time.Minute)}}; !reflect.DeepEqual(versions, want) {
			t.Errorf("versions: %+v, want %+v", versions, want)
		}

		// Its key stands for what was posted.
		again := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "a secret", Key: "key"}, noon))
		if !reflect.DeepEqual(again, second) {
			t.Errorf("posted again: %+v, want %+v", again, second)
		}
		if _, err := s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "no secret", Key: "key"}, noon); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("the edited text under the key: %v", err)
		}

		for _, list := range [][]Message{
			must[[]Message](t)(s.Before(t.Context(), own(bea.ID), c.ID, 99, 9)), must[[]Message](t)(s.After(t.Context(), own(bea.ID), c.ID, 0, 9)),
		} {
			if len(list) != 1 || !reflect.DeepEqual(list[0], second) {
				t.Errorf("listed: %+v, want %+v", list, second)
			}
		}
		if messages, revision, err := s.Newest(t.Context(), own(bea.ID), c.ID, 9); err != nil || revision != 4 || !reflect.DeepEqual(messages, []Message{second}) {
			t.Errorf("newest: %+v at %d, %v", messages, revision, err)
		}

		// A delete takes all versions away.
		must[Message](t)(s.Pin(t.Context(), own(bea.ID), c.ID, m.ID, true, noon))
		check(t, s.DeleteMessage(t.Context(), own(anna.ID), c.ID, m.ID))
		if _, err := s.Versions(t.Context(), own(anna.ID), c.ID, m.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("the versions of a deleted message: %v", err)
		}
		if _, err := edit(anna, "back", 99, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("an edit of a deleted message: %v", err)
		}
		for _, table := range []string{"versions", "reactions", "mentions", "pins"} {
			var n int
			check(t, s.readers.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
			if n != 0 {
				t.Errorf("%d %s are left", n, table)
			}
		}
		gone, _, err := s.Changes(t.Context(), own(bea.ID), c.ID, 5, 9)
		if err != nil || len(gone) != 1 || !gone[0].Deleted || gone[0].Body != "" || gone[0].Pinned || gone[0].Reactions != nil || !gone[0].EditedAt.IsZero() {
			t.Errorf("the deleted message: %+v, %v", gone, err)
		}
		if s.engine.shared() {
			return
		}
		check(t, s.Close())
		if at := filesWith(t, database, []byte("secret")); len(at) > 0 {
			t.Errorf("a version is still in %q", at)
		}
	})
}

// TestEditsAtOnce has one of many edits of the same text win.
func TestEditsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		other := s
		if s.engine.shared() {
			other = openStore(t, database)
		}
		anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
		m := post(t, s, c, anna, "first")
		var group sync.WaitGroup
		var mu sync.Mutex
		var won []string
		for i := range 20 {
			group.Go(func() {
				body := fmt.Sprint("edit ", i)
				got, err := []*Store{s, other}[i%2].EditMessage(context.Background(), own(anna.ID), c.ID, m.ID, Draft{Body: body}, m.Revision, noon)
				switch {
				case err == nil:
					mu.Lock()
					won = append(won, body)
					mu.Unlock()
				case !errors.Is(err, ErrConflict) || got.Body == "first" || got.Body == body:
					t.Errorf("%s: %+v, %v", body, got, err)
				}
			})
		}
		group.Wait()
		got := must[Message](t)(s.Message(t.Context(), own(anna.ID), c.ID, m.ID))
		if len(won) != 1 || got.Body != won[0] || got.Revision != 2 {
			t.Errorf("%q won, the message is %+v", won, got)
		}
	})
}
