package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"hubbub/components"
	"hubbub/live"
)

// answer is what a request is answered with. Handlers return it, and write is
// the one place that sends it.
type answer struct {
	status   int             // 200 where it is 0
	page     templ.Component // for browsers
	fragment templ.Component // for htmx, which is sent nothing where it is nil
	target   string          // selects what htmx puts the fragment into, "" for what the asking element says
	swap     string          // how htmx does that, where there is a target
	value    any             // for who accepts JSON alone, nil where there is no such form

	location string // a path of ours to go on at in place of a page; htmx stays where it is
	flash    flash  // is shown by the page that comes next

	cookies    []*http.Cookie
	retryAfter time.Duration // is said unless it is 0
}

// shows answers with a page.
func shows(page templ.Component) answer { return answer{page: page} }

// refuses answers with a page that says what is wrong with a form, and keeps
// what was typed.
func refuses(status int, page templ.Component) answer { return answer{status: status, page: page} }

// leadsTo answers with a redirect to a path of ours, to be asked for with GET.
// For htmx the act is done, and the page stays.
func leadsTo(path string) answer { return answer{location: path} }

// done answers a request of script that has nothing to show.
func done() answer { return answer{status: http.StatusNoContent} }

// says has the page that comes next show a flash message about something.
func (a answer) says(name, about string) answer {
	a.flash = flash{name, about}
	return a
}

// handler answers a request. failure makes answers of the errors that it
// returns.
type handler func(q *request) (answer, error)

// streamer answers piece by piece, or for ever. Where it returns an error it has
// sent nothing.
type streamer func(w http.ResponseWriter, q *request) error

// isHTMX reports whether htmx sent a request, and swaps in a part of a page.
func (q *request) isHTMX() bool { return q.Header.Get("HX-Request") == "true" }

// acceptsJSON reports whether a request is for JSON and for no page.
func (q *request) acceptsJSON() bool {
	accept := q.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// write sends an answer. All of it is rendered before the first byte is sent, so
// that a failure can still be answered for.
func (h *Handlers) write(w http.ResponseWriter, q *request, a answer) {
	header := w.Header()
	for _, cookie := range a.cookies {
		http.SetCookie(w, cookie)
	}
	if a.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(a.retryAfter.Seconds())))
	}
	// A page is for one viewer at one moment. Back to it after a log-out must
	// not show it again.
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Accept, HX-Request")
	switch {
	case q.isHTMX() && a.fragment != nil:
		if a.target != "" {
			header.Set("HX-Retarget", a.target)
			header.Set("HX-Reswap", a.swap)
		}
		h.writeHTML(w, q.Request, a.status, a.fragment)
	case q.isHTMX() && a.location != "":
		w.WriteHeader(http.StatusNoContent)
	case a.location != "":
		if a.flash.name != "" {
			http.SetCookie(w, h.flashCookie(a.flash))
		}
		http.Redirect(w, q.Request, h.base+a.location, http.StatusSeeOther)
	case a.value != nil && q.acceptsJSON():
		h.writeJSON(w, q.Request, a.status, a.value)
	case a.page != nil:
		q.page.Flash = h.takeFlash(w, q.Request, q.page.Locale)
		h.fillSide(q)
		h.writeHTML(w, q.Request, a.status, a.page)
	default:
		w.WriteHeader(a.status)
	}
}

// writeHTML sends a component.
func (h *Handlers) writeHTML(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	body := h.buffers.get()
	// Whatever has become of the request's context: where its time is over, that
	// is what the page has to say.
	if err := c.Render(context.WithoutCancel(r.Context()), body); err != nil {
		h.Log.ErrorContext(r.Context(), "a page could not be rendered", "path", r.URL.Path, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(max(status, http.StatusOK))
	defer h.live.Outgoing.Begin(w, body.Len())()
	// An error here is the browser's going away. HTTP/2 may then still read what
	// it was given.
	if _, err := w.Write(body.Bytes()); err == nil {
		h.buffers.put(body)
	}
}

// writeJSON sends a value as JSON.
func (h *Handlers) writeJSON(w http.ResponseWriter, r *http.Request, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		h.Log.ErrorContext(r.Context(), "an answer could not be written as JSON", "path", r.URL.Path, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(status, http.StatusOK))
	_, _ = w.Write(body) // an error is the client's going away
}

// failure answers for an error: with a page, or for htmx with a flash message
// that leaves the page and what was typed as they are.
func (h *Handlers) failure(q *request, err error) answer {
	if live.GivenUp(q.Context(), err) {
		return answer{status: live.StatusGivenUp}
	}
	isLate := isOverdue(q.Context())
	f := failureOf(err)
	if isLate {
		f = errTimeout // see starting
	}
	if f.status >= http.StatusInternalServerError && !isLate {
		h.Log.ErrorContext(q.Context(), "a request failed", "method", q.Method, "path", q.URL.Path, "error", err)
	}
	words := f.words(q.page.Locale)
	a := answer{
		status:   f.status,
		fragment: components.FlashItem(q.page, components.Flash{Kind: components.Danger, Text: words.Text}),
		target:   "#flash", swap: "beforeend",
		page: components.Failure(q.page, components.FailureView{
			Status: f.status, Title: words.Title, Text: words.Text, Kept: q.PostForm.Get("body"),
		}),
		value: failureJSON{f.status, words.Title, words.Text},
	}
	if f.status == http.StatusTooManyRequests {
		a.retryAfter = retryAfter
	}
	return a
}

// failureJSON is an error as JSON.
type failureJSON struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Text   string `json:"text"`
}
