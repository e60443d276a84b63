package live

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// source is where hubs read: the store, rendered.
type source struct{ *Server }

// Newest implements hub.Source.
func (s source) Newest(ctx context.Context, channelID int64, n int) (hub.Window, error) {
	messages, revision, err := s.Store.Newest(ctx, channelID, n)
	if err != nil {
		return hub.Window{}, err
	}
	w := hub.Window{Revision: revision, Older: len(messages) == n}
	for _, m := range messages {
		row, err := s.row(ctx, m)
		if err != nil {
			return hub.Window{}, err
		}
		w.Rows = append(w.Rows, row)
	}
	return w, nil
}

// Changes implements hub.Source.
func (s source) Changes(ctx context.Context, channelID, after int64, n int) ([]hub.Change, int64, error) {
	messages, revision, err := s.Store.Changes(ctx, channelID, after, n)
	if err != nil {
		return nil, 0, err
	}
	changes := make([]hub.Change, 0, len(messages))
	for _, m := range messages {
		c, err := s.change(ctx, m)
		if err != nil {
			return nil, 0, err
		}
		changes = append(changes, c)
	}
	return changes, revision, nil
}

// Replace implements hub.Source.
func (s source) Replace(w hub.Window) []byte {
	rows := make([][]byte, 0, len(w.Rows))
	for _, row := range w.Rows {
		rows = append(rows, row.HTML)
	}
	return components.Replace(rows, w.Revision)
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
	c := hub.Change{Revision: m.Revision, ID: m.ID, Gone: m.Deleted}
	if m.Deleted {
		var frame bytes.Buffer
		err := components.Gone(m.ID, m.Revision).Render(ctx, &frame)
		c.Frame = frame.Bytes()
		return c, err
	}
	row, err := s.row(ctx, m)
	c.Row, c.Frame = row, row.HTML
	return c, err
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
	return hub.Row{ID: m.ID, Revision: m.Revision, AuthorID: m.AuthorID, PostedAt: m.PostedAt, HTML: row.HTML}, err
}
