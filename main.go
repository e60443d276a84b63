// Hubbub is team chat for an intranet in one binary: it serves pages, keeps
// everything in one folder and needs nothing else. Several of it share a
// PostgreSQL.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hubbub/bus"
	"hubbub/handlers"
	"hubbub/static"
	"hubbub/store"
)

// drainTimeout is how long a stop waits for what is under way.
const drainTimeout = 10 * time.Second

// How much garbage may lie about before it is collected, beside what is in use:
// half of what Go leaves by itself, for where Hubbub runs, memory is scarcer than
// time. But a node has some 5 MB in use, and to collect after each 2.5 MB took a
// quarter of the time of pages. So there is a ballast, which counts as in use but
// is never touched, so the system gives it no memory: 4 MB more garbage, much for
// a small heap and little for a large one.
const (
	garbagePercent = 50
	ballast        = 8 << 20 // bytes
)

func main() {
	// GOGC has the last word.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
		defer runtime.KeepAlive(make([]byte, ballast))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hubbub:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done, and then stops in good order; or it runs the
// command that args begin with.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 && args[0] == "migrate" {
		return migrate(ctx, args[1:], getenv, stdout)
	}
	c, err := parseConfig(args, getenv, stdout)
	if errors.Is(err, errDone) {
		return nil
	}
	if err != nil {
		return err
	}
	log, closeLog, err := openLog(ctx, c, stderr)
	if err != nil {
		return err
	}
	defer closeLog()

	assets, err := static.New()
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, c.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := furnish(ctx, st); err != nil {
		return err
	}
	nodes, err := openBus(ctx, c, st, log)
	if err != nil {
		return err
	}
	defer closeBus(nodes, log)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	options := handlers.Options{
		Store: st, Bus: nodes, Assets: assets, Log: log,
		Secure: c.certificate != nil || c.baseURL.Scheme == "https", Zone: c.timezone,
		PostRate: c.postRate, LoginRate: c.loginRate, TrustedProxies: c.trustedProxies,
	}
	if c.baseURL != (url.URL{}) {
		options.BaseURL = &c.baseURL
	}
	fmt.Fprintln(stdout, "Hubbub is at", address(c, listener.Addr()))
	return serve(ctx, c, listener, handlers.New(options), log)
}

// furnish gives a new installation its first channel.
func furnish(ctx context.Context, st *store.Store) error {
	general, err := store.ChannelName("general")
	if err != nil {
		return err
	}
	return st.EnsureChannel(ctx, general, time.Now())
}

// openBus returns the bus to the other nodes of a database, nil where there can
// be none.
func openBus(ctx context.Context, c config, st *store.Store, log *slog.Logger) (*bus.Bus, error) {
	cluster, shared, err := st.Cluster(ctx)
	if err != nil || !shared {
		return nil, err
	}
	return bus.Open(bus.Options{Database: c.database, NATS: c.nats, Cluster: cluster, Log: log})
}

// closeBus says goodbye to the other nodes, if there is a bus to them. That they
// cannot be told is no failure: they look for themselves.
func closeBus(b *bus.Bus, log *slog.Logger) {
	if b == nil {
		return
	}
	if err := b.Close(context.Background()); err != nil {
		log.Warn("the other nodes were not told of all", "error", err)
	}
}

// serve answers until ctx is done. Then it takes no new requests, ends the
// live connections and finishes what is under way, in drainTimeout at most.
func serve(ctx context.Context, c config, listener net.Listener, h *handlers.Handlers, log *slog.Logger) error {
	server := &http.Server{
		Handler:           h.Routes(),
		ReadHeaderTimeout: handlers.HeaderTimeout,
		ReadTimeout:       handlers.ReadTimeout,
		WriteTimeout:      handlers.WriteTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    handlers.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if c.certificate != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*c.certificate}, MinVersion: tls.VersionTLS12}
	}
	var group errgroup.Group
	failed := make(chan struct{})
	group.Go(func() error {
		defer close(failed)
		var err error
		if c.certificate != nil {
			err = server.ServeTLS(listener, "", "")
		} else {
			err = server.Serve(listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serving: %w", err)
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			log.Info("stopping")
		case <-failed:
		}
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		var drain errgroup.Group
		drain.Go(func() error { return server.Shutdown(draining) })
		drain.Go(func() error { return h.Close(draining) })
		if err := drain.Wait(); err != nil {
			return fmt.Errorf("stopping: %w", errors.Join(err, server.Close()))
		}
		return nil
	})
	return group.Wait()
}

// address is where people find this server.
func address(c config, listening net.Addr) string {
	if c.baseURL != (url.URL{}) {
		return c.baseURL.String() + "/"
	}
	scheme := "http"
	if c.certificate != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}
