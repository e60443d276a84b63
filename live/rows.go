package live

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"slices"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// source is where hubs read: the store, rendered.
type source struct{ *Server }

// Newest implements hub.Source.
func (s source) Newest(ctx context.Context, channelID int64, n, size int) (hub.Window, error) {
	messages, revision, err := s.Store.Newest(ctx, store.Everything(), channelID, n)
	if err != nil {
		return hub.Window{}, err
	}
	w := hub.Window{Revision: revision, Older: len(messages) == n}
	for _, m := range slices.Backward(messages) {
		if size <= 0 {
			w.Older = true
			break
		}
		row, err := s.row(ctx, m)
		if err != nil {
			return hub.Window{}, err
		}
		w.Rows = append(w.Rows, row)
		size -= len(row.HTML)
	}
	slices.Reverse(w.Rows)
	return w, nil
}

// Changes implements hub.Source.
func (s source) Changes(ctx context.Context, channelID, after int64, n, size int) ([]hub.Change, int64, error) {
	messages, revision, err := s.Store.Changes(ctx, store.Everything(), channelID, after, n)
	if err != nil {
		return nil, 0, err
	}
	changes := make([]hub.Change, 0, len(messages))
	for _, m := range messages {
		if size <= 0 {
			break
		}
		c, err := s.change(ctx, m)
		if err != nil {
			return nil, 0, err
		}
		changes = append(changes, c)
		size -= len(c.HTML)
	}
	return changes, revision, nil
}

// Encode implements hub.Source. Rows that are put stand for themselves.
func (s source) Encode(f *hub.Frame) [][]byte {
	pieces := make([][]byte, 0, len(f.Put)+3*len(f.Altered)+len(f.Gone)+2)
	if f.All {
		begin, end := components.Replacing(f.Revision)
		pieces = append(pieces, begin)
		for _, row := range f.Put {
			pieces = append(pieces, row.HTML)
		}
		return append(pieces, end)
	}
	for _, row := range f.Put {
		pieces = append(pieces, row.HTML)
	}
	for _, row := range f.Altered {
		begin, end := components.Altering(row.ID, row.Revision)
		pieces = append(pieces, begin, row.HTML, end)
	}
	for _, id := range f.Gone {
		pieces = append(pieces, components.Removing(id, f.Revision))
	}
	return pieces
}

// Presence implements hub.Source.
func (s source) Presence(p hub.Presence) []byte {
	var frame bytes.Buffer
	if err := components.PresenceFrame(presenceView(p)).Render(context.Background(), &frame); err != nil {
		s.Log.Error("a presence could not be rendered", "error", err)
		return nil
	}
	return frame.Bytes()
}

// change renders a change once for everyone.
func (s *Server) change(ctx context.Context, m store.Message) (hub.Change, error) {
	if m.Deleted {
		return hub.Change{Kind: hub.Gone, Row: hub.Row{ID: m.ID, Revision: m.Revision}}, nil
	}
	row, err := s.row(ctx, m)
	if m.Revision == m.ID {
		return hub.Change{Kind: hub.Posted, Row: row}, err
	}
	return hub.Change{Kind: hub.Altered, Row: row}, err
}

// row renders a message. A panic in a component becomes an error, because it
// would end the node: rows are rendered in the store's writer too.
func (s *Server) row(ctx context.Context, m store.Message) (_ hub.Row, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	row, err := components.NewRow(ctx, s.Base, m, s.Zone)
	return hub.Row{
		ID: m.ID, Revision: m.Revision, AuthorID: m.AuthorID, PostedAt: m.PostedAt,
		Content: s.digest(m), HTML: row.HTML,
	}, err
}

// digest returns a number that differs where what rows show of a message does.
func (s *Server) digest(m store.Message) uint64 {
	if m.Revision == m.ID {
		return maphash.String(s.seed, m.Body)
	}
	return maphash.String(s.seed, fmt.Sprint(m.Body, m.EditedAt, m.ReplyTo, m.Replies, m.Reactions, m.Mentions, m.Pinned))
}
