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

func (d *directory) load(ctx context.Context, from *pool) error {
	d.byID, d.byKey = map[int64]*listed{}, map[string]*listed{}
	rows, err := from.QueryContext(ctx, `SELECT id, name, name_key, revision, created_at FROM channels ORDER BY name_key`)
	if err != nil {
		return fmt.Errorf("reading the channels: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c listed
		var created int64
		if err := rows.Scan(&c.ID, &c.Name, &c.key, &c.Revision, &created); err != nil {
			return fmt.Errorf("reading the channels: %w", err)
		}
		c.CreatedAt = time.UnixMicro(created).UTC()
		d.add(c)
	}
	return rows.Err()
}

// add adds a channel that has been made.
func (d *directory) add(c listed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	added := &c
	d.byID[c.ID], d.byKey[c.key] = added, added
	d.latest = max(d.latest, c.ID)
	at, _ := slices.BinarySearchFunc(d.byName, c.key, func(c *listed, key string) int { return strings.Compare(c.key, key) })
	d.byName = slices.Insert(d.byName, at, added)
}

// reach notes that a channel has come to a revision.
func (d *directory) reach(id, revision int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.byID[id]
	c.Revision = max(c.Revision, revision)
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
	c := listed{Channel{Name: name.Text, CreatedAt: now.UTC().Truncate(time.Microsecond)}, name.Key}
	err := t.QueryRowContext(ctx, statement, c.Name, c.key, c.CreatedAt.UnixMicro()).Scan(&c.ID)
	if isTaken(err) {
		return Channel{}, ErrChannelExists
	}
	if err != nil {
		return Channel{}, err
	}
	t.after(func() { s.directory.add(c) })
	return c.Channel, nil
}

// Channel returns the channel with an id. It fails with ErrNotFound.
func (s *Store) Channel(_ context.Context, id int64) (Channel, error) {
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	return found(s.directory.byID[id])
}

// ChannelByName returns the channel of that name, in whatever case and width.
// It fails with ErrNotFound.
func (s *Store) ChannelByName(_ context.Context, name Name) (Channel, error) {
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
