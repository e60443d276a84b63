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
		c, anna, bea := newChannel(t, s, "general"), newUser(t, s, "Anna"), newUser(t, s, "Bea")
		var batches [][]int64 // written by the writer alone, read after Close
		s.Listen(func(changes []Message) {
			var revisions []int64
			for _, m := range changes {
				revisions = append(revisions, m.Revision)
			}
			batches = append(batches, revisions)
		})
		m := post(t, s, c, anna, "Anna's")
		cancelled, cancel := context.WithCancel(t.Context())
		failure := errors.New("a failure")

		release := hold(t, s)
		var group sync.WaitGroup
		for i := range 30 {
			write := func() error {
				_, err := s.Post(t.Context(), c, anna, fmt.Sprint(i), "", noon)
				return err
			}
			var want error
			switch i % 5 {
			case 1: // fails at its end: what it did is undone
				want = failure
				write = func() error {
					return s.write(t.Context(), func(ctx context.Context, t *tx) error {
						revision, err := nextRevision(ctx, t, c.ID)
						if err != nil {
							return err
						}
						t.changed(Message{ChannelID: c.ID, Revision: revision})
						return failure
					})
				}
			case 2:
				want = ErrNotAuthor
				write = func() error { return s.DeleteMessage(t.Context(), c.ID, m.ID, bea.ID) }
			case 3: // its SQL fails
				write = func() error {
					_, err := s.Post(t.Context(), c, User{ID: 99}, "nobody's", "", noon)
					if err == nil {
						return nil
					}
					return failure
				}
				want = failure
			case 4:
				want = context.Canceled
				write = func() error {
					_, err := s.Post(cancelled, c, anna, "given up", "", noon)
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

		messages, revision, err := s.Newest(t.Context(), c.ID, 100)
		check(t, err)
		equal(t, "messages", ids(messages), upTo(7))
		if revision != 7 {
			t.Errorf("revision %d, want 7", revision)
		}
		check(t, s.Close())
		if len(batches) != 2 {
			t.Fatalf("heard %v, want one commit and another of all the rest", batches)
		}
		equal(t, "heard", batches[1], upTo(7)[1:])
	})
}

// TestWritersThatComeBackShareACommit has the writer wait for those whom it has
// just answered, and for nobody where there was no company.
func TestWritersThatComeBackShareACommit(t *testing.T) {
	t.Parallel()
	s := openStore(t, newSQLite(t))
	c, anna := newChannel(t, s, "general"), newUser(t, s, "Anna")
	s.writer.patience = time.Hour // whoever waits in vain hangs
	var commits []int64           // written by the writer alone, read after Close
	s.Listen(func(changes []Message) { commits = append(commits, int64(len(changes))) })
	var group sync.WaitGroup
	add := func() {
		group.Go(func() {
			_, err := s.Post(t.Context(), c, anna, "hello", "", noon)
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
				if _, err := s.Post(t.Context(), c, u, "begun", "", noon); err != nil {
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
		if _, err := s.Post(t.Context(), c, u, "late", "", noon); !errors.Is(err, ErrClosed) {
			t.Errorf("a write during Close: %v, want ErrClosed", err)
		}
		release()
		group.Wait()
		if _, err := s.Post(t.Context(), c, u, "late", "", noon); !errors.Is(err, ErrClosed) {
			t.Errorf("a write after Close: %v, want ErrClosed", err)
		}

		messages, _, err := openStore(t, database).Newest(t.Context(), c.ID, 100)
		check(t, err)
		equal(t, "kept", ids(messages), upTo(20))
	})
}

// TestCloseUnderLoad tells each writer the truth about its last write.
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
					_, err := s.Post(t.Context(), c, u, "x", "", noon)
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
		messages, revision, err := openStore(t, database).Newest(t.Context(), c.ID, 1<<20)
		if err != nil || len(messages) != acknowledged || int(revision) != acknowledged {
			t.Errorf("%d messages at revision %d were kept, %d acknowledged, %v", len(messages), revision, acknowledged, err)
		}
	})
}
