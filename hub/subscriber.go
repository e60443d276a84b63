package hub

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// MaxQueued is how many bytes may be queued for one subscriber, beside what it
// is sent at first. It bounds how far one may fall behind, so all count, though
// others may wait for the same: who is further behind is quicker given the window
// anew. What all subscribers hold together is bounded by the registry.
const MaxQueued = 4 << 20

// Why a subscription has ended, beside the reasons that others give.
var (
	// ErrSlow ends the subscription of one that reads more slowly than others
	// write.
	ErrSlow = errors.New("hub: the subscriber is too slow")

	// ErrRestart ends a subscription when the node stops.
	ErrRestart = errors.New("hub: the node is stopping")

	errClosed = errors.New("hub: the subscriber is closed")
)

// Subscriber is one connection to a hub, or to none. Frames wait in its queue, so
// that nobody waits for it.
type Subscriber struct {
	hub    *Hub // nil for none
	budget *budget
	user   User

	// The flusher's, once the hub has the subscriber.
	presenceState string // of the presence that it was sent last, "" where it is sent none
	keepsPresence bool   // it keeps what its page shows until the node has settled

	mu       sync.Mutex
	waiting  batch // queued
	sending  batch // taken, and maybe not sent yet
	queued   int   // bytes of waiting
	presence int   // how many of waiting end with the one that shows the presence, 0 if none does
	reason   error
	wake     chan struct{} // has room for one: there is something to look at; nil until Next is used
	served   *service      // nil where Next is used
	onSlow   func()        // may be nil
}

// batch is frames that a subscriber holds.
type batch struct {
	frames []*Frame
	since  int64 // when the first was queued, by the budget's clock
}

// service is how the frames of a subscriber are sent without anyone waiting.
type service struct {
	send func(frames []*Frame) error
	end  func(reason error)
	busy bool // a goroutine runs
}

// Serve sends queued frames from a goroutine that exists only while the queue is
// not empty: an idle subscriber costs less than one for which a goroutine waits in
// Next, beside which Serve must not be used. It passes frames to send as Next
// returns them. Where that fails or panics, or the subscription ends, Serve closes
// the subscriber and calls end with the reason, once and as the last thing.
func (s *Subscriber) Serve(send func(frames []*Frame) error, end func(reason error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = &service{send: send, end: end}
	s.signal()
}

// OnSlow registers what is called when the subscription ends with ErrSlow. A
// write that hangs then has to fail at once, because the frames that it holds are
// no longer counted. The function is called by whoever publishes: it must not
// wait, nor call the subscriber.
func (s *Subscriber) OnSlow(abort func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onSlow = abort
}

// Next waits until there is something to send and returns all of it: frames to
// be sent in this order and one by one, for browsers do not keep to the order
// within one. The frames of the last call have been sent by then. It fails with
// ErrSlow, with ErrRestart, with the reason given to End, or as ctx does.
func (s *Subscriber) Next(ctx context.Context) ([]*Frame, error) {
	s.mu.Lock()
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	wake := s.wake
	s.mu.Unlock()
	for {
		if frames, err := s.take(); err != nil || len(frames) > 0 {
			return frames, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Send queues a frame. It waits for nothing, and does nothing where the
// subscription has ended or the frame is empty.
func (s *Subscriber) Send(f *Frame) {
	if f.isEmpty() {
		return
	}
	s.budget.hold(f, 1)
	s.enqueue(f)
	s.budget.enforce()
}

// End ends the subscription. The reason, if it is the first, is what Next fails
// with from now on. Anyone may call it, at any time.
func (s *Subscriber) End(reason error) {
	if s.hub != nil {
		s.hub.remove(s)
	}
	s.end(reason)
}

// Close ends the subscription and says that nothing is being sent any more. It is
// for the one who has called Next, or who has not called Serve.
func (s *Subscriber) Close() {
	s.End(errClosed)
	s.mu.Lock()
	s.drop(&s.sending)
	s.mu.Unlock()
	s.budget.leave(s)
}

// letGo ends the subscription without waiting for its hub, which may be locked by
// the caller.
func (s *Subscriber) letGo(reason error) {
	if abort := s.end(reason); abort != nil {
		abort()
	}
}

// take returns all that waits, to be sent.
func (s *Subscriber) take() ([]*Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(&s.sending)
	if s.reason != nil {
		return nil, s.reason
	}
	s.sending = s.waiting
	s.waiting, s.queued, s.presence = batch{}, 0, 0
	return s.sending.frames, nil
}

// enqueue queues a frame that the caller holds, and no longer holds then.
func (s *Subscriber) enqueue(f *Frame) {
	s.mu.Lock()
	slow := !s.push(f)
	if !slow {
		s.signal()
	}
	s.mu.Unlock()
	if slow {
		s.letGo(ErrSlow)
	}
}

// enqueueFirst queues what a subscriber has missed before all else. It does not
// count against the subscriber. The caller no longer holds it then.
func (s *Subscriber) enqueueFirst(missed *Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting.frames) == 0 {
		s.waiting.since = s.budget.clock.Load()
	}
	s.waiting.frames = slices.Insert(s.waiting.frames, 0, missed)
	if s.presence > 0 {
		s.presence++
	}
	s.signal()
}

// show queues a frame that shows the presence, in the place of an earlier one
// that still waits. The caller no longer holds it then.
func (s *Subscriber) show(f *Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.presence - 1; at >= 0 && s.reason == nil {
		s.queued += f.size - s.waiting.frames[at].size
		s.budget.release(s.waiting.frames[at])
		s.waiting.frames[at] = f
		return
	}
	s.push(f)
	s.presence = len(s.waiting.frames)
	s.signal()
}

// push appends a frame that the caller holds to the queue. It returns false where
// more is queued then than may be.
func (s *Subscriber) push(f *Frame) bool {
	if s.reason != nil {
		s.budget.release(f)
		return true
	}
	if len(s.waiting.frames) == 0 {
		s.waiting.since = s.budget.clock.Load()
	}
	s.waiting.frames = append(s.waiting.frames, f)
	s.queued += f.size
	return s.queued <= MaxQueued
}

// end ends the subscription for a reason, if it is the first, and drops what
// waits. It returns what is to be called where that is being slow.
func (s *Subscriber) end(reason error) (abort func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return nil
	}
	s.reason = reason
	s.drop(&s.waiting)
	s.queued, s.presence = 0, 0
	if errors.Is(reason, ErrSlow) {
		s.drop(&s.sending) // which is aborted
		abort = s.onSlow
	}
	s.signal()
	return abort
}

// drop lets go of frames.
func (s *Subscriber) drop(b *batch) {
	for _, f := range b.frames {
		s.budget.release(f)
	}
	*b = batch{}
}

// waitsSince returns when the first of what the subscriber holds was queued, 0
// where it holds nothing.
func (s *Subscriber) waitsSince() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sending.frames) > 0 {
		return s.sending.since
	}
	return s.waiting.since
}

// signal has somebody look at the queue and at the reason. It is called under the
// lock.
func (s *Subscriber) signal() {
	if s.served != nil {
		if !s.served.busy && (s.reason != nil || len(s.waiting.frames) > 0) {
			s.served.busy = true
			go s.serve()
		}
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it looks anyway, or nobody waits yet
	}
}

// serve sends what waits until nothing does.
func (s *Subscriber) serve() {
	// Others first: what they are about to queue goes out in the same write.
	runtime.Gosched()
	for {
		frames, err := s.take()
		if err == nil && len(frames) > 0 {
			err = s.sendBatch(frames)
		}
		if err != nil {
			s.End(err)
			_, reason := s.take() // the first there was
			s.Close()
			s.served.end(reason)
			return // busy for ever: nobody serves what has ended
		}
		if s.isDone() {
			return
		}
	}
}

// sendBatch sends frames. A panic ends the subscription, not the process.
func (s *Subscriber) sendBatch(frames []*Frame) (err error) {
	defer recoverTo(&err)
	return s.served.send(frames)
}

// isDone reports whether there is nothing to be served any more, and has the next
// frame start another goroutine then.
func (s *Subscriber) isDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil || len(s.waiting.frames) > 0 {
		return false
	}
	s.drop(&s.sending)
	s.served.busy = false
	return true
}
