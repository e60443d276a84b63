package bus

import (
	"context"
	"time"
)

// queue holds what waits to be sent to one transport, PostgreSQL or NATS. What
// is added while something is sent, or too soon after it, is merged into one
// batch and sent next.
type queue struct {
	wake signal        // something was added, or closing was set
	done chan struct{} // closed when nothing more will be sent

	// The bus's mu guards these:
	waiting batch
	closing bool // sendQueue returns when all is sent
}

func newQueue() *queue {
	return &queue{wake: newSignal(), done: make(chan struct{})}
}

// add merges e into what waits. The caller holds the bus's mu.
func (q *queue) add(e envelope) {
	q.waiting.add(e)
	q.wake.send()
}

// take removes and returns what waits. The caller holds the bus's mu.
func (q *queue) take() batch {
	waiting := q.waiting
	q.waiting = batch{}
	return waiting
}

// sendQueue sends what is added to a queue until ctx ends, or until the queue is
// closing and empty. Two sends begin at least interval apart. The function send
// returns how long to wait before the next send, such as after a failure. It
// has to requeue what it could not send.
func (b *Bus) sendQueue(ctx context.Context, q *queue, interval time.Duration, send func(waiting batch) time.Duration) {
	defer close(q.done)
	for ctx.Err() == nil {
		b.mu.Lock()
		waiting := q.take()
		closing := q.closing
		b.mu.Unlock()
		if !waiting.empty() {
			began := time.Now()
			wait := send(waiting)
			sleep(ctx, max(wait, interval-time.Since(began)))
			continue
		}
		if closing {
			return
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
}

// encode returns the texts that a batch is sent as, each of limit bytes at most.
func (b *Bus) encode(waiting batch, limit int) [][]byte {
	texts, dropped := waiting.envelope(b.node).encode(limit)
	if dropped > 0 {
		b.log.Error("too long to be sent to the other nodes", "items", dropped)
	}
	return texts
}

// closeQueue waits until a queue has sent all that was added to it.
func (b *Bus) closeQueue(ctx context.Context, q *queue) error {
	b.mu.Lock()
	q.closing = true
	b.mu.Unlock()
	q.wake.send()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signal wakes the goroutine that receives from it. Signals that are sent before
// it receives count as one.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

// send does not block.
func (s signal) send() {
	select {
	case s <- struct{}{}:
	default:
	}
}
