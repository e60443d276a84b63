package store

import (
	"context"
	"errors"
	"time"
)

// ErrNameTaken says that another has the name, or one that looks like it.
var ErrNameTaken = errors.New("the name is taken")

// User is an account with a unique display name.
type User struct {
	ID          int64
	Name        string
	Password    string // its argon2id hash, "" for none
	Epoch       int64  // sessions of an earlier epoch are over
	LastChannel int64  // the id of the channel last visited, 0 for none
	CreatedAt   time.Time
}

// HasPassword says whether the user can sign in by name and password.
func (u *User) HasPassword() bool { return u.Password != "" }

// The column last_channel is of the time before positions.
const userColumns = `id, name, password, epoch,
	coalesce((SELECT channel_id FROM positions WHERE user_id = users.id ORDER BY visited_at DESC, channel_id LIMIT 1), 0),
	created_at`

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	var created int64
	err := row.Scan(&u.ID, &u.Name, &u.Password, &u.Epoch, &u.LastChannel, &created)
	u.CreatedAt = time.UnixMicro(created).UTC()
	return u, notFound(err)
}

// CreateUser makes a user. The hash of the password may be "". It fails with
// ErrNameTaken.
func (s *Store) CreateUser(ctx context.Context, name Name, password string, now time.Time) (User, error) {
	u := User{Name: name.Text, Password: password, Epoch: 1, CreatedAt: now.UTC().Truncate(time.Microsecond)}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		err := t.QueryRowContext(ctx, `
			INSERT INTO users (name, name_key, name_look, password, epoch, last_channel, created_at)
			VALUES ($1, $2, $3, $4, $5, 0, $6) RETURNING id`,
			u.Name, name.Key, name.Look, u.Password, u.Epoch, u.CreatedAt.UnixMicro()).Scan(&u.ID)
		if s.engine.isTaken(err) {
			return ErrNameTaken
		}
		return err
	})
	return u, err
}

// User returns the user with an id.
func (s *Store) User(ctx context.Context, id int64) (User, error) {
	return s.users.get(id, func() (User, error) {
		return scanUser(s.readers.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
	})
}

// UserByName returns the user who has the name, in whatever case and width.
func (s *Store) UserByName(ctx context.Context, name Name) (User, error) {
	return scanUser(s.readers.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name_key = $1`, name.Key))
}

// SetPassword replaces the hash of a user's password and ends all sessions of
// the user's earlier epochs. It returns the user as it is now.
func (s *Store) SetPassword(ctx context.Context, userID int64, password string) (User, error) {
	var u User
	err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		u, err = scanUser(t.QueryRowContext(ctx, `
			UPDATE users SET password = $1, epoch = epoch + 1 WHERE id = $2 RETURNING `+userColumns, password, userID))
		t.after(func() { s.users.drop(userID) })
		return err
	})
	return u, err
}
