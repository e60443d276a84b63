package handlers

import (
	"context"
	"io"
	"net/http"
	"time"
)

// healthy says that the process answers.
func (h *Handlers) healthy(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

// ready says whether the node can serve pages and take posts. Why it cannot is in
// the log.
func (h *Handlers) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := h.Store.Ready(ctx); err != nil {
		h.Log.Error("not ready", "error", err)
		plain(w, http.StatusServiceUnavailable, "the store cannot be read and written\n")
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is the monitor's going away.
	_, _ = io.WriteString(w, text)
}
