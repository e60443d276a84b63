package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// crashes is how often TestCrash kills the server: HUBBUB_CRASHES, or 10.
func crashes(t *testing.T) int {
	t.Helper()
	value := os.Getenv("HUBBUB_CRASHES")
	if value == "" {
		return 10
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("HUBBUB_CRASHES=%q is not a number of crashes", value)
	}
	return n
}

// poster posts one message after the other. What is not acknowledged it posts
// again, with the same key, till it is.
type poster struct {
	name         string
	client       *http.Client
	sent         int // messages tried, the last of them perhaps not acknowledged
	acknowledged int
}

func newPoster(t *testing.T, s *server, name string) *poster {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &poster{name: name, client: &http.Client{
		Jar: jar, Transport: &http.Transport{}, Timeout: startLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if status, err := p.form(s.URL+"/login", url.Values{"name": {name}}); err != nil || status != http.StatusSeeOther {
		t.Fatalf("%s signs in: %d, %v", name, status, err)
	}
	return p
}

func (p *poster) form(address string, form url.Values) (status int, err error) {
	response, err := p.client.PostForm(address, form)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// post posts till it fails. A failure is the server's end.
func (p *poster) post(t *testing.T, s *server, counted *atomic.Int64) {
	for {
		if p.sent == p.acknowledged {
			p.sent++
		}
		body := fmt.Sprint(p.name, " ", p.sent)
		status, err := p.form(s.URL+"/channels/general/messages", url.Values{"body": {body}, "key": {body}})
		if err != nil {
			return
		}
		if status != http.StatusSeeOther {
			t.Errorf("%s: %d", body, status)
			return
		}
		p.acknowledged++
		counted.Add(1)
	}
}

// TestCrash kills the server again and again while people post. What was
// acknowledged is there, once, and what was not is there once it is posted
// again.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := quick(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var posters []*poster
	for i := range 8 {
		posters = append(posters, newPoster(t, s, fmt.Sprint("Poster ", i)))
	}
	for crash := range crashes(t) {
		var group sync.WaitGroup
		var counted atomic.Int64
		for _, p := range posters {
			group.Go(func() { p.post(t, s, &counted) })
		}
		enough := int64(1 + random.IntN(200))
		eventually(t, "posts before the crash", func() bool { return t.Failed() || counted.Load() >= enough })
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond) // to hit any moment of a commit
		s.kill(t, syscall.SIGKILL)
		group.Wait()
		if t.Failed() {
			t.FailNow()
		}
		checkMessages(t, copyOf(t, s.Data), posters)
		s.restart(t)
		for _, p := range posters {
			// The session has survived, and so has the key of the last post.
			body := fmt.Sprint(p.name, " ", p.sent)
			status, err := p.form(s.URL+"/channels/general/messages", url.Values{"body": {body}, "key": {body}})
			if err != nil || status != http.StatusSeeOther {
				t.Fatalf("crash %d: %s again: %d, %v", crash, body, status, err)
			}
			p.acknowledged = p.sent
		}
	}
	s.kill(t, syscall.SIGTERM)
	checkMessages(t, s.Data, posters)
}

// copyOf copies the data of a killed server, so that looking at it repairs
// nothing.
func copyOf(t *testing.T, data string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkMessages holds the database to what the posters know.
func checkMessages(t *testing.T, data string, posters []*poster) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "hubbub.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
	rows, err := db.Query(`
		SELECT m.id, m.revision, m.body, c.revision FROM messages m JOIN channels c ON c.id = m.channel_id
		WHERE c.name = 'general' ORDER BY m.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	last := map[string]int{} // the number of each poster's last message
	var count, revision int64
	var out bytes.Buffer
	for rows.Next() {
		var id, changed int64
		var body string
		if err := rows.Scan(&id, &changed, &body, &revision); err != nil {
			t.Fatal(err)
		}
		count++
		if id != count || changed != count {
			fmt.Fprintf(&out, "message %d has id %d and revision %d\n", count, id, changed)
		}
		at := strings.LastIndexByte(body, ' ')
		n, err := strconv.Atoi(body[at+1:])
		if name := body[:at]; err != nil || n != last[name]+1 {
			fmt.Fprintf(&out, "%q follows number %d\n", body, last[name])
		} else {
			last[name] = n
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if revision != count {
		fmt.Fprintf(&out, "%d messages, but the channel is at revision %d\n", count, revision)
	}
	for _, p := range posters {
		if n := last[p.name]; n < p.acknowledged || n > p.sent {
			fmt.Fprintf(&out, "%s: %d messages, %d acknowledged, %d sent\n", p.name, n, p.acknowledged, p.sent)
		}
	}
	if out.Len() > 0 {
		t.Errorf("%.3000s", out.String())
	}
}
