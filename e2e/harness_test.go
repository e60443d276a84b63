// Package e2e tests the real binary from outside, over HTTP and in Chromium.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hubbub is the binary under test.
var hubbub string

// TestMain builds the binary once, and closes the browser at the end if a
// test opened it. HUBBUB_E2E_BINARY names a binary to test instead, and
// HUBBUB_E2E_RACE=1 builds one with the race detector.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hubbub-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer chromium.close()
	defer func() {
		if err := postgres.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()

	if hubbub = os.Getenv("HUBBUB_E2E_BINARY"); hubbub == "" {
		hubbub = filepath.Join(dir, "hubbub")
		args := []string{"build", "-o", hubbub}
		if os.Getenv("HUBBUB_E2E_RACE") == "1" {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "hubbub")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binary under test: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// startLimit is how long a server may take until it is ready, and stopLimit
// how long until it is gone after SIGTERM.
const (
	startLimit = 30 * time.Second
	stopLimit  = 20 * time.Second
)

// server is one running Hubbub with a port of its own, and a data directory
// where it keeps everything unless a flag gives it another database.
type server struct {
	URL  string // such as "http://127.0.0.1:20001", with the base URL's path
	Data string // the data directory

	addr string // where it listens
	args []string
	log  *logBuffer
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	err  error         // how it ended; to be read after done
}

// startServer starts Hubbub and waits until it is ready. More args are flags,
// in the form --name=value. It is stopped when the test ends, and its log is
// shown if the test failed.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	addr := freeAddr(t)
	s := &server{
		URL:  "http://" + addr,
		Data: filepath.Join(t.TempDir(), "data"),
		addr: addr,
		log:  &logBuffer{},
	}
	s.args = append([]string{"--addr=" + addr, "--data=" + s.Data}, args...)
	for _, arg := range args {
		if base, ok := strings.CutPrefix(arg, "--base-url="); ok {
			_, rest, _ := strings.Cut(base, "://")
			if _, path, ok := strings.Cut(rest, "/"); ok {
				s.URL += strings.TrimRight("/"+path, "/")
			}
		}
	}
	t.Cleanup(func() {
		if s.running() {
			s.kill(t, syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.URL, s.Log())
		}
	})
	s.start(t)
	return s
}

// restart starts Hubbub again on the same port and data after kill.
func (s *server) restart(t *testing.T) {
	t.Helper()
	if s.running() {
		t.Fatal("restart: the server still runs")
	}
	s.start(t)
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(hubbub, s.args...)
	s.cmd.Dir = filepath.Dir(s.Data)
	s.cmd.Env = cleanEnvironment()
	s.cmd.Stdout = s.log
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	go func() {
		s.err = s.cmd.Wait()
		close(done)
	}()
	s.waitReady(t)
}

// waitReady polls /readyz until the server says that it is ready.
func (s *server) waitReady(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := get(ctx, s.URL+"/readyz")
		if err == nil {
			return
		}
		select {
		case <-s.done:
			t.Fatalf("the server ended before it was ready: %v", s.err)
		case <-ctx.Done():
			t.Fatalf("the server is not ready after %v: %v", startLimit, err)
		case <-tick.C:
		}
	}
}

// get returns nil when a GET of url is answered with 200.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Close = true // no idle connection is left to a server that is killed
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// PID returns the process id of the server.
func (s *server) PID() int { return s.cmd.Process.Pid }

// running reports whether the process was started and is not yet gone.
func (s *server) running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// kill sends the process a signal and waits until it is gone. After SIGTERM
// it must end in time and without an error.
func (s *server) kill(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill: %v", err)
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		t.Errorf("the server runs on %v after %v", stopLimit, signal)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-s.done
	}
	if signal == syscall.SIGTERM && s.err != nil {
		t.Errorf("the server ended badly after %v: %v", signal, s.err)
	}
}

// Log returns what the server has written so far.
func (s *server) Log() string { return s.log.String() }

// cleanEnvironment returns the environment without what would configure Hubbub.
func cleanEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HUBBUB_") {
			env = append(env, v)
		}
	}
	return env
}

// Ports given out lie below the range that systems take outgoing connections'
// ports from, so a port stays free for a restart.
var (
	firstPort = 20000 + rand.Uint32N(8000)
	portsUsed atomic.Uint32
)

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(firstPort+portsUsed.Add(1)), 10))
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatal("no free port")
	return ""
}

// logBuffer collects a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
