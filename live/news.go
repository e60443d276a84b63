package live

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hubbub/components"
	"hubbub/hub"
	"hubbub/store"
)

const (
	// MaxNear is how many channels stand beside the messages, and how many new
	// ones a page is sent at once.
	MaxNear = 50

	// countedPosts is of how many messages it is read who has posted them. It is
	// more than are counted, because a reader's own are not.
	countedPosts = store.MaxUnread + 28

	// newsDelay is how long news wait for others that come with them.
	newsDelay = 200 * time.Millisecond

	// newsRest is the least pause after news have been sent.
	newsRest = 800 * time.Millisecond

	// newsTimeout is how long the store may take to say what they are. A
	// database may hang, and another may take its place.
	newsTimeout = 10 * time.Second
)

// news sends the live connections of each user what waits for them: how many
// unread messages in which channels, and which channels are new. It sends
// states, not events, so that it may leave out whatever is overtaken.
type news struct {
	server *Server
	wake   chan struct{} // has room for one: there is something to send

	mu       sync.Mutex
	users    map[int64]struct{} // whose positions or connections have changed
	channels map[int64]struct{} // in which something has changed

	readers map[int64]*reader // those with live connections; only run touches them
}

// reader is what is known of a user who has a live connection.
type reader struct {
	scope     store.Scope
	positions *store.Positions
	unread    map[int64]int // by channel, where there are any
}

func newNews(s *Server) *news {
	return &news{
		server: s, wake: make(chan struct{}, 1),
		users: map[int64]struct{}{}, channels: map[int64]struct{}{}, readers: map[int64]*reader{},
	}
}

// userChanged registers that a user's positions, memberships or connections have
// changed.
func (n *news) userChanged(userID int64) {
	n.add(func() { n.users[userID] = struct{}{} })
}

// channelChanged registers that something has changed in a channel.
func (n *news) channelChanged(channelID int64) {
	n.add(func() { n.channels[channelID] = struct{}{} })
}

// channelMade registers that a channel has been made.
func (n *news) channelMade() { n.add(func() {}) }

func (n *news) add(what func()) {
	n.mu.Lock()
	what()
	n.mu.Unlock()
	signal(n.wake)
}

// run sends the news until ctx ends. It rests for most of the time, however
// many there are.
func (n *news) run(ctx context.Context) {
	log := repeatedFailure{log: n.server.Log}
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		if !pause(ctx, newsDelay) {
			return
		}
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, newsTimeout)
		err := n.sendAll(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		log.report(ctx, "unread messages could not be counted, which is tried again", err)
		rest := max(newsRest, 9*time.Since(began))
		if err != nil {
			n.add(func() {})
			rest = newsRest // it waited, and has not worked
		}
		if !pause(ctx, rest) {
			return
		}
	}
}

// sendAll sends everyone what has changed for them. What fails is tried again
// with the next news.
func (n *news) sendAll(ctx context.Context) error {
	n.mu.Lock()
	users, channels := n.users, n.channels
	n.users, n.channels = map[int64]struct{}{}, map[int64]struct{}{}
	n.mu.Unlock()

	online := n.server.connections.each()
	maps.DeleteFunc(n.readers, func(id int64, _ *reader) bool { return online[id] == nil })
	failed := func(err error) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		maps.Copy(n.users, users)
		maps.Copy(n.channels, channels)
		return err
	}
	for id := range users {
		if online[id] == nil {
			continue
		}
		reader, err := n.load(ctx, id)
		if err != nil {
			return failed(err)
		}
		n.readers[id] = reader
		delete(users, id)
	}
	for id := range channels {
		if err := n.count(ctx, id); err != nil {
			return failed(err)
		}
		delete(channels, id)
	}
	frames := newsFrames{n.server, map[string][]byte{}}
	for id, reader := range n.readers {
		if err := frames.send(ctx, reader, online[id]); err != nil {
			return failed(err)
		}
	}
	return nil
}

// load reads all that is known of a user.
func (n *news) load(ctx context.Context, userID int64) (*reader, error) {
	scope, err := n.server.Store.Scope(ctx, userID)
	if err != nil {
		return nil, err
	}
	positions, err := n.server.Store.Positions(ctx, scope)
	if err != nil {
		return nil, err
	}
	channels, err := n.server.Store.Unread(ctx, scope, positions)
	if err != nil {
		return nil, err
	}
	unread := map[int64]int{}
	for _, c := range channels {
		unread[c.ChannelID] = c.Count
	}
	return &reader{scope, positions, unread}, nil
}

// count counts anew what is unread in a channel, for everyone at once: it reads
// who has posted the newest messages, and renders none.
func (n *news) count(ctx context.Context, channelID int64) error {
	var posts []store.Post
	for id, reader := range n.readers {
		position, visited := reader.positions.Of(channelID)
		if !visited {
			continue
		}
		if posts == nil {
			var err error
			if posts, err = n.server.Store.NewestPosts(ctx, channelID, countedPosts); err != nil {
				return err
			}
		}
		if len(posts) == countedPosts && posts[len(posts)-1].ID > position {
			// Further back than that: rare, and soon beyond counting.
			if reader.unread[channelID] >= store.MaxUnread {
				continue
			}
			again, err := n.load(ctx, id)
			if err != nil {
				return err
			}
			*reader = *again
			continue
		}
		unread := 0
		for _, post := range posts {
			if post.ID <= position {
				break
			}
			if post.AuthorID != id {
				unread++
			}
		}
		reader.unread[channelID] = unread
	}
	return nil
}

// newsFrames renders once what several users are sent.
type newsFrames struct {
	server   *Server
	channels map[string][]byte // frames of channels, by their ids
}

// send sends a user's connections what they do not show yet. A channel that is
// being read in one tab is unread in none.
func (f *newsFrames) send(ctx context.Context, reader *reader, connections []*connection) error {
	latest, err := f.server.Store.LatestChannel(ctx, reader.scope)
	if err != nil {
		return err
	}
	known := &components.Unread{Latest: latest}
	for _, channelID := range slices.Sorted(maps.Keys(reader.unread)) {
		isRead := slices.ContainsFunc(connections, func(c *connection) bool { return c.channelID == channelID && c.reading.Load() })
		if count := reader.unread[channelID]; count > 0 && !isRead {
			known.Channels = append(known.Channels, store.Unread{ChannelID: channelID, Count: count})
		}
	}
	state := known.State()
	for _, c := range connections {
		if c.news == "" || c.news == state {
			continue // its page does not show any, or these
		}
		channels, err := f.lacking(ctx, reader.scope, c.news, latest)
		if err != nil {
			return err
		}
		// One frame: a held answer has no room for two, and the state that it
		// brings is all that the next request says.
		frame := bytes.NewBuffer(bytes.Clone(channels))
		if err := components.NewsFrame(known).Render(ctx, frame); err != nil {
			return err
		}
		c.subscriber.Send(hub.NewFrame(frame.Bytes()))
		c.news = state
	}
	return nil
}

// lacking returns what adds the channels that a page lacks, if any, by the news
// that it shows.
func (f *newsFrames) lacking(ctx context.Context, scope store.Scope, shown string, latest int64) ([]byte, error) {
	digits, _, _ := strings.Cut(shown, "-")
	have, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || have >= latest {
		return nil, nil //nolint:nilerr // it is no number of ours
	}
	channels, err := f.server.Store.ChannelsAfter(ctx, scope, have, MaxNear)
	if err != nil {
		return nil, err
	}
	var ids []byte
	for _, c := range channels {
		ids = append(strconv.AppendInt(ids, c.ID, 10), ' ')
	}
	if frame, ok := f.channels[string(ids)]; ok {
		return frame, nil
	}
	var frame bytes.Buffer
	if err := components.ChannelsFrame(f.server.Base, channels, f.server.Zone).Render(ctx, &frame); err != nil {
		return nil, err
	}
	f.channels[string(ids)] = frame.Bytes()
	return frame.Bytes(), nil
}
