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
	rows, err := s.readers.QueryContext(ctx, `SELECT `+channelColumns+` FROM channels ORDER BY name_key`)
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
