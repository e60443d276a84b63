package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hubbub/store"
)

// installation makes a SQLite installation with something of everything.
func installation(t *testing.T) string {
	t.Helper()
	dir := newSQLite(t)
	s := openStore(t, dir)
	anna, zhang := newUser(t, s, "Anna"), newUser(t, s, "张伟")
	must[store.User](t)(s.SetPassword(t.Context(), zhang, "hash", ""))
	general, other := newChannel(t, s, "general"), newChannel(t, s, "A/B")
	newChannel(t, s, "empty")
	for i := range 50 {
		post(t, s, general, anna, fmt.Sprint("message ", i, "\n\t' \\ \\N \\. 你好 \U0001F600"))
		must[store.Message](t)(s.Post(t.Context(), store.Everything(), other, zhang, store.Draft{Body: "hello", Key: fmt.Sprint("key ", i)}, noon))
	}
	check(t, s.DeleteMessage(t.Context(), scopeOf(t, s, anna), general.ID, 7))
	check(t, s.Visit(t.Context(), scopeOf(t, s, anna), general.ID, 3, noon))
	check(t, s.Visit(t.Context(), scopeOf(t, s, zhang), other.ID, 50, noon.Add(time.Microsecond)))
	expires := time.Now().Add(time.Hour)
	for _, token := range []string{"open", "over", "Über", "_", "zz", "Z"} { // an order that languages differ in
		check(t, s.Sessions().CommitCtx(t.Context(), token, []byte("data\x00\xff of "+token), expires))
	}
	check(t, s.Sessions().DeleteCtx(t.Context(), "over"))
	check(t, s.Close())
	return dir
}

// alter changes an installation behind Hubbub's back.
func alter(t *testing.T, dir, statement string, args ...any) {
	t.Helper()
	db := openSQLite(t, dir)
	_, err := db.Exec(statement, args...)
	check(t, errors.Join(err, db.Close()))
}

// describeAt is describe of what lies at an address.
func describeAt(t *testing.T, database string) contents {
	t.Helper()
	s := openStore(t, database)
	c := describe(t, s)
	check(t, s.Close())
	return c
}

// isEmpty holds a database to have no rows in any table.
func isEmpty(t *testing.T, database string) {
	t.Helper()
	s := openStore(t, database) // which makes the tables
	db := openDatabase(t, database)
	for _, table := range []string{"users", "sessions", "channels", "messages", "positions", "members"} {
		var n int
		check(t, db.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		if n > 0 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
	check(t, s.Close())
}

func quiet(Progress) {}

// TestMove finds everything again in PostgreSQL, goes on there, and leaves the
// SQLite installation as it was.
func TestMove(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	want := describeAt(t, dir)
	steps := map[Progress]bool{}
	check(t, Move(t.Context(), dir, database, func(p Progress) { steps[p] = true }))
	for table, n := range map[string]int64{"users": 2, "sessions": 6, "channels": 3, "messages": 100, "positions": 2, "members": 2, "installation": 1} {
		for _, compared := range []bool{false, true} {
			if !steps[Progress{table, compared, n, n}] {
				t.Errorf("%s, compared %v: no step says that all %d are", table, compared, n)
			}
		}
	}

	s := openStore(t, database)
	if got := describe(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for token, open := range map[string]bool{"open": true, "over": false, "Über": true} {
		data, found, err := s.Sessions().FindCtx(t.Context(), token)
		if found != open || err != nil || open && string(data) != "data\x00\xff of "+token {
			t.Errorf("session %s: %q, %v, %v", token, data, found, err)
		}
	}
	check(t, s.Sessions().CommitCtx(t.Context(), "over", []byte("again"), time.Now().Add(time.Hour)))
	if _, found, err := s.Sessions().FindCtx(t.Context(), "over"); found || err != nil {
		t.Errorf("a session that was over goes on: %v", err)
	}
	anna := must[store.User](t)(s.UserByName(t.Context(), userName(t, "anna")))
	general := must[store.Channel](t)(s.ChannelByName(t.Context(), store.Everything(), channelName(t, "General")))
	other := must[store.Channel](t)(s.ChannelByName(t.Context(), store.Everything(), channelName(t, "a/b")))
	if m := post(t, s, general, anna, "new"); m.ID != 52 { // fifty posts and a delete
		t.Errorf("the next message: %+v", m)
	}
	zhang := must[store.User](t)(s.UserByName(t.Context(), userName(t, "张伟")))
	if m := must[store.Message](t)(s.Post(t.Context(), store.Everything(), other, zhang, store.Draft{Body: "hello", Key: "key 9"}, noon)); m.ID != 10 {
		t.Errorf("a key from before posts again: %+v", m)
	}
	if u, c := newUser(t, s, "Bea"), newChannel(t, s, "new"); u.ID != 3 || c.ID != 4 {
		t.Errorf("the next user is %d, the next channel %d", u.ID, c.ID)
	}
	var analyzed float64
	check(t, postgresPool(t, database).QueryRow(`SELECT reltuples FROM pg_class WHERE relname = 'messages'`).Scan(&analyzed))
	if analyzed != 100 {
		t.Errorf("PostgreSQL plans for %v messages", analyzed)
	}
	if got := describeAt(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("the SQLite installation is now %+v, was %+v", got, want)
	}
}

// TestMoveInAnyOrder compares with a database that sorts text as a language
// does.
func TestMoveInAnyOrder(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	check(t, openStore(t, database).Close())
	db := postgresPool(t, database)
	must[sql.Result](t)(db.Exec(`ALTER TABLE sessions ALTER token TYPE TEXT COLLATE "und-x-icu"`))
	check(t, Move(t.Context(), dir, database, quiet))
	var first string
	check(t, db.QueryRow(`SELECT token FROM sessions ORDER BY token OFFSET 3 LIMIT 1`).Scan(&first))
	if first != "Über" { // the last, by its bytes
		t.Errorf("the order is that of bytes: %s", first)
	}
}

// TestMoveFromEverySchema moves data of every earlier schema.
func TestMoveFromEverySchema(t *testing.T) {
	t.Parallel()
	for version := range schemas(t) {
		t.Run(fmt.Sprint(version+1), func(t *testing.T) {
			t.Parallel()
			dir, database := newSQLite(t), newPostgres(t)
			fill(t, dir, version+1)
			check(t, Move(t.Context(), dir, database, quiet))
			got, want := describeAt(t, database), describeAt(t, dir)
			if !reflect.DeepEqual(got, want) || got.users != 2 {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestMoveMuch moves more than one COPY takes.
func TestMoveMuch(t *testing.T) {
	t.Parallel()
	const messages, channels = 100_000, 7
	dir, database := newSQLite(t), newPostgres(t)
	s := openStore(t, dir)
	newUser(t, s, "Anna")
	for i := range channels {
		newChannel(t, s, fmt.Sprint("channel ", i))
	}
	check(t, s.Close())
	alter(t, dir, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1 - 1)
		INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body, post_key)
		SELECT 1 + i % $2, 1 + i / $2, 1 + i / $2, 1, 1795348800000000 + i, 0, printf('message %d', i), printf('key %d', i) FROM n`, messages, channels)
	alter(t, dir, `UPDATE channels SET revision = (SELECT max(revision) FROM messages WHERE channel_id = channels.id)`)
	steps := map[bool][]int64{}
	check(t, Move(t.Context(), dir, database, func(p Progress) {
		if p.Table == "messages" {
			steps[p.Compared] = append(steps[p.Compared], p.Done)
		}
	}))
	for compared, done := range steps {
		var want []int64
		for n := range messages / maxCopied {
			want = append(want, int64(n+1)*maxCopied)
		}
		equal(t, fmt.Sprint("steps, compared ", compared), done, want)
	}
	if got, want := describeAt(t, database), describeAt(t, dir); !reflect.DeepEqual(got, want) || got.revision != messages {
		t.Errorf("they differ: %d channels, revision %d", got.channels, got.revision)
	}
}

// TestMoveRefusesTarget leaves a database that is not empty as it is, even its
// schema.
func TestMoveRefusesTarget(t *testing.T) {
	t.Parallel()
	dir := installation(t)
	database := newPostgres(t)
	db := postgresPool(t, database)
	must[sql.Result](t)(db.Exec(`CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Anna')`))
	err := Move(t.Context(), dir, database, quiet)
	if err == nil || err.Error() != "the target is not empty, it has users: give a new database" {
		t.Errorf("got %v", err)
	}
	var migrated bool
	check(t, db.QueryRow(`SELECT to_regclass('schema') IS NOT NULL`).Scan(&migrated))
	if migrated {
		t.Error("it was migrated")
	}

	// One that a node has started on has its first channel.
	database = newPostgres(t)
	newChannel(t, openStore(t, database), "general")
	if err := Move(t.Context(), dir, database, quiet); err == nil || !strings.Contains(err.Error(), "has channels: ") {
		t.Errorf("got %v", err)
	}

	database = newPostgres(t)
	check(t, openStore(t, database).Close())
	must[sql.Result](t)(postgresPool(t, database).Exec(`INSERT INTO schema (version) VALUES (99)`))
	if err := Move(t.Context(), dir, database, quiet); err == nil || !strings.Contains(err.Error(), "newer Hubbub") {
		t.Errorf("a newer target: %v", err)
	}
	if err := Move(t.Context(), dir, "postgres://nobody@127.0.0.1:1/none", quiet); err == nil {
		t.Error("moved to nowhere")
	}
}

// postgresPool opens a database beside the store.
func postgresPool(t *testing.T, database string) *sql.DB {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("pgx", database))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// TestMoveRefusesSource makes no database where there is none, and moves none
// but ours.
func TestMoveRefusesSource(t *testing.T) {
	t.Parallel()
	database := newPostgres(t)
	empty := t.TempDir()
	newer := installation(t)
	alter(t, newer, `INSERT INTO schema (version) VALUES (99)`)
	another := t.TempDir()
	alter(t, another, `CREATE TABLE theirs (id INTEGER PRIMARY KEY)`)
	for _, tt := range []struct{ dir, want string }{
		{empty, "there is no Hubbub to move: "},
		{filepath.Join(empty, "none"), "there is no Hubbub to move: "},
		{newer, "newer Hubbub"},
		{another, "is not Hubbub's"},
	} {
		if err := Move(t.Context(), tt.dir, database, quiet); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	if files := must[[]os.DirEntry](t)(os.ReadDir(empty)); len(files) > 0 {
		t.Errorf("there is %v now", files)
	}
	isEmpty(t, database)
}

// TestMoveRefusesRunning keeps away from an installation that a Hubbub runs on,
// and keeps a Hubbub away from one that is being moved: what it wrote would not
// be moved.
func TestMoveRefusesRunning(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	s := openStore(t, dir)
	if err := Move(t.Context(), dir, database, quiet); err == nil || !strings.Contains(err.Error(), "is in use: stop the Hubbub that runs on it") {
		t.Errorf("while one runs: %v", err)
	}
	check(t, s.Close())
	isEmpty(t, database)

	tried := false
	check(t, Move(t.Context(), dir, database, func(p Progress) {
		if tried || p.Table != "messages" {
			return
		}
		tried = true
		other := must[*sql.DB](t)(sql.Open("sqlite", "file:"+url.PathEscape(file(dir)))) // which does not wait
		for _, statement := range []string{`SELECT name FROM users`, `UPDATE users SET epoch = 9`} {
			if _, err := other.Exec(statement); !isBusy(err) {
				t.Errorf("%s while it is moved: %v", statement, err)
			}
		}
		check(t, other.Close())
	}))
	if !tried {
		t.Error("there was no step of the messages")
	}
}

// TestMoveBadText refuses text that PostgreSQL cannot keep, and drops such keys
// of posts.
func TestMoveBadText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ change, want string }{
		{`UPDATE messages SET body = CAST(x'61ff' AS TEXT) WHERE channel_id = 2 AND id = 5`,
			"copying messages: messages with channel_id 2, id 5: body is not text that PostgreSQL can keep: it is not UTF-8, or has a NUL"},
		{`UPDATE channels SET name = CAST(x'6100' AS TEXT) WHERE id = 3`, "channels with id 3: name is not text"},
		{`UPDATE sessions SET token = CAST(x'ff0a' AS TEXT) WHERE token = 'zz'`, `sessions with token "\xff\n": token is not text`},
		{`UPDATE messages SET body = x'61' WHERE channel_id = 2 AND id = 5`, "id 5: body is []uint8 and not TEXT"},
		{`UPDATE messages SET posted_at = 'noon' WHERE channel_id = 2 AND id = 5`, "id 5: posted_at is string and not INTEGER"},
	} {
		dir, database := installation(t), newPostgres(t)
		alter(t, dir, tt.change)
		if err := Move(t.Context(), dir, database, quiet); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.change, err, tt.want)
		}
		isEmpty(t, database)
	}

	dir, database := installation(t), newPostgres(t)
	alter(t, dir, `UPDATE messages SET post_key = CAST(x'ff' AS TEXT) WHERE channel_id = 2 AND id = 5`)
	alter(t, dir, `UPDATE messages SET post_key = CAST(x'fe' AS TEXT) WHERE channel_id = 2 AND id = 6`)
	alter(t, dir, `UPDATE messages SET post_key = CAST(x'6b00' AS TEXT) WHERE channel_id = 2 AND id = 7`)
	check(t, Move(t.Context(), dir, database, quiet))
	if got, want := describeAt(t, database), describeAt(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var keys int
	check(t, postgresPool(t, database).QueryRow(`SELECT count(post_key) FROM messages`).Scan(&keys))
	if keys != 47 {
		t.Errorf("%d keys, want all that are text: 47", keys)
	}
}

// TestMoveCompares holds the copy to what it was made of: another hand in the
// target is noticed, and then nothing is left there.
func TestMoveCompares(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ change, want string }{
		{`NEW.body := NEW.body || '!'; RETURN NEW`, `messages with channel_id 1, id 1 has another body in PostgreSQL`},
		{`NEW.post_key := coalesce(NEW.post_key, 'key ' || NEW.id); RETURN NEW`, `messages with channel_id 1, id 1 has another post_key in PostgreSQL`},
		{`IF NEW.id = 9 THEN RETURN NULL; END IF; RETURN NEW`, `messages with channel_id 1, id 9 has another id in PostgreSQL, in messages with channel_id 1, id 10`},
		{`IF NEW.channel_id = 2 AND NEW.id = 50 THEN RETURN NULL; END IF; RETURN NEW`, `messages with channel_id 2, id 50 is not in PostgreSQL`},
		{`IF NEW.channel_id = 1 AND NEW.id = 1 THEN INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body) VALUES (3, 1, 1, 1, 0, 0, ''); END IF; RETURN NEW`,
			`messages with channel_id 3, id 1 is in PostgreSQL only`},
	} {
		dir, database := installation(t), newPostgres(t)
		check(t, openStore(t, database).Close())
		_, err := postgresPool(t, database).Exec(`
			CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ` + tt.change + `; END $$;
			CREATE TRIGGER meddle BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION meddle()`)
		check(t, err)
		if err := Move(t.Context(), dir, database, quiet); err == nil || !strings.HasPrefix(err.Error(), "comparing messages: "+tt.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.change, err, tt.want)
		}
		isEmpty(t, database)
	}
}

// TestMoveInterrupted ends in the middle and leaves nothing, and the next try
// succeeds.
func TestMoveInterrupted(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	for _, at := range []Progress{{"users", false, 2, 2}, {"messages", false, 100, 100}, {"messages", true, 100, 100}, {"positions", true, 2, 2}} {
		ctx, stop := context.WithCancel(t.Context())
		err := Move(ctx, dir, database, func(p Progress) {
			if p == at {
				stop()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at %+v: %v", at, err)
		}
		stop()
		isEmpty(t, database)
	}
	check(t, Move(t.Context(), dir, database, quiet))
	if got, want := describeAt(t, database), describeAt(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestMoveStoppedTooLate is stopped during the commit: all is moved, and Move
// says so.
func TestMoveStoppedTooLate(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	check(t, openStore(t, database).Close())
	other := postgresPool(t, database)
	_, err := other.Exec(`
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(9); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON positions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold();
		SELECT pg_advisory_lock(9)`)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	moved := make(chan error, 1)
	go func() { moved <- Move(ctx, dir, database, quiet) }()
	waitFor(t, func() bool {
		var committing bool
		check(t, other.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 9 AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&committing))
		return committing
	})
	stop()
	must[sql.Result](t)(other.Exec(`SELECT pg_advisory_unlock(9)`))
	check(t, <-moved)
	if got, want := describeAt(t, database), describeAt(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestMoveHasNodesWait starts a node on the target during the move. It begins
// with what was moved.
func TestMoveHasNodesWait(t *testing.T) {
	t.Parallel()
	dir, database := installation(t), newPostgres(t)
	opened := make(chan error, 1)
	begun := false
	check(t, Move(t.Context(), dir, database, func(p Progress) {
		if begun {
			return
		}
		begun = true
		go func() {
			s, err := store.Open(context.Background(), database)
			if err == nil {
				if channels, _ := s.Channels(context.Background(), store.Everything()); len(channels) != 3 {
					err = fmt.Errorf("it began with %d channels", len(channels))
				}
				err = errors.Join(err, s.Close())
			}
			opened <- err
		}()
		db := postgresPool(t, database)
		waitFor(t, func() bool {
			var waiting bool
			check(t, db.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waiting))
			return waiting
		})
	}))
	check(t, <-opened)
}
