package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"strings"
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

// MadeBy reports whether the form with a key has just made the user. A browser
// that sends a form twice, as for a double click or after a fault, takes only the
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

// HasPassword reports whether the user can sign in by name and password.
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
// key of the form: see MadeBy. It fails with ErrNameTaken, and with
// ErrNameForbidden where a name looks like several: such names of old are still
// found by UserByName.
func (s *Store) CreateUser(ctx context.Context, name Name, password, key string, now time.Time) (User, error) {
	u := User{Name: name.Text, Password: password, Epoch: 1, CreatedAt: now.UTC().Truncate(time.Microsecond), form: digest(key)}
	if strings.ContainsFunc(name.Text, separatesNames) {
		return User{}, ErrNameForbidden
	}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		// One after the other on all nodes: no index finds all that looks alike.
		if wait := s.engine.inOrder(); wait != "" {
			if _, err := t.ExecContext(ctx, wait); err != nil {
				return err
			}
		}
		if taken, err := looksTaken(ctx, t, name); err != nil || taken {
			return cmp.Or(err, refuse(ErrNameTaken))
		}
		err := t.QueryRowContext(ctx, `
			INSERT INTO users (name, name_key, name_look, name_skeleton, password, epoch, last_channel, created_at, form)
			VALUES ($1, $2, $3, $8, $4, $5, 0, $6, $7) ON CONFLICT DO NOTHING RETURNING id`,
			u.Name, name.Key, name.Look, u.Password, u.Epoch, u.CreatedAt.UnixMicro(), u.form, name.skeleton).Scan(&u.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(ErrNameTaken)
		}
		return err
	})
	return u, err
}

// separatesNames reports whether a list of names has r between two of them.
func separatesNames(r rune) bool {
	switch r {
	case ',', ';', '\u055D', '\u060C', '\u061B', '\u07F8', '\u1363', '\u1364', '\u1802', '\u1808', '\u3001', '\uA4FE', '\uA60D':
		return true
	}
	return false
}

// looksTaken reports whether somebody has a name that would be mistaken for one.
func looksTaken(ctx context.Context, t *tx, name Name) (taken bool, err error) {
	rows, err := t.QueryContext(ctx, `SELECT name FROM users WHERE name_skeleton = $1`, name.skeleton)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var other string
		if err := rows.Scan(&other); err != nil {
			return false, err
		}
		taken = taken || mistakable(name.Text, other)
	}
	return taken, rows.Err()
}

// looksAtOnce is how many users one write of renewLooks changes, because others
// wait for it.
const looksAtOnce = 500

// renewLooks computes how the names look of users that an earlier version has
// made. Where two come to look alike, both stay.
func (s *Store) renewLooks(ctx context.Context) error {
	for more := true; more; {
		err := s.write(ctx, func(ctx context.Context, t *tx) error {
			users, err := usersWithoutLook(ctx, t)
			for _, u := range users {
				if err == nil {
					_, err = t.ExecContext(ctx, `
						UPDATE users SET name_skeleton = $3, name_look = CASE
							WHEN EXISTS (SELECT 1 FROM users AS other WHERE other.name_look = $2) THEN name_look ELSE $2 END
						WHERE id = $1`, u.ID, look(u.Name), skeleton(u.Name))
				}
			}
			more = len(users) == looksAtOnce
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// usersWithoutLook returns the ids and names of some users, which are all that is
// set.
func usersWithoutLook(ctx context.Context, t *tx) (users []User, err error) {
	rows, err := t.QueryContext(ctx, `SELECT id, name FROM users WHERE name_skeleton = '' ORDER BY id LIMIT $1`, looksAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u User
		if err := rows.Scan(&u.ID, &u.Name); err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
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
