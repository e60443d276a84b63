package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// answerLimit is how long anything may take to be answered.
const answerLimit = 30 * time.Second

// client is one HTTP connection that is kept open. It is written to cost little
// beside the server: requests are made once, and answers are read into one
// buffer.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// answer is what a client was answered. The body is valid until the next one.
type answer struct {
	status   int
	encoding string
	location string
	session  string // of the cookie that it sets, if any
	body     []byte
}

func dial(ctx context.Context, host string) (*client, error) {
	conn, err := (&net.Dialer{Timeout: answerLimit}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends a request as it is and reads the answer.
func (c *client) do(request []byte) (answer, error) {
	if _, err := c.conn.Write(request); err != nil {
		return answer{}, err
	}
	var a answer
	length, chunked, err := c.header(&a)
	if err != nil {
		return a, err
	}
	c.body = c.body[:0]
	for {
		if chunked {
			line, err := c.line()
			if err != nil {
				return a, err
			}
			if length, err = strconv.ParseInt(string(line), 16, 32); err != nil {
				return a, fmt.Errorf("chunk of %q bytes", line)
			}
		}
		at := len(c.body)
		c.body = append(c.body, make([]byte, length)...)
		if _, err := io.ReadFull(c.in, c.body[at:]); err != nil {
			return a, err
		}
		if !chunked {
			break
		}
		if _, err := c.line(); err != nil {
			return a, err
		}
		if length == 0 {
			break
		}
	}
	a.body = c.body
	return a, nil
}

// header reads the head of an answer, and what it says about the body.
func (c *client) header(a *answer) (length int64, chunked bool, err error) {
	line, err := c.line()
	if err != nil {
		return 0, false, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, false, fmt.Errorf("answer begins with %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, fmt.Errorf("answer begins with %q", line)
	}
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return length, chunked, err
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.ParseInt(string(value), 10, 32); err != nil {
				return 0, false, err
			}
		case "Transfer-Encoding":
			chunked = string(value) == "chunked"
		case "Content-Encoding":
			a.encoding = string(value)
		case "Location":
			a.location = string(value)
		case "Set-Cookie":
			if rest, ok := bytes.CutPrefix(value, []byte("hubbub_session=")); ok {
				token, _, _ := bytes.Cut(rest, []byte(";"))
				a.session = string(token)
			}
		}
	}
}

// line reads a line without its end. It is valid until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), err
}

// user is someone who has signed in.
type user struct {
	host    string
	session string
}

// get is a request for a path as a browser sends it.
func (u user) get(path string, fields ...string) []byte {
	return u.request(http.MethodGet, path, "", fields...)
}

// postForm is a request that sends a form.
func (u user) postForm(path, form string) []byte {
	return u.request(http.MethodPost, path, form, "Content-Type: application/x-www-form-urlencoded",
		"Content-Length: "+strconv.Itoa(len(form)), "Origin: http://"+u.host, "Sec-Fetch-Site: same-origin")
}

func (u user) request(method, path, body string, fields ...string) []byte {
	lines := []string{method + " " + path + " HTTP/1.1", "Host: " + u.host, "User-Agent: bench", "Accept-Language: en"}
	if u.session != "" {
		lines = append(lines, "Cookie: hubbub_session="+u.session)
	}
	return []byte(strings.Join(append(lines, fields...), "\r\n") + "\r\n\r\n" + body)
}

// signIn signs somebody new in through the form.
func signIn(ctx context.Context, host, name string) (user, error) {
	c, err := dial(ctx, host)
	if err != nil {
		return user{}, err
	}
	defer c.close()
	u := user{host: host}
	a, err := c.do(u.postForm("/login", url.Values{"name": {name}}.Encode()))
	if err != nil {
		return user{}, err
	}
	if a.status != http.StatusSeeOther || a.session == "" {
		return user{}, fmt.Errorf("%s signs in: status %d", name, a.status)
	}
	u.session = a.session
	return u, nil
}

// people signs n people in, several at a time.
func people(ctx context.Context, host string, n int) ([]user, error) {
	users := make([]user, n)
	return users, each(ctx, n, func(ctx context.Context, i int) (err error) {
		users[i], err = signIn(ctx, host, viewerName(i))
		return err
	})
}

// viewerName is the name of one of the people.
func viewerName(i int) string { return fmt.Sprintf("viewer %05d", i) }

// each calls do for 0 to n-1, 32 at a time.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// room is the one channel of a new server.
const room = "/channels/general"

// channelPage is what a channel's page says.
type channelPage struct {
	live     string // path and query of its live connection
	revision int64
	rows     int
	body     []byte
}

var liveAddress = regexp.MustCompile(`hx-ws:connect="([^"]*)"[^>]* data-after="(\d+)"`)

// load gets a channel's page.
func (u user) load(ctx context.Context, path string) (channelPage, error) {
	c, err := dial(ctx, u.host)
	if err != nil {
		return channelPage{}, err
	}
	defer c.close()
	a, err := c.do(u.get(path))
	if err != nil {
		return channelPage{}, err
	}
	found := liveAddress.FindSubmatch(a.body)
	if a.status != http.StatusOK || found == nil {
		return channelPage{}, fmt.Errorf("page of %s: status %d, %d bytes", path, a.status, len(a.body))
	}
	p := channelPage{live: html.UnescapeString(string(found[1])), rows: countRows(a.body), body: a.body}
	p.revision, err = strconv.ParseInt(string(found[2]), 10, 64)
	return p, err
}

// countRows returns how many rows a page shows, -1 where it is not whole.
func countRows(page []byte) int {
	if !bytes.HasSuffix(bytes.TrimSpace(page), []byte("</html>")) {
		return -1
	}
	return bytes.Count(page, []byte(` id="m-`))
}

// What is posted: a mark, a token that tells one post from all others, and
// words, about 120 characters in all.
const (
	postMark  = "bench "
	postField = "body=bench+"
	tokenLen  = 8
	postWords = "the quick brown fox jumps over the lazy dog and runs on through the wood till nobody sees it any more"
)

func tokenText(token int) string { return fmt.Sprintf("%0*x", tokenLen, token) }

// newKey returns a key such as the form of a page made just now has.
func newKey() string { return strconv.FormatInt(time.Now().UnixMilli(), 36) + rand.Text() }

// poster posts to a channel. Like a page's form, it sends a key with each.
type poster struct {
	*client
	ledger  *ledger
	status  int // of an accepted post
	request []byte
	token   []byte // in the request
	key     []byte // in the request
}

func newPoster(ctx context.Context, u user, path string, status int, l *ledger) (*poster, error) {
	c, err := dial(ctx, u.host)
	if err != nil {
		return nil, err
	}
	words := strings.ReplaceAll(postWords, " ", "+")
	p := &poster{client: c, ledger: l, status: status}
	p.request = u.postForm(path+"/messages", postField+tokenText(0)+"+"+words+"&key="+newKey())
	p.key = p.request[len(p.request)-len(newKey()):]
	at := bytes.Index(p.request, []byte(postField)) + len(postField)
	p.token = p.request[at : at+tokenLen]
	return p, nil
}

// post posts once. It must be accepted.
func (p *poster) post(token int) error {
	const digits = "0123456789abcdef"
	for i := range tokenLen {
		p.token[i] = digits[token>>(4*(tokenLen-1-i))&15]
	}
	copy(p.key, newKey())
	a, err := p.do(p.request)
	if err != nil {
		return err
	}
	if a.status != p.status {
		return fmt.Errorf("a post was answered with %d", a.status)
	}
	p.ledger.accepted.Add(1)
	return nil
}

// next posts what the ledger says is next.
func (p *poster) next() error {
	token, err := p.ledger.next(p.ledger.now())
	if err != nil {
		return err
	}
	return p.post(token)
}

// posters opens n connections that post, each as one of the users. They are to
// be used at once: servers give up a connection that is silent.
func posters(ctx context.Context, users []user, n int, path string, status int, l *ledger) ([]*poster, error) {
	all := make([]*poster, 0, n)
	for i := range n {
		p, err := newPoster(ctx, users[i%len(users)], path, status, l)
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
	return all, nil
}

// hammered is what came of asking as fast as answers come.
type hammered struct {
	count   int
	took    time.Duration
	cpu     time.Duration // of the server
	frames  int64         // that came to viewers, without the beats
	answers *histogram    // how long each took
}

func (h hammered) perSecond() float64 { return float64(h.count) / h.took.Seconds() }

// busy is the part of the time in which the server had its core.
func (h hammered) busy() float64 { return h.cpu.Seconds() / h.took.Seconds() }

// clock tells how much CPU time a server has used.
type clock interface {
	cpu() (time.Duration, error)
}

// hammer has n clients ask again and again for a time, each as fast as it is
// answered.
func hammer(server clock, d time.Duration, n int, ask func(i int) error) (h hammered, err error) {
	h.answers = &histogram{}
	before, err := server.cpu()
	if err != nil {
		return h, err
	}
	began := time.Now()
	var mu sync.Mutex
	var group errgroup.Group
	for i := range n {
		group.Go(func() error {
			count := 0
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				h.count += count
			}()
			for asked := time.Now(); asked.Sub(began) < d; {
				if err := ask(i); err != nil {
					return err
				}
				count++
				now := time.Now()
				h.answers.add(now.Sub(asked))
				asked = now
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return h, err
	}
	h.took = time.Since(began)
	after, err := server.cpu()
	h.cpu = after - before
	return h, err
}

// errOverfull says that a run posted more than the ledger has room for.
var errOverfull = errors.New("the ledger is full: measure for a shorter time")
