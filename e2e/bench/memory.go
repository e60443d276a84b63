package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// idleMemory is what a live connection takes while nothing is said.
func (b *bench) idleMemory(ctx context.Context) error {
	n := min(b.idle, openFiles()-200)
	for _, pages := range []bool{false, true} {
		label := fmt.Sprintf("memory per live connection, %d of them", n)
		if pages {
			label += ", with presence and news"
		}
		r := b.table.add(&row{what: label, unit: kilobytes, floor: "limit", goal: atMost(12*1024, kilobytes)})
		later := b.table.add(&row{what: fmt.Sprintf("the same after %v", b.idleFor), unit: kilobytes})
		if n < b.idle {
			r.note("no more open files are allowed")
		}
		if err := b.idleRounds(ctx, n, pages, r, later); err != nil {
			return err
		}
	}
	return nil
}

// idleRounds measures the same server again and again, started anew each time:
// a sign-in leaves garbage that a connection would grow into.
func (b *bench) idleRounds(ctx context.Context, n int, pages bool, r, later *row) error {
	data := b.folder()
	server, err := b.hubbub(ctx, data)
	if err != nil {
		return err
	}
	users, err := people(ctx, server.host, n)
	var live []string
	var base int64
	if err == nil {
		live, base, err = addresses(ctx, users, room, pages)
	}
	if err := errors.Join(err, server.stop()); err != nil {
		return err
	}
	rounds := min(b.rounds, 3)
	for round := range rounds {
		if server, err = b.hubbub(ctx, data); err != nil {
			return err
		}
		for i := range users {
			users[i].host = server.host
		}
		if err := warm(ctx, users[0]); err != nil {
			return errors.Join(err, server.stop())
		}
		idleFor := time.Duration(0)
		if round == rounds-1 {
			idleFor = b.idleFor
		}
		value, after, err := b.idleRound(ctx, server, users, live, base, idleFor)
		if err := errors.Join(err, server.stop()); err != nil {
			return err
		}
		if idleFor > 0 {
			later.alone(after)
		}
		floor, err := b.floor(ctx, "floor-limit")
		if err != nil {
			return err
		}
		for i := range users {
			users[i].host = floor.host
		}
		least, _, err := b.idleRound(ctx, floor, users, nil, 0, 0)
		if err := errors.Join(err, floor.stop()); err != nil {
			return err
		}
		r.round(value, least)
		b.say("%s: %s, limit %s", r.what, kilobytes(value), kilobytes(least))
	}
	return nil
}

// warm has a server do each thing once, so that what it needs anyway is there.
func warm(ctx context.Context, u user) error {
	for range 10 {
		if _, err := u.load(ctx, room); err != nil {
			return err
		}
	}
	return nil
}

// idleRound returns what each of the users' connections takes, at once and
// after a time.
func (b *bench) idleRound(ctx context.Context, server *process, users []user, live []string, base int64, idleFor time.Duration) (now, after float64, err error) {
	before, err := server.memory()
	if err != nil {
		return 0, 0, err
	}
	l := newLedger(base, maxPosts)
	a, err := gather(ctx, users, live, room, l)
	if err != nil {
		return 0, 0, err
	}
	defer a.close()
	if live != nil {
		pause(ctx, b.settle-time.Since(server.started))
	}
	if err := a.quiet(ctx, b.still); err != nil {
		return 0, 0, err
	}
	with, err := b.steady(ctx, server)
	if err != nil {
		return 0, 0, err
	}
	later := with
	if idleFor > 0 && pause(ctx, idleFor) {
		if later, err = server.memory(); err != nil {
			return 0, 0, err
		}
	}
	if failed := l.failure.Load(); failed != nil {
		return 0, 0, failed.err
	}
	each := func(memory float64) float64 { return (memory - before) / float64(len(users)) }
	return each(with), each(later), ctx.Err()
}

// steady waits until a server's memory stays as it is, twenty times at most.
func (b *bench) steady(ctx context.Context, server *process) (float64, error) {
	last, err := server.memory()
	for same, tries := 0, 0; err == nil && same < 3 && tries < 20 && pause(ctx, b.still); tries++ {
		var memory float64
		memory, err = server.memory()
		same++
		if math.Abs(memory-last) > 0.005*last {
			same = 0
		}
		last = memory
	}
	return last, err
}

// rest is what a server takes that nobody uses, and the binary.
func (b *bench) rest(ctx context.Context) error {
	r := b.table.add(&row{what: "memory at rest, empty store", unit: megabytes, goal: atMost(30<<20, megabytes)})
	data := b.folder()
	for range b.rounds {
		memory, err := b.restOf(ctx, data)
		if err != nil {
			return err
		}
		r.alone(memory)
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.table.add(&row{what: "binary", unit: megabytes, goal: atMost(30<<20, megabytes)}).alone(float64(info.Size()))
	return nil
}

// restOf is the memory of a server that has been started on a store and has
// shown its first page.
func (b *bench) restOf(ctx context.Context, data string) (memory float64, err error) {
	server, err := b.hubbub(ctx, data)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c, err := dial(ctx, server.host)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if a, err := c.do(user{host: server.host}.get("/")); err != nil || a.status != 200 {
		return 0, errors.Join(err, fmt.Errorf("the first page was answered with %d", a.status))
	}
	return b.steady(ctx, server)
}
