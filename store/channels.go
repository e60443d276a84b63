package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrChannelExists says that there is a channel of that name already.
var ErrChannelExists = errors.New("the channel exists")

// Channel is a named room with messages.
type Channel struct {
	ID        int64
	Name      string
	Kind      Kind
	Revision  int64 // the number of its latest change, 0 for none yet
	LastPost  int64 // the id of its newest message, deleted or not, 0 for none yet
	CreatedAt time.Time
}

// directory is all channels, in memory: there are few of them, and every
// request asks for some.
type directory struct {
	mu     sync.RWMutex
	byID   map[int64]*listed
	byKey  map[string]*listed
	byName []*listed // those that are open, in the order of their keys
	byAge  []*listed // those that are open, in the order of their ids
	latest int64     // the highest id of all
}

type listed struct {
	Channel
	key     string
	known   int64 // the revision that Refresh has returned, or that this node has published
	counted int64 // the revision of the latest change to what is unread: a post or a delete
}

const selectChannels = `
	SELECT id, name, name_key, kind, revision, created_at,
		coalesce((SELECT max(id) FROM messages WHERE channel_id = channels.id), 0)
	FROM channels `

func scanChannel(row interface{ Scan(...any) error }) (listed, error) {
	c := listed{known: -1}
	var created int64
	err := row.Scan(&c.ID, &c.Name, &c.key, &c.Kind, &c.Revision, &created, &c.LastPost)
	c.CreatedAt = time.UnixMicro(created).UTC()
	c.counted = c.LastPost
	return c, notFound(err)
}

// queryChannels returns channels in the order of their ids.
func queryChannels(ctx context.Context, from querier, condition string, args ...any) ([]listed, error) {
	rows, err := from.QueryContext(ctx, selectChannels+condition+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the channels: %w", err)
	}
	defer rows.Close()
	var channels []listed
	for rows.Next() {
		c, err := scanChannel(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the channels: %w", err)
		}
		channels = append(channels, c)
	}
	return channels, rows.Err()
}

func compareIDs(a, b *listed) int { return cmp.Compare(a.ID, b.ID) }

func compareKeys(a, b *listed) int { return strings.Compare(a.key, b.key) }

// add adds channels that were read, all at once: a reader that sees one sees
// those with lower ids.
func (d *directory) add(channels ...listed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID, d.byKey = map[int64]*listed{}, map[string]*listed{}
	}
	added := false
	for _, c := range channels {
		if known := d.byID[c.ID]; known != nil {
			known.Revision, known.LastPost = max(known.Revision, c.Revision), max(known.LastPost, c.LastPost)
			known.counted = max(known.counted, c.counted)
			continue
		}
		d.byID[c.ID], d.byKey[c.key] = &c, &c
		d.latest = max(d.latest, c.ID)
		if c.Kind == KindOpen {
			d.byName, d.byAge, added = append(d.byName, &c), append(d.byAge, &c), true
		}
	}
	if added {
		slices.SortFunc(d.byName, compareKeys)
		slices.SortFunc(d.byAge, compareIDs)
	}
}

// count registers which channels must be counted anew for what is unread.
func (d *directory) count(changes []Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range changes {
		m, ok := change.(MessageChanged)
		if !ok || !m.Message.Deleted && m.Message.ID != m.Message.Revision {
			continue
		}
		if c := d.byID[m.Message.ChannelID]; c != nil {
			c.counted = max(c.counted, m.Message.Revision)
		}
	}
}

// reach raises the revisions of channels to those of changes, all of which are
// published.
func (d *directory) reach(changes []Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, change := range changes {
		m, ok := change.(MessageChanged)
		if !ok {
			continue
		}
		if c := d.byID[m.Message.ChannelID]; c != nil {
			c.Revision, c.known = max(c.Revision, m.Message.Revision), max(c.known, m.Message.Revision)
			c.LastPost = max(c.LastPost, m.Message.ID)
		}
	}
}

// has reports whether a channel is in the directory.
func (d *directory) has(id int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id] != nil
}

// revisions returns the revisions of all channels.
func (d *directory) revisions() map[int64]int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make(map[int64]int64, len(d.byID))
	for id, c := range d.byID {
		all[id] = c.Revision
	}
	return all
}

// Refresh reads which channels there are and their revisions. It returns those
// that other nodes have made or changed since it last returned them. Where a
// channel has receded, the database has lost commits.
func (s *Store) Refresh(ctx context.Context) (changed, receded []Channel, err error) {
	before := s.directory.revisions()
	channels, err := queryChannels(ctx, s.readers, "")
	if err != nil {
		return nil, nil, err
	}
	s.directory.add(channels...)
	s.directory.mu.Lock()
	defer s.directory.mu.Unlock()
	for _, c := range channels {
		entry := s.directory.byID[c.ID]
		switch {
		case c.Revision < before[c.ID]:
			entry.Revision, entry.LastPost, entry.known = c.Revision, c.LastPost, c.Revision
			receded = append(receded, c.Channel)
		case c.Revision > entry.known:
			entry.known = c.Revision
			changed = append(changed, c.Channel)
		}
	}
	return changed, receded, nil
}

// NoteChannel registers that another node has made a channel, or changed it up to
// a revision, and reports whether that adds channels to the directory.
func (s *Store) NoteChannel(ctx context.Context, id, revision int64) (added bool, err error) {
	s.directory.mu.Lock()
	entry := s.directory.byID[id]
	if entry != nil {
		entry.Revision = max(entry.Revision, revision)
	}
	s.directory.mu.Unlock()
	if entry != nil {
		return false, nil
	}
	return s.addNewer(ctx, s.readers)
}

// addNewer reads the channels that are newer than those in the directory, and
// reports whether there are any.
func (s *Store) addNewer(ctx context.Context, from querier) (any bool, err error) {
	channels, err := queryChannels(ctx, from, `WHERE id > $1`, s.directory.newest())
	s.directory.add(channels...)
	return len(channels) > 0, err
}

// newest returns the highest id of all channels, 0 for none.
func (d *directory) newest() int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.latest
}

// unread reports whether any channel may have unread messages after a position,
// and returns a sum that is another one after each change to what is unread.
func (d *directory) unread(positions map[int64]int64) (sum int64, maybe bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, position := range positions {
		if c := d.byID[id]; c != nil {
			sum += c.counted
			maybe = maybe || c.counted > position
		}
	}
	return sum, maybe
}

// rooms returns the channels that only members see, of those that a scope sees.
// It is called with the lock held.
func (d *directory) rooms(scope Scope) []*listed {
	var rooms []*listed
	if scope.all {
		for _, c := range d.byID {
			if c.Kind != KindOpen {
				rooms = append(rooms, c)
			}
		}
		return rooms
	}
	for id := range scope.rooms {
		if c := d.byID[id]; c != nil && c.Kind != KindOpen {
			rooms = append(rooms, c)
		}
	}
	return rooms
}

// visible returns the channel with an id, if a scope sees it.
func (d *directory) visible(scope Scope, c *listed) (Channel, error) {
	if c == nil || !scope.sees(c.ID, c.Kind) {
		return Channel{}, ErrNotFound
	}
	return c.Channel, nil
}

// CreateChannel makes a channel, of which its maker becomes a manager; 0 is no
// maker. It fails with ErrChannelExists.
func (s *Store) CreateChannel(ctx context.Context, name Name, kind Kind, makerID int64, now time.Time) (Channel, error) {
	var c Channel
	err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = s.insertChannel(ctx, t, `
			INSERT INTO channels (name, name_key, kind, revision, created_at) VALUES ($1, $2, $4, 0, $3)
			ON CONFLICT DO NOTHING RETURNING id`, name, kind, now)
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(ErrChannelExists)
		}
		if err == nil && makerID != 0 {
			err = s.join(ctx, t, c.ID, makerID, Manager, now)
		}
		return err
	})
	return c, err
}

// EnsureChannel makes an open channel where there is no channel at all yet: a new
// installation starts with it.
func (s *Store) EnsureChannel(ctx context.Context, name Name, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := s.insertChannel(ctx, t, `
			INSERT INTO channels (name, name_key, kind, revision, created_at)
			SELECT $1, $2, $4, 0, $3 WHERE NOT EXISTS (SELECT 1 FROM channels) RETURNING id`, name, KindOpen, now)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
}

// insertChannel makes a channel by a statement that returns its id.
func (s *Store) insertChannel(ctx context.Context, t *tx, statement string, name Name, kind Kind, now time.Time) (Channel, error) {
	// One after the other on all nodes, so that a reader who sees a channel sees
	// those with lower ids.
	if wait := s.engine.inOrder(); wait != "" {
		if _, err := t.ExecContext(ctx, wait); err != nil {
			return Channel{}, err
		}
	}
	c := Channel{Name: name.Text, Kind: kind, CreatedAt: now.UTC().Truncate(time.Microsecond)}
	if err := t.QueryRowContext(ctx, statement, c.Name, name.Key, c.CreatedAt.UnixMicro(), kind).Scan(&c.ID); err != nil {
		return Channel{}, err
	}
	t.changed(ChannelChanged{c})
	// With those that other nodes have made before.
	made, err := queryChannels(ctx, t, `WHERE id > $1`, s.directory.newest())
	t.after(func() { s.directory.add(made...) })
	return c, err
}

// Channel returns the channel with an id, with the revision that it has come to.
// It fails with ErrNotFound.
func (s *Store) Channel(ctx context.Context, scope Scope, id int64) (Channel, error) {
	if s.engine.shared() {
		return s.readChannel(ctx, scope, `WHERE id = $1`, id)
	}
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	return s.directory.visible(scope, s.directory.byID[id])
}

// ChannelByName returns the channel of that name, in whatever case and width,
// with the revision that it has come to. It fails with ErrNotFound.
func (s *Store) ChannelByName(ctx context.Context, scope Scope, name Name) (Channel, error) {
	if s.engine.shared() {
		return s.readChannel(ctx, scope, `WHERE name_key = $1`, name.Key)
	}
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	return s.directory.visible(scope, s.directory.byKey[name.Key])
}

// readChannel reads a channel from the database, because another node may have
// made or changed it a moment ago, for the very person who asks.
func (s *Store) readChannel(ctx context.Context, scope Scope, condition string, arg any) (Channel, error) {
	c, err := scanChannel(s.readers.QueryRowContext(ctx, selectChannels+condition, arg))
	if err == nil && !s.directory.has(c.ID) {
		_, err = s.addNewer(ctx, s.readers)
	}
	if err != nil {
		return Channel{}, err
	}
	return s.directory.visible(scope, &c)
}

// Channels returns the channels that a scope sees, in the order of their names.
func (s *Store) Channels(_ context.Context, scope Scope) ([]Channel, error) {
	d := &s.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	visible := slices.Concat(d.byName, d.rooms(scope))
	if len(visible) > len(d.byName) {
		slices.SortFunc(visible, compareKeys)
	}
	return values(visible), nil
}

// ChannelsNear returns the channels that matter most to the user whose scope and
// positions these are, n at most: those visited last and then the newest of the
// others. They are in the order of their names.
func (s *Store) ChannelsNear(scope Scope, p *Positions, n int) []Channel {
	return s.directory.near(scope, p.latestFirst, n)
}

// near returns the channels with some ids and then the newest of the others, n
// at most, in the order of their names, of those that a scope sees.
func (d *directory) near(scope Scope, ids []int64, n int) []Channel {
	d.mu.RLock()
	defer d.mu.RUnlock()
	taken := make(map[int64]bool, n)
	near := make([]*listed, 0, n)
	take := func(c *listed) {
		if c != nil && len(near) < n && !taken[c.ID] && scope.sees(c.ID, c.Kind) {
			taken[c.ID] = true
			near = append(near, c)
		}
	}
	for _, id := range ids {
		take(d.byID[id])
	}
	rooms := d.rooms(scope)
	slices.SortFunc(rooms, compareIDs)
	for i, j := len(d.byAge)-1, len(rooms)-1; (i >= 0 || j >= 0) && len(near) < n; {
		if j < 0 || i >= 0 && d.byAge[i].ID > rooms[j].ID {
			take(d.byAge[i])
			i--
		} else {
			take(rooms[j])
			j--
		}
	}
	slices.SortFunc(near, compareKeys)
	return values(near)
}

func values(listed []*listed) []Channel {
	channels := make([]Channel, len(listed))
	for i, c := range listed {
		channels[i] = c.Channel
	}
	return channels
}

// ChannelsAfter returns the channels that a scope sees and that were made after
// the one with an id, the newest n at most, in the order of their names.
func (s *Store) ChannelsAfter(_ context.Context, scope Scope, id int64, n int) ([]Channel, error) {
	return s.directory.near(scope, nil, s.directory.after(scope, id, n)), nil
}

// after returns how many channels that a scope sees are newer than one with an
// id, n at most.
func (d *directory) after(scope Scope, id int64, n int) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, _ := slices.BinarySearchFunc(d.byAge, id+1, func(c *listed, id int64) int { return cmp.Compare(c.ID, id) })
	newer := len(d.byAge) - at
	for _, c := range d.rooms(scope) {
		if c.ID > id {
			newer++
		}
	}
	return min(n, newer)
}

// LatestChannel returns the id of the channel made last of those that a scope
// sees, 0 where there is none.
func (s *Store) LatestChannel(_ context.Context, scope Scope) (latest int64, err error) {
	d := &s.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.byAge) > 0 {
		latest = d.byAge[len(d.byAge)-1].ID
	}
	for _, c := range d.rooms(scope) {
		latest = max(latest, c.ID)
	}
	return latest, nil
}
