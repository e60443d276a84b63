package handlers

import (
	"net/http"

	"hubbub/components"
)

// typing says that the viewer types. Others forget it within seconds.
func (h *Handlers) typing(r *http.Request, p *components.Page) (answer, error) {
	room, err := h.findRoom(r, p)
	if err != nil {
		return answer{}, err
	}
	h.live.Typing(room, p.Viewer)
	return done(), nil
}
