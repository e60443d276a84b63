package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"time"
)

// ErrNameTaken says that another has the name, or one that looks like it.
var ErrNameTaken = errors.New("the name is taken")

// ErrPasswordChanged says that the password has changed meanwhile.
var ErrPasswordChanged = errors.New("the password has changed meanwhile")

// User is an account with a unique display name.
type User struct {
	ID          int64
	Name        string
	Password    string // its argon2id hash, "" for none
	Epoch       int64  // sessions of an earlier epoch are over
	LastChannel int64  // the id of the channel last visited, 0 for none
	CreatedAt   time.Time

	form string // a digest of the key of the form that made the user
}

// formTime is how long the form that made a user lets the same browser in again.
const formTime = time.Minute

// MadeBy says whether the form with a key has just made the user. A browser that
// sends a form twice, as for a double click or after a fault, hears only the
// last answer; an earlier one had the cookie without which the name would be
// lost.
func (u *User) MadeBy(key string, now time.Time) bool {
	return key != "" && u.form == digest(key) && now.Before(u.CreatedAt.Add(formTime))
}

// digest returns what is kept of a form's key, which lets in who has it.
func digest(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// HasPassword says whether the user can sign in by name and password.
func (u *User) HasPassword() bool { return u.Password != "" }

// The column last_channel is of the time before positions.
const userColumns = `id, name, password, epoch,
	coalesce((SELECT channel_id FROM positions WHERE user_id = users.id ORDER BY visited_at DESC, channel_id LIMIT 1), 0),
	created_at, form`

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	var created int64
	err := row.Scan(&u.ID, &u.Name, &u.Password, &u.Epoch, &u.LastChannel, &created, &u.form)
	u.CreatedAt = time.UnixMicro(created).UTC()
	return u, notFound(err)
}

// CreateUser makes a user. The hash of the password may be "", and so may the
// key of the form: see MadeBy. It fails with ErrNameTaken.
func (s *Store) CreateUser(ctx context.Context, name Name, password, key string, now time.Time) (User, error) {
	u := User{Name: name.Text, Password: password, Epoch: 1, CreatedAt: now.UTC().Truncate(time.Microsecond), form: digest(key)}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		err := t.QueryRowContext(ctx, `
			INSERT INTO users (name, name_key, name_look, password, epoch, last_channel, created_at, form)
			VALUES ($1, $2, $3, $4, $5, 0, $6, $7) ON CONFLICT DO NOTHING RETURNING id`,
			u.Name, name.Key, name.Look, u.Password, u.Epoch, u.CreatedAt.UnixMicro(), u.form).Scan(&u.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(ErrNameTaken)
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

// SetPassword replaces the hash of a user's password and ends the user's sessions,
// but for the one with a token: "" for none. It returns the user as it is now. It
// fails with ErrPasswordChanged where somebody else has changed the password since
// the user was read.
func (s *Store) SetPassword(ctx context.Context, user User, password, token string) (User, error) {
	hashed := hashToken(token)
	var u User
	err := s.write(ctx, func(ctx context.Context, t *tx) (err error) {
		u, err = scanUser(t.QueryRowContext(ctx, `
			UPDATE users SET password = $1, epoch = epoch + 1 WHERE id = $2 AND epoch = $3 RETURNING `+userColumns,
			password, user.ID, user.Epoch))
		if errors.Is(err, ErrNotFound) {
			return refuse(ErrPasswordChanged)
		}
		if err != nil {
			return err
		}
		t.changed(UserChanged{user.ID})
		t.after(func() {
			s.users.drop(user.ID)
			s.sessions.drop(hashed)
		})
		return setSessionEpoch(ctx, t, hashed, u)
	})
	return u, err
}
