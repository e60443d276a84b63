package bus

import (
	"context"
	"time"
)

// line is what goes one way: over PostgreSQL, or over NATS. What is told while
// something is sent, or too soon after, is merged and sent next.
type line struct {
	wake bell          // something waits, or this is the end
	done chan struct{} // closed when nothing will be sent any more

	// Under the lock of the bus:
	waiting draft
	closing bool // it ends when all is sent
}

func newLine() *line {
	return &line{wake: newBell(), done: make(chan struct{})}
}

// add is called under the lock of the bus.
func (l *line) add(told letter) {
	l.waiting.add(told)
	l.wake.ring()
}

// take is called under the lock of the bus.
func (l *line) take() draft {
	d := l.waiting
	l.waiting = draft{}
	return d
}

// carry sends what a line is told until ctx ends, or until the line is closing
// and empty. The pace is the least time from the beginning of a send to that of
// the next. Send returns how long to wait after it, be it for a failure; what it
// could not send it has to keep.
func (b *Bus) carry(ctx context.Context, l *line, pace time.Duration, send func(d draft) time.Duration) {
	defer close(l.done)
	for ctx.Err() == nil {
		b.mu.Lock()
		d := l.take()
		closing := l.closing
		b.mu.Unlock()
		if !d.empty() {
			began := time.Now()
			wait := send(d)
			pause(ctx, max(wait, pace-time.Since(began)))
			continue
		}
		if closing {
			return
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
	}
}

// write returns the texts that a draft is sent as.
func (b *Bus) write(d draft, limit int) [][]byte {
	told := d.letter(b.node)
	texts, left := told.write(limit)
	if left > 0 {
		b.log.Error("too long to be told to the other nodes", "items", left)
	}
	return texts
}

// finish waits until a line has sent all.
func (b *Bus) finish(ctx context.Context, l *line) error {
	b.mu.Lock()
	l.closing = true
	b.mu.Unlock()
	l.wake.ring()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bell wakes a goroutine, once for all that has rung it meanwhile.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

// ring waits for nobody.
func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
