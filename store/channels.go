package store

import (
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
	Revision  int64 // the number of its latest change, 0 for none yet
	CreatedAt time.Time
}

// directory is all channels, in memory: there are few of them, and every
// request asks for some.
type directory struct {
	mu     sync.RWMutex
	byID   map[int64]*listed
	byKey  map[string]*listed
	byName []*listed // in the order of their keys
	latest int64     // the highest id
}

type listed struct {
	Channel
	key string
}

const selectChannels = `SELECT id, name, name_key, revision, created_at FROM channels `

func scanChannel(row interface{ Scan(...any) error }) (listed, error) {
	var c listed
	var created int64
	err := row.Scan(&c.ID, &c.Name, &c.key, &c.Revision, &created)
	c.CreatedAt = time.UnixMicro(created).UTC()
	return c, notFound(err)
}

// take adds a channel, or notes the revision that it has come to, and reports
// whether that is new.
func (d *directory) take(c listed) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.byID[c.ID]; known != nil {
		changed = c.Revision > known.Revision
		known.Revision = max(known.Revision, c.Revision)
		return changed
	}
	if d.byID == nil {
		d.byID, d.byKey = map[int64]*listed{}, map[string]*listed{}
	}
	added := &c
	d.byID[c.ID], d.byKey[c.key] = added, added
	d.latest = max(d.latest, c.ID)
	at, _ := slices.BinarySearchFunc(d.byName, c.key, func(c *listed, key string) int { return strings.Compare(c.key, key) })
	d.byName = slices.Insert(d.byName, at, added)
	return true
}

// reachAll notes the revisions that channels have come to.
func (d *directory) reachAll(changes []Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range changes {
		if c := d.byID[m.ChannelID]; c != nil {
			c.Revision = max(c.Revision, m.Revision)
		}
	}
}

// Refresh reads which channels there are and how far they have come, and
// returns those of which that is new: other nodes have made or changed them.
func (s *Store) Refresh(ctx context.Context) ([]Channel, error) {
	rows, err := s.readers.QueryContext(ctx, selectChannels+`ORDER BY name_key`)
	if err != nil {
		return nil, fmt.Errorf("reading the channels: %w", err)
	}
	defer rows.Close()
	var changed []Channel
	for rows.Next() {
		c, err := scanChannel(rows)
		if err != nil {
			return nil, fmt.Errorf("reading the channels: %w", err)
		}
		if s.directory.take(c) {
			changed = append(changed, c.Channel)
		}
	}
	return changed, rows.Err()
}

// Hear notes that another node has made a channel, or changed it up to a
// revision, and reports whether the channel is a new one. It fails with
// ErrNotFound where there is none.
func (s *Store) Hear(ctx context.Context, id, revision int64) (isNew bool, err error) {
	s.directory.mu.Lock()
	known := s.directory.byID[id]
	if known != nil {
		known.Revision = max(known.Revision, revision)
	}
	s.directory.mu.Unlock()
	if known != nil {
		return false, nil
	}
	c, err := scanChannel(s.readers.QueryRowContext(ctx, selectChannels+`WHERE id = $1`, id))
	if err != nil {
		return false, err
	}
	return s.directory.take(c), nil
}

// changed says whether any channel is beyond a position, and returns the sum of
// the channels' revisions.
func (d *directory) changed(positions map[int64]int64) (sum int64, beyond bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for id, position := range positions {
		if c := d.byID[id]; c != nil {
			sum += c.Revision
			beyond = beyond || c.Revision > position
		}
	}
	return sum, beyond
}

// pick returns the channels that are wanted, in the order of their names.
func (d *directory) pick(wanted func(id int64) bool) []Channel {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var channels []Channel
	for _, c := range d.byName {
		if wanted(c.ID) {
			channels = append(channels, c.Channel)
		}
	}
	return channels
}

// CreateChannel makes a channel. It fails with ErrChannelExists.
func (s *Store) CreateChannel(ctx context.Context, name Name, now time.Time) (Channel, error) {
	var c Channel
	err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = s.insertChannel(ctx, t, `
			INSERT INTO channels (name, name_key, revision, created_at) VALUES ($1, $2, 0, $3) RETURNING id`, name, now)
		return err
	})
	return c, err
}

// EnsureChannel makes the channel where there is none at all yet: a new
// installation starts with it.
func (s *Store) EnsureChannel(ctx context.Context, name Name, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := s.insertChannel(ctx, t, `
			INSERT INTO channels (name, name_key, revision, created_at)
			SELECT $1, $2, 0, $3 WHERE NOT EXISTS (SELECT 1 FROM channels) RETURNING id`, name, now)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
}

// insertChannel makes a channel by a statement that returns its id.
func (s *Store) insertChannel(ctx context.Context, t *tx, statement string, name Name, now time.Time) (Channel, error) {
	// One after the other on all nodes: who has seen a channel has seen those
	// with lower ids.
	if wait := s.engine.inOrder(); wait != "" {
		if _, err := t.ExecContext(ctx, wait); err != nil {
			return Channel{}, err
		}
	}
	c := listed{Channel{Name: name.Text, CreatedAt: now.UTC().Truncate(time.Microsecond)}, name.Key}
	err := t.QueryRowContext(ctx, statement, c.Name, c.key, c.CreatedAt.UnixMicro()).Scan(&c.ID)
	if s.engine.isTaken(err) {
		return Channel{}, ErrChannelExists
	}
	if err != nil {
		return Channel{}, err
	}
	t.after(func() { s.directory.take(c) })
	return c.Channel, nil
}

// Channel returns the channel with an id. It fails with ErrNotFound.
func (s *Store) Channel(ctx context.Context, id int64) (Channel, error) {
	s.directory.mu.RLock()
	c, err := found(s.directory.byID[id])
	s.directory.mu.RUnlock()
	if err == nil || !s.engine.shared() {
		return c, err
	}
	made, err := scanChannel(s.readers.QueryRowContext(ctx, selectChannels+`WHERE id = $1`, id))
	return made.Channel, err
}

// ChannelByName returns the channel of that name, in whatever case and width,
// with the revision that it has come to. It fails with ErrNotFound.
func (s *Store) ChannelByName(ctx context.Context, name Name) (Channel, error) {
	if s.engine.shared() {
		// Another node may have made or changed it a moment ago, for the very
		// person who asks.
		c, err := scanChannel(s.readers.QueryRowContext(ctx, selectChannels+`WHERE name_key = $1`, name.Key))
		if err == nil {
			s.directory.take(c)
		}
		return c.Channel, err
	}
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	return found(s.directory.byKey[name.Key])
}

func found(c *listed) (Channel, error) {
	if c == nil {
		return Channel{}, ErrNotFound
	}
	return c.Channel, nil
}

// Channels returns all channels, in the order of their names.
func (s *Store) Channels(context.Context) ([]Channel, error) {
	return s.directory.pick(func(int64) bool { return true }), nil
}

// ChannelsNear returns the channels that matter most to a user, n at most: those
// visited last and then the newest of the others. They are in the order of
// their names.
func (s *Store) ChannelsNear(ctx context.Context, userID int64, n int) ([]Channel, error) {
	positions, err := s.positionsOf(ctx, userID)
	if err != nil {
		return nil, err
	}
	return s.directory.near(positions.latestFirst, n), nil
}

// near returns the channels with some ids and then the newest of the others, n
// at most, in the order of their names.
func (d *directory) near(ids []int64, n int) []Channel {
	d.mu.RLock()
	defer d.mu.RUnlock()
	taken := make(map[int64]bool, n)
	near := make([]*listed, 0, n)
	take := func(id int64) {
		if c := d.byID[id]; c != nil && len(near) < n && !taken[id] {
			taken[id] = true
			near = append(near, c)
		}
	}
	for _, id := range ids {
		take(id)
	}
	for id := d.latest; id > 0 && len(near) < n; id-- {
		take(id)
	}
	slices.SortFunc(near, func(a, b *listed) int { return strings.Compare(a.key, b.key) })
	channels := make([]Channel, len(near))
	for i, c := range near {
		channels[i] = c.Channel
	}
	return channels
}

// ChannelsAfter returns the channels that were made after the one with an id,
// the newest n at most, in the order of their names.
func (s *Store) ChannelsAfter(_ context.Context, id int64, n int) ([]Channel, error) {
	id = max(id, s.latest()-int64(n))
	return s.directory.pick(func(other int64) bool { return other > id }), nil
}

// LatestChannel returns the id of the channel made last, 0 where there is none.
func (s *Store) LatestChannel(context.Context) (int64, error) { return s.latest(), nil }

func (s *Store) latest() int64 {
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	return s.directory.latest
}
