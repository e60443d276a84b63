package handlers

import (
	"errors"
	"net/http"
	"strings"

	"hubbub/components"
	"hubbub/live"
	"hubbub/locale"
)

// remembered is the Cache-Control of what is the same for ever.
const remembered = "public, max-age=31536000, immutable"

// isDocument reports whether a live connection is for a streamed document.
func (q *request) isDocument() bool { return q.URL.Query().Has("document") }

// readUpTo returns the position that the page around a document was made with:
// the page has read all since. It is negative for none.
func readUpTo(r *http.Request) int64 {
	if read, err := position(r.URL.Query(), "read"); err == nil && r.URL.Query().Has("read") {
		return read
	}
	return -1
}

// document is what a channel's frame begins with.
func (h *Handlers) document(w http.ResponseWriter, q *request) error {
	channel, err := h.followed(q)
	if errors.Is(err, live.ErrSessionOver) || errors.Is(err, live.ErrNoRoom) {
		h.write(w, q, leadsTo(components.ChannelPath(q.PathValue("channel"))+"/live?document")) // which says so
		return nil
	}
	if err != nil {
		return err
	}
	view := components.ChannelView{Channel: channel, Read: readUpTo(q.Request)}
	if err := h.newest(q.Context(), &view); err != nil {
		return err
	}
	return h.live.FirstDocument(w, q.Request, q.page, view)
}

// probe is an empty style sheet: that it is asked for is what counts.
func (h *Handlers) probe(w http.ResponseWriter, r *http.Request) {
	h.live.Probed(strings.TrimSuffix(r.PathValue("stylesheet"), ".css"))
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// holder is the frame around the streamed document. It asks nobody who they
// are, for it holds nothing of its own: its address says all.
func (h *Handlers) holder(w http.ResponseWriter, r *http.Request) {
	p := &components.Page{Base: h.base, Locale: locale.Match(r.URL.Query().Get("lang"), ""), Zone: h.Zone, Assets: h.Assets}
	name := r.PathValue("channel")
	w.Header().Set("Cache-Control", remembered)
	w.Header().Set("Refresh", "2; url="+p.HolderURL(name, "/again", readUpTo(r)))
	h.writeHTML(w, r, http.StatusOK, components.Holder(p, name, readUpTo(r)))
}

// holderAgain leads to the holder.
func (h *Handlers) holderAgain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", remembered)
	http.Redirect(w, r, h.base+components.ChannelPath(r.PathValue("channel"))+"/holder?"+r.URL.RawQuery, http.StatusMovedPermanently)
}

// goneStyle is the style sheet that hides a deleted row in a document which
// has been sent.
func (h *Handlers) goneStyle(w http.ResponseWriter, r *http.Request) {
	serveStyle(w, r, remembered, components.GoneCSS)
}
