package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func reply(t testing.TB, s *Store, c Channel, u User, to int64, body string) Message {
	t.Helper()
	return must[Message](t)(s.Post(t.Context(), own(u.ID), c, u, Draft{Body: body, ReplyTo: to}, noon))
}

func TestReplies(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, bea, c := newUser(t, s, "Anna"), newUser(t, s, "Bea"), newChannel(t, s, "general")
		sent := record(s)
		read := func(id int64) Message {
			t.Helper()
			return must[Message](t)(s.Message(t.Context(), own(anna.ID), c.ID, id))
		}
		root := post(t, s, c, anna, "\n  first line \nsecond line")
		b := reply(t, s, c, bea, root.ID, "an answer")
		if want := (Quote{root.ID, anna.ID, "Anna", "first line …", false}); b.ReplyTo == nil || *b.ReplyTo != want || b.Root != root.ID || b.ID != 2 || b.Revision != 2 {
			t.Errorf("a reply: %+v", b)
		}
		wantChanges(t, s, "a post and a reply", sent, root.ID, b.ID, root.ID)
		d := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "an answer to that", ReplyTo: b.ID, Key: "key"}, noon.Add(time.Minute)))
		wantChanges(t, s, "a reply to a reply", sent, d.ID, b.ID, root.ID)
		post(t, s, c, bea, "something else")
		*sent = nil
		if d.Root != root.ID || d.ReplyTo.ID != b.ID {
			t.Errorf("a reply to a reply: %+v", d)
		}
		if got := read(root.ID); got.Replies != 2 || !got.LastReplyAt.Equal(noon.Add(time.Minute)) || got.ReplyTo != nil || got.Root != 0 {
			t.Errorf("the root: %+v", got)
		}
		if got := read(b.ID); got.Replies != 1 {
			t.Errorf("the answered reply: %+v", got)
		}
		thread := func(id, after int64, n int) []int64 {
			t.Helper()
			m, replies, err := s.Thread(t.Context(), own(anna.ID), c.ID, id, after, n)
			if err != nil || m.ID != id {
				t.Errorf("the thread of %d: %+v, %v", id, m, err)
			}
			return ids(replies)
		}
		equal(t, "the thread", thread(root.ID, 0, 9), []int64{b.ID, d.ID})
		equal(t, "its first reply", thread(root.ID, 0, 1), []int64{b.ID})
		equal(t, "the rest of it", thread(root.ID, b.ID, 9), []int64{d.ID})
		equal(t, "the thread below a reply", thread(b.ID, 0, 9), []int64{d.ID})

		// Keys: the same reply is made once, the same text elsewhere is another.
		again := Draft{Body: "an answer to that", ReplyTo: b.ID, Key: "key"}
		if m := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, again, noon)); m.ID != d.ID {
			t.Errorf("posted again: %+v", m)
		}
		for _, to := range []int64{0, root.ID} {
			if _, err := s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: again.Body, ReplyTo: to, Key: "key"}, noon); !errors.Is(err, ErrKeyUsed) {
				t.Errorf("under the key to %d: %v", to, err)
			}
		}

		// Edits of what is quoted reach those who quote it, where the line differs.
		edit := func(body string) {
			t.Helper()
			must[Message](t)(s.EditMessage(t.Context(), own(anna.ID), c.ID, root.ID, Draft{Body: body}, 99, noon))
		}
		edit("first line\nanother second line")
		wantChanges(t, s, "an edit below the line", sent, root.ID)
		edit(strings.Repeat("界", 200))
		wantChanges(t, s, "an edit of the line", sent, root.ID, b.ID)
		if line := read(b.ID).ReplyTo.Line; line != strings.Repeat("界", 119)+"…" {
			t.Errorf("the line is %q", line)
		}

		// Deletes: of a reply, and of what is answered.
		check(t, s.DeleteMessage(t.Context(), own(anna.ID), c.ID, d.ID))
		wantChanges(t, s, "the delete of a reply", sent, d.ID, b.ID, root.ID)
		if got := read(b.ID); got.Replies != 0 || !got.LastReplyAt.IsZero() {
			t.Errorf("an answered reply no more: %+v", got)
		}
		if got := read(root.ID); got.Replies != 1 || !got.LastReplyAt.Equal(noon) {
			t.Errorf("the root: %+v", got)
		}
		check(t, s.DeleteMessage(t.Context(), own(anna.ID), c.ID, root.ID))
		wantChanges(t, s, "the delete of the root", sent, root.ID, b.ID)
		if got := read(b.ID); !reflect.DeepEqual(*got.ReplyTo, Quote{root.ID, anna.ID, "Anna", "", true}) {
			t.Errorf("it answers %+v", got.ReplyTo)
		}
		equal(t, "the thread without its root", thread(root.ID, 0, 9), []int64{b.ID})
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), c.ID, b.ID))
		wantChanges(t, s, "the delete of the last reply", sent, b.ID)

		// Nobody answers what is gone.
		for about, to := range map[string]int64{"deleted": root.ID, "missing": 99, "no message's": 5} {
			if _, err := s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "x", ReplyTo: to}, noon); !errors.Is(err, ErrNoTarget) {
				t.Errorf("an answer to what is %s: %v", about, err)
			}
		}
		// But what was posted before is known by its key.
		e := post(t, s, c, bea, "to be deleted")
		f := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "x", ReplyTo: e.ID, Key: "late"}, noon))
		check(t, s.DeleteMessage(t.Context(), own(bea.ID), c.ID, e.ID))
		if m := must[Message](t)(s.Post(t.Context(), own(anna.ID), c, anna, Draft{Body: "x", ReplyTo: e.ID, Key: "late"}, noon)); m.ID != f.ID {
			t.Errorf("posted again: %+v", m)
		}
	})
}

// TestManyQuotes bounds how many replies a changed line gives revisions to.
func TestManyQuotes(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
		root := post(t, s, c, anna, "before")
		var all []int64
		for i := range maxQuotes + 5 {
			all = append(all, reply(t, s, c, anna, root.ID, fmt.Sprint(i)).ID)
		}
		sent := record(s)
		must[Message](t)(s.EditMessage(t.Context(), own(anna.ID), c.ID, root.ID, Draft{Body: "after"}, root.Revision, noon))
		wantChanges(t, s, "an edit", sent, append([]int64{root.ID}, all[5:]...)...)
		if m := must[Message](t)(s.Message(t.Context(), own(anna.ID), c.ID, all[0])); m.ReplyTo.Line != "after" {
			t.Errorf("an old reply shows %q", m.ReplyTo.Line)
		}
	})
}

// TestNodesChangeMessages has two nodes change the same messages in all ways at
// once: each revision is sent once, by the node that made it, without gaps, and
// what is counted is what there is.
func TestNodesChangeMessages(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	c := newChannel(t, a, "general")
	var mu sync.Mutex
	latest, seen := map[int64]Message{}, map[int64]bool{}
	for _, s := range []*Store{a, b} {
		s.Listen(func(changes []Change) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range messagesIn(changes) {
				if seen[m.Revision] {
					t.Errorf("revision %d was sent twice", m.Revision)
				}
				seen[m.Revision] = true
				if latest[m.ID].Revision < m.Revision {
					latest[m.ID] = m
				}
			}
		})
	}
	var users []User
	for i := range 4 {
		users = append(users, newUser(t, a, fmt.Sprint("User ", i)))
	}
	var started []int64
	for range 4 {
		started = append(started, post(t, a, c, users[0], "begin").ID)
	}
	var group sync.WaitGroup
	for i, u := range users {
		for n, s := range []*Store{a, b} {
			group.Go(func() {
				ctx, scope := context.Background(), own(u.ID)
				for j := range 12 {
					id := started[(i+j+n)%len(started)]
					m, err := s.Post(ctx, scope, c, u, Draft{Body: fmt.Sprint(i, n, j), ReplyTo: id}, noon)
					if err == nil {
						_, err = s.React(ctx, scope, c.ID, id, []string{"👍", "🎉"}[j%2], j%3 != 0)
					}
					if err == nil {
						_, err = s.Pin(ctx, scope, c.ID, id, j%2 == 0, noon)
					}
					if err == nil {
						_, err = s.EditMessage(ctx, scope, c.ID, m.ID, Draft{Body: fmt.Sprint("edited ", i, n, j)}, m.Revision, noon)
					}
					if err == nil && j%4 == 0 {
						err = s.DeleteMessage(ctx, scope, c.ID, m.ID)
					}
					if err == nil && u.ID == users[0].ID && n == 0 {
						_, err = s.EditMessage(ctx, scope, c.ID, id, Draft{Body: fmt.Sprint("begin ", j)}, 1<<40, noon)
					}
					if err != nil {
						t.Errorf("user %d on node %d: %v", i, n, err)
					}
				}
			})
		}
	}
	group.Wait()
	changes, revision, err := b.Changes(t.Context(), Everything(), c.ID, 0, 1<<20)
	check(t, err)
	for n := int64(1); n <= revision; n++ {
		if !seen[n] {
			t.Errorf("revision %d of %d was not sent", n, revision)
		}
	}
	for _, m := range changes {
		if !reflect.DeepEqual(m, latest[m.ID]) {
			t.Errorf("sent %+v, read %+v", latest[m.ID], m)
		}
	}
	for _, id := range started {
		m, replies, err := a.Thread(t.Context(), Everything(), c.ID, id, 0, 1<<20)
		if err != nil || m.Replies != len(replies) || m.Replies == 0 {
			t.Errorf("%d replies are counted, %d are there, %v", m.Replies, len(replies), err)
		}
	}
}
