package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hubbub/e2e/throwaway"
)

// severalNodes is what several nodes on one PostgreSQL do and take, beside one
// node on SQLite. All servers share one core: it is not for what is gained by
// more machines, but for what each thing costs and whom.
func (b *bench) severalNodes(ctx context.Context) (err error) {
	clusters, end, err := b.clusters(ctx)
	if err == nil {
		err = b.compareClusters(ctx, clusters)
	}
	for _, c := range clusters {
		failure := c.end()
		if err == nil && failure == nil {
			failure = c.check(ctx)
		}
		err = errors.Join(err, failure)
	}
	return errors.Join(err, end())
}

// clusters starts PostgreSQL and NATS and all clusters, SQLite's first. The
// caller calls end, also where it fails.
func (b *bench) clusters(ctx context.Context) (all []*cluster, end func() error, err error) {
	var servers []interface{ Close() error }
	end = func() (err error) {
		for _, s := range servers {
			err = errors.Join(err, s.Close())
		}
		return err
	}
	if err := b.share(); err != nil { // what is started now stays on this core
		return nil, end, err
	}
	postgres, err := throwaway.StartPostgres(ctx, throwaway.Durable)
	if err != nil {
		return nil, end, err
	}
	servers = append(servers, postgres)
	nats, err := throwaway.StartNATS(ctx)
	if err != nil {
		return nil, end, err
	}
	servers = append(servers, nats)
	if err := b.part(); err != nil {
		return nil, end, err
	}
	add := func(nodes int, postgres *throwaway.Postgres, nats *throwaway.NATS) error {
		c, err := b.newCluster(ctx, nodes, postgres, nats)
		all = append(all, c)
		return err
	}
	if err := add(1, nil, nil); err != nil {
		return all, end, err
	}
	for _, n := range b.nodes {
		if err := errors.Join(add(n, postgres, nil), add(n, postgres, nats)); err != nil {
			return all, end, err
		}
	}
	pause(ctx, b.settle)
	for _, c := range all {
		if err := c.quieten(ctx, b.still); err != nil {
			return all, end, err
		}
	}
	return all, end, nil
}

// deed is what people of a cluster do again and again. It is measured how often
// in a second, or, where the deed is timed, how long it takes.
type deed struct {
	what  string
	timed bool
	do    func(c *cluster, times *delays) (count int, err error)
}

func (b *bench) deeds(ctx context.Context) []deed {
	posters, viewers := clusterRooms*max(1, b.config.posters[0]/clusterRooms), b.clusterViewers()
	return []deed{
		{fmt.Sprintf("posts, %d posters in %d channels", posters, clusterRooms), false, func(c *cluster, _ *delays) (int, error) {
			return c.flood(ctx, c.quiet, b.slice, posters)
		}},
		{fmt.Sprintf("posts, each to %d viewers", viewers/clusterRooms), false, func(c *cluster, _ *delays) (int, error) {
			return c.flood(ctx, c.watched, b.slice, posters)
		}},
		{fmt.Sprintf("positions, %d readers", posters), false, func(c *cluster, _ *delays) (int, error) {
			return c.report(ctx, b.slice, posters)
		}},
		{"channel pages", false, func(c *cluster, _ *delays) (int, error) {
			return c.look(ctx, b.slice)
		}},
		{fmt.Sprintf("from post to row at another node, %d posts/s", easy), true, func(c *cluster, times *delays) (int, error) {
			return c.ease(ctx, b.slice, times)
		}},
	}
}

// sample is what came of a deed at a cluster.
type sample struct {
	rate            float64 // a second
	middle, highest float64 // of the times, in seconds
	each            usage   // for one
	busy            float64 // the part of the time in which the core was
}

func (d deed) sample(c *cluster) (s sample, err error) {
	before, err := c.usage()
	if err != nil {
		return s, err
	}
	began, times := time.Now(), &delays{}
	count, err := d.do(c, times)
	took := time.Since(began)
	if err != nil {
		return s, fmt.Errorf("%s: %w", c.name, err)
	}
	after, err := c.usage()
	if err != nil {
		return s, err
	}
	used := after.since(before)
	s.rate, s.busy, s.each = float64(count)/took.Seconds(), used.total().Seconds()/took.Seconds(), used.over(count)
	if d.timed {
		s.middle, s.highest, err = times.middleAndHighest()
	}
	return s, err
}

// compareClusters has the clusters do each deed in turns.
func (b *bench) compareClusters(ctx context.Context, clusters []*cluster) error {
	deeds := b.deeds(ctx)
	samples := make([][][]sample, len(deeds)) // by deed, cluster and round
	for i := range samples {
		samples[i] = make([][]sample, len(clusters))
	}
	err := b.inTurns(ctx, func(round int) error {
		for i, d := range deeds {
			for turn := range clusters {
				at := (turn + round) % len(clusters)
				s, err := d.sample(clusters[at])
				if err != nil {
					return fmt.Errorf("%s: %w", d.what, err)
				}
				if round > 0 {
					samples[i][at] = append(samples[i][at], s)
					b.say("%s, %s: %.0f /s, CPU %s", d.what, clusters[at].name, s.rate, duration(s.each.total().Seconds()))
				}
			}
		}
		return nil
	})
	for i, d := range deeds {
		for at, c := range clusters {
			// The last round may have come to its end too soon.
			whole := min(len(samples[i][at]), len(samples[i][0]))
			b.addSamples(d.what+", "+c.name, d.timed, samples[i][at][:whole], samples[i][0])
		}
	}
	return err
}

// addSamples adds what came of a deed at a cluster, beside what came of it in
// the same rounds at another.
func (b *bench) addSamples(what string, timed bool, samples, beside []sample) {
	add := func(what string, u unit, value func(sample) float64) *row {
		r := b.table.add(&row{what: what, unit: u, floor: "SQLite"})
		for i, s := range samples {
			r.round(value(s), value(beside[i]))
		}
		return r
	}
	var r *row
	if timed {
		r = add(what+", median", duration, func(s sample) float64 { return s.middle })
		add(what+", p99", duration, func(s sample) float64 { return s.highest })
	} else {
		r = add(what, perSecond, func(s sample) float64 { return s.rate })
	}
	var all, nodes, postgres, nats, busy []float64
	for _, s := range samples {
		all, nodes = append(all, s.each.total().Seconds()), append(nodes, s.each.nodes.Seconds())
		postgres, nats = append(postgres, s.each.postgres.Seconds()), append(nats, s.each.nats.Seconds())
		busy = append(busy, 100*s.busy)
	}
	text := "CPU for each " + spread(all, duration) + ": nodes " + duration(median(nodes))
	if median(postgres) > 0 {
		text += ", PostgreSQL " + duration(median(postgres))
	}
	if median(nats) > 0 {
		text += ", NATS " + duration(median(nats))
	}
	r.note("%s; core busy %.0f %%", text, median(busy))
}
