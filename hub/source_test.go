package hub

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// broken is a source that panics while it is switched so.
type broken struct {
	*ledger
	panics atomic.Bool
}

func (b *broken) fail(what string) {
	if b.panics.Load() {
		panic(what)
	}
}

func (b *broken) Newest(ctx context.Context, channelID int64, n, size int) (Window, error) {
	b.fail("Newest")
	return b.ledger.Newest(ctx, channelID, n, size)
}

func (b *broken) Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error) {
	b.fail("Changes")
	return b.ledger.Changes(ctx, channelID, after, n, size)
}

func (b *broken) Encode(f *Frame) [][]byte {
	b.fail("Encode")
	return b.ledger.Encode(f)
}

func (b *broken) Presence(p Presence) []byte {
	b.fail("Presence")
	return []byte("@" + people(p) + "\n")
}

// TestSourcePanics goes on when a source panics, wherever it is called: who asked
// gets an error, and what was missed is made good for.
func TestSourcePanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &broken{ledger: newLedger()}
		r := newTestRegistry(t, source)
		r.OnAttendance(func([]Attendance) { source.fail("OnAttendance") })
		time.Sleep(graceTime)
		ada, bob := User{1, "Ada"}, User{2, "Bob"}
		page := newReplica(t, window(t, r, 1))
		s, err := r.Subscribe(t.Context(), 1, 0, 0, Visitor{User: ada, Seen: "another"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := s.take(); err != nil {
			t.Fatal(err)
		}

		source.panics.Store(true)
		if _, err := r.Window(t.Context(), 2, 0); err == nil || !strings.Contains(err.Error(), "Newest") {
			t.Errorf("Window: %v", err)
		}
		if _, err := r.Subscribe(t.Context(), 2, 0, 0, Visitor{}); err == nil {
			t.Error("Subscribe of what cannot be read")
		}
		r.Publish(1, []Change{source.post(1, "hello")})
		source.post(1, "unpublished")
		r.Publish(1, []Change{source.post(1, "behind")})
		if _, err := r.Subscribe(t.Context(), 1, 1, 1, Visitor{User: bob}); err == nil {
			t.Error("Subscribe while a read panics")
		}
		r.Typing(1, ada)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		frames, err := s.take()
		if err != nil || len(frames) != 1 {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		for range 2 {
			if _, _, err := frames[0].Pieces(); err == nil || !strings.Contains(err.Error(), "Encode") {
				t.Errorf("Pieces: %v", err)
			}
		}

		source.panics.Store(false)
		time.Sleep(lastRetry)
		synctest.Wait()
		s.Close() // its frame could not be encoded: it comes back
		if s, err = r.Subscribe(t.Context(), 1, page.revision, 0, Visitor{User: ada}); err != nil {
			t.Fatal(err)
		}
		page.follow(t, s)
		page.shows(t, "the page", window(t, r, 1))
		s, err = r.Subscribe(t.Context(), 1, 3, 3, Visitor{User: bob, Seen: "another"})
		if err != nil {
			t.Fatal(err)
		}
		if got := take(t, s); len(got) != 1 || string(got[0]) != "@Ada Bob\n" {
			t.Errorf("the presence is %q", got)
		}
	})
}

// TestServe sends what is queued, one batch at a time, and ends once: with the
// reason, with what send failed with, or with its panic.
func TestServe(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for name, tt := range map[string]struct {
		send error
		end  func(r *Registry, s *Subscriber)
		want string
	}{
		"end":    {end: func(_ *Registry, s *Subscriber) { s.End(context.Canceled) }, want: context.Canceled.Error()},
		"close":  {end: func(_ *Registry, s *Subscriber) { s.Close() }, want: errClosed.Error()},
		"remove": {end: func(r *Registry, _ *Subscriber) { r.Remove(1, 7, context.Canceled) }, want: context.Canceled.Error()},
		"fails":  {send: broken, want: broken.Error()},
		"panics": {send: nil, want: "a panic: runtime error: integer divide by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				r := newTestRegistry(t, l)
				s, err := r.Subscribe(t.Context(), 1, 0, 0, Visitor{User: User{ID: 7}})
				if err != nil {
					t.Fatal(err)
				}
				sent, ends, zero := 0, 0, 0
				var reason error
				s.Serve(func(frames []*Frame) error {
					sent += len(frames)
					if sent == 3 {
						if name == "panics" {
							zero = 1 / zero
						}
						return tt.send
					}
					return nil
				}, func(err error) {
					ends++
					reason = err
				})
				for range 3 {
					if ends > 0 {
						t.Fatal("it ended early")
					}
					r.Publish(1, []Change{l.post(1, "hello")})
					synctest.Wait()
				}
				if tt.end != nil {
					isReleasedBut(t, r, 1)
					tt.end(r, s)
				}
				r.Publish(1, []Change{l.post(1, "too late")})
				synctest.Wait()
				if sent != 3 || ends != 1 || !strings.Contains(reason.Error(), tt.want) {
					t.Errorf("%d frames were sent, and it ended %d times, with %v", sent, ends, reason)
				}
				isReleased(t, r)
			})
		})
	}
}

// isReleasedBut checks that nothing waits, for so many subscribers.
func isReleasedBut(t *testing.T, r *Registry, subscribers int) {
	t.Helper()
	r.budget.mu.Lock()
	defer r.budget.mu.Unlock()
	if b := r.budget; b.size != 0 || len(b.subscribers) != subscribers {
		t.Errorf("%d bytes wait for %d subscribers", b.size, len(b.subscribers))
	}
}

// TestRemove ends the subscriptions of one user to one channel at once, and those
// of nobody else.
func TestRemove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		r := newTestRegistry(t, l)
		connect := func(channelID, userID int64) *Subscriber {
			s, err := r.Subscribe(t.Context(), channelID, 0, 0, Visitor{User: User{ID: userID}})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		gone := []*Subscriber{connect(1, 7), connect(1, 7)}
		stay := []*Subscriber{connect(1, 8), connect(2, 7)}
		r.Publish(1, []Change{l.post(1, "before")})
		reason := errors.New("no longer a member")
		r.Remove(1, 7, reason)
		r.Remove(1, 7, ErrRestart)
		r.Remove(3, 7, reason)
		r.Publish(1, []Change{l.post(1, "after")})
		r.Publish(2, []Change{l.post(2, "after")})
		for _, s := range gone {
			if frames, err := s.take(); len(frames) > 0 || !errors.Is(err, reason) {
				t.Errorf("one who was removed is sent %d frames, and ends with %v", len(frames), err)
			}
		}
		for i, want := range []int{2, 1} {
			if got := len(take(t, stay[i])); got != want {
				t.Errorf("another is sent %d frames, want %d", got, want)
			}
		}
		time.Sleep(graceTime + flushTime)
		synctest.Wait()
		if p := r.Presence(1, User{ID: 8}); len(p.Here) != 1 {
			t.Errorf("%v are here", p.Here)
		}
		for _, s := range append(gone, stay...) {
			s.Close()
		}
		isReleased(t, r)

		// Who may come again is let in.
		page := newReplica(t, Window{})
		page.follow(t, connect(1, 7))
		page.shows(t, "back", window(t, r, 1))
	})
}
