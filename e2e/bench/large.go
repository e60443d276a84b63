package main

import (
	"context"
	"fmt"
	"time"
)

// knownSchema is the version of the server's schema that fill was written for.
// Where the server has a later one, see what it adds and fill that too.
const knownSchema = 7

// visited is how many channels the user who is measured has been in. In a
// third of them something is unread.
const visited = 30

// size is how much a store is filled with.
type size struct{ messages, channels, users int }

// fill fills a store that the server has made and in which one user has signed
// in. Messages are spread over the channels in turn, as time spreads them. The
// first channel is the one that a new store has. They are plain, so that a page of
// it is like one of a store that was posted to.
func fill(ctx context.Context, data string, s size) error {
	// Faster without a journal: if it fails, nothing is measured anyway.
	db, err := openStore(data, "journal_mode(OFF)", "synchronous(OFF)", "cache_size(-400000)")
	if err != nil {
		return err
	}
	defer db.Close()
	var schema int
	if err := db.QueryRowContext(ctx, `SELECT max(version) FROM schema`).Scan(&schema); err != nil {
		return err
	}
	if schema != knownSchema {
		return fmt.Errorf("the store's schema is %d; fill knows %d", schema, knownSchema)
	}
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	each := int64(s.messages / s.channels)
	now := time.Now().UnixMicro()
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO users (id, name, name_key, name_look, name_skeleton, password, epoch, last_channel, created_at)
			SELECT i, name, name, look, look, '', 1, 1 + i % $2, $3
			FROM (SELECT i, printf('user %06d', i) AS name, replace(replace(printf('user %06d', i), '0', 'o'), '1', 'l') AS look FROM n)`,
			[]any{max(s.users, 2), s.channels, now}},
		{`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO channels (id, name, name_key, revision, created_at)
			SELECT i, printf('channel %05d', i), printf('channel %05d', i), 0, $2 FROM n`,
			[]any{max(s.channels, 2), now}},
		// A message every 40 seconds in each channel, the last just now. Runs of
		// three are by one author.
		{`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1 - 1)
			INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body, post_key)
			SELECT 1 + i % $2, 1 + i / $2, 1 + i / $2, 2 + (i % $2 + i / $2 / 3 * 7) % ($3 - 1), $4 - ($5 - i / $2) * 40000000, 0,
				printf('seed %08x %s', i, $6), printf('SEED%022d', i) FROM n`,
			[]any{each * int64(s.channels), s.channels, max(s.users, 2), now, each, postWords}},
		{`UPDATE channels SET revision = $1`, []any{each}},
		// Everybody has been in ten channels, the measured user in more.
		{`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
			INSERT INTO positions (user_id, channel_id, revision, visited_at)
			SELECT DISTINCT u.id, 1 + (u.id + i * 97) % $1, $2, $3 FROM users u, n WHERE u.id > 1`,
			[]any{s.channels, each, now}},
		{`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO positions (user_id, channel_id, revision, visited_at)
			SELECT 1, 1 + (i - 1) * ($2 / $1), CASE WHEN i % 3 = 0 THEN max($3 - i, 0) ELSE $3 END, $4 FROM n WHERE true
			ON CONFLICT DO NOTHING`,
			[]any{visited, s.channels, each, now}},
		// Whoever has been in a channel has joined it.
		{`INSERT INTO members (channel_id, user_id, role, joined_at, joined_revision)
			SELECT channel_id, user_id, 0, visited_at, 0 FROM positions WHERE true ON CONFLICT DO NOTHING`, nil},
		{`UPDATE users SET last_channel = 1 WHERE id = 1`, nil},
	} {
		if _, err := t.ExecContext(ctx, statement.sql, statement.args...); err != nil {
			return fmt.Errorf("filling the store: %w\n%s", err, statement.sql)
		}
	}
	return t.Commit()
}

// filled makes a store, in which one user has signed in, and returns its
// folder and that user's session.
func (b *bench) filled(ctx context.Context, s size) (data, session string, err error) {
	data = b.folder()
	err = b.withServer(ctx, data, func(server *process) error {
		users, err := people(ctx, server.host, 1)
		if err == nil {
			session = users[0].session
		}
		return err
	})
	if err == nil && s.messages > 0 {
		err = fill(ctx, data, s)
	}
	return data, session, err
}

// storeSide is a server on a store, and the user who is measured.
type storeSide struct {
	server  *process
	data    string
	session string
	ledger  *ledger
}

func (s *storeSide) user() user { return user{host: s.server.host, session: s.session} }

// large compares a server with a large store to one with an empty store, but
// for a page's messages; and to one with a store whose page looks the same,
// for the page of an empty one has fewer channels beside the messages.
func (b *bench) large(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	most := size{b.messages, b.channels, b.users}
	began := time.Now()
	data, session, err := b.filled(ctx, most)
	if err != nil {
		return err
	}
	b.say("filled a store with %d messages in %v", most.messages, time.Since(began).Round(time.Millisecond))
	if err := b.starts(ctx, most, data, session); err != nil {
		return err
	}
	emptyData, emptySession, err := b.filled(ctx, size{})
	if err != nil {
		return err
	}
	few := size{messages: 50 * (pageRows + 20), channels: 50, users: 10}
	smallData, smallSession, err := b.filled(ctx, few)
	if err != nil {
		return err
	}
	sides := []*storeSide{{data: data, session: session}, {data: emptyData, session: emptySession}, {data: smallData, session: smallSession}}
	err = b.withSides(ctx, sides, func() error { return b.compareStores(ctx, most, sides) })
	for _, s := range sides {
		if err != nil {
			return err
		}
		err = s.ledger.checkStore(ctx, s.data)
	}
	return err
}

// withSides starts the servers and opens what asks them.
func (b *bench) withSides(ctx context.Context, sides []*storeSide, do func() error) error {
	if len(sides) == 0 {
		return do()
	}
	s := sides[0]
	return b.withServer(ctx, s.data, func(server *process) (err error) {
		s.server = server
		page, err := s.user().load(ctx, room)
		if err != nil {
			return err
		}
		s.ledger = newLedger(page.revision, maxPosts)
		if page.rows == 0 {
			if err := seed(ctx, []user{s.user()}, room, s.ledger); err != nil {
				return err
			}
		}
		return b.withSides(ctx, sides[1:], do)
	})
}

func (b *bench) compareStores(ctx context.Context, most size, sides []*storeSide) error {
	store := fmt.Sprintf("%d messages, %d channels, %d users", most.messages, most.channels, most.users)
	crowd := b.config.posters[0]
	for _, kind := range []struct {
		what    string
		measure func(*storeSide) (float64, error)
	}{
		{"server CPU of a page", func(s *storeSide) (float64, error) {
			h, err := b.hammerPage(ctx, s.server, s.user(), room)
			return h.cpu.Seconds() / float64(h.count), err
		}},
		{fmt.Sprintf("server CPU of a post, %d posters", crowd), func(s *storeSide) (float64, error) {
			h, err := b.hammerPosts(ctx, s.server, []user{s.user()}, crowd, s.ledger)
			return h.cpu.Seconds() / float64(h.count), err
		}},
		{"one post alone", func(s *storeSide) (float64, error) {
			h, err := b.hammerPosts(ctx, s.server, []user{s.user()}, 1, s.ledger)
			if err != nil {
				return 0, err
			}
			middle, err := h.answers.quantile(0.5)
			return middle.Seconds(), err
		}},
	} {
		empty := b.table.add(&row{what: kind.what + " with " + store, unit: duration, floor: "empty store", goal: ratioAtMost(1.15)})
		small := b.table.add(&row{what: "the same", unit: duration, floor: "small store, same page"})
		err := b.inTurns(ctx, func(round int) error {
			var took [3]float64
			for turn := range sides {
				at := (turn + round) % len(sides)
				var err error
				if took[at], err = kind.measure(sides[at]); err != nil {
					return err
				}
			}
			if round > 0 {
				empty.round(took[0], took[1])
				small.round(took[0], took[2])
				b.say("%s: %s, empty %s, small %s", kind.what, duration(took[0]), duration(took[1]), duration(took[2]))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// starts is how long it takes from the start of the process to the first
// channel page, and what the server takes then.
func (b *bench) starts(ctx context.Context, most size, data, session string) error {
	r := b.table.add(&row{what: fmt.Sprintf("start to first page, %d messages", most.messages), unit: duration, goal: atMost(0.1, duration)})
	memory := b.table.add(&row{what: "memory then", unit: megabytes})
	return b.inTurns(ctx, func(round int) error {
		return b.withServer(ctx, data, func(server *process) error {
			page, err := user{host: server.host, session: session}.load(ctx, room)
			took := time.Since(server.started)
			if err != nil {
				return err
			}
			if page.rows != pageRows {
				return fmt.Errorf("the first page has %d rows", page.rows)
			}
			used, err := server.memory()
			if err == nil && round > 0 {
				r.alone(took.Seconds())
				memory.alone(used)
				b.say("%s: %v", r.what, took)
			}
			return err
		})
	})
}
