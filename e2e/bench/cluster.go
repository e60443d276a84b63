package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sync/errgroup"

	"hubbub/e2e/throwaway"
)

const (
	// clusterRooms is how many channels of a cluster nobody looks at, and how
	// many have viewers.
	clusterRooms = 4

	// easy is how many posts a second are a low load.
	easy = 100

	// clusterPosts is how many posts the ledger of each channel has room for.
	clusterPosts = maxPosts / 8
)

// cluster is the nodes of one database, and their people. Users, posters and
// viewers are spread evenly over the nodes, and so are those of each channel.
type cluster struct {
	name     string // "PostgreSQL, NATS, nodes: 2"
	nodes    []*process
	network  int                 // see networkThread
	postgres *throwaway.Postgres // nil where the database is SQLite
	nats     *throwaway.NATS     // nil where PostgreSQL carries the news
	database string              // URL, or folder

	users   []user
	quiet   []*crowd // without viewers; the first has rows for a page
	watched []*crowd
	read    []int64 // how far each reporter has told that it has read
}

// newCluster starts so many nodes and lets people in. Without PostgreSQL there
// is one node, on SQLite.
func (b *bench) newCluster(ctx context.Context, nodes int, postgres *throwaway.Postgres, nats *throwaway.NATS) (c *cluster, err error) {
	c = &cluster{network: b.network, postgres: postgres, nats: nats}
	place := b.folder()
	flags := []string{"--data=" + place}
	c.name, c.database = "SQLite", place
	if postgres != nil {
		if c.database, err = postgres.NewDatabase(ctx); err != nil {
			return c, err
		}
		c.name, flags = fmt.Sprintf("PostgreSQL, NOTIFY, nodes: %d", nodes), []string{"--database=" + c.database}
	}
	if nats != nil {
		c.name, flags = fmt.Sprintf("PostgreSQL, NATS, nodes: %d", nodes), append(flags, "--nats="+nats.URL())
	}
	for i := range nodes {
		node, err := b.node(ctx, fmt.Sprintf("%s-%d.log", place, i), flags...)
		if err != nil {
			return c, err
		}
		c.nodes = append(c.nodes, node)
	}
	return c, c.fill(ctx, b.clusterViewers())
}

// clusterViewers is how many people a cluster has: there are viewers of each
// channel at each node.
func (b *bench) clusterViewers() int {
	most := 1
	for _, n := range b.nodes {
		most = max(most, n)
	}
	return max(b.viewers[0], clusterRooms*most)
}

// fill makes the channels and lets people in.
func (c *cluster) fill(ctx context.Context, viewers int) (err error) {
	if c.users, err = people(ctx, c.nodes[0].host, viewers); err != nil {
		return err
	}
	for i := range c.users {
		c.users[i].host = c.nodes[(i+i/clusterRooms)%len(c.nodes)].host
	}
	for i := range clusterRooms {
		users := c.usersOf(i)
		quiet, err := c.open(ctx, users, "quiet-"+strconv.Itoa(i), false)
		if err != nil {
			return err
		}
		c.quiet = append(c.quiet, quiet)
		watched, err := c.open(ctx, users, "watched-"+strconv.Itoa(i), true)
		if err != nil {
			return err
		}
		c.watched = append(c.watched, watched)
	}
	return seed(ctx, c.users, c.quiet[0].path, c.quiet[0].ledger)
}

// usersOf is who posts in a channel, and looks at it.
func (c *cluster) usersOf(channel int) (users []user) {
	for i := channel; i < len(c.users); i += clusterRooms {
		users = append(users, c.users[i])
	}
	return users
}

// open makes a channel, with viewers if it is watched.
func (c *cluster) open(ctx context.Context, users []user, name string, watched bool) (*crowd, error) {
	made, err := dial(ctx, users[0].host)
	if err != nil {
		return nil, err
	}
	defer made.close()
	a, err := made.do(users[0].postForm("/channels", url.Values{"name": {name}}.Encode()))
	if err != nil || a.status != http.StatusSeeOther {
		return nil, errors.Join(err, fmt.Errorf("a channel was made with %d", a.status))
	}
	room := &crowd{
		name: c.name, server: c.nodes[0], path: "/channels/" + name,
		ledger: newLedger(0, clusterPosts), users: users, status: http.StatusSeeOther,
	}
	if !watched {
		users = nil
	}
	live := make([]string, len(users))
	err = each(ctx, len(users), func(ctx context.Context, i int) error {
		page, err := users[i].load(ctx, room.path)
		live[i] = page.live
		return err
	})
	if err == nil {
		room.viewers, err = gather(ctx, users, live, room.path, room.ledger)
	}
	return room, err
}

// usage is CPU time, by who has used it.
type usage struct{ nodes, postgres, nats time.Duration }

func (u usage) total() time.Duration { return u.nodes + u.postgres + u.nats }

func (u usage) since(before usage) usage {
	return usage{u.nodes - before.nodes, u.postgres - before.postgres, u.nats - before.nats}
}

func (u usage) over(count int) usage {
	n := time.Duration(max(1, count))
	return usage{u.nodes / n, u.postgres / n, u.nats / n}
}

// usage is what all processes of the cluster have used since some moment. What
// other clusters make PostgreSQL and NATS do is in it: they are to be idle.
func (c *cluster) usage() (u usage, err error) {
	// The network's first: it is of no node alone.
	if c.network != 0 {
		if u.nodes, err = cpuTime(c.network); err != nil {
			return u, err
		}
	}
	for _, node := range c.nodes {
		used, err := cpuTime(node.command.Process.Pid)
		if err != nil {
			return u, err
		}
		u.nodes += used
	}
	if c.postgres != nil {
		if u.postgres, err = familyTime(c.postgres.Processes()); err != nil {
			return u, err
		}
	}
	if c.nats != nil {
		u.nats, err = familyTime(c.nats.Processes())
	}
	return u, err
}

// familyTime is the CPU time of a process, the first one, and its children, also
// of those that have ended.
func familyTime(ids []int, err error) (sum time.Duration, _ error) {
	if err != nil {
		return 0, err
	}
	for i, id := range ids {
		used, err := cpuTime(id)
		if err != nil && i == 0 {
			return 0, err
		}
		sum += used // one that has just ended is among the ended
	}
	ended, err := endedTime(ids[0])
	return sum + ended, err
}

// together has something done in several channels at a time and returns how
// often it was done in all.
func together(crowds []*crowd, do func(c *crowd) (int, error)) (int, error) {
	counts := make([]int, len(crowds))
	var group errgroup.Group
	for i, c := range crowds {
		group.Go(func() (err error) {
			counts[i], err = do(c)
			return err
		})
	}
	err := group.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, err
}

// flood posts to channels as fast as posts are answered, till every viewer has
// all.
func (c *cluster) flood(ctx context.Context, crowds []*crowd, d time.Duration, posters int) (int, error) {
	return together(crowds, func(room *crowd) (int, error) {
		h, err := room.flood(ctx, d, max(1, posters/clusterRooms))
		return h.count, err
	})
}

// ease posts at a low rate to the first node, and takes the times till the rows
// are at the viewers of the others, where there are any.
func (c *cluster) ease(ctx context.Context, d time.Duration, times *delays) (int, error) {
	here := c.nodes[0].host
	if len(c.nodes) > 1 {
		times.near = here
	}
	return together(c.watched, func(room *crowd) (int, error) {
		near := *room
		near.users = []user{{host: here, session: room.users[0].session}}
		before := room.ledger.accepted.Load()
		_, err := near.pace(ctx, d, paced/clusterRooms/4, easy/clusterRooms, times)
		return int(room.ledger.accepted.Load() - before), err
	})
}

// look has people get a page of 100 rows, again and again.
func (c *cluster) look(ctx context.Context, d time.Duration) (int, error) {
	all, err := openReaders(ctx, c.users[:readers], c.quiet[0].path)
	defer closeReaders(all)
	if err != nil {
		return 0, err
	}
	h, err := hammer(c.nodes[0], d, len(all), func(i int) error { return all[i].read() })
	return h.count, err
}

// report has n people tell how far they have read, one message more each time,
// as the script of a page does that somebody looks at.
func (c *cluster) report(ctx context.Context, d time.Duration, n int) (int, error) {
	n = min(n, len(c.users))
	c.read = append(c.read, make([]int64, max(0, n-len(c.read)))...)
	clients := make([]*client, n)
	defer func() {
		for _, reporter := range clients {
			if reporter != nil {
				reporter.close()
			}
		}
	}()
	for i := range clients {
		var err error
		if clients[i], err = dial(ctx, c.users[i].host); err != nil {
			return 0, err
		}
	}
	h, err := hammer(c.nodes[0], d, n, func(i int) error {
		room := c.watched[i%clusterRooms]
		// Nobody has read what is not there: that would not be written.
		c.read[i] = min(c.read[i]+1, room.ledger.accepted.Load())
		form := fmt.Sprintf("upto=%d&tab=t%d&reading=1", c.read[i], i)
		a, err := clients[i].do(c.users[i].postForm(room.path+"/read", form))
		if err == nil && a.status != http.StatusNoContent {
			err = fmt.Errorf("a position was answered with %d", a.status)
		}
		return err
	})
	return h.count, err
}

// quieten waits until nobody is told anything.
func (c *cluster) quieten(ctx context.Context, still time.Duration) error {
	_, err := together(c.watched, func(room *crowd) (int, error) { return 0, room.viewers.quiet(ctx, still) })
	return err
}

// end lets everybody go and stops the nodes.
func (c *cluster) end() error {
	for _, room := range c.watched {
		if room.viewers != nil {
			room.viewers.close()
		}
	}
	var err error
	for _, node := range c.nodes {
		err = errors.Join(err, node.stop())
	}
	return err
}

// check checks what was seen, and what the database has kept: each accepted post
// once, and how far everybody has read.
func (c *cluster) check(ctx context.Context) error {
	var db *sql.DB
	var err error
	if c.postgres == nil {
		db, err = openStore(c.database)
	} else {
		db, err = sql.Open("pgx", c.database)
	}
	if err != nil {
		return err
	}
	defer db.Close()
	for _, rooms := range [][]*crowd{c.quiet, c.watched} {
		for _, room := range rooms {
			if len(room.viewers.viewers) > 0 {
				err = errors.Join(err, room.ledger.check())
			}
			err = errors.Join(err, room.ledger.checkChannel(ctx, db, path.Base(room.path)))
		}
	}
	for i, upTo := range c.read {
		var kept int64
		room := path.Base(c.watched[i%clusterRooms].path)
		failure := db.QueryRowContext(ctx, `
			SELECT p.revision FROM positions p JOIN users u ON u.id = p.user_id JOIN channels c ON c.id = p.channel_id
			WHERE u.name = $1 AND c.name = $2`, viewerName(i), room).Scan(&kept)
		if failure == nil && kept != upTo {
			failure = fmt.Errorf("%s has read %s up to %d and not to %d", viewerName(i), room, kept, upTo)
		}
		err = errors.Join(err, failure)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}
