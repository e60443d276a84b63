package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"hubbub/e2e/throwaway"
)

// newNodes returns the stores of two nodes on one database.
func newNodes(t *testing.T) (a, b *Store) {
	t.Helper()
	database := newPostgres(t)
	return openStore(t, database), openStore(t, database)
}

// TestNodesWriteAtOnce has two nodes post, delete and read in the same channels
// and for the same users. Each change has a number of its own, without gaps, and
// each key posts once.
func TestNodesWriteAtOnce(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	nodes := []*Store{a, b}
	var channels []Channel
	for i := range 3 {
		channels = append(channels, newChannel(t, a, fmt.Sprint("channel ", i)))
	}
	const authors, posts = 8, 30
	var sent sync.Map // the changes that the listeners got
	for _, s := range nodes {
		s.Listen(func(changes []Change) {
			for _, m := range messagesIn(changes) {
				if _, twice := sent.LoadOrStore([2]int64{m.ChannelID, m.Revision}, m); twice {
					t.Errorf("revision %d of channel %d was given twice", m.Revision, m.ChannelID)
				}
			}
		})
	}
	var group sync.WaitGroup
	for i := range authors {
		u := newUser(t, a, fmt.Sprint("Author ", i))
		for n, s := range nodes {
			group.Go(func() {
				for j := range posts {
					c := channels[(i+j*(n+1))%len(channels)]
					// The same key on both nodes, now and then at once.
					m, err := s.Post(context.Background(), Everything(), channels[j%len(channels)], u, Draft{Body: "hello", Key: fmt.Sprint(j)}, noon)
					switch {
					case errors.Is(err, ErrKeyUsed):
						err = nil // the other node has deleted the message by now
					case err == nil && j%3 == n:
						err = s.DeleteMessage(context.Background(), own(u.ID), m.ChannelID, m.ID)
					}
					if err == nil {
						err = s.Visit(context.Background(), own(u.ID), c.ID, int64(j), noon)
					}
					if err == nil {
						err = s.Read(context.Background(), own(u.ID), c.ID, int64(j)+1)
					}
					if err != nil {
						t.Errorf("%d on node %d: %v", j, n, err)
					}
				}
			})
		}
	}
	group.Wait()

	total := 0
	for _, c := range channels {
		_, revision, err := b.Newest(t.Context(), Everything(), c.ID, 1)
		check(t, err)
		for n := range revision {
			if _, ok := sent.Load([2]int64{c.ID, n + 1}); !ok {
				t.Errorf("nobody was sent revision %d of %q", n+1, c.Name)
			}
		}
		changes, at, err := a.Changes(t.Context(), Everything(), c.ID, 0, 1<<20)
		check(t, err)
		if at != revision || len(changes) == 0 || changes[len(changes)-1].Revision != revision {
			t.Errorf("%q is at %d and %d", c.Name, at, revision)
		}
		total += len(changes)
	}
	if total != authors*posts {
		t.Errorf("%d messages, want %d: each key once", total, authors*posts)
	}
}

// TestNodesSeeEachOther reads on one node what was written on another a moment
// ago, as when the answer to a form leads to a page that another node serves.
func TestNodesSeeEachOther(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	anna, bea := newUser(t, a, "Anna"), newUser(t, a, "Bea")
	c := newChannel(t, a, "general")
	for i := range 50 {
		if got := must[Channel](t)(b.ChannelByName(t.Context(), Everything(), channelName(t, "General"))); got.ID != c.ID || got.Revision != int64(i) {
			t.Fatalf("after %d posts, the channel is %+v", i, got)
		}
		post(t, a, c, bea, "hello")
		if messages, revision, err := b.Newest(t.Context(), Everything(), c.ID, 1); err != nil || revision != int64(i)+1 || messages[0].ID != revision {
			t.Fatalf("post %d: got %+v at %d, %v", i+1, messages, revision, err)
		}
		check(t, a.Visit(t.Context(), own(anna.ID), c.ID, int64(i), noon))
		if position := must[int64](t)(b.Position(t.Context(), own(anna.ID), c.ID)); position != int64(i) {
			t.Fatalf("visited up to %d, read up to %d", i, position)
		}
		if u := must[User](t)(b.User(t.Context(), anna.ID)); u.LastChannel != c.ID || u.Epoch != anna.Epoch {
			t.Fatalf("visit %d: got %+v", i, u)
		}
		anna = must[User](t)(a.SetPassword(t.Context(), anna, "hash", ""))

		token := fmt.Sprint("token ", i)
		check(t, a.Sessions().CommitCtx(t.Context(), token, []byte("data"), time.Now().Add(time.Hour)))
		if data, found, err := b.Sessions().FindCtx(t.Context(), token); !found || string(data) != "data" || err != nil {
			t.Fatalf("the session: %q, %v, %v", data, found, err)
		}
		check(t, a.Sessions().DeleteCtx(t.Context(), token))
		if _, found, err := b.Sessions().FindCtx(t.Context(), token); found || err != nil {
			t.Fatalf("the session after it ended: %v, %v", found, err)
		}
	}
}

// TestNodesNoteChannels has a node learn of channels that another makes and changes.
func TestNodesNoteChannels(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	a, b, c := openStore(t, database), openStore(t, database), openStore(t, database)
	anna := newUser(t, a, "Anna")
	refresh := func(about string, changed, receded []int64) {
		t.Helper()
		changedNow, recededNow, err := b.Refresh(t.Context())
		check(t, err)
		equal(t, about+", changed", channelIDs(changedNow), changed)
		equal(t, about+", receded", channelIDs(recededNow), receded)
	}
	first := newChannel(t, a, "first")
	if isNew, err := b.NoteChannel(t.Context(), first.ID, 0); !isNew || err != nil {
		t.Errorf("a new channel: %v, %v", isNew, err)
	}
	refresh("one that was noted", []int64{first.ID}, nil)
	refresh("again", nil, nil)
	if isNew, err := b.NoteChannel(t.Context(), 99, 1); isNew || err != nil {
		t.Errorf("no channel: %v, %v", isNew, err)
	}

	// Whatever a request or a notice says, it is looked at.
	post(t, a, first, anna, "hello")
	must[Channel](t)(b.ChannelByName(t.Context(), Everything(), channelName(t, "first")))
	if isNew, err := b.NoteChannel(t.Context(), first.ID, 1); isNew || err != nil {
		t.Errorf("a known channel: %v, %v", isNew, err)
	}
	refresh("a change that was noted", []int64{first.ID}, nil)
	post(t, b, first, anna, "of this node")
	refresh("a change of its own", nil, nil)
	if _, err := b.NoteChannel(t.Context(), first.ID, 1<<40); err != nil {
		t.Error(err)
	}
	refresh("a lie", nil, []int64{first.ID})
	post(t, a, first, anna, "hello")
	refresh("a change after it", []int64{first.ID}, nil)

	// Names that were refused leave gaps between the ids.
	for range 5 {
		if _, err := a.CreateChannel(t.Context(), channelName(t, "first"), KindOpen, 0, noon); !errors.Is(err, ErrChannelExists) {
			t.Errorf("the same name: %v", err)
		}
	}
	second, third := newChannel(t, a, "second"), newChannel(t, a, "third")
	if third.ID < first.ID+7 {
		t.Fatalf("the ids are %d and %d", first.ID, third.ID)
	}
	// Who comes to know the third knows the second, by whatever way.
	for about, know := range map[string]func(*Store) error{
		"a notice": func(s *Store) error { _, err := s.NoteChannel(t.Context(), third.ID, 0); return err },
		"a request": func(s *Store) error {
			_, err := s.ChannelByName(t.Context(), Everything(), channelName(t, "third"))
			return err
		},
	} {
		s := map[string]*Store{"a notice": b, "a request": c}[about]
		check(t, know(s))
		equal(t, "after "+about, channelIDs(must[[]Channel](t)(s.ChannelsAfter(t.Context(), Everything(), first.ID, 2))), []int64{second.ID, third.ID})
	}
	fourth := newChannel(t, a, "fourth")
	fifth := newChannel(t, b, "fifth")
	equal(t, "after one of its own", channelIDs(must[[]Channel](t)(b.ChannelsAfter(t.Context(), Everything(), third.ID, 9))), []int64{fifth.ID, fourth.ID})
}

func channelIDs(channels []Channel) []int64 {
	var ids []int64
	for _, c := range channels {
		ids = append(ids, c.ID)
	}
	return ids
}

// TestNodesStartAtOnce opens an empty database on several nodes.
func TestNodesStartAtOnce(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	name := channelName(t, "general")
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			s, err := Open(context.Background(), database)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.EnsureChannel(context.Background(), name, noon), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if channels := must[[]Channel](t)(openStore(t, database).Channels(t.Context(), Everything())); len(channels) != 1 {
		t.Errorf("there are %+v", channels)
	}
}

// TestNodesMakeChannels makes channels on two nodes at once: who has seen one
// has seen those with lower ids.
func TestNodesMakeChannels(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	a, b, third := openStore(t, database), openStore(t, database), openStore(t, database)
	var group sync.WaitGroup
	for n, s := range []*Store{a, b} {
		group.Go(func() {
			for i := range 50 {
				name, err := ChannelName(fmt.Sprint(n, " ", i))
				if err == nil {
					_, err = s.CreateChannel(context.Background(), name, KindOpen, 0, noon)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := map[int64]bool{}
	highest := int64(0)
	for len(seen) < 100 {
		changed, _, err := third.Refresh(t.Context())
		check(t, err)
		for _, c := range changed {
			seen[c.ID] = true
		}
		for id := range seen {
			highest = max(highest, id)
		}
		for id := int64(1); id <= highest; id++ {
			if !seen[id] {
				t.Fatalf("channel %d was seen before %d", highest, id)
			}
		}
	}
	group.Wait()
	if ids := must[[]Channel](t)(third.Channels(t.Context(), Everything())); !slices.ContainsFunc(ids, func(c Channel) bool { return c.ID == highest }) {
		t.Errorf("channel %d is not listed", highest)
	}
}

// TestFirstHostAway opens a database at an address of several hosts, of which the
// first does not answer: one that is as it is asked for is taken.
func TestFirstHostAway(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	u := must[*url.URL](t)(url.Parse(database))
	u.Host = "127.0.0.1:1," + u.Host
	query := u.Query()
	query.Set("target_session_attrs", "read-write")
	u.RawQuery = query.Encode()
	newUser(t, openStore(t, u.String()), "Anna")

	query.Set("target_session_attrs", "standby")
	u.RawQuery = query.Encode()
	if s, err := Open(t.Context(), u.String()); err == nil {
		closeStore(t, s)
		t.Error("the first that answers was taken, whatever it is")
	}
}

// TestNodeGoneInTransaction has a node disappear in the midst of a transaction:
// the others go on, but for what it has locked, until the server takes that back.
func TestNodeGoneInTransaction(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	anna := newUser(t, a, "Anna")
	locked, free := newChannel(t, a, "locked"), newChannel(t, a, "free")
	must[Channel](t)(b.ChannelByName(t.Context(), Everything(), channelName(t, "free")))
	gone, err := a.writer.db.BeginTx(t.Context(), nil)
	check(t, err)
	defer gone.Rollback() //nolint:errcheck // its connection is ended
	_, err = gone.Exec(`UPDATE channels SET revision = revision WHERE id = $1`, locked.ID)
	check(t, err)

	release := hold(t, b)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if _, err := b.Post(t.Context(), Everything(), locked, anna, Draft{Body: "blocked"}, noon); !Unavailable(err) {
				t.Errorf("what is locked: %v", err)
			}
		})
		group.Go(func() {
			if _, err := b.Post(t.Context(), Everything(), free, anna, Draft{Body: "hello"}, noon); err != nil {
				t.Errorf("what is not: %v", err)
			}
		})
	}
	waitFor(t, func() bool { return len(b.writer.queue) == 10 })
	release()
	group.Wait()
	waitFor(t, func() bool {
		_, err := b.Post(t.Context(), Everything(), locked, anna, Draft{Body: "at last"}, noon)
		return err == nil
	})
}

// TestVisitsInOrder has the clock of one node go behind another's: the visit
// that came last counts.
func TestVisitsInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, first, second := newUser(t, s, "Anna"), newChannel(t, s, "first"), newChannel(t, s, "second")
		check(t, s.Visit(t.Context(), own(anna.ID), first.ID, 0, noon.Add(time.Minute)))
		check(t, s.Visit(t.Context(), own(anna.ID), second.ID, 0, noon))
		if last := must[User](t)(s.User(t.Context(), anna.ID)).LastChannel; last != second.ID {
			t.Errorf("the last is %d, want %d", last, second.ID)
		}
		check(t, s.Visit(t.Context(), own(anna.ID), first.ID, 0, noon))
		if last := must[User](t)(s.User(t.Context(), anna.ID)).LastChannel; last != first.ID {
			t.Errorf("the last is %d, want %d", last, first.ID)
		}
	})
}

// TestCommitsWait holds commits to wait for the disk, whatever the database's
// own setting.
func TestCommitsWait(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	s := openStore(t, database)
	var name, setting string
	check(t, s.readers.QueryRow(`SELECT current_database()`).Scan(&name))
	_, err := s.writer.db.Exec(`ALTER DATABASE ` + name + ` SET synchronous_commit = off`)
	check(t, err)
	check(t, s.Close())
	s = openStore(t, database)
	check(t, s.writer.db.QueryRow(`SHOW synchronous_commit`).Scan(&setting))
	if setting != "on" {
		t.Errorf("synchronous_commit is %s", setting)
	}
}

// TestPostgresAway stops the database, and has it hang.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	away := must[*throwaway.Postgres](t)(throwaway.StartPostgres(t.Context()))
	t.Cleanup(func() { check(t, away.Close()) })
	s := openStore(t, must[string](t)(away.NewDatabase(t.Context())))
	anna, c := newUser(t, s, "Anna"), newChannel(t, s, "general")
	post(t, s, c, anna, "before")

	// Whoever was idle while it started anew need not know.
	check(t, away.Stop())
	check(t, away.Start(t.Context()))
	post(t, s, c, anna, "after a restart")

	for _, fault := range []struct {
		name       string
		begin, end func() error
	}{
		{"stopped", away.Stop, func() error { return away.Start(t.Context()) }},
		{"hanging", away.Pause, away.Resume},
	} {
		check(t, fault.begin())
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		_, readErr := s.User(limited, anna.ID)
		cancel()
		_, writeErr := s.Post(t.Context(), Everything(), c, anna, Draft{Body: "during", Key: "key " + fault.name}, noon)
		check(t, fault.end())
		for what, err := range map[string]error{"read": readErr, "write": writeErr} {
			if !Unavailable(err) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: a %s ends with %v", fault.name, what, err)
			}
		}
		waitFor(t, func() bool {
			_, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: "during", Key: "key " + fault.name}, noon)
			return err == nil
		})
	}
	if messages, _, err := s.Newest(t.Context(), Everything(), c.ID, 9); err != nil || len(messages) != 4 {
		t.Errorf("there are %+v, %v", messages, err)
	}
}

// TestPositionsAreOfAMoment shows that what a page says of a user's positions is
// read once, whatever another node writes meanwhile.
func TestPositionsAreOfAMoment(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t)
	anna := newUser(t, a, "Anna")
	first, second := newChannel(t, a, "a"), newChannel(t, a, "b")
	check(t, a.Visit(t.Context(), own(anna.ID), first.ID, 0, noon))
	if _, _, err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := must[*Positions](t)(b.Positions(t.Context(), own(anna.ID)))
	check(t, a.Visit(t.Context(), own(anna.ID), second.ID, 3, noon.Add(time.Second)))
	after := must[*Positions](t)(b.Positions(t.Context(), own(anna.ID)))
	for _, tt := range []struct {
		at        *Positions
		wantNear  string
		wantRead  int64
		wantKnown bool
	}{{before, "a", 0, false}, {after, "b", 3, true}} {
		if near := names(b.ChannelsNear(Everything(), tt.at, 1)); near != tt.wantNear {
			t.Errorf("near is %q, want %q", near, tt.wantNear)
		}
		if read, known := tt.at.Of(second.ID); read != tt.wantRead || known != tt.wantKnown {
			t.Errorf("read up to %d, %v; want %d, %v", read, known, tt.wantRead, tt.wantKnown)
		}
	}
}
