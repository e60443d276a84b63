package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// hold keeps the writer busy until release is called, so that what is written
// meanwhile shares a commit.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, released := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		err := s.write(context.Background(), func(context.Context, *tx) error {
			close(held)
			<-released
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	return func() {
		close(released)
		group.Wait()
	}
}

// TestOneWriteFailsAlone commits good and bad writes together.
func TestOneWriteFailsAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, anna := newChannel(t, s, "general"), newUser(t, s, "Anna")
		var batches [][]int64 // written by the writer alone, read after Close
		s.Listen(func(changes []Change) {
			var revisions []int64
			for _, m := range messagesIn(changes) {
				revisions = append(revisions, m.Revision)
			}
			batches = append(batches, revisions)
		})
		post(t, s, c, anna, "Anna's")
		cancelled, cancel := context.WithCancel(t.Context())
		failure := errors.New("a failure")

		release := hold(t, s)
		var group sync.WaitGroup
		for i := range 30 {
			write := func() error {
				_, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: fmt.Sprint(i)}, noon)
				return err
			}
			var want error
			switch i % 5 {
			case 1: // fails at its end: what it did is undone
				want = failure
				write = func() error {
					return s.write(t.Context(), func(ctx context.Context, t *tx) error {
						revision, err := nextRevision(ctx, t, Everything(), c.ID)
						if err != nil {
							return err
						}
						t.changed(MessageChanged{Message{ChannelID: c.ID, Revision: revision}})
						return failure
					})
				}
			case 2:
				want = ErrNotAuthor
				write = func() error {
					return s.write(t.Context(), func(context.Context, *tx) error { return refuse(ErrNotAuthor) })
				}
			case 3: // its SQL fails
				write = func() error {
					_, err := s.Post(t.Context(), Everything(), c, User{ID: 99}, Draft{Body: "nobody's"}, noon)
					if err == nil {
						return nil
					}
					return failure
				}
				want = failure
			case 4:
				want = context.Canceled
				write = func() error {
					_, err := s.Post(cancelled, Everything(), c, anna, Draft{Body: "given up"}, noon)
					return err
				}
			}
			group.Go(func() {
				if err := write(); !errors.Is(err, want) {
					t.Errorf("write %d: %v, want %v", i, err, want)
				}
			})
		}
		waitFor(t, func() bool { return len(s.writer.queue) == 30 })
		cancel()
		release()
		group.Wait()

		messages, revision, err := s.Newest(t.Context(), Everything(), c.ID, 100)
		check(t, err)
		equal(t, "messages", ids(messages), upTo(7))
		if revision != 7 {
			t.Errorf("revision %d, want 7", revision)
		}
		check(t, s.Close())
		if len(batches) != 2 {
			t.Fatalf("sent %v, want one commit and another of all the rest", batches)
		}
		equal(t, "sent", batches[1], upTo(7)[1:])
	})
}

// TestRefusalsRunNothingTwice commits good writes with others that are refused.
// Each runs once.
func TestRefusalsRunNothingTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, anna, bea := newChannel(t, s, "general"), newUser(t, s, "Anna"), newUser(t, s, "Bea")
		m := must[Message](t)(s.Post(t.Context(), Everything(), c, anna, Draft{Body: "Anna's", Key: "key"}, noon))
		runs := 0
		release := hold(t, s)
		var group sync.WaitGroup
		for about, tt := range map[string]struct {
			want  error
			write func() error
		}{
			"a good one": {nil, func() error {
				return s.write(t.Context(), func(context.Context, *tx) error { runs++; return nil })
			}},
			"another text under a key": {ErrKeyUsed, func() error {
				_, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: "other", Key: "key"}, noon)
				return err
			}},
			"a post to a missing channel": {ErrNotFound, func() error {
				_, err := s.Post(t.Context(), Everything(), Channel{ID: 99}, anna, Draft{Body: "x"}, noon)
				return err
			}},
			"a name that is taken": {ErrNameTaken, func() error {
				_, err := s.CreateUser(t.Context(), userName(t, "anna"), "", "", noon)
				return err
			}},
			"a channel that exists": {ErrChannelExists, func() error {
				_, err := s.CreateChannel(t.Context(), channelName(t, "General"), KindOpen, 0, noon)
				return err
			}},
			"a password of nobody": {ErrPasswordChanged, func() error {
				_, err := s.SetPassword(t.Context(), User{ID: 99}, "hash", "")
				return err
			}},
			"a visit to nowhere": {ErrNotFound, func() error { return s.Visit(t.Context(), own(anna.ID), 99, 0, noon) }},
		} {
			group.Go(func() {
				if err := tt.write(); !errors.Is(err, tt.want) {
					t.Errorf("%s: %v, want %v", about, err, tt.want)
				}
			})
		}
		waitFor(t, func() bool { return len(s.writer.queue) == 7 })
		// This one does not even wait for the writer.
		if err := s.DeleteMessage(t.Context(), own(bea.ID), c.ID, m.ID); !errors.Is(err, ErrNotAuthor) {
			t.Errorf("a delete of another's: %v", err)
		}
		release()
		group.Wait()
		if runs != 1 {
			t.Errorf("the good one ran %d times", runs)
		}
		if next := post(t, s, c, anna, "next"); next.ID != 2 {
			t.Errorf("refusals used up revisions: %+v", next)
		}
	})
}

// TestWritersThatComeBackShareACommit has the writer wait for clients that it has
// just answered, and not where there was only one.
func TestWritersThatComeBackShareACommit(t *testing.T) {
	t.Parallel()
	s := openStore(t, newSQLite(t))
	c, anna := newChannel(t, s, "general"), newUser(t, s, "Anna")
	s.writer.gather = time.Hour // whoever waits in vain hangs
	var commits []int64         // written by the writer alone, read after Close
	s.Listen(func(changes []Change) { commits = append(commits, int64(len(messagesIn(changes)))) })
	var group sync.WaitGroup
	add := func() {
		group.Go(func() {
			_, err := s.Post(t.Context(), Everything(), c, anna, Draft{Body: "hello"}, noon)
			check(t, err)
		})
	}
	for range 3 { // one after the other
		add()
		group.Wait()
	}
	release := hold(t, s)
	for range 3 {
		add()
	}
	waitFor(t, func() bool { return len(s.writer.queue) == 3 })
	release()
	// Four were under way: it takes the three, and waits for one more.
	waitFor(t, func() bool { return len(s.writer.queue) == 0 })
	add()
	group.Wait()
	for range 4 {
		add()
	}
	group.Wait()
	check(t, s.Close())
	equal(t, "commits", commits, []int64{1, 1, 1, 4, 4})
}

// TestClose finishes what was begun and refuses what comes later.
func TestClose(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, u := newChannel(t, s, "general"), newUser(t, s, "Anna")

		release := hold(t, s)
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := s.Post(t.Context(), Everything(), c, u, Draft{Body: "begun"}, noon); err != nil {
					t.Errorf("a write begun before Close: %v", err)
				}
			})
		}
		waitFor(t, func() bool { return len(s.writer.queue) == 20 })
		group.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		<-s.writer.closing
		if _, err := s.Post(t.Context(), Everything(), c, u, Draft{Body: "late"}, noon); !errors.Is(err, ErrClosed) {
			t.Errorf("a write during Close: %v, want ErrClosed", err)
		}
		release()
		group.Wait()
		if _, err := s.Post(t.Context(), Everything(), c, u, Draft{Body: "late"}, noon); !errors.Is(err, ErrClosed) {
			t.Errorf("a write after Close: %v, want ErrClosed", err)
		}

		messages, _, err := openStore(t, database).Newest(t.Context(), Everything(), c.ID, 100)
		check(t, err)
		equal(t, "kept", ids(messages), upTo(20))
	})
}

// TestCloseUnderLoad closes a store in use: exactly the acknowledged writes last.
func TestCloseUnderLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		c, u := newChannel(t, s, "general"), newUser(t, s, "Anna")
		var group sync.WaitGroup
		var mu sync.Mutex
		acknowledged := 0
		enough := make(chan struct{})
		for range 16 {
			group.Go(func() {
				for {
					_, err := s.Post(t.Context(), Everything(), c, u, Draft{Body: "x"}, noon)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					if acknowledged++; acknowledged == 100 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		check(t, s.Close())
		group.Wait()
		messages, revision, err := openStore(t, database).Newest(t.Context(), Everything(), c.ID, 1<<20)
		if err != nil || len(messages) != acknowledged || int(revision) != acknowledged {
			t.Errorf("%d messages at revision %d were kept, %d acknowledged, %v", len(messages), revision, acknowledged, err)
		}
	})
}
