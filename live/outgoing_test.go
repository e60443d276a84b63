package live

import (
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// deadlines is an answer whose browser reads nothing until its time is over.
type deadlines struct {
	*httptest.ResponseRecorder
	once sync.Once
	cut  chan struct{}
}

func (d *deadlines) SetWriteDeadline(time.Time) error {
	d.once.Do(func() { close(d.cut) })
	return nil
}

// TestOutgoingIsBounded cuts the oldest answers off, and no others, once too
// much waits to be read.
func TestOutgoingIsBounded(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	const room = maxOutgoing / (size + perAnswer)
	var o Outgoing
	var answers []*deadlines
	var ends []func()
	begin := func() {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder(), cut: make(chan struct{})}
		answers, ends = append(answers, w), append(ends, o.Begin(w, size))
	}
	isCut := func(i int) bool {
		select {
		case <-answers[i].cut:
			return true
		default:
			return false
		}
	}
	for range room {
		begin()
	}
	ends[1]() // it was read
	begin()
	for i := range answers {
		if isCut(i) {
			t.Fatalf("answer %d is cut off although there is room", i)
		}
	}
	begin()
	begin()
	for i := range answers {
		if want := i == 0 || i == 2; isCut(i) != want {
			t.Errorf("answer %d is cut off: %v", i, isCut(i))
		}
	}
	for _, end := range ends {
		end()
		end()
	}
	if o.bytes != 0 || o.answers.Len() != 0 {
		t.Errorf("%d bytes of %d answers are left", o.bytes, o.answers.Len())
	}
}
