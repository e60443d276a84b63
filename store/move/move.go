// Package move copies an installation from SQLite to PostgreSQL.
package move

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hubbub/store"
)

// maxCopied is how many rows one COPY takes: PostgreSQL keeps a note of each
// until its end, to look up what the row refers to.
const maxCopied = 10_000

// errCommit says that the answer to a commit did not come.
var errCommit = errors.New("whether it is committed is not known")

// Progress is how far Move has come with one table.
type Progress struct {
	Table       string
	Compared    bool  // its rows are compared now, else copied
	Done, Total int64 // rows
}

// Move copies the SQLite installation in a folder to the PostgreSQL at a URL,
// whole or not at all: every row is read again from both and compared before the
// one commit. It calls progress for each table, in a few steps or many, of which
// the last is when all is done.
//
// The installation is brought to the newest schema, and otherwise left as it is.
// Nobody else may have it open, because what they wrote meanwhile would be lost.
// The target must hold nothing, and is left so if Move fails; a node that starts
// on it waits for the end, or fails after a minute.
//
// Text that PostgreSQL cannot keep, for it is not UTF-8 or holds a NUL, is
// refused, but for the keys of posts: no client may use such a key any more, so
// the message goes without.
func Move(ctx context.Context, dir, database string, progress func(Progress)) error {
	if _, _, isURL := strings.Cut(database, "://"); !isURL {
		return errors.New("the target is a folder and not a URL such as postgres://user@host/database")
	}
	err := store.Exclusively(ctx, dir, func(old *sql.Conn, migrateOld func() error) error {
		if err := keepOthersOut(ctx, old); err != nil {
			return err
		}
		tables, err := tablesIn(ctx, old)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(tables, func(t table) bool { return t.name == "messages" }) {
			return fmt.Errorf("what is in %s is not Hubbub's", dir)
		}
		if err := migrateOld(); err != nil {
			return err
		}
		if tables, err = tablesIn(ctx, old); err != nil {
			return err
		}
		return store.Exclusively(ctx, database, func(empty *sql.Conn, migrateNew func() error) error {
			// First, so that a target which is refused is not migrated.
			if err := transact(ctx, empty, func(t pgx.Tx) error { return refuseRows(ctx, t, tables) }); err != nil {
				return err
			}
			if err := migrateNew(); err != nil {
				return err
			}
			return transact(ctx, empty, func(t pgx.Tx) error {
				return (&move{old, t, tables, progress}).run(ctx)
			})
		})
	})
	switch {
	case err == nil, errors.Is(err, errCommit):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no Hubbub to move: %w", err)
	case isBusy(err):
		return fmt.Errorf("the database in %s is in use: stop the Hubbub that runs on it", dir)
	default:
		return err
	}
}

// isBusy reports whether another program has a SQLite database open.
func isBusy(err error) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}

// keepOthersOut makes a connection hold the database's lock until it is closed. It
// fails where anybody else has the database open.
func keepOthersOut(ctx context.Context, conn *sql.Conn) error {
	// The lock comes with the first transaction that may write, and stays.
	if _, err := conn.ExecContext(ctx, `PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 1000`); err != nil {
		return err
	}
	t, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return t.Rollback()
}

// transact runs do in a transaction of pgx's own, which knows COPY.
func transact(ctx context.Context, conn *sql.Conn, do func(t pgx.Tx) error) error {
	return conn.Raw(func(raw any) error {
		t, err := raw.(*stdlib.Conn).Conn().Begin(ctx)
		if err != nil {
			return err
		}
		err = do(t)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			t.Rollback(ctx) //nolint:errcheck // where it cannot, the connection ends, and the transaction with it
			return err
		}
		// Not ctx: cut short, nobody would know whether it took place.
		if err := t.Commit(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("%w: %w", errCommit, err)
		}
		return nil
	})
}

// table is one that is moved.
type table struct {
	name    string
	columns []column
	key     []int // the primary key: indexes of columns
}

type column struct {
	name string
	kind string // "INTEGER", "TEXT" or "BLOB"
}

// tablesIn returns the tables in a SQLite database, each after those that it
// refers to, for so they were made.
func tablesIn(ctx context.Context, conn *sql.Conn) ([]table, error) {
	rows, err := conn.QueryContext(ctx, `
		SELECT t.name, c.name, c.type, c.pk FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT GLOB 'sqlite_*' AND t.name <> 'schema' ORDER BY t.rowid, c.cid`)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	defer rows.Close()
	var tables []table
	for rows.Next() {
		var name string
		var c column
		var place int // in the key, from 1
		if err := rows.Scan(&name, &c.name, &c.kind, &place); err != nil {
			return nil, fmt.Errorf("reading the schema: %w", err)
		}
		if len(tables) == 0 || tables[len(tables)-1].name != name {
			tables = append(tables, table{name: name})
		}
		t := &tables[len(tables)-1]
		if place > 0 {
			t.key = append(t.key, make([]int, max(0, place-len(t.key)))...)
			t.key[place-1] = len(t.columns)
		}
		t.columns = append(t.columns, c)
	}
	return tables, rows.Err()
}

// names are the names of the columns.
func (t table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// selection reads all rows in the order of their keys. A collation is of text.
func (t table) selection(collation string) string {
	order := make([]string, len(t.key))
	for i, at := range t.key {
		order[i] = t.columns[at].name
		if t.columns[at].kind == "TEXT" {
			order[i] += collation
		}
	}
	return "SELECT " + strings.Join(t.names(), ", ") + " FROM " + t.name + " ORDER BY " + strings.Join(order, ", ")
}

// row names a row for people.
func (t table) row(values []any) string {
	var b strings.Builder
	b.WriteString(t.name)
	for i, at := range t.key {
		separator := ", "
		if i == 0 {
			separator = " with "
		}
		fmt.Fprintf(&b, "%s%s %#v", separator, t.columns[at].name, values[at])
	}
	return b.String()
}

// made is the table whose row every node makes that starts on an empty database.
const made = "installation"

// refuseRows fails where one of the tables is there and is not empty, but for
// what a node makes that only looks.
func refuseRows(ctx context.Context, t pgx.Tx, tables []table) error {
	var full []string
	for _, table := range tables {
		if table.name == made {
			continue
		}
		var found bool
		err := t.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table.name).Scan(&found)
		if err == nil && found {
			err = t.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+table.name+`)`).Scan(&found)
		}
		if err != nil {
			return fmt.Errorf("looking whether the target is empty: %w", err)
		}
		if found {
			full = append(full, table.name)
		}
	}
	if len(full) > 0 {
		return fmt.Errorf("the target is not empty, it has %s: give a new database", strings.Join(full, ", "))
	}
	return nil
}

// move is a move in its one transaction.
type move struct {
	source   *sql.Conn
	target   pgx.Tx
	tables   []table
	progress func(Progress)
}

func (m *move) run(ctx context.Context) error {
	var names []string
	for _, t := range m.tables {
		names = append(names, t.name)
	}
	all := strings.Join(names, ", ")
	for _, statement := range []string{
		// The server's limits are for transactions that serve people.
		`SELECT set_config(name, '0', true) FROM pg_settings
			WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')`,
		`LOCK TABLE ` + all + ` IN SHARE ROW EXCLUSIVE MODE`,
	} {
		if _, err := m.target.Exec(ctx, statement); err != nil {
			return fmt.Errorf("locking the target: %w", err)
		}
	}
	// A node may have written before the lock.
	if err := refuseRows(ctx, m.target, m.tables); err != nil {
		return err
	}
	if _, err := m.target.Exec(ctx, `DELETE FROM `+made); err != nil {
		return fmt.Errorf("emptying %s: %w", made, err)
	}
	totals := map[string]int64{}
	for _, t := range m.tables {
		var total int64
		if err := m.source.QueryRowContext(ctx, `SELECT count(*) FROM `+t.name).Scan(&total); err != nil {
			return fmt.Errorf("counting %s: %w", t.name, err)
		}
		totals[t.name] = total
		if err := m.copy(ctx, t, total); err != nil {
			return fmt.Errorf("copying %s: %w", t.name, err)
		}
	}
	if err := m.restart(ctx); err != nil {
		return fmt.Errorf("setting the next ids: %w", err)
	}
	if _, err := m.target.Exec(ctx, `ANALYZE `+all); err != nil {
		return fmt.Errorf("analyzing the tables: %w", err)
	}
	for _, t := range m.tables {
		if err := m.compare(ctx, t, totals[t.name]); err != nil {
			return fmt.Errorf("comparing %s: %w", t.name, err)
		}
	}
	return nil
}

// copy copies a table as a stream: it may be larger than memory.
func (m *move) copy(ctx context.Context, t table, total int64) error {
	rows, err := m.source.QueryContext(ctx, t.selection(""))
	if err != nil {
		return err
	}
	defer rows.Close()
	source := newReading(t, rows)
	for done := int64(0); ; {
		source.left = maxCopied
		n, err := m.target.CopyFrom(ctx, pgx.Identifier{t.name}, t.names(), source)
		if failure := source.Err(); failure != nil {
			return failure
		}
		if err != nil {
			return err
		}
		if done += n; n > 0 || total == 0 {
			m.progress(Progress{Table: t.name, Done: done, Total: total})
		}
		if n < maxCopied {
			return nil
		}
	}
}

// restart makes new rows take ids after those that are there.
func (m *move) restart(ctx context.Context) error {
	rows, err := m.target.Query(ctx, `
		SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND is_identity = 'YES'`)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Table, Column string }])
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(m.tables, func(t table) bool { return t.name == id.Table }) {
			continue
		}
		var next int64
		if err := m.target.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce(max(%s), 0) + 1 FROM %s`, id.Column, id.Table)).Scan(&next); err != nil {
			return err
		}
		// Not setval, which stays though all else is undone.
		if _, err := m.target.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s ALTER COLUMN %s RESTART WITH %d`, id.Table, id.Column, next)); err != nil {
			return err
		}
	}
	return nil
}

// compare reads both sides again, row by row.
func (m *move) compare(ctx context.Context, t table, total int64) error {
	rows, err := m.source.QueryContext(ctx, t.selection(""))
	if err != nil {
		return err
	}
	defer rows.Close()
	source := newReading(t, rows)
	source.left = -1
	copied, err := m.target.Query(ctx, t.selection(` COLLATE "C"`)) // the order of bytes, as SQLite's
	if err != nil {
		return err
	}
	defer copied.Close()
	done := int64(0)
	for source.Next() {
		if !copied.Next() {
			return errors.Join(fmt.Errorf("%s is not in PostgreSQL", t.row(source.values)), copied.Err())
		}
		values, err := copied.Values()
		if err != nil {
			return err
		}
		for i, c := range t.columns {
			if !same(source.values[i], values[i]) {
				return fmt.Errorf("%s has another %s in PostgreSQL, in %s", t.row(source.values), c.name, t.row(values))
			}
		}
		if done++; done%maxCopied == 0 && done < total {
			m.progress(Progress{Table: t.name, Compared: true, Done: done, Total: total})
		}
	}
	if err := source.Err(); err != nil {
		return err
	}
	if copied.Next() {
		values, err := copied.Values()
		return errors.Join(fmt.Errorf("%s is in PostgreSQL only", t.row(values)), err)
	}
	if err := copied.Err(); err != nil {
		return err
	}
	if done != total {
		return fmt.Errorf("%d rows were read of %d", done, total)
	}
	m.progress(Progress{Table: t.name, Compared: true, Done: done, Total: total})
	return nil
}

// same reports whether two values of one column are.
func same(a, b any) bool {
	if a, ok := a.([]byte); ok {
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return a == b
}

// reading is the rows of a SQLite table, as PostgreSQL takes them. It is a
// pgx.CopyFromSource, which ends when no rows are left for now.
type reading struct {
	table  table
	rows   *sql.Rows
	left   int   // negative for all
	values []any // of the row at hand
	into   []any // pointers to them
	err    error
}

func newReading(t table, rows *sql.Rows) *reading {
	r := &reading{table: t, rows: rows, values: make([]any, len(t.columns)), into: make([]any, len(t.columns))}
	for i := range r.values {
		r.into[i] = &r.values[i]
	}
	return r
}

// Next implements pgx.CopyFromSource.
func (r *reading) Next() bool {
	if r.left == 0 || r.err != nil || !r.rows.Next() {
		return false
	}
	r.left--
	if r.err = r.rows.Scan(r.into...); r.err != nil {
		return false
	}
	for i, c := range r.table.columns {
		v, err := c.fit(r.values[i])
		if err != nil {
			r.err = fmt.Errorf("%s: %s %w", r.table.row(r.values), c.name, err)
			return false
		}
		r.values[i] = v
	}
	return true
}

// Values implements pgx.CopyFromSource.
func (r *reading) Values() ([]any, error) { return r.values, nil }

// Err implements pgx.CopyFromSource.
func (r *reading) Err() error { return errors.Join(r.err, r.rows.Err()) }

// fit returns a value of the column as PostgreSQL takes it. SQLite takes any
// value in any column.
func (c column) fit(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if c.kind == "INTEGER" {
			return v, nil
		}
	case []byte:
		if c.kind == "BLOB" {
			return append([]byte{}, v...), nil // not nil, which is NULL
		}
	case string:
		switch {
		case c.kind != "TEXT":
		case utf8.ValidString(v) && !strings.Contains(v, "\x00"):
			return v, nil
		case c.name == "post_key":
			return nil, nil
		default:
			return nil, errors.New("is not text that PostgreSQL can keep: it is not UTF-8, or has a NUL")
		}
	}
	return nil, fmt.Errorf("is %T and not %s", v, c.kind)
}
