package live

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

const (
	// maxOutgoing is how many bytes of pages may wait for browsers to read them,
	// all together.
	maxOutgoing = 128 << 20

	// perAnswer is what an answer takes beside its page, mostly to compress it.
	perAnswer = 512 << 10
)

// Outgoing bounds the memory of pages that are being sent. How large a page is
// others decide, by what they write, and how fast it is read its browser
// decides: so those that have been at it for longest are cut off where there is
// too much. Its zero value is ready.
type Outgoing struct {
	mu      sync.Mutex
	bytes   int64
	answers list.List // of *sending, the oldest first
}

// sending is one answer that is being sent.
type sending struct {
	bytes  int64
	cut    func()
	isDone bool // it is not counted any more
}

// Begin counts an answer of a number of bytes in, and returns what counts it
// out. Where there is too much, it cuts the oldest answers off.
func (o *Outgoing) Begin(w http.ResponseWriter, bytes int) (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &sending{bytes: int64(bytes) + perAnswer, cut: func() {
		// Where there are no deadlines the server's own ends it, later.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now())
	}}
	added := o.answers.PushBack(s)
	o.bytes += s.bytes
	for o.bytes > maxOutgoing && o.answers.Front() != added {
		o.remove(o.answers.Front()).cut()
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.remove(added)
	}
}

// remove takes an answer out, unless it was taken out before.
func (o *Outgoing) remove(e *list.Element) *sending {
	s := e.Value.(*sending)
	if !s.isDone {
		s.isDone = true
		o.answers.Remove(e)
		o.bytes -= s.bytes
	}
	return s
}
