// Command bench measures the built binary over real sockets, and beside it, in
// turns and on the same core, two floors that it carries:
//
//   - limit is the least that a live channel can cost: a net/http server that
//     does one net.Conn.Write of a ready frame of 350 bytes for each message and
//     each socket, and answers a post with 204;
//   - bare is the least that a page can cost: a net/http handler that answers
//     with as many bytes from memory, as they are or compressed for each
//     request, and to a form with 303.
//
// What counts is the ratio within a round: a machine that is shared, or whose
// cores are not alike, slows both. Where a cost is measured, server and
// generator share one core; where a throughput or a delay is, each has its own.
// Every process has GOMAXPROCS=1. The CPU time of a server is its process's and
// what the kernel takes on its core to deliver packets, so what the generator
// does is not in it, but for the caches that they share.
//
// Several nodes have no floor: they stand beside one node on SQLite. PostgreSQL,
// NATS and all nodes share the servers' core, and what each of them takes is
// told apart.
//
// Every answer is checked: each viewer gets each row once and in order, and
// nothing else; each page holds its 100 rows; each accepted post is in the
// store. The command fails where a check does, and never for a time.
//
// It knows the binary, its HTTP and, to fill a large store, its schema.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// config is what to measure, and for how long.
type config struct {
	binary  string // the server; "" builds it
	dir     string // where stores are written, "" for a temporary folder
	rows    []string
	rounds  int
	slice   time.Duration // of each measurement
	viewers []int
	senders int
	posters []int
	nodes   []int         // of each cluster
	idle    int           // live connections without traffic
	idleFor time.Duration // how long they are watched
	settle  time.Duration // from a server's start till presence is told as it is
	still   time.Duration // without change that counts as quiet

	// The large store.
	messages, channels, users int
}

// bench measures, and collects the table.
type bench struct {
	config
	progress  io.Writer
	server    int // the core of servers, negative where nothing can be pinned
	generator int // the core of this process where each has its own
	network   int // the kernel's process for the packets of the servers' core
	folders   int // how many stores there have been
	table     table
}

// measurement is a part of the table.
type measurement struct {
	name, help string
	run        func(b *bench, ctx context.Context) error
}

func measurements() []measurement {
	return []measurement{
		{"cost", "server CPU per delivered row", (*bench).cost},
		{"rate", "rows delivered per second", (*bench).rate},
		{"latency", "from post to row at half load", (*bench).latency},
		{"idle", "memory per idle live connection", (*bench).idleMemory},
		{"page", "channel page with 100 rows", (*bench).page},
		{"posts", "durable posts per second", (*bench).posts},
		{"post", "one post alone", (*bench).post},
		{"large", "page and post with a large store, start with it", (*bench).large},
		{"nodes", "several nodes on PostgreSQL, with NOTIFY and with NATS, beside one on SQLite: what each kind of process takes", (*bench).severalNodes},
		{"rest", "memory at rest, binary", (*bench).rest},
	}
}

// run is the command: a floor as a child of this same program, or the table.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "floor-") {
		return runFloor(ctx, args[0], stdout)
	}
	b := &bench{progress: stderr}
	if err := b.parse(args, stderr); err != nil {
		return err
	}
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "hubbub-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.dir = dir
	}
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "hubbub")
		if err := build(ctx, b.binary); err != nil {
			return err
		}
	}
	// One thread of our own at a time, as the servers have, and no collection
	// in the middle of what we time.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	b.server, b.generator = pickCores()
	b.network = networkThread(b.server)

	began, load := time.Now(), loadAverage()
	var errs []error
	for _, m := range measurements() {
		if len(b.rows) > 0 && !slices.Contains(b.rows, m.name) {
			continue
		}
		if err := m.run(b, ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.describe(stdout, began, load)
	b.table.print(stdout)
	return errors.Join(errs...)
}

func (b *bench) parse(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var names, lines []string
	for _, m := range measurements() {
		names, lines = append(names, m.name), append(lines, m.name+": "+m.help)
	}
	list := flags.String("rows", "", "what to measure (default all), with commas between:\n"+strings.Join(lines, "\n"))
	viewers := flags.String("viewers", "100,1000", "viewers of one channel")
	posters := flags.String("posters", "16,64", "clients that post at once")
	nodes := flags.String("nodes", "1,2,3", "nodes on one PostgreSQL, which takes the first of the viewers and of the posters, in 4 channels")
	flags.StringVar(&b.binary, "binary", "", "`file` of the server (default: build it)")
	flags.StringVar(&b.dir, "dir", "", "`folder` on the disk to measure (default: a temporary one)")
	flags.IntVar(&b.rounds, "rounds", 5, "rounds of each measurement")
	flags.DurationVar(&b.slice, "slice", 2*time.Second, "time of one measurement in a round")
	flags.IntVar(&b.senders, "senders", 4, "clients that post while others view")
	flags.IntVar(&b.idle, "idle", 10000, "idle live connections")
	flags.DurationVar(&b.idleFor, "idle-for", 150*time.Second, "time that they are watched: a Go server collects garbage after two minutes")
	flags.DurationVar(&b.settle, "settle", 6*time.Second, "time that a new server gets before it tells of presence")
	flags.DurationVar(&b.still, "still", 500*time.Millisecond, "time without change that counts as quiet")
	flags.IntVar(&b.messages, "messages", 1000000, "messages in the large store")
	flags.IntVar(&b.channels, "channels", 1000, "channels in the large store")
	flags.IntVar(&b.users, "users", 10000, "users in the large store")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	var errs []error
	if *list != "" {
		b.rows = strings.Split(*list, ",")
	}
	for _, name := range b.rows {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("-rows: there is no %q", name))
		}
	}
	numbers := func(name, list string) (all []int) {
		for item := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(item)
			if err != nil || n < 1 {
				errs = append(errs, fmt.Errorf("-%s: %q is not a number from 1 up", name, item))
			}
			all = append(all, n)
		}
		return all
	}
	b.viewers, b.config.posters = numbers("viewers", *viewers), numbers("posters", *posters)
	b.nodes = numbers("nodes", *nodes)
	if min(b.rounds, b.senders, b.idle, b.users) < 1 || b.slice <= 0 {
		errs = append(errs, errors.New("rounds, slice, senders, idle and users are at least 1"))
	}
	if b.channels < visited || b.messages < 100*b.channels {
		errs = append(errs, fmt.Errorf("the large store has at least %d channels, with 100 messages in each", visited))
	}
	return errors.Join(errs...)
}

// build makes the server as the project's build target does.
func build(ctx context.Context, file string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "hubbub")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return nil
}

// describe says where and how the table came about.
func (b *bench) describe(w io.Writer, began time.Time, load string) {
	pinned := "servers on core " + strconv.Itoa(b.server) + ", the generator there or on core " + strconv.Itoa(b.generator)
	switch {
	case b.server < 0:
		pinned = "nothing is pinned to a core: not possible on this machine"
	case b.server == b.generator:
		pinned = "one core for all, also where each should have its own"
	}
	fmt.Fprintf(w, "%s, %d cores, %s/%s, %s; %s; %s.\n", machine(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), diskOf(b.dir), pinned)
	fmt.Fprintf(w, "Median (lowest..highest) of %d rounds of %v each, in %v; load average %s before, %s after.\n\n",
		b.rounds, b.slice, time.Since(began).Round(time.Second), load, loadAverage())
}

// say notes progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, format+"\n", args...)
}
