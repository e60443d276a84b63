package handlers

import (
	"net/http"

	"hubbub/bus"
	"hubbub/components"
	"hubbub/hub"
)

// typing says that the viewer types. The hub forgets it within seconds.
func (h *Handlers) typing(w http.ResponseWriter, r *http.Request, p *components.Page) error {
	channel, err := h.findChannel(r)
	if err != nil {
		return err
	}
	h.hubs.Typing(channel.ID, userOf(p))
	h.tell(bus.Notice{Moments: []bus.Moment{{Kind: bus.Typing, Channel: channel.ID, User: p.Viewer.ID}}})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// userOf is the viewer as the others in a channel see them.
func userOf(p *components.Page) hub.User {
	return hub.User{ID: p.Viewer.ID, Name: p.Viewer.Name}
}

// presenceView is a presence as pages and frames show it.
func presenceView(p hub.Presence) components.PresenceView {
	v := components.PresenceView{More: p.More, State: p.State()}
	for _, user := range p.Here {
		v.Here = append(v.Here, user.Name)
	}
	for _, user := range p.Typing {
		v.Typing = append(v.Typing, user.Name)
	}
	return v
}
