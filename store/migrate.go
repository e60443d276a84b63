package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the database to the newest schema, while no other node does.
// Each file of migrations/ is run once, in the order of its number and in a
// transaction of its own, so a start that fails half-way can be tried again.
//
// Nodes of the version before go on meanwhile: a migration may add, and must
// leave what they know as it is. An index goes once another of the same columns
// has taken its place.
func migrate(ctx context.Context, engine engine, db *sql.DB) error {
	return engine.alone(ctx, db, func(conn *sql.Conn) error { return migrateAlone(ctx, engine, conn) })
}

// migrateAlone is migrate for who is alone already.
func migrateAlone(ctx context.Context, engine engine, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)`); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	var have int
	if err := conn.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema`).Scan(&have); err != nil {
		return fmt.Errorf("reading the schema's version: %w", err)
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted by name, hence by number
	if err != nil {
		return err
	}
	if have > len(files) {
		return fmt.Errorf("the data was written by a newer Hubbub: its schema is %d, this one knows %d", have, len(files))
	}
	for i, file := range files {
		version := i + 1
		if !strings.HasPrefix(file, fmt.Sprintf("migrations/%04d_", version)) {
			return fmt.Errorf("migration %s should be number %d", file, version)
		}
		if version <= have {
			continue
		}
		err := stepBack(ctx, engine, maxLockWait, func() error { return migrateTo(ctx, engine, conn, version, file) })
		if err != nil {
			return fmt.Errorf("migration %s: %w", strconv.Quote(file), err)
		}
	}
	return nil
}

// lockPause is how long a migration leaves a lock to others that it did not get.
const lockPause = 2 * time.Second

// stepBack does something again, until a limit, where others keep a lock from it
// as a backup does. To wait for that would hold up all who come after: they
// queue behind it.
func stepBack(ctx context.Context, engine engine, limit time.Duration, do func() error) error {
	for began := time.Now(); ; {
		err := do()
		if !engine.blocked(err) {
			return err
		}
		if time.Since(began) >= limit {
			return fmt.Errorf("something else, such as a backup, has kept the tables locked for more than %v: %w", limit, err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func migrateTo(ctx context.Context, engine engine, conn *sql.Conn, version int, file string) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	t, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if wait := engine.shortWait(); wait != "" {
		if _, err := t.ExecContext(ctx, wait); err != nil {
			return err
		}
	}
	if _, err := t.ExecContext(ctx, engine.types().Replace(string(text))); err != nil {
		return err
	}
	if _, err := t.ExecContext(ctx, `INSERT INTO schema (version) VALUES ($1)`, version); err != nil {
		return err
	}
	return t.Commit()
}
