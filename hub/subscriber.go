package hub

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// MaxQueued is how many bytes of news may wait for one subscriber. It is room
// for the whole window at the longest messages' size, and more is given up: the
// browser comes back and catches up.
const MaxQueued = 4 << 20

// ErrSlow ends the subscription of one that reads more slowly than others
// write.
var ErrSlow = errors.New("hub: the subscriber is too slow")

// Subscriber is one connection to a hub. What is published waits in its queue,
// so that nobody waits for it.
type Subscriber struct {
	hub  *Hub // nil for none
	user User

	// The flusher's, once the hub has the subscriber.
	told    string // the state of the presence that it was told of last
	patient bool   // it keeps what it brought along till the node has settled

	mu       sync.Mutex
	queue    [][]byte
	queued   int // bytes
	presence int // how many frames end with the one that shows the presence, 0 if none does
	reason   error
	wake     chan struct{} // has room for one: there is something to look at; nil till Next is used
	served   *service      // nil where Next is used
}

// service is how the frames of a subscriber are sent without anyone waiting.
type service struct {
	send func(frames [][]byte) error
	end  func(reason error)
	busy bool // a goroutine is at it
}

// Serve has the frames sent by a goroutine that there is only while there are
// any: it costs less than one that waits in Next, beside which it must not be
// used. Frames are passed to send as Next returns them. Where that fails, or
// the subscription ends, end is called with the reason, once and as the last
// thing.
func (s *Subscriber) Serve(send func(frames [][]byte) error, end func(reason error)) {
	s.mu.Lock()
	s.served = &service{send: send, end: end}
	s.mu.Unlock()
	s.signal()
}

// NewSubscriber returns a subscriber that belongs to no channel: only Tell
// gives it something to send, and only Close ends it.
func NewSubscriber() *Subscriber { return &Subscriber{} }

// precede puts the frame that a subscriber has missed before all else in its
// queue. It is not held against the subscriber however long it is.
func (s *Subscriber) precede(missed []byte) {
	if len(missed) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.Insert(s.queue, 0, missed)
	if s.presence > 0 {
		s.presence++
	}
}

// Next waits until there is something to send and returns all of it: frames to
// be sent in this order and one by one, for browsers do not keep to the order
// within one. They are shared and must not be changed. It fails
// with ErrSlow, with ErrRestart, with the reason given to Close, or as ctx
// does.
func (s *Subscriber) Next(ctx context.Context) ([][]byte, error) {
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

// Close ends the subscription. The reason is what Next fails with from now on.
func (s *Subscriber) Close(reason error) {
	if s.hub != nil {
		s.hub.remove(s)
	}
	s.end(reason)
}

func (s *Subscriber) take() ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return nil, s.reason
	}
	frames := s.queue
	s.queue, s.queued, s.presence = nil, 0, 0
	return frames, nil
}

// Tell queues a frame, which must not be changed from now on. It waits for
// nothing, and does nothing once the subscription has ended or where the frame
// is empty.
func (s *Subscriber) Tell(frame []byte) {
	if len(frame) == 0 {
		return
	}
	s.mu.Lock()
	s.push(frame)
	s.mu.Unlock()
	s.signal()
}

// show queues a frame that shows the presence, in the place of an earlier one
// that still waits.
func (s *Subscriber) show(frame []byte) {
	if len(frame) == 0 {
		return
	}
	s.mu.Lock()
	if at := s.presence - 1; at >= 0 {
		s.queued += len(frame) - len(s.queue[at])
		s.queue[at] = frame
	} else {
		s.push(frame)
		s.presence = len(s.queue)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *Subscriber) push(frame []byte) {
	if s.reason != nil {
		return
	}
	s.queue = append(s.queue, frame)
	s.queued += len(frame)
	if s.queued > MaxQueued {
		s.reason, s.queue, s.presence = ErrSlow, nil, 0
	}
}

func (s *Subscriber) end(reason error) {
	s.mu.Lock()
	if s.reason == nil {
		s.reason = reason
	}
	s.mu.Unlock()
	s.signal()
}

func (s *Subscriber) signal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served != nil {
		if !s.served.busy && (s.reason != nil || len(s.queue) > 0) {
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
			err = s.served.send(frames)
		}
		if err != nil {
			s.Close(err)
			_, reason := s.take() // the first there was
			s.served.end(reason)
			return // busy for ever: nobody serves what has ended
		}
		s.mu.Lock()
		if s.reason == nil && len(s.queue) == 0 {
			s.served.busy = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}
