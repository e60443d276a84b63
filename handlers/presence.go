package handlers

// typing says that the viewer types. Others forget it within seconds.
func (h *Handlers) typing(q *request) (answer, error) {
	room, err := h.findRoom(q)
	if err != nil {
		return answer{}, err
	}
	h.live.Typing(room, q.viewer)
	return done(), nil
}
