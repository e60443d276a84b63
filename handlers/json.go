package handlers

import (
	"net/http"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

// roomJSON is a page of a room's messages as JSON. docs/api.md describes it.
type roomJSON struct {
	Room     channelJSON   `json:"room"`
	Revision int64         `json:"revision"`
	Messages []messageJSON `json:"messages"` // oldest first
	Before   int64         `json:"before,omitempty"`
	After    int64         `json:"after,omitempty"`
}

// channelJSON is a room as JSON.
type channelJSON struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Path string `json:"path"`
}

// messageJSON is a message as JSON.
type messageJSON struct {
	ID        int64          `json:"id"`
	Revision  int64          `json:"revision"`
	Author    userJSON       `json:"author"`
	PostedAt  time.Time      `json:"posted_at"`
	EditedAt  *time.Time     `json:"edited_at,omitempty"`
	Body      string         `json:"body"`
	ReplyTo   int64          `json:"reply_to,omitempty"`
	Replies   int            `json:"replies,omitempty"`
	Reactions []reactionJSON `json:"reactions,omitempty"`
	Pinned    bool           `json:"pinned,omitempty"`
}

// reactionJSON is a reaction as JSON.
type reactionJSON struct {
	Emoji string  `json:"emoji"`
	By    []int64 `json:"by"`
}

// threadJSON is a message and what answers it as JSON.
type threadJSON struct {
	Message messageJSON   `json:"message"`
	Replies []messageJSON `json:"replies"`
}

// versionJSON is what a message said before an edit, as JSON.
type versionJSON struct {
	Body      string    `json:"body"`
	WrittenAt time.Time `json:"written_at"`
}

// userJSON is a user as JSON.
type userJSON struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// roomAsJSON answers with the messages that the room's page would show. It is no
// visit: nothing becomes read by it.
func (h *Handlers) roomAsJSON(q *request, room store.Channel, before, after int64) (answer, error) {
	page := roomJSON{
		Room:     channelJSON{room.ID, room.Name, h.base + components.ChannelPath(room.Name)},
		Revision: room.Revision,
	}
	var messages []store.Message
	var err error
	switch {
	case before > 0:
		messages, err = h.Store.Before(q.Context(), q.scope, room.ID, before, hub.WindowSize+1)
	case after > 0:
		messages, err = h.Store.After(q.Context(), q.scope, room.ID, after, hub.WindowSize+1)
	default:
		messages, page.Revision, err = h.Store.Newest(q.Context(), q.scope, room.ID, hub.WindowSize+1)
	}
	if err != nil {
		return answer{}, err
	}
	if len(messages) > hub.WindowSize {
		if after > 0 {
			messages = messages[:hub.WindowSize]
			page.After = messages[len(messages)-1].ID
		} else {
			messages = messages[1:]
			page.Before = messages[0].ID
		}
	}
	page.Messages = messagesAsJSON(messages)
	return answer{status: http.StatusOK, value: page}, nil
}

func messageAsJSON(m store.Message) messageJSON {
	j := messageJSON{
		ID: m.ID, Revision: m.Revision, Author: userJSON{m.AuthorID, m.AuthorName}, PostedAt: m.PostedAt, Body: m.Body,
		Replies: m.Replies, Pinned: m.Pinned,
	}
	if !m.EditedAt.IsZero() {
		j.EditedAt = &m.EditedAt
	}
	if m.ReplyTo != nil {
		j.ReplyTo = m.ReplyTo.ID
	}
	for _, r := range m.Reactions {
		j.Reactions = append(j.Reactions, reactionJSON{r.Emoji, r.By})
	}
	return j
}

func messagesAsJSON(messages []store.Message) []messageJSON {
	all := make([]messageJSON, 0, len(messages))
	for _, m := range messages {
		all = append(all, messageAsJSON(m))
	}
	return all
}

func versionsAsJSON(versions []store.Version) []versionJSON {
	all := make([]versionJSON, 0, len(versions))
	for _, v := range versions {
		all = append(all, versionJSON{v.Body, v.WrittenAt})
	}
	return all
}
