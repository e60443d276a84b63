package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"hubbub/hub"
)

// transport returns the way to answer a request for live changes:
//
//   - text/event-stream, where a proxy refuses the upgrade;
//   - one held answer of HTML, where a proxy holds streams back;
//   - a document, where there is no script: see document.go.
func (s *Server) transport(w http.ResponseWriter, r *http.Request, q Request) transport {
	stream := stream{w: w, control: http.NewResponseController(w)}
	switch {
	case q.Document != nil:
		return &documentTransport{stream: stream, page: q.Page, view: *q.Document, server: s}
	case r.Header.Get("Accept") == "text/event-stream":
		return &eventTransport{stream}
	default:
		return &heldTransport{stream: stream}
	}
}

// stream is an answer that is sent piece by piece.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// wait lets the answer take longer than one to a form may.
func (s *stream) wait() error {
	return errors.Join(s.control.SetReadDeadline(time.Time{}), s.control.SetWriteDeadline(time.Time{}))
}

// start sends the header. A proxy is asked not to hold the answer back.
func (s *stream) start(contentType string) {
	header := s.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// Write implements io.Writer. It gives up a browser that takes nothing for
// sendTimeout.
func (s *stream) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		if err := s.control.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			return written, err
		}
		var n int
		n, err = s.w.Write(p[:min(len(p), maxWritten)])
		written, p = written+n, p[n:]
	}
	return written, err
}

// write sends pieces.
func (s *stream) write(pieces ...[]byte) error {
	for _, piece := range pieces {
		if _, err := s.Write(piece); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

// eventTransport is text/event-stream.
type eventTransport struct{ stream }

func (t *eventTransport) open(context.Context) error {
	if err := t.wait(); err != nil {
		return err
	}
	t.start("text/event-stream")
	// By this the browser knows that nothing holds the stream back.
	return t.write([]byte("event: open\ndata:\n\n"))
}

func (t *eventTransport) send(_ context.Context, frames []*hub.Frame) error {
	w := bufio.NewWriterSize(t, maxWritten)
	for _, frame := range frames {
		pieces, _, err := frame.Pieces()
		if err != nil {
			return err
		}
		// A line of the frame is a line of data.
		_, _ = w.WriteString("data: ")
		for _, piece := range pieces {
			for line := range bytes.Lines(piece) {
				text, ends := bytes.CutSuffix(line, []byte("\n"))
				_, _ = w.Write(text)
				if ends {
					_, _ = w.WriteString("\ndata: ")
				}
			}
		}
		_, _ = w.WriteString("\n\n")
	}
	if err := w.Flush(); err != nil { // which fails as what was written before it did
		return err
	}
	return t.control.Flush()
}

func (t *eventTransport) beat(context.Context) error {
	return t.write([]byte("event: beat\ndata:\n\n"))
}

func (t *eventTransport) close(_ context.Context, reason error) {
	name := "end"
	if errors.Is(reason, ErrSessionOver) || errors.Is(reason, ErrNoRoom) {
		name = "over"
	}
	// That the browser does not wait for it is no error of ours.
	_ = t.write([]byte("event: " + name + "\ndata:\n\n"))
}

// heldTransport is one answer of HTML, held till there is something to say.
// The browser asks again.
type heldTransport struct {
	stream
	answered bool
}

func (t *heldTransport) open(context.Context) error { return t.wait() }

// send gives the first frame. The browser asks for what comes after it.
func (t *heldTransport) send(_ context.Context, frames []*hub.Frame) error {
	var pieces [][]byte
	if len(frames) > 0 {
		var err error
		if pieces, _, err = frames[0].Pieces(); err != nil {
			return err
		}
	}
	t.answered = true
	t.start("text/html; charset=utf-8")
	if err := t.write(pieces...); err != nil {
		return err
	}
	return errAnswered
}

func (t *heldTransport) beat(ctx context.Context) error { return t.send(ctx, nil) }

func (t *heldTransport) close(ctx context.Context, reason error) {
	if t.answered {
		return
	}
	status := http.StatusServiceUnavailable
	switch {
	case GivenUp(ctx, reason):
		status = StatusGivenUp
	case errors.Is(reason, ErrSessionOver):
		status = http.StatusUnauthorized
	case errors.Is(reason, ErrNoRoom):
		status = http.StatusNotFound
	}
	t.w.Header().Set("Cache-Control", "no-store")
	t.w.WriteHeader(status)
}
