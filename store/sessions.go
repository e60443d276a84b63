package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"
)

// What a session holds, both int64.
const (
	SessionUser  = "user"  // the id of the user
	SessionEpoch = "epoch" // the user's epoch when the session began
)

// SessionCodec writes sessions as JSON: every request reads one, and gob, which
// scs writes by itself, takes fourteen times as long.
type SessionCodec struct{}

var _ scs.Codec = SessionCodec{}

// sessionData is a session as it is written.
type sessionData struct {
	Deadline time.Time
	User     int64
	Epoch    int64
}

// Encode implements scs.Codec.
func (SessionCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	data := sessionData{Deadline: deadline}
	data.User, _ = values[SessionUser].(int64) // nobody's session has none
	data.Epoch, _ = values[SessionEpoch].(int64)
	return json.Marshal(data)
}

// Decode implements scs.Codec.
func (SessionCodec) Decode(written []byte) (time.Time, map[string]any, error) {
	if !bytes.HasPrefix(written, []byte("{")) {
		return scs.GobCodec{}.Decode(written) // from an earlier version
	}
	var data sessionData
	err := json.Unmarshal(written, &data)
	return data.Deadline, map[string]any{SessionUser: data.User, SessionEpoch: data.Epoch}, err
}

// sessionUser returns the id of a session's user, 0 for nobody and where it
// cannot be read.
func sessionUser(written []byte) int64 {
	_, values, err := SessionCodec{}.Decode(written)
	if err != nil {
		return 0
	}
	id, _ := values[SessionUser].(int64)
	return id
}

// hashToken returns what is kept of a session's token, as scs gives it to its
// store (SessionManager.HashTokenInStore).
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// setSessionEpoch lets a session of a user go on in the user's present epoch. It
// does nothing where the session is another's, or there is none.
func setSessionEpoch(ctx context.Context, t *tx, hashed string, u User) error {
	var data []byte
	err := t.QueryRowContext(ctx, `SELECT data FROM sessions WHERE token = $1 AND ended = 0`, hashed).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	deadline, values, err := SessionCodec{}.Decode(data)
	if err != nil || values[SessionUser] != u.ID {
		return err
	}
	values[SessionEpoch] = u.Epoch
	if data, err = (SessionCodec{}).Encode(deadline, values); err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `UPDATE sessions SET data = $2 WHERE token = $1 AND ended = 0`, hashed, data)
	return err
}

// Sessions keeps scs sessions. A session that has ended is kept as ended until
// it would have expired, so that a request which was under way during the
// log-out cannot write it back.
type Sessions struct {
	store *Store
}

// session is one that goes on.
type session struct {
	data    []byte
	expires time.Time
}

var _ scs.CtxStore = Sessions{}

// Sessions returns the sessions of this store.
func (s *Store) Sessions() Sessions { return Sessions{store: s} }

// FindCtx implements scs.CtxStore.
func (s Sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	open, err := s.store.sessions.get(token, func() (session, error) {
		var open session
		var expires int64
		err := s.store.readers.QueryRowContext(ctx, `
			SELECT data, expires_at FROM sessions WHERE token = $1 AND ended = 0`, token).Scan(&open.data, &expires)
		open.expires = time.UnixMicro(expires)
		return open, err
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && !time.Now().Before(open.expires) {
		return nil, false, nil
	}
	return open.data, err == nil, err
}

// CommitCtx implements scs.CtxStore for sessions that SessionCodec has written.
// It goes on where the browser has gone away, for the session may be all that
// leads back to a new name.
func (s Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.store.write(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO sessions (token, data, ended, expires_at, user_id) VALUES ($1, $2, 0, $3, $4)
			ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at, user_id = excluded.user_id
			WHERE sessions.ended = 0`,
			token, data, expiry.UnixMicro(), sessionUser(data))
		t.after(func() { s.store.sessions.drop(token) })
		return err
	})
}

// DeleteCtx implements scs.CtxStore. It goes on where the browser has gone
// away: who logs out is out.
func (s Sessions) DeleteCtx(ctx context.Context, token string) error {
	return s.store.write(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		var data []byte
		var userID int64
		err := t.QueryRowContext(ctx, `SELECT data, user_id FROM sessions WHERE token = $1 AND ended = 0`, token).Scan(&data, &userID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if userID == 0 {
			userID = sessionUser(data) // a version before this has written it
		}
		if userID != 0 {
			t.changed(UserChanged{userID})
		}
		_, err = t.ExecContext(ctx, `UPDATE sessions SET ended = 1, data = $2 WHERE token = $1`, token, []byte{})
		t.after(func() { s.store.sessions.drop(token) })
		return err
	})
}

// Find implements scs.Store, which scs asks of every store and never uses
// where there is a CtxStore.
func (s Sessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s Sessions) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

// Delete implements scs.Store.
func (s Sessions) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// expiredAtOnce is how many sessions one write deletes, because others wait for
// it.
const expiredAtOnce = 1000

// DeleteExpired deletes the sessions that expired before now.
func (s Sessions) DeleteExpired(ctx context.Context, now time.Time) error {
	for more := true; more; {
		err := s.store.write(ctx, func(ctx context.Context, t *tx) error {
			users, deleted, err := deleteExpired(ctx, t, now)
			for _, id := range users {
				t.changed(UserChanged{id})
			}
			more = deleted == expiredAtOnce
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteExpired deletes some sessions and returns how many, and whose had not
// ended before.
func deleteExpired(ctx context.Context, t *tx, now time.Time) (users []int64, deleted int, err error) {
	rows, err := t.QueryContext(ctx, `
		DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE expires_at <= $1 LIMIT $2)
		RETURNING user_id, ended`, now.UnixMicro(), expiredAtOnce)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for ; rows.Next(); deleted++ {
		var userID int64
		var ended bool
		if err := rows.Scan(&userID, &ended); err != nil {
			return nil, 0, err
		}
		if userID != 0 && !ended {
			users = append(users, userID)
		}
	}
	slices.Sort(users)
	return slices.Compact(users), deleted, rows.Err()
}
