package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// running is a Hubbub in this process.
type running struct {
	url    string
	stderr *syncBuffer
	stop   context.CancelFunc
	done   chan error
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs Hubbub until it says where it is.
func start(t *testing.T, data string, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	r := &running{stderr: &syncBuffer{}, stop: stop, done: make(chan error, 1)}
	out, stdout := io.Pipe()
	go func() {
		args := append([]string{"--addr=127.0.0.1:0", "--data=" + data}, args...)
		r.done <- run(ctx, args, environment(nil), stdout, r.stderr)
		stdout.Close()
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("it did not start: %v", <-r.done)
	}
	address, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "Hubbub is at http://127.0.0.1:")
	if !ok || !strings.HasSuffix(address, "/") {
		t.Fatalf("it says %q", line[:n])
	}
	r.url = "http://127.0.0.1:" + strings.TrimSuffix(address, "/")
	return r
}

// stopped stops Hubbub and returns how long that took.
func (r *running) stopped(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	return time.Since(began)
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second}
}

func read(t *testing.T, response *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", response.Request.URL, response.Status, err)
	}
	return string(body)
}

// TestRun starts Hubbub, talks, stops it in good order, and finds everything
// again after a second start on the same data.
func TestRun(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "new", "data")
	r := start(t, data)
	client := newClient(t)
	post := func(path string, form url.Values) string {
		t.Helper()
		response, err := client.PostForm(r.url+path, form)
		return read(t, response, err)
	}
	post("/login", url.Values{"name": {"Anna"}, "password": {"password 1"}})
	if page := post("/channels/general/messages", url.Values{"body": {"It stays."}}); !strings.Contains(page, "It stays.") {
		t.Errorf("the page after a post: %s", page)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, r.url+"/channels/general/live?after=1", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	var reader sync.WaitGroup
	reader.Go(func() {
		if _, _, err := socket.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("the socket ended with %v", err)
		}
	})
	if took := r.stopped(t); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	reader.Wait()
	if response, err := client.Get(r.url + "/healthz"); err == nil {
		response.Body.Close()
		t.Error("it still answers")
	}
	if _, err := os.Stat(filepath.Join(data, "hubbub.db-wal")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the store was not closed: its log is there, %v", err)
	}
	if log := r.stderr.String(); !strings.Contains(log, "msg=stopping") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}

	r = start(t, data)
	for _, c := range []*http.Client{client, newClient(t)} { // with a session from before, and without
		client = c
		post("/login", url.Values{"name": {"Anna"}, "password": {"password 1"}})
		response, err := c.Get(r.url)
		if page := read(t, response, err); response.Request.URL.Path != "/channels/general" || !strings.Contains(page, "It stays.") {
			t.Errorf("/ leads to %s: %.500s", response.Request.URL, page)
		}
	}
	r.stopped(t)
}

// TestRunStopsWithSilentSocket does not wait for a browser that has hung.
func TestRunStopsWithSilentSocket(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	client := newClient(t)
	response, err := client.PostForm(r.url+"/login", url.Values{"name": {"Anna"}})
	read(t, response, err)
	// It never answers the closing handshake, for nobody reads from it.
	socket, _, err := websocket.Dial(t.Context(), r.url+"/channels/general/live?after=0", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	if took := r.stopped(t); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// TestRunFails with a sentence that names what is wrong.
func TestRunFails(t *testing.T) {
	t.Parallel()
	busy := start(t, t.TempDir())
	defer busy.stopped(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--post-rate=many"}, `--post-rate: "many"`},
		{[]string{"--no-such-flag"}, "--no-such-flag"},
		{[]string{"--addr=" + strings.TrimPrefix(busy.url, "http://")}, "--addr: listen"},
		{[]string{"--data=main_test.go"}, "main_test.go"},
		{[]string{"--log-file=" + filepath.Join(t.TempDir(), "none", "log")}, "--log-file"},
	} {
		args := append([]string{"--addr=127.0.0.1:0", "--data=" + t.TempDir()}, tt.args...)
		var stdout bytes.Buffer
		err := run(t.Context(), args, environment(nil), &stdout, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || stdout.Len() > 0 {
			t.Errorf("%s: %v, %q; want %q", tt.args, err, stdout.String(), tt.want)
		}
	}
}

// TestAccessLogIsOneLine sends what would end a line or reach a terminal.
func TestAccessLogIsOneLine(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		r := start(t, t.TempDir(), "--log-format="+format)
		response, err := http.Get(r.url + "/x%0d%0alevel=INFO%1b%5b31m%c2%9b31m%7f%e2%80%ae?secret=1")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		r.stopped(t)
		requests := 0
		for line := range strings.Lines(r.stderr.String()) {
			if strings.Contains(line, "status") && strings.Contains(line, "404") {
				requests++
			}
		}
		if log := r.stderr.String(); requests != 1 || strings.Count(log, "\n") != 2 || strings.ContainsAny(log, "\r\x1b\u009b\x7f\u202e") || strings.Contains(log, "secret") {
			t.Errorf("%s: %q", format, log)
		}
	}
}
