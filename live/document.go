package live

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/a-h/templ"

	"hubbub/components"
	"hubbub/hub"
)

// A room's page that is live without script has a frame. What is in it follows
// from what a browser does by itself:
//
//   - A page has not been loaded before its frames have, and until then it is
//     busy to screen readers. So the frame begins with a document that ends
//     (FirstDocument), of which a refresh leads on.
//   - What a proxy holds back until it is complete would never show. But a
//     browser asks for a style sheet as soon as it reads of it. So the first
//     document names one that nobody else asks for, its probe. Asked for it
//     before the end, it leads on to the holder; else to itself, from time to
//     time.
//   - A document that breaks off is never loaded, and its own refresh does not
//     come. But the page around it is loaded then, or when there is nobody to
//     be reached. So the streamed document (documentTransport) is a frame of
//     the holder, and the holder's refresh asks again, until it is answered.
//   - The holder must come from the browser's memory for that, and a refresh to
//     the same address would not. So it goes by way of a redirect, which is
//     remembered as well.

const (
	// probeWithin is how long the first document waits for its probe, and
	// polled how long it stays where that has not come, in seconds.
	probeWithin = time.Second
	polled      = 10

	// documentRows is how many rows a streamed document takes before it begins
	// anew with the window.
	documentRows = 1000

	// overFor is how long a document stays that says why it is over. Once it
	// has ended, the holder asks again.
	overFor = 10 * time.Minute
)

// FirstDocument answers with what a room's frame begins with. The view's Probe
// is filled in.
func (s *Server) FirstDocument(w http.ResponseWriter, r *http.Request, p *components.Page, view components.ChannelView) error {
	var arrived <-chan struct{}
	view.Probe, arrived = s.probes.expect()
	defer s.probes.forget(view.Probe)
	begin, end, err := documentHTML(r.Context(), p, view, "</body>")
	if err != nil {
		return err
	}
	answer := stream{w: w, control: http.NewResponseController(w)}
	answer.start("text/html; charset=utf-8")
	if err := s.writeDocument(answer, begin); err != nil {
		return nil //nolint:nilerr // the browser has gone
	}
	next := components.Refresh(polled, p.DocumentURL(view.Channel.Name, view.Read))
	select {
	case <-arrived:
		next = components.Refresh(1, p.HolderURL(view.Channel.Name, "/again", view.Read))
	case <-time.After(probeWithin):
	case <-s.stopping:
	case <-r.Context().Done():
	}
	var html bytes.Buffer
	if err := next.Render(r.Context(), &html); err != nil {
		return nil //nolint:nilerr // the browser has gone
	}
	_ = answer.write(html.Bytes(), end) // so has it here
	return nil
}

// writeDocument writes what a document begins with: a window, whose size others
// decide.
func (s *Server) writeDocument(to stream, begin []byte) error {
	defer s.Outgoing.Begin(to.w, len(begin))()
	return to.write(begin)
}

// documentHTML returns a document in two parts, of which the second begins with
// an end tag: there is something to be put before it.
func documentHTML(ctx context.Context, p *components.Page, view components.ChannelView, tag string) (begin, end []byte, err error) {
	var html bytes.Buffer
	if err := components.Document(p, view).Render(ctx, &html); err != nil {
		return nil, nil, err
	}
	at := bytes.Index(html.Bytes(), []byte(tag))
	return html.Bytes()[:at], html.Bytes()[at:], nil
}

// probes knows the first documents that wait for their probe, by its name.
type probes struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// expect returns the name of a new probe, and what is closed when it arrives.
func (p *probes) expect() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[string]chan struct{}{}
	}
	name, arrived := newProbe(), make(chan struct{})
	p.waiting[name] = arrived
	return name, arrived
}

// arrive notes that a probe was asked for, and reports whether it is known.
func (p *probes) arrive(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	arrived, known := p.waiting[name]
	if known {
		close(arrived)
		delete(p.waiting, name)
	}
	return known
}

func (p *probes) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, name)
}

// newProbe returns the name of a probe. Nobody can guess it.
func newProbe() string { return rand.Text() }

// documentTransport is an HTML document that goes on for as long as the
// connection does: rows are added to its list as they come.
type documentTransport struct {
	stream
	page   *components.Page
	view   components.ChannelView // what it begins with
	server *Server

	end  []byte         // of the document
	last components.Row // the newest that was sent
	run  components.Row // the row that the next may be closed up to
	sent int            // rows
}

func (t *documentTransport) open(ctx context.Context) error {
	begin, end, err := documentHTML(ctx, t.page, t.view, "</ol>")
	if err != nil {
		return err
	}
	t.end = end
	if n := len(t.view.Rows); n > 0 {
		t.last = t.view.Rows[n-1]
		t.run = t.last
	}
	if err := t.wait(); err != nil {
		return err
	}
	t.start("text/html; charset=utf-8")
	return t.server.writeDocument(t.stream, begin)
}

// send writes what can still be said in a document: which rows are new, and
// which are gone. Older rows that deletes have uncovered belong further up.
func (t *documentTransport) send(ctx context.Context, frames []*hub.Frame) error {
	var html bytes.Buffer
	var reason error
	for _, frame := range frames {
		if frame.All {
			reason = errAnew
			continue
		}
		for _, id := range frame.Gone {
			if err := components.DocumentGone(t.page, id).Render(ctx, &html); err != nil {
				return err
			}
			t.run.AuthorID = 0 // whose row is above is not for us to tell
		}
		for _, row := range frame.Put {
			if row.ID <= t.last.ID {
				continue
			}
			next := components.Row{ID: row.ID, HTML: row.HTML, AuthorID: row.AuthorID, PostedAt: row.PostedAt}
			if err := components.NextRow(t.page, t.run, next).Render(ctx, &html); err != nil {
				return err
			}
			t.last, t.run = next, next
			t.sent++
		}
	}
	if t.sent >= documentRows {
		reason = errAnew
	}
	return errors.Join(t.write(html.Bytes()), reason)
}

func (t *documentTransport) beat(context.Context) error { return t.write([]byte("\n")) }

// close ends the document, and the holder asks for another. One that would be
// refused for good says so instead and stays.
func (t *documentTransport) close(ctx context.Context, reason error) {
	p, words := t.page, t.page.Locale
	var over templ.Component
	switch {
	case errors.Is(reason, ErrSessionOver):
		over = components.DocumentOver(words.NotLoggedIn, p.URL("/"), words.SignIn)
	case errors.Is(reason, ErrNoRoom):
		over = components.DocumentOver(words.MissingChannel(t.view.Channel.Name), p.URL("/channels"), words.ToChannels)
	}
	// That the browser does not wait for it is no error of ours.
	if over != nil {
		t.stay(ctx, over)
	}
	_ = t.write(t.end)
}

// stay writes the last row and waits till the browser goes, for overFor at
// most.
func (t *documentTransport) stay(ctx context.Context, over templ.Component) {
	ctx, cancel := context.WithTimeout(ctx, overFor)
	defer cancel()
	var html bytes.Buffer
	err := over.Render(ctx, &html)
	for next := html.Bytes(); err == nil; next = []byte("\n") {
		err = t.write(next)
		select {
		case <-time.After(beatEvery):
		case <-t.server.stopping:
			return
		case <-ctx.Done():
			return
		}
	}
}
