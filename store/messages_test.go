package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRevisions has many post and delete in several channels at once: each
// channel counts its changes 1, 2, 3 ... and its listener gets them in that order.
func TestRevisions(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		sent := map[int64][]int64{} // written by the writer alone, read after Close
		s.Listen(func(changes []Change) {
			for _, m := range messagesIn(changes) {
				sent[m.ChannelID] = append(sent[m.ChannelID], m.Revision)
			}
		})
		var channels []Channel
		var users []User
		for i := range 3 {
			channels = append(channels, newChannel(t, s, fmt.Sprint("channel ", i)))
			users = append(users, newUser(t, s, fmt.Sprint("user ", i)))
		}
		const posters, posts = 24, 20 // every fourth post is deleted
		var group sync.WaitGroup
		for i := range posters {
			c, u := channels[i%3], users[i/3%3]
			group.Go(func() {
				for n := range posts {
					m, err := s.Post(t.Context(), Everything(), c, u, Draft{Body: fmt.Sprint(i, " ", n)}, noon)
					if err == nil && n%4 == 0 {
						err = s.DeleteMessage(t.Context(), own(u.ID), c.ID, m.ID)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		const perChannel = posters / 3 * posts * 5 / 4
		for _, c := range channels {
			changes, revision, err := s.Changes(t.Context(), Everything(), c.ID, 0, 10*perChannel)
			check(t, err)
			if revision != perChannel {
				t.Errorf("%s: revision %d, want %d", c.Name, revision, perChannel)
			}
			var used []int64
			for _, m := range changes {
				used = append(used, m.Revision)
				if m.Deleted {
					used = append(used, m.ID)
				} else if m.ID != m.Revision {
					t.Errorf("an unchanged message with id %d and revision %d", m.ID, m.Revision)
				}
			}
			slices.Sort(used)
			equal(t, "numbers given", used, upTo(perChannel))
		}
		check(t, s.Close())
		for _, c := range channels {
			equal(t, "sent in "+c.Name, sent[c.ID], upTo(perChannel))
		}
	})
}

// TestListener gets what is durable, before the write returns.
func TestListener(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		other := openReader(t, database)
		var sent []Message
		s.Listen(func(changes []Change) {
			for _, m := range messagesIn(changes) {
				var deleted bool
				if err := other.QueryRow(`SELECT deleted FROM messages WHERE channel_id = $1 AND revision = $2`, m.ChannelID, m.Revision).Scan(&deleted); err != nil || deleted != m.Deleted {
					t.Errorf("sent %+v, another reader sees %v, %v", m, deleted, err)
				}
			}
			sent = append(sent, messagesIn(changes)...)
		})
		c, u := newChannel(t, s, "general"), newUser(t, s, "Anna")
		m := post(t, s, c, u, "hello")
		want := Message{
			ChannelID: c.ID, Channel: "general", ID: 1, Revision: 1, AuthorID: u.ID, AuthorName: "Anna",
			PostedAt: noon, Body: "hello",
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("posted %+v, want %+v", m, want)
		}
		check(t, s.DeleteMessage(t.Context(), own(u.ID), c.ID, m.ID))
		gone := want
		gone.Revision, gone.Deleted, gone.Body = 2, true, ""
		if !reflect.DeepEqual(sent, []Message{want, gone}) {
			t.Errorf("sent %+v, want %+v", sent, []Message{want, gone})
		}
		if err := s.DeleteMessage(t.Context(), own(u.ID), c.ID, m.ID); err != nil || len(sent) != 2 {
			t.Errorf("a second delete: %v, sent %d changes", err, len(sent))
		}
	})
}

func TestSameKeyPostsOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		here, there := newChannel(t, s, "here"), newChannel(t, s, "there")
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		posted := func(c Channel, u User, body, key string) Message {
			return must[Message](t)(s.Post(t.Context(), Everything(), c, u, Draft{Body: body, Key: key}, noon))
		}
		first := posted(here, anna, "first", "key")
		if again := posted(here, anna, "first", "key"); !reflect.DeepEqual(again, first) {
			t.Errorf("again: %+v, want %+v", again, first)
		}
		refused := func(about, body string) {
			t.Helper()
			m, err := s.Post(t.Context(), Everything(), here, anna, Draft{Body: body, Key: "key"}, noon)
			if !errors.Is(err, ErrKeyUsed) || m.ID != 0 {
				t.Errorf("%s: %+v, %v; want ErrKeyUsed", about, m, err)
			}
		}
		refused("another text", "another text")
		for about, m := range map[string]Message{
			"another key": posted(here, anna, "x", "key2"), "no key": posted(here, anna, "x", ""), "no key again": posted(here, anna, "x", ""),
			"another author": posted(here, bea, "x", "key"), "another channel": posted(there, anna, "x", "key"),
		} {
			if m.Body != "x" {
				t.Errorf("%s posted nothing: %+v", about, m)
			}
		}
		check(t, s.DeleteMessage(t.Context(), own(anna.ID), here.ID, first.ID))
		refused("after the delete", "first")
		if _, revision, err := s.Newest(t.Context(), Everything(), here.ID, 9); err != nil || revision != 6 {
			t.Errorf("refusals used up revisions: %d, %v", revision, err)
		}

		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				if _, err := s.Post(t.Context(), Everything(), there, bea, Draft{Body: "at once", Key: fmt.Sprint("at once ", i%2)}, noon); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		messages, revision, err := s.Newest(t.Context(), Everything(), there.ID, 100)
		if err != nil || len(messages) != 3 || revision != 3 {
			t.Errorf("50 posts with two keys: %d messages at revision %d, %v; want 3 with the one before", len(messages), revision, err)
		}
	})
}

func TestPostFails(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, u := newChannel(t, s, "general"), newUser(t, s, "Anna")
		if _, err := s.Post(t.Context(), Everything(), Channel{ID: 99}, u, Draft{Body: "x"}, noon); !errors.Is(err, ErrNotFound) {
			t.Errorf("to a missing channel: %v", err)
		}
		if _, err := s.Post(t.Context(), Everything(), c, User{ID: 99}, Draft{Body: "x"}, noon); err == nil {
			t.Error("a missing author posted")
		}
		if m := post(t, s, c, u, "x"); m.ID != 1 {
			t.Errorf("the failures used up revisions: %+v", m)
		}
	})
}

func TestDeleteMessage(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, d := newChannel(t, s, "general"), newChannel(t, s, "other")
		anna, bea := newUser(t, s, "Anna"), newUser(t, s, "Bea")
		// Short and long: SQLite keeps them in different kinds of pages.
		short, long := []byte("a secret of Anna's"), bytes.Repeat([]byte("long secret "), 1000)
		first := post(t, s, c, anna, string(short))
		second := post(t, s, c, anna, string(long))
		post(t, s, c, anna, "stays")
		post(t, s, d, bea, "stays")

		for _, tt := range []struct {
			about   string
			channel Channel
			id      int64
			author  User
			want    error
		}{
			{"by another", c, first.ID, bea, ErrNotAuthor},
			{"of another's in another channel", d, first.ID, anna, ErrNotAuthor},
			{"of a missing message", c, 99, anna, ErrNotFound},
			{"of no message", c, 0, anna, ErrNotFound},
			{"in a missing channel", Channel{ID: 99}, first.ID, anna, ErrNotFound},
		} {
			if err := s.DeleteMessage(t.Context(), own(tt.author.ID), tt.channel.ID, tt.id); !errors.Is(err, tt.want) {
				t.Errorf("delete %s: %v, want %v", tt.about, err, tt.want)
			}
		}
		if got, revision, err := s.Newest(t.Context(), Everything(), c.ID, 9); err != nil || revision != 3 || !reflect.DeepEqual(got, []Message{first, second, got[2]}) {
			t.Errorf("refused deletes changed something: %+v at %d, %v", got, revision, err)
		}
		for _, m := range []Message{first, second, first} {
			check(t, s.DeleteMessage(t.Context(), own(anna.ID), c.ID, m.ID))
		}
		if err := s.DeleteMessage(t.Context(), own(bea.ID), c.ID, first.ID); !errors.Is(err, ErrNotAuthor) {
			t.Errorf("delete of a deleted message by another: %v", err)
		}
		changes, revision, err := s.Changes(t.Context(), Everything(), c.ID, 3, 9)
		if err != nil || revision != 5 || len(changes) != 2 {
			t.Fatalf("deletes made %+v, revision %d, %v", changes, revision, err)
		}
		for _, m := range changes {
			if !m.Deleted || m.Body != "" {
				t.Errorf("a deleted message: %+v", m)
			}
		}
		if s.engine.shared() {
			return // PostgreSQL overwrites what is deleted when it likes
		}
		if at := filesWith(t, database, short); len(at) == 0 {
			t.Error("the search does not find what was just written")
		}
		check(t, s.Close())
		for _, secret := range [][]byte{short, long[:40]} {
			if at := filesWith(t, database, secret); len(at) > 0 {
				t.Errorf("%q is still in %q", secret, at)
			}
		}
	})
}

// filesWith returns the files in a folder that contain what.
func filesWith(t *testing.T, dir string, what []byte) (names []string) {
	t.Helper()
	check(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if bytes.Contains(data, what) {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// TestReading reads a channel of 25 messages, of which 5, 10, 15 ... were
// deleted, in pages and by what has changed.
func TestReading(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, empty, u := newChannel(t, s, "general"), newChannel(t, s, "empty"), newUser(t, s, "Anna")
		var kept []int64
		for id := int64(1); id <= 25; id++ {
			post(t, s, c, u, fmt.Sprint("message ", id))
			if id%5 != 0 {
				kept = append(kept, id)
			}
		}
		for id := int64(5); id <= 25; id += 5 {
			check(t, s.DeleteMessage(t.Context(), own(u.ID), c.ID, id))
		}

		newest, revision, err := s.Newest(t.Context(), Everything(), c.ID, 7)
		check(t, err)
		equal(t, "newest", ids(newest), kept[13:])
		if revision != 30 {
			t.Errorf("revision %d, want 30", revision)
		}
		all := ids(newest)
		for len(all) < 100 {
			page := ids(must[[]Message](t)(s.Before(t.Context(), Everything(), c.ID, all[0], 7)))
			if len(page) == 0 {
				break
			}
			all = append(page, all...)
		}
		equal(t, "all pages back", all, kept)
		all = nil
		for at := int64(0); len(all) < 100; at = all[len(all)-1] {
			page := ids(must[[]Message](t)(s.After(t.Context(), Everything(), c.ID, at, 7)))
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		equal(t, "all pages on", all, kept)

		for _, tt := range []struct {
			after int64
			n     int
			want  []int64 // ids, in the order of their changes
		}{
			{0, 3, []int64{1, 2, 3}},
			{23, 100, []int64{24, 5, 10, 15, 20, 25}},
			{27, 2, []int64{15, 20}},
			{30, 100, nil},
			{99, 100, nil},
		} {
			changes, revision, err := s.Changes(t.Context(), Everything(), c.ID, tt.after, tt.n)
			check(t, err)
			equal(t, fmt.Sprint("changes after ", tt.after), ids(changes), tt.want)
			if revision != 30 {
				t.Errorf("changes after %d: revision %d", tt.after, revision)
			}
			for _, m := range changes {
				if m.Deleted != (m.ID%5 == 0) || m.Deleted != (m.Body == "") {
					t.Errorf("changes after %d: %+v", tt.after, m)
				}
			}
		}

		if got, revision, err := s.Newest(t.Context(), Everything(), empty.ID, 7); err != nil || len(got) != 0 || revision != 0 {
			t.Errorf("an empty channel: %+v, %d, %v", got, revision, err)
		}
		if _, _, err := s.Newest(t.Context(), Everything(), 99, 7); !errors.Is(err, ErrNotFound) {
			t.Errorf("a missing channel: %v", err)
		}
		if _, _, err := s.Changes(t.Context(), Everything(), 99, 0, 7); !errors.Is(err, ErrNotFound) {
			t.Errorf("the changes of a missing channel: %v", err)
		}
	})
}

// BenchmarkPost measures durable posts when one and when many people write.
func BenchmarkPost(b *testing.B) {
	for _, bm := range []struct {
		engine   string
		database func(testing.TB) string
		posters  int
	}{
		{"SQLite", newSQLite, 1}, {"SQLite", newSQLite, 64},
		{"PostgreSQL", newPostgres, 1}, {"PostgreSQL", newPostgres, 64},
	} {
		b.Run(fmt.Sprint(bm.engine, "/posters=", bm.posters), func(b *testing.B) {
			s, posters := openStore(b, bm.database(b)), bm.posters
			c, u := newChannel(b, s, "general"), newUser(b, s, "Anna")
			b.SetParallelism(posters)
			if posters == 1 {
				for b.Loop() {
					post(b, s, c, u, "hello")
				}
				return
			}
			var keys atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Post(b.Context(), Everything(), c, u, Draft{Body: "hello", Key: fmt.Sprint(keys.Add(1))}, noon); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
