package hub

import (
	"context"
	"errors"
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
	hub  *Hub
	wake chan struct{} // has room for one: there is something to look at

	mu     sync.Mutex
	queue  [][]byte
	queued int // bytes
	reason error
}

// newSubscriber returns a subscriber with what it has missed in its queue,
// which is not held against it however long it is.
func newSubscriber(h *Hub, missed [][]byte) *Subscriber {
	s := &Subscriber{hub: h, wake: make(chan struct{}, 1)}
	for _, frame := range missed {
		if len(frame) > 0 {
			s.queue = append(s.queue, frame)
		}
	}
	return s
}

// Next waits until there is something to send and returns all of it: frames to
// be sent in this order and one by one, for browsers do not keep to the order
// within one. They are shared and must not be changed. It fails
// with ErrSlow, with ErrRestart, with the reason given to Close, or as ctx
// does.
func (s *Subscriber) Next(ctx context.Context) ([][]byte, error) {
	for {
		if frames, err := s.take(); err != nil || len(frames) > 0 {
			return frames, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription. The reason is what Next fails with from now on.
func (s *Subscriber) Close(reason error) {
	s.hub.remove(s)
	s.end(reason)
}

func (s *Subscriber) take() ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return nil, s.reason
	}
	frames := s.queue
	s.queue, s.queued = nil, 0
	return frames, nil
}

func (s *Subscriber) push(frame []byte) {
	s.mu.Lock()
	if s.reason == nil {
		s.queue = append(s.queue, frame)
		s.queued += len(frame)
		if s.queued > MaxQueued {
			s.reason, s.queue = ErrSlow, nil
		}
	}
	s.mu.Unlock()
	s.signal()
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
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
