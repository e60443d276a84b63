package throwaway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
)

// abandon is set in the environment of a test binary that is to start servers
// and be killed: see TestKilled.
const abandon = "THROWAWAY_ABANDON"

func TestMain(m *testing.M) {
	if os.Getenv(abandon) != "" {
		if err := startAndWait(os.Getenv(abandon) == "paused"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// left is what a killed test binary leaves.
type left struct {
	PIDs    []int
	Folders []string
}

// startAndWait starts servers, says so, and waits until it is killed or its
// standard input ends.
func startAndWait(pause bool) error {
	p, err := StartPostgres(context.Background())
	if err != nil {
		return err
	}
	defer p.Close()
	n, err := StartNATS(context.Background())
	if err != nil {
		return err
	}
	defer n.Close()
	all := left{Folders: []string{p.folder.name, n.folder.name}}
	for _, s := range []*server{p.server, n.server} {
		members, err := family(s.running.pid)
		if err != nil {
			return err
		}
		for _, m := range members {
			all.PIDs = append(all.PIDs, m.pid)
		}
	}
	if pause {
		if err := errors.Join(p.Pause(), n.Pause()); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func startPostgres(t *testing.T, settings ...string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), settings...)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	check(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDatabase(t *testing.T, p *Postgres) string {
	t.Helper()
	url, err := p.NewDatabase(t.Context())
	check(t, err)
	return url
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, "max_connections=37")
	url := newDatabase(t, p)
	first, second := connect(t, url), connect(t, newDatabase(t, p))
	for statement, want := range map[string]string{
		"SHOW fsync": "off", "SHOW max_connections": "37", "SHOW server_encoding": "UTF8", "SHOW lc_collate": "C",
		"SELECT current_user": owner,
		"SELECT usesuper::text FROM pg_user WHERE usename = current_user": "false",
	} {
		var got string
		check(t, first.QueryRow(t.Context(), statement).Scan(&got))
		if got != want {
			t.Errorf("%s: %s, want %s", statement, got, want)
		}
	}
	_, err := first.Exec(t.Context(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
	check(t, err)
	if _, err := second.Exec(t.Context(), "SELECT n FROM kept"); err == nil {
		t.Error("one database shows another's table")
	}

	check(t, p.Stop())
	check(t, p.Stop())
	if _, err := first.Exec(t.Context(), "SELECT n FROM kept"); err == nil {
		t.Error("a stopped server answers")
	}
	if _, err := pgx.Connect(t.Context(), url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a stopped server: %v, want that it is refused", err)
	}

	check(t, p.Start(t.Context()))
	if err := p.Start(t.Context()); err == nil {
		t.Error("a running server is started")
	}
	var n int
	check(t, connect(t, url).QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
	if n != 7 {
		t.Errorf("kept %d, want 7", n)
	}
	newDatabase(t, p)
}

func TestPostgresDurable(t *testing.T) {
	t.Parallel()
	var fsync string
	check(t, connect(t, newDatabase(t, startPostgres(t, Durable))).QueryRow(t.Context(), "SHOW fsync").Scan(&fsync))
	if fsync != "on" {
		t.Errorf("fsync is %s", fsync)
	}
}

// TestPause has the server hang for those who are connected and for those who
// come, and lose nothing of what they asked.
func TestPause(t *testing.T) {
	t.Parallel()
	p := startPostgres(t)
	url := newDatabase(t, p)
	connections := make([]*pgx.Conn, 5)
	for i := range connections {
		connections[i] = connect(t, url)
	}
	var waiting sync.WaitGroup
	for range 2 {
		check(t, p.Pause())
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := pgx.Connect(short, url); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("connecting to a paused server: %v", err)
		}
		cancel()
		answered := make(chan error, len(connections))
		for _, c := range connections {
			waiting.Go(func() {
				_, err := c.Exec(t.Context(), "SELECT 1")
				answered <- err
			})
		}
		select {
		case err := <-answered:
			t.Errorf("a paused server answers: %v", err)
		case <-time.After(300 * time.Millisecond): // a time in which nothing is to happen
		}
		check(t, p.Resume())
		waiting.Wait()
		close(answered)
		for err := range answered {
			if err != nil {
				t.Errorf("after Resume: %v", err)
			}
		}
	}

	check(t, p.Pause())
	began := time.Now()
	check(t, p.Stop())
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("stopping a paused server took %v", took)
	}
	check(t, p.Start(t.Context()))
	connect(t, url)
}

func TestNATS(t *testing.T) {
	t.Parallel()
	n, err := StartNATS(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, n.Close()) })
	exchange := func() {
		t.Helper()
		c, err := nats.Connect(n.URL(), nats.NoReconnect())
		check(t, err)
		defer c.Close()
		heard, err := c.SubscribeSync("greetings")
		check(t, err)
		check(t, c.Publish("greetings", []byte("hello")))
		m, err := heard.NextMsgWithContext(t.Context())
		check(t, err)
		if string(m.Data) != "hello" {
			t.Errorf("heard %q", m.Data)
		}
	}
	exchange()
	check(t, n.Stop())
	if _, err := net.Dial("tcp", n.addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a stopped server: %v, want that it is refused", err)
	}
	check(t, n.Start(t.Context()))
	exchange()
	check(t, n.Pause())
	if _, err := nats.Connect(n.URL(), nats.Timeout(300*time.Millisecond)); err == nil {
		t.Error("a paused server answers")
	}
	check(t, n.Resume())
	exchange()
}

// TestClose leaves no process and no folder, also of a server that is paused.
func TestClose(t *testing.T) {
	t.Parallel()
	p, err := StartPostgres(t.Context())
	check(t, err)
	defer p.Close()
	n, err := StartNATS(t.Context())
	check(t, err)
	defer n.Close()
	all := left{Folders: []string{p.folder.name, n.folder.name}}
	for _, s := range []*server{p.server, n.server} {
		members, err := family(s.running.pid)
		check(t, err)
		for _, m := range members {
			all.PIDs = append(all.PIDs, m.pid)
		}
	}
	if len(all.PIDs) < 4 {
		t.Errorf("processes %v: PostgreSQL has some of its own", all.PIDs)
	}
	check(t, p.Pause())
	check(t, n.Pause())
	for range 2 {
		check(t, p.Close())
		check(t, n.Close())
	}
	all.checkEnded(t)
	for _, dir := range all.Folders {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("a closed server starts")
	}
}

// checkEnded waits until the processes are gone.
func (l left) checkEnded(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(stopLimit); ; time.Sleep(5 * time.Millisecond) {
		var alive []int
		for _, pid := range l.PIDs {
			// One of nobody's children may wait for ever to be asked how it ended.
			members, err := family(pid)
			check(t, err)
			for _, m := range members {
				if name, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", m.pid)); m.pid == pid && !(m.still && name == "") {
					alive = append(alive, pid)
				}
			}
		}
		if len(alive) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are left", alive)
		}
	}
}

// TestKilled kills a test binary that has servers, as nothing can be cleaned up
// after.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"running", "paused"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), abandon+"="+state)
			stdin, err := command.StdinPipe()
			check(t, err)
			defer stdin.Close()
			stdout, err := command.StdoutPipe()
			check(t, err)
			var stderr strings.Builder
			command.Stderr = &stderr
			check(t, command.Start())
			line, err := bufio.NewReader(stdout).ReadBytes('\n')
			var all left
			if err == nil {
				err = json.Unmarshal(line, &all)
			}
			_ = command.Process.Kill()
			_ = command.Wait()
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			all.checkEnded(t)
			for _, dir := range all.Folders {
				parent, base := filepath.Split(dir)
				f, err := newFolder(parent, base[:strings.LastIndexByte(base, '-')+1], nil)
				check(t, err)
				if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", dir, err)
				}
				if other, err := lockFolder(f.name); err == nil {
					t.Error("a folder in use is taken for one that was left")
					check(t, other.remove())
				}
				check(t, f.remove())
			}
		})
	}
}

// TestFailedStart says why, and leaves nothing.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	if _, err := StartPostgres(t.Context(), "no_such_setting=1"); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error does not hold the log: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartPostgres(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("started after all is over: %v", err)
	}
}

// TestPortTaken has another server listen on the port that was found free.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	p := startPostgres(t)
	n, err := StartNATS(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, n.Close()) })
	for _, s := range []*server{p.server, n.server} {
		check(t, s.Stop())
		listener, err := net.Listen("tcp", s.addr())
		check(t, err)
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), inUse) {
			t.Errorf("%s on a port that is taken: %v", s.name, err)
		}
		check(t, listener.Close())
		check(t, s.Start(t.Context()))
	}
}

// TestEndedByItself tells of a server that nobody stopped.
func TestEndedByItself(t *testing.T) {
	t.Parallel()
	n, err := StartNATS(t.Context())
	check(t, err)
	check(t, syscall.Kill(n.running.pid, syscall.SIGTERM))
	<-n.running.done
	if err := n.Close(); err == nil || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("closing a server that has ended: %v", err)
	}
	if _, err := os.Stat(n.folder.name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

// TestBinaries takes those that the environment names, and says so if they are
// not there.
func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HUBBUB_POSTGRES", dir)
	if _, err := StartPostgres(t.Context()); err == nil || !strings.Contains(err.Error(), "HUBBUB_POSTGRES") {
		t.Errorf("a folder without PostgreSQL: %v", err)
	}
	t.Setenv("HUBBUB_NATS_SERVER", filepath.Join(dir, "none"))
	if _, err := StartNATS(t.Context()); err == nil || !strings.Contains(err.Error(), "HUBBUB_NATS_SERVER") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestTemporary keeps the unprivileged user out of folders that it may not
// enter.
func TestTemporary(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs servers as another user")
	}
	a, err := unprivileged()
	check(t, err)
	closed, err := os.MkdirTemp("", "closed-")
	check(t, err)
	defer os.RemoveAll(closed)
	inside := filepath.Join(closed, "inside")
	check(t, os.Mkdir(inside, 0o777))
	t.Setenv("TMPDIR", inside)
	dir, err := a.temporary(true)
	check(t, err)
	if dir == inside {
		t.Error("took a folder in a closed one")
	}
	n, err := StartNATS(t.Context())
	check(t, err)
	check(t, n.Close())
	check(t, os.Chmod(closed, 0o701))
	if dir, err = a.temporary(true); err != nil || dir != inside {
		t.Errorf("got %s, %v; want %s", dir, err, inside)
	}
}

func BenchmarkStartPostgres(b *testing.B) {
	for b.Loop() {
		p, err := StartPostgres(b.Context())
		if err == nil {
			err = p.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewDatabase(b *testing.B) {
	p, err := StartPostgres(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		if _, err := p.NewDatabase(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartNATS(b *testing.B) {
	for b.Loop() {
		n, err := StartNATS(b.Context())
		if err == nil {
			err = n.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
