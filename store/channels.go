package store

import (
	"context"
	"errors"
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

const channelColumns = `id, name, revision, created_at`

func scanChannel(row interface{ Scan(...any) error }) (Channel, error) {
	var c Channel
	var created int64
	err := row.Scan(&c.ID, &c.Name, &c.Revision, &created)
	c.CreatedAt = time.UnixMicro(created).UTC()
	return c, notFound(err)
}

// CreateChannel makes a channel. It fails with ErrChannelExists.
func (s *Store) CreateChannel(ctx context.Context, name Name, now time.Time) (Channel, error) {
	var c Channel
	err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		c, err = scanChannel(t.QueryRowContext(ctx, `
			INSERT INTO channels (name, name_key, revision, created_at)
			VALUES ($1, $2, 0, $3) RETURNING `+channelColumns,
			name.Text, name.Key, now.UnixMicro()))
		if isTaken(err) {
			return ErrChannelExists
		}
		return err
	})
	return c, err
}

// EnsureChannel makes the channel where there is none at all yet: a new
// installation starts with it.
func (s *Store) EnsureChannel(ctx context.Context, name Name, now time.Time) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO channels (name, name_key, revision, created_at)
			SELECT $1, $2, 0, $3 WHERE NOT EXISTS (SELECT 1 FROM channels)`,
			name.Text, name.Key, now.UnixMicro())
		return err
	})
}

// Channel returns the channel with an id.
func (s *Store) Channel(ctx context.Context, id int64) (Channel, error) {
	return scanChannel(s.readers.QueryRowContext(ctx, `SELECT `+channelColumns+` FROM channels WHERE id = $1`, id))
}

// ChannelByName returns the channel of that name, in whatever case and width.
func (s *Store) ChannelByName(ctx context.Context, name Name) (Channel, error) {
	return scanChannel(s.readers.QueryRowContext(ctx, `SELECT `+channelColumns+` FROM channels WHERE name_key = $1`, name.Key))
}

// Channels returns all channels by name.
func (s *Store) Channels(ctx context.Context) ([]Channel, error) {
	return s.queryChannels(ctx, `ORDER BY name_key`)
}

// ChannelsNear returns the channels that matter most to a user, n at most: those
// visited last and then the newest of the others. They are in the order of
// their names.
func (s *Store) ChannelsNear(ctx context.Context, userID int64, n int) ([]Channel, error) {
	return s.queryChannels(ctx, `WHERE id IN (
		WITH visited AS (SELECT channel_id AS id FROM positions WHERE user_id = $1 ORDER BY visited_at DESC LIMIT $2),
			others AS (SELECT id FROM channels WHERE id NOT IN (SELECT id FROM visited) ORDER BY id DESC LIMIT $2),
			near AS (SELECT id, 1 AS turn FROM visited UNION ALL SELECT id, 2 FROM others ORDER BY turn, id DESC LIMIT $2)
		SELECT id FROM near) ORDER BY name_key`, userID, n)
}

// ChannelsAfter returns the channels that were made after the one with an id,
// the newest n at most, in the order of their names.
func (s *Store) ChannelsAfter(ctx context.Context, id int64, n int) ([]Channel, error) {
	return s.queryChannels(ctx, `WHERE id IN (
		SELECT id FROM channels WHERE id > $1 ORDER BY id DESC LIMIT $2) ORDER BY name_key`, id, n)
}

// LatestChannel returns the id of the channel made last, 0 where there is none.
func (s *Store) LatestChannel(ctx context.Context) (id int64, err error) {
	err = s.readers.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM channels`).Scan(&id)
	return id, err
}

func (s *Store) queryChannels(ctx context.Context, which string, args ...any) ([]Channel, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT `+channelColumns+` FROM channels `+which, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var channels []Channel
	for rows.Next() {
		c, err := scanChannel(rows)
		if err != nil {
			return nil, err
		}
		channels = append(channels, c)
	}
	return channels, rows.Err()
}
