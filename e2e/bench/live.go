package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// paced is how many connections post at half of what a server takes. It is more
// than are busy at a time, so that a slow answer delays no other post.
const paced = 64

// crowd is the people in one channel of one server: viewers, and connections
// that post.
type crowd struct {
	name    string
	server  *process
	path    string // of the channel
	data    string // the server's data folder, "" for a floor
	ledger  *ledger
	viewers *audience
	users   []user // who post
	status  int    // of an accepted post
}

// crowdOf fills the channel of a new server. As pages, its viewers are told of
// presence and news too.
func (b *bench) crowdOf(ctx context.Context, viewers int, pages bool) (c *crowd, err error) {
	c = &crowd{name: "hubbub", path: room, data: b.folder(), status: http.StatusSeeOther}
	if c.server, err = b.hubbub(ctx, c.data); err != nil {
		return nil, err
	}
	defer c.closeOn(&err)
	if c.users, err = people(ctx, c.server.host, viewers); err != nil {
		return c, err
	}
	live, base, err := addresses(ctx, c.users, c.path, pages)
	if err != nil {
		return c, err
	}
	c.ledger = newLedger(base, maxPosts)
	if c.viewers, err = gather(ctx, c.users, live, c.path, c.ledger); err != nil {
		return c, err
	}
	if pages {
		pause(ctx, b.settle-time.Since(c.server.started))
	}
	return c, c.viewers.quiet(ctx, b.still)
}

// addresses returns where the users' pages want their live connections, none
// unless they are to be pages, and the channel's revision.
func addresses(ctx context.Context, users []user, path string, pages bool) (live []string, revision int64, err error) {
	first, err := users[0].load(ctx, path)
	if err != nil || !pages {
		return nil, first.revision, err
	}
	live = make([]string, len(users))
	return live, first.revision, each(ctx, len(users), func(ctx context.Context, i int) error {
		page, err := users[i].load(ctx, path)
		live[i] = page.live
		return err
	})
}

// limitCrowd is as large a crowd at the limit.
func (b *bench) limitCrowd(ctx context.Context, viewers int) (c *crowd, err error) {
	c = &crowd{name: "limit", path: room, ledger: newLedger(0, maxPosts), users: make([]user, viewers), status: http.StatusNoContent}
	if c.server, err = b.floor(ctx, "floor-limit"); err != nil {
		return nil, err
	}
	defer c.closeOn(&err)
	for i := range c.users {
		c.users[i] = user{host: c.server.host}
	}
	c.viewers, err = gather(ctx, c.users, nil, c.path, c.ledger)
	return c, err
}

// closeOn ends a crowd that could not be completed.
func (c *crowd) closeOn(err *error) {
	if *err != nil {
		*err = errors.Join(*err, c.end())
	}
}

// end lets everybody go and stops the server.
func (c *crowd) end() error {
	if c.viewers != nil {
		c.viewers.close()
	}
	return c.server.stop()
}

// close ends the crowd and checks what it saw, and what the store has kept.
func (c *crowd) close(ctx context.Context) error {
	if err := errors.Join(c.end(), c.ledger.check()); err != nil {
		return err
	}
	if c.data == "" {
		return nil
	}
	return c.ledger.checkStore(ctx, c.data)
}

// flood has n connections post as fast as they are answered, till every viewer
// has all.
func (c *crowd) flood(ctx context.Context, d time.Duration, n int) (hammered, error) {
	posters, err := posters(ctx, c.users, n, c.path, c.status, c.ledger)
	defer closeAll(posters)
	if err != nil {
		return hammered{}, c.because(err)
	}
	frames := c.viewers.heard.Load()
	before, err := c.server.cpu()
	if err != nil {
		return hammered{}, err
	}
	began := time.Now()
	h, err := hammer(c.server, d, n, func(i int) error { return posters[i].next() })
	if err != nil {
		return h, c.because(err)
	}
	if err := c.ledger.drain(len(c.viewers.viewers)); err != nil {
		return h, c.because(err)
	}
	h.took, h.frames = time.Since(began), c.viewers.heard.Load()-frames
	after, err := c.server.cpu()
	h.cpu = after - before
	return h, err
}

// because adds to an error whose it is.
func (c *crowd) because(err error) error { return fmt.Errorf("%s: %w", c.name, err) }

// pace has n connections post at a rate, whether or not answers have come, and
// adds up the times from post to row. It returns the part of the time in which
// the server had its core.
func (c *crowd) pace(ctx context.Context, d time.Duration, n int, rate float64, times *delays) (busy float64, err error) {
	posters, err := posters(ctx, c.users, n, c.path, c.status, c.ledger)
	defer closeAll(posters)
	if err != nil {
		return 0, c.because(err)
	}
	c.ledger.delays.Store(times)
	defer c.ledger.delays.Store(nil)
	tick, err := newTicker(time.Duration(float64(time.Second) / rate))
	if err != nil {
		return 0, err
	}
	due := make(chan int, maxPosts)
	var group errgroup.Group
	for _, p := range posters {
		group.Go(func() error {
			for token := range due {
				if err := p.post(token); err != nil {
					return err
				}
			}
			return nil
		})
	}
	before, err := c.server.cpu()
	began := time.Now()
	for err == nil && time.Since(began) < d && ctx.Err() == nil {
		var n int
		n, err = tick.wait()
		for now := c.ledger.now(); err == nil && n > 0; n-- {
			var token int
			if token, err = c.ledger.next(now); err == nil {
				due <- token
			}
		}
	}
	close(due)
	if err := errors.Join(err, tick.stop(), group.Wait()); err != nil {
		return 0, c.because(err)
	}
	if err := c.ledger.drain(len(c.viewers.viewers)); err != nil {
		return 0, c.because(err)
	}
	took := time.Since(began)
	after, err := c.server.cpu()
	if err != nil {
		return 0, err
	}
	return (after - before).Seconds() / took.Seconds(), nil
}

// folder is a new place for a store.
func (b *bench) folder() string {
	b.folders++
	return filepath.Join(b.dir, fmt.Sprintf("store-%d", b.folders))
}

// crowds runs do for each number of viewers, once with connections that ask
// for rows alone and once with those of pages.
func (b *bench) crowds(ctx context.Context, do func(viewers int, label string, hubbub, limit *crowd) error) error {
	for _, viewers := range b.viewers {
		for _, pages := range []bool{false, true} {
			label := fmt.Sprintf("%d viewers", viewers)
			if pages {
				label += " with presence and news"
			}
			if err := b.twoCrowds(ctx, viewers, pages, func(hubbub, limit *crowd) error {
				return do(viewers, label, hubbub, limit)
			}); err != nil {
				return fmt.Errorf("%s: %w", label, err)
			}
		}
	}
	return nil
}

func (b *bench) twoCrowds(ctx context.Context, viewers int, pages bool, do func(hubbub, limit *crowd) error) error {
	if most := openFiles() - 2*paced - 100; 2*viewers > most {
		return fmt.Errorf("2 x %d connections need more open files than this machine allows", viewers)
	}
	hubbub, err := b.crowdOf(ctx, viewers, pages)
	if err != nil {
		return err
	}
	limit, err := b.limitCrowd(ctx, viewers)
	if err != nil {
		return errors.Join(err, hubbub.end())
	}
	if err := do(hubbub, limit); err != nil {
		return errors.Join(err, hubbub.end(), limit.end())
	}
	return errors.Join(hubbub.close(ctx), limit.close(ctx))
}

// floods has both crowds flooded in turns.
func (b *bench) floods(ctx context.Context, hubbub, limit *crowd, note func(hubbub, limit hammered)) error {
	return b.inTurns(ctx, func(round int) error {
		var results [2]hammered
		for turn, c := range order(round, hubbub, limit) {
			h, err := c.flood(ctx, b.slice, b.senders)
			if err != nil {
				return err
			}
			results[(turn+round)%2] = h
		}
		if round > 0 {
			note(results[0], results[1])
		}
		return nil
	})
}

// inTurns runs the rounds from 0 on; that one warms everything up and does not
// count.
func (b *bench) inTurns(ctx context.Context, do func(round int) error) error {
	for round := range b.rounds + 1 {
		if err := do(round); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// order returns things in the order of a round: in every other one it is the
// other way round.
func order[T any](round int, things ...T) []T {
	if round%2 == 1 {
		slices.Reverse(things)
	}
	return things
}

// cost is the server's CPU time for each row that a viewer is shown.
func (b *bench) cost(ctx context.Context) error {
	if err := b.share(); err != nil {
		return err
	}
	return b.crowds(ctx, func(viewers int, label string, hubbub, limit *crowd) error {
		r := b.table.add(&row{what: "server CPU per delivered row, " + label, unit: duration, floor: "limit", goal: ratioAtMost(0.70)})
		if viewers >= 1000 {
			r.goal = ratioAtMost(0.45)
		}
		perRow := func(h hammered) float64 { return h.cpu.Seconds() / float64(h.count*viewers) }
		var together []float64 // rows in a frame
		defer func() { r.note("%.1f rows in a frame", median(together)) }()
		return b.floods(ctx, hubbub, limit, func(h, l hammered) {
			r.round(perRow(h), perRow(l))
			together = append(together, float64(h.count*viewers)/float64(h.frames))
			b.say("%s: %s, limit %s", r.what, duration(perRow(h)), duration(perRow(l)))
		})
	})
}

// rate is how many rows come to all viewers in a second.
func (b *bench) rate(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	return b.crowds(ctx, func(viewers int, label string, hubbub, limit *crowd) error {
		pair := b.addRates("rows delivered, "+label, "limit", ratioAtLeast(1.3))
		var together []float64
		defer func() {
			pair.note()
			pair.wall.note("%.1f rows in a frame", median(together))
		}()
		return b.floods(ctx, hubbub, limit, func(h, l hammered) {
			pair.round(b, h, l, float64(viewers))
			together = append(together, float64(h.count*viewers)/float64(h.frames))
		})
	})
}

// latency is the time from a post to its row, at half of the posts that the
// limit takes, the same for both. As the server puts several rows into a write
// where many post, it takes more; the time at half of that is told as well.
func (b *bench) latency(ctx context.Context) error {
	if err := b.part(); err != nil {
		return err
	}
	return b.crowds(ctx, func(viewers int, label string, hubbub, limit *crowd) error {
		half, err := b.half(ctx, limit)
		if err != nil {
			return err
		}
		ownHalf, err := b.half(ctx, hubbub)
		if err != nil {
			return err
		}
		same := b.addTimes("at half of limit's load, "+label, viewers)
		own := b.addTimes("at half of its own load, "+label, viewers)
		defer func() {
			same.note(half, half)
			own.note(ownHalf, half)
		}()
		return b.inTurns(ctx, func(round int) error {
			var results [3]timed
			for _, at := range order(round, 0, 1, 2) {
				c, rate := limit, half
				if at > 0 {
					c, rate = hubbub, []float64{half, ownHalf}[at-1]
				}
				var err error
				if results[at], err = c.timed(ctx, b.slice, rate); err != nil {
					return err
				}
			}
			if round > 0 {
				same.round(b, results[1], results[0])
				own.round(b, results[2], results[0])
			}
			return nil
		})
	})
}

// timed is what one measurement of the time from post to row comes to, in
// seconds, and the part of it in which the server had its core.
type timed struct{ median, p99, busy float64 }

// timed measures the time from post to row at a rate of posts.
func (c *crowd) timed(ctx context.Context, d time.Duration, rate float64) (t timed, err error) {
	all := &delays{}
	if t.busy, err = c.pace(ctx, d, paced, rate, all); err != nil {
		return t, err
	}
	t.median, t.p99, err = all.middleAndHighest()
	return t, err
}

// half is half of the posts that a server takes in a second.
func (b *bench) half(ctx context.Context, c *crowd) (float64, error) {
	var most []float64
	for range 3 {
		h, err := c.flood(ctx, b.slice/2, b.senders)
		if err != nil {
			return 0, err
		}
		most = append(most, h.perSecond())
	}
	return median(most) / 2, nil
}

// timeRows are two figures of one measurement of the time from post to row.
type timeRows struct {
	median, p99     *row
	busy, floorBusy []float64
}

func (b *bench) addTimes(label string, viewers int) *timeRows {
	g := atMostMore(0.0004, duration)
	if viewers >= 1000 {
		g = ratioAtMost(1)
	}
	return &timeRows{
		median: b.table.add(&row{what: "median from post to row " + label, unit: duration, floor: "limit"}),
		p99:    b.table.add(&row{what: "p99 from post to row " + label, unit: duration, floor: "limit", goal: g}),
	}
}

// round adds what one round has measured.
func (t *timeRows) round(b *bench, server, floor timed) {
	t.median.round(server.median, floor.median)
	t.p99.round(server.p99, floor.p99)
	t.busy, t.floorBusy = append(t.busy, server.busy), append(t.floorBusy, floor.busy)
	b.say("%s: %s, limit %s; busy %.0f %% and %.0f %%", t.p99.what, duration(server.p99), duration(floor.p99), 100*server.busy, 100*floor.busy)
}

// note says how many posts there were, and how far the servers were busy.
func (t *timeRows) note(rate, floorRate float64) {
	t.p99.note("%.0f posts/s, limit %.0f; server busy %.0f %%, limit %.0f %%", rate, floorRate, 100*median(t.busy), 100*median(t.floorBusy))
}
