package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// pageRows is how many rows a channel's page shows.
const pageRows = 100

// readers is how many clients ask for pages at once.
const readers = 8

// withServer starts a server on a data folder for as long as do runs.
func (b *bench) withServer(ctx context.Context, data string, do func(server *process) error) error {
	server, err := b.hubbub(ctx, data)
	if err != nil {
		return err
	}
	return errors.Join(do(server), server.stop())
}

// withBare starts the bare floor for as long as do runs.
func (b *bench) withBare(ctx context.Context, do func(server *process) error) error {
	server, err := b.floor(ctx, "floor-bare")
	if err != nil {
		return err
	}
	return errors.Join(do(server), server.stop())
}

// seed posts what fills a page, as several users in turn.
func seed(ctx context.Context, users []user, path string, l *ledger) error {
	all, err := posters(ctx, users, len(users), path, http.StatusSeeOther, l)
	if err != nil {
		return err
	}
	defer closeAll(all)
	for i := range pageRows + 20 {
		if err := all[i/3%len(all)].next(); err != nil {
			return err
		}
	}
	return nil
}

func closeAll(posters []*poster) {
	for _, p := range posters {
		p.close()
	}
}

// reader asks for a page again and again.
type reader struct {
	*client
	request []byte
	gzip    *gzip.Reader
	page    []byte // of the last answer that came compressed
}

// openReaders opens connections that ask for a page, one for each of the users.
// Each checks every answer.
func openReaders(ctx context.Context, users []user, path string, fields ...string) ([]*reader, error) {
	all := make([]*reader, 0, len(users))
	for _, u := range users {
		c, err := dial(ctx, u.host)
		if err != nil {
			return all, err
		}
		all = append(all, &reader{client: c, request: u.get(path, fields...), gzip: new(gzip.Reader)})
	}
	return all, nil
}

func closeReaders(readers []*reader) {
	for _, r := range readers {
		r.close()
	}
}

// read asks once.
func (r *reader) read() error {
	a, err := r.do(r.request)
	if err != nil {
		return err
	}
	page := a.body
	if a.encoding == "gzip" {
		if err := r.gzip.Reset(bytes.NewReader(a.body)); err != nil {
			return err
		}
		unpacked := bytes.NewBuffer(r.page[:0])
		if _, err := io.Copy(unpacked, r.gzip); err != nil {
			return err
		}
		r.page = unpacked.Bytes()
		page = r.page
	}
	if compressed := bytes.Contains(r.request, []byte("gzip")); compressed != (a.encoding == "gzip") {
		return fmt.Errorf("a page came in encoding %q", a.encoding)
	}
	if rows := countRows(page); a.status != http.StatusOK || rows != pageRows {
		return fmt.Errorf("a page was answered with %d and %d rows", a.status, rows)
	}
	return nil
}

// page is how many pages of 100 rows a server answers with in a second.
func (b *bench) page(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	data := b.folder()
	l := newLedger(0, maxPosts)
	err := b.withServer(ctx, data, func(server *process) error {
		users, err := people(ctx, server.host, 5)
		if err != nil {
			return err
		}
		if err := seed(ctx, users, room, l); err != nil {
			return err
		}
		return b.withBare(ctx, func(bare *process) error {
			page, err := users[0].load(ctx, room)
			if err != nil {
				return err
			}
			c, err := dial(ctx, bare.host)
			if err != nil {
				return err
			}
			defer c.close()
			nobody := user{host: bare.host}
			a, err := c.do(nobody.request(http.MethodPut, "/", string(page.body), "Content-Length: "+strconv.Itoa(len(page.body))))
			if err != nil || a.status != http.StatusNoContent {
				return errors.Join(err, fmt.Errorf("the page was put with %d", a.status))
			}
			plain := b.addRates("channel page, 100 rows, signed in", "bare", ratioAtLeast(0.5))
			plain.wall.note("%d bytes", len(page.body))
			if err := b.pages(ctx, plain, server, bare, users[0], "/plain"); err != nil {
				return err
			}
			packed := b.addRates("channel page, compressed", "bare", ratioAtLeast(0.4))
			return b.pages(ctx, packed, server, bare, users[0], "/gzip", "Accept-Encoding: gzip")
		})
	})
	if err != nil {
		return err
	}
	return l.checkStore(ctx, data)
}

// pages compares the server's page with the bare server's.
func (b *bench) pages(ctx context.Context, r *rates, server, bare *process, u user, barePath string, fields ...string) error {
	return compare(ctx, b, r, func(floor bool) (hammered, error) {
		if floor {
			return b.hammerPage(ctx, bare, user{host: bare.host}, barePath, fields...)
		}
		return b.hammerPage(ctx, server, u, room, fields...)
	})
}

// hammerPage has several clients get a page.
func (b *bench) hammerPage(ctx context.Context, server *process, u user, path string, fields ...string) (hammered, error) {
	all, err := openReaders(ctx, slices.Repeat([]user{u}, readers), path, fields...)
	defer closeReaders(all)
	if err != nil {
		return hammered{}, err
	}
	return hammer(server, b.slice, len(all), func(i int) error { return all[i].read() })
}

// posts is how many posts a server takes in a second, each of them on the disk.
func (b *bench) posts(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	data := b.folder()
	l := newLedger(0, maxPosts)
	err := b.withServer(ctx, data, func(server *process) error {
		users, err := people(ctx, server.host, 16)
		if err != nil {
			return err
		}
		return b.withBare(ctx, func(bare *process) error {
			for _, n := range b.config.posters {
				r := b.addRates(fmt.Sprintf("durable posts, %d posters", n), "bare", ratioAtLeast(0.35))
				if err := b.postsOf(ctx, r, server, bare, users, n, l); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return l.checkStore(ctx, data)
}

func (b *bench) postsOf(ctx context.Context, r *rates, server, bare *process, users []user, n int, l *ledger) error {
	nobody, nothing := []user{{host: bare.host, session: users[0].session}}, newLedger(0, maxPosts)
	return compare(ctx, b, r, func(floor bool) (hammered, error) {
		if floor {
			return b.hammerPosts(ctx, bare, nobody, n, nothing)
		}
		return b.hammerPosts(ctx, server, users, n, l)
	})
}

// hammerPosts has n clients post.
func (b *bench) hammerPosts(ctx context.Context, server *process, users []user, n int, l *ledger) (hammered, error) {
	all, err := posters(ctx, users, n, room, http.StatusSeeOther, l)
	defer closeAll(all)
	if err != nil {
		return hammered{}, err
	}
	return hammer(server, b.slice, n, func(i int) error { return all[i].next() })
}

// compare measures a server and its floor in turns.
func compare(ctx context.Context, b *bench, r *rates, measure func(floor bool) (hammered, error)) error {
	defer r.note()
	return b.inTurns(ctx, func(round int) error {
		var results [2]hammered
		for turn, floor := range order(round, false, true) {
			h, err := measure(floor)
			if err != nil {
				return err
			}
			results[(turn+round)%2] = h
		}
		if round > 0 {
			r.round(b, results[0], results[1], 1)
		}
		return nil
	})
}

// rates are two figures of one measurement: how much a server did in a second,
// and in a second of CPU time. They are the same for one that has its core for
// itself and is never idle. Where others work on the machine too, or the
// generator is the slower one, the servers are not busy, and only the latter
// says what each could do.
type rates struct {
	wall, cpu       *row
	busy, floorBusy []float64
}

func (b *bench) addRates(what, floor string, g goal) *rates {
	return &rates{
		wall: b.table.add(&row{what: what, unit: perSecond, floor: floor, goal: g}),
		cpu:  b.table.add(&row{what: "the same for a second of server CPU", unit: perSecond, floor: floor, goal: g}),
	}
}

// round adds what one round has measured. Each answer counts as so many.
func (r *rates) round(b *bench, server, floor hammered, each float64) {
	r.wall.round(each*server.perSecond(), each*floor.perSecond())
	r.cpu.round(each*float64(server.count)/server.cpu.Seconds(), each*float64(floor.count)/floor.cpu.Seconds())
	r.busy, r.floorBusy = append(r.busy, server.busy()), append(r.floorBusy, floor.busy())
	b.say("%s: %.2f x %s, busy %.0f %% and %.0f %%; for a second of CPU %.2f x", r.wall.what,
		last(r.wall.ratios()), r.wall.floor, 100*server.busy(), 100*floor.busy(), last(r.cpu.ratios()))
}

// note says how far the servers were busy.
func (r *rates) note() {
	r.wall.note("server busy %.0f %%, %s %.0f %%", 100*median(r.busy), r.wall.floor, 100*median(r.floorBusy))
}

func last(values []float64) float64 { return values[len(values)-1] }

// post is how long one post takes that no other is beside, against one insert
// into a table that waits for the same disk.
func (b *bench) post(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	insert, closeTable, err := newInsert(ctx, b.folder()+".db")
	if err != nil {
		return err
	}
	defer closeTable()
	data := b.folder()
	l := newLedger(0, maxPosts)
	r := b.table.add(&row{what: "one post alone, median", unit: duration, floor: "fsynced insert", goal: ratioAtMost(3)})
	err = b.withServer(ctx, data, func(server *process) error {
		users, err := people(ctx, server.host, 1)
		if err != nil {
			return err
		}
		measure := []func() (hammered, error){
			func() (hammered, error) { return b.hammerPosts(ctx, server, users, 1, l) },
			func() (hammered, error) { return hammer(server, b.slice, 1, insert) },
		}
		return b.inTurns(ctx, func(round int) error {
			var medians [2]time.Duration
			for _, at := range order(round, 0, 1) {
				h, err := measure[at]()
				if err != nil {
					return err
				}
				if medians[at], err = h.answers.quantile(0.5); err != nil {
					return err
				}
			}
			if round > 0 {
				r.round(medians[0].Seconds(), medians[1].Seconds())
				b.say("%s: %v, insert %v", r.what, medians[0], medians[1])
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return l.checkStore(ctx, data)
}

// newInsert returns what inserts one row into a new database, durably.
func newInsert(ctx context.Context, file string) (insert func(int) error, end func() error, err error) {
	db, err := openSQLite(file, "journal_mode(WAL)", "synchronous(FULL)")
	if err != nil {
		return nil, nil, err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE messages (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL, posted_at INTEGER NOT NULL, body TEXT NOT NULL)`); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	prepared, err := db.PrepareContext(ctx, `INSERT INTO messages (author_id, posted_at, body) VALUES ($1, $2, $3)`)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	insert = func(int) error {
		_, err := prepared.ExecContext(ctx, 1, time.Now().UnixMicro(), postMark+postWords)
		return err
	}
	return insert, db.Close, nil
}
