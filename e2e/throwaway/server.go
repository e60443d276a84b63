// Package throwaway starts servers that tests and the benchmark need beside
// Hubbub: PostgreSQL and NATS. Each has a free port of 127.0.0.1 and a folder of
// its own among the temporary files, runs as an unprivileged user, and leaves
// nothing behind when it is closed. On Linux it also ends with the program that
// started it, however that ends; the folder is then removed by the next start of
// such a server.
package throwaway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit is how long a server may take until it is ready, and stopLimit
// until it is gone or stands still. A busy machine is no failure.
const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// inUse is in the log of a server whose port is taken.
const inUse = "ddress already in use"

// server is a process with a port and a folder of its own. Its methods may be
// called from many goroutines.
type server struct {
	name    string                                   // for people: "PostgreSQL"
	binary  string                                   // its file
	args    func() []string                          // of a start on port
	ready   func(ctx context.Context, pid int) error // nil once the process answers
	quit    syscall.Signal                           // ends it at once, with all its children
	folder  *folder                                  // gone after Close
	account *account                                 // nil for our own

	mu      sync.Mutex
	port    int      // given by the first start, kept by all others
	running *process // nil while it is stopped
	paused  bool
	closed  bool
}

// newServer makes a server's folder, in memory if there is room.
func newServer(name, binary string, quit syscall.Signal, inMemory bool) (*server, error) {
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	parent, err := account.temporary(inMemory)
	if err != nil {
		return nil, err
	}
	folder, err := newFolder(parent, "hubbub-throwaway-"+strings.ToLower(name)+"-", account)
	if err != nil {
		return nil, err
	}
	return &server{name: name, binary: binary, quit: quit, folder: folder, account: account}, nil
}

// addr is where the server listens.
func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// log is the file of what the server has written since its last start.
func (s *server) log() string { return filepath.Join(s.folder.name, "log") }

// Start starts a stopped server again, on the same port and with the same data,
// and returns when it is ready. It gives up when ctx ends or after a minute. The
// error of a failed start holds the server's log.
func (s *server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return fmt.Errorf("start %s: it is closed", s.name)
	case s.running != nil:
		return fmt.Errorf("start %s: it runs already", s.name)
	case s.port != 0:
		return s.start(ctx)
	}
	// Between the look at a port and the server's listening there, another may
	// have taken it.
	var err error
	for range 5 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil || !strings.Contains(err.Error(), inUse) {
			return err
		}
	}
	return err
}

// start runs the server once on its port.
func (s *server) start(ctx context.Context) error {
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close()
	command := s.command(s.binary, s.args()...)
	command.Stdout, command.Stderr = log, log
	if s.running, err = launch(command); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}

	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := s.ready(ctx, s.running.pid)
		if waiting == nil {
			return nil
		}
		select {
		case <-s.running.done:
			return fmt.Errorf("%s ended before it was ready: %w", s.name, s.ended())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready: %w: %w\n%s", s.name, ctx.Err(), waiting, s.tail()), s.stop())
		case <-tick.C:
		}
	}
}

// command is a program that runs as the server's user, in its folder.
func (s *server) command(file string, args ...string) *exec.Cmd {
	command := exec.Command(file, args...)
	command.Dir = s.folder.name
	command.SysProcAttr = attributes(s.quit)
	if s.account != nil {
		command.SysProcAttr.Credential = s.account.credential()
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HUBBUB_") && !strings.HasPrefix(v, "PG") {
			command.Env = append(command.Env, v)
		}
	}
	command.Env = append(command.Env, "LC_ALL=C", "TZ=UTC", "HOME="+s.folder.name)
	return command
}

// Stop ends the server as a power cut would: nothing that is under way is
// finished, and nobody is told. What it has stored stays for the next Start. It
// returns when the process and its children are gone. Stopping a stopped server
// does nothing; that it has ended by itself is an error.
func (s *server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	select {
	case <-s.running.done:
		return fmt.Errorf("%s has ended by itself: %w", s.name, s.ended())
	default:
		return s.stop()
	}
}

func (s *server) stop() error {
	err := signal(s.running.pid, s.quit)
	if s.paused {
		// All get the signal before any goes on: nobody is answered now.
		err = errors.Join(err, s.signalAll(s.quit), s.signalAll(syscall.SIGCONT))
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-s.running.done:
	case <-limit.C:
		err = errors.Join(err, fmt.Errorf("%s ran on %v after it was told to end\n%s", s.name, stopLimit, s.tail()), s.signalAll(syscall.SIGKILL))
		<-s.running.done
	}
	s.running, s.paused = nil, false
	return err
}

// ended says how a server ended that was not told to, and counts it as stopped.
func (s *server) ended() error {
	err := s.running.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	s.running, s.paused = nil, false
	return fmt.Errorf("%w\n%s", err, s.tail())
}

// Pause has the server hang: its connections stay, new ones are taken by the
// system, and nobody gets an answer until Resume or Stop. It returns when the
// process and all its children stand still.
func (s *server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return fmt.Errorf("pause %s: it is stopped", s.name)
	}
	s.paused = true
	// PostgreSQL makes each of its children a group of its own, so they are
	// found by their parent. One may be born until the parent is seen to stand
	// still: only what is seen after that is all.
	still := 0 // how often all have been seen to
	for deadline := time.Now().Add(stopLimit); still < 2; {
		members, err := family(s.running.pid)
		if err != nil {
			return fmt.Errorf("pause %s: %w", s.name, err)
		}
		still++
		for _, m := range members {
			if m.still {
				continue
			}
			still = 0
			if err := signal(m.pid, syscall.SIGSTOP); err != nil {
				return fmt.Errorf("pause %s: %w", s.name, err)
			}
		}
		if still == 0 {
			if time.Now().After(deadline) {
				return fmt.Errorf("pause %s: it does not stand still after %v", s.name, stopLimit)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// Resume has a paused server go on with what it was doing.
func (s *server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil || !s.paused {
		return nil
	}
	if err := s.signalAll(syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume %s: %w", s.name, err)
	}
	s.paused = false
	return nil
}

// signalAll sends a signal to the process and its children.
func (s *server) signalAll(number syscall.Signal) error {
	members, err := family(s.running.pid)
	for _, m := range members {
		err = errors.Join(err, signal(m.pid, number))
	}
	return err
}

// Close stops the server and removes its folder with all that it has stored.
// Closing twice does nothing.
func (s *server) Close() error {
	err := s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return errors.Join(err, s.folder.remove())
}

// Processes returns the ids of the server's process and, after it, of its
// children, none while it is stopped.
func (s *server) Processes() ([]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil, nil
	}
	members, err := family(s.running.pid)
	ids := []int{s.running.pid}
	for _, m := range members {
		if m.pid != s.running.pid {
			ids = append(ids, m.pid)
		}
	}
	return ids, err
}

// tail is the end of the log.
func (s *server) tail() string {
	log, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4000):])
}

// freePort returns a port of 127.0.0.1 that nobody listens on. It lies below the
// range that systems take outgoing connections' ports from, so it stays free for
// a restart, and below those that the tests give to Hubbub.
func freePort() (int, error) {
	var failed error
	for range 100 {
		port := 10000 + rand.IntN(10000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			failed = err
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("no free port: %w", failed)
}
