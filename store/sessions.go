package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Sessions keeps scs sessions. A session that has ended is kept as ended till
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

// CommitCtx implements scs.CtxStore. It goes on where the browser has gone
// away, for the session may be all that leads back to a new name.
func (s Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.store.write(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `
			INSERT INTO sessions (token, data, ended, expires_at) VALUES ($1, $2, 0, $3)
			ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at
			WHERE sessions.ended = 0`,
			token, data, expiry.UnixMicro())
		t.after(func() { s.store.sessions.drop(token) })
		return err
	})
}

// DeleteCtx implements scs.CtxStore. It goes on where the browser has gone
// away: who logs out is out.
func (s Sessions) DeleteCtx(ctx context.Context, token string) error {
	return s.store.write(context.WithoutCancel(ctx), func(ctx context.Context, t *tx) error {
		_, err := t.ExecContext(ctx, `UPDATE sessions SET ended = 1, data = $2 WHERE token = $1`, token, []byte{})
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

// expiredAtOnce is how many sessions one write forgets: others wait for it.
const expiredAtOnce = 1000

// DeleteExpired forgets the sessions that expired before now.
func (s Sessions) DeleteExpired(ctx context.Context, now time.Time) error {
	for more := true; more; {
		err := s.store.write(ctx, func(ctx context.Context, t *tx) error {
			deleted, err := t.ExecContext(ctx, `
				DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE expires_at <= $1 LIMIT $2)`,
				now.UnixMicro(), expiredAtOnce)
			if err != nil {
				return err
			}
			n, err := deleted.RowsAffected()
			more = n == expiredAtOnce
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
