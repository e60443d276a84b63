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
	byAge  []*listed // in the order of their ids
}

type listed struct {
	Channel
	key  string
	told int64 // the revision that whoever calls Refresh knows of
}

const selectChannels = `SELECT id, name, name_key, revision, created_at FROM channels `

func scanChannel(row interface{ Scan(...any) error }) (listed, error) {
	c := listed{told: -1}
	var created int64
	err := row.Scan(&c.ID, &c.Name, &c.key, &c.Revision, &created)
	c.CreatedAt = time.UnixMicro(created).UTC()
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

// take adds channels that were read, all at once: who knows of one knows of
// those with lower ids.
func (d *directory) take(channels ...listed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID == nil {
		d.byID, d.byKey = map[int64]*listed{}, map[string]*listed{}
	}
	added := false
	for _, c := range channels {
		if known := d.byID[c.ID]; known != nil {
			known.Revision = max(known.Revision, c.Revision)
			continue
		}
		d.byID[c.ID], d.byKey[c.key] = &c, &c
		d.byName, d.byAge, added = append(d.byName, &c), append(d.byAge, &c), true
	}
	if added {
		slices.SortFunc(d.byName, func(a, b *listed) int { return strings.Compare(a.key, b.key) })
		slices.SortFunc(d.byAge, func(a, b *listed) int { return cmp.Compare(a.ID, b.ID) })
	}
}

// reachAll notes the revisions that channels have come to, of which all are
// told.
func (d *directory) reachAll(changes []Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range changes {
		if c := d.byID[m.ChannelID]; c != nil {
			c.Revision, c.told = max(c.Revision, m.Revision), max(c.told, m.Revision)
		}
	}
}

// knows says whether a channel is known.
func (d *directory) knows(id int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id] != nil
}

// revisions returns how far the channels have come.
func (d *directory) revisions() map[int64]int64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make(map[int64]int64, len(d.byID))
	for id, c := range d.byID {
		all[id] = c.Revision
	}
	return all
}

// Refresh reads which channels there are and how far they have come. It returns
// those of which it has not returned that before: other nodes have made or
// changed them. Where a channel has receded, the database has lost commits.
func (s *Store) Refresh(ctx context.Context) (changed, receded []Channel, err error) {
	before := s.directory.revisions()
	channels, err := queryChannels(ctx, s.readers, "")
	if err != nil {
		return nil, nil, err
	}
	s.directory.take(channels...)
	s.directory.mu.Lock()
	defer s.directory.mu.Unlock()
	for _, c := range channels {
		known := s.directory.byID[c.ID]
		switch {
		case c.Revision < before[c.ID]:
			known.Revision, known.told = c.Revision, c.Revision
			receded = append(receded, c.Channel)
		case c.Revision > known.told:
			known.told = c.Revision
			changed = append(changed, c.Channel)
		}
	}
	return changed, receded, nil
}

// Hear notes that another node has made a channel, or changed it up to a
// revision, and reports whether there are new channels.
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
	return s.learn(ctx, s.readers)
}

// learn reads the channels that are newer than those that are known, and
// reports whether there are any.
func (s *Store) learn(ctx context.Context, from querier) (any bool, err error) {
	channels, err := queryChannels(ctx, from, `WHERE id > $1`, s.latest())
	s.directory.take(channels...)
	return len(channels) > 0, err
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
	c := listed{Channel: Channel{Name: name.Text, CreatedAt: now.UTC().Truncate(time.Microsecond)}, key: name.Key}
	err := t.QueryRowContext(ctx, statement, c.Name, c.key, c.CreatedAt.UnixMicro()).Scan(&c.ID)
	if s.engine.isTaken(err) {
		return Channel{}, ErrChannelExists
	}
	if err != nil {
		return Channel{}, err
	}
	// With those that other nodes have made before.
	made, err := queryChannels(ctx, t, `WHERE id > $1`, s.latest())
	t.after(func() { s.directory.take(made...) })
	return c.Channel, err
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
		if err == nil && !s.directory.knows(c.ID) {
			_, err = s.learn(ctx, s.readers)
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

// ChannelsNear returns the channels that matter most to the user whose positions
// these are, n at most: those visited last and then the newest of the others.
// They are in the order of their names.
func (s *Store) ChannelsNear(p *Positions, n int) []Channel {
	return s.directory.near(p.latestFirst, n)
}

// near returns the channels with some ids and then the newest of the others, n
// at most, in the order of their names.
func (d *directory) near(ids []int64, n int) []Channel {
	d.mu.RLock()
	defer d.mu.RUnlock()
	taken := make(map[int64]bool, n)
	near := make([]*listed, 0, n)
	take := func(c *listed) {
		if c != nil && len(near) < n && !taken[c.ID] {
			taken[c.ID] = true
			near = append(near, c)
		}
	}
	for _, id := range ids {
		take(d.byID[id])
	}
	for i := len(d.byAge) - 1; i >= 0 && len(near) < n; i-- {
		take(d.byAge[i])
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
	return s.directory.near(nil, s.directory.after(id, n)), nil
}

// after returns how many channels are newer than one with an id, n at most.
func (d *directory) after(id int64, n int) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, _ := slices.BinarySearchFunc(d.byAge, id+1, func(c *listed, id int64) int { return cmp.Compare(c.ID, id) })
	return min(n, len(d.byAge)-at)
}

// LatestChannel returns the id of the channel made last, 0 where there is none.
func (s *Store) LatestChannel(context.Context) (int64, error) { return s.latest(), nil }

func (s *Store) latest() int64 {
	s.directory.mu.RLock()
	defer s.directory.mu.RUnlock()
	if len(s.directory.byAge) == 0 {
		return 0
	}
	return s.directory.byAge[len(s.directory.byAge)-1].ID
}
