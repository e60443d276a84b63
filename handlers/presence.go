package handlers

import (
	"net/http"

	"hubbub/components"
)

// typing says that the viewer types. Others forget it within seconds.
func (h *Handlers) typing(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	h.live.Typing(channel, p.Viewer)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
