package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pageSize is how many rows a page shows.
const pageSize = 100

// The times of static/live.js, shorter: the server shows that it lives every
// 25 seconds, and no test waits for that. Who hears nothing comes back.
const (
	openWithin = time.Second     // for a connection to show that it works, in a model
	silent     = 2 * time.Second // without a sign of life before it is taken for dead, in a model
	firstLook  = 2 * time.Second // between looks for a better connection, at first
	lastLook   = 8 * time.Second // and at most
)

// rowHTML is a message's row, without what the page adds to it.
type rowHTML struct {
	id, revision int64
	html         string
}

// A row is read up to its </li>: text in it is escaped, so it holds no other.
var (
	rowStart     = regexp.MustCompile(`<li(?: class="[^"]*")?( id="m-(\d+)" data-revision="(\d+)"[ >])`)
	partialStart = regexp.MustCompile(`^<hx-partial hx-target="([^"]*)" hx-swap="([^"]*)"[^>]*>`)
	rowTarget    = regexp.MustCompile(`^#m-(\d+)$`)
	revisionIn   = regexp.MustCompile(`data-revision="(\d+)"`)
	listIn       = regexp.MustCompile(`(?s)<ol id="messages".*?</ol>`)
	afterIn      = regexp.MustCompile(`id="live"[^>]* data-after="(\d+)"`)
	stateIn      = regexp.MustCompile(`id="(here|news)" data-state="([^"]*)"`)
	hereIn       = regexp.MustCompile(`(?s)<ul id="here".*?</ul>`)
	channelIn    = regexp.MustCompile(`<form[^>]* action="([^"]*)/messages"[^>]* data-channel="(\d+)"`)
	messageIn    = regexp.MustCompile(`="/m/(\d+)/`)
)

func toNumber(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		panic(err) // the expressions above let only digits through
	}
	return n
}

// channelOf returns the id of the channel with that path, as its page says it.
func channelOf(path, html string) (int64, error) {
	m := channelIn.FindStringSubmatch(html)
	if m == nil || m[1] != path {
		return 0, fmt.Errorf("no page of %s: %.300q", path, html)
	}
	return toNumber(m[2]), nil
}

// rowsOf returns the rows in a piece of HTML, in their order, and passes over
// what else there is. Each has to be of the channel with that id.
func rowsOf(channel int64, html string) ([]rowHTML, error) {
	var found []rowHTML
	for {
		at := rowStart.FindStringSubmatchIndex(html)
		if at == nil {
			return found, nil
		}
		whole, rest, ok := strings.Cut(html[at[2]:], "</li>")
		if !ok {
			return nil, fmt.Errorf("a row without an end: %.300q", html)
		}
		r := rowHTML{toNumber(html[at[4]:at[5]]), toNumber(html[at[6]:at[7]]), "<li" + whole + "</li>"}
		if address := fmt.Sprintf(` formaction="/m/%d/%d/delete"`, channel, r.id); !strings.Contains(whole, address) {
			return nil, fmt.Errorf("a row that is not of channel %d: %s", channel, r.html)
		}
		for _, m := range messageIn.FindAllStringSubmatch(whole, -1) {
			if toNumber(m[1]) != channel {
				return nil, fmt.Errorf("a row of channel %d that leads to another: %s", channel, r.html)
			}
		}
		found, html = append(found, r), rest
	}
}

// readPage returns the rows that a channel's page shows and the revision after
// which it asks for more.
func readPage(path, html string) (rows []rowHTML, after int64, err error) {
	list, m := listIn.FindString(html), afterIn.FindStringSubmatch(html)
	if list == "" || m == nil {
		return nil, 0, fmt.Errorf("no live page: %.300q", html)
	}
	channel, err := channelOf(path, html)
	if err != nil {
		return nil, 0, err
	}
	rows, err = rowsOf(channel, list)
	return rows, toNumber(m[1]), err
}

// replica is what a page holds that was loaded once and then knows nothing but
// frames.
type replica struct {
	channel  int64 // its id
	rows     map[int64]rowHTML
	gone     map[int64]bool // ids that it was told to take away
	after    int64          // it holds everything up to this revision
	states   map[string]string
	parts    map[string]string // what else it shows, by the target of the frames that changed it last
	replaced int               // how often a frame took the place of all
}

// newReplica returns what a page holds when it has loaded.
func newReplica(path, html string) (*replica, error) {
	rows, after, err := readPage(path, html)
	if err != nil {
		return nil, err
	}
	channel, err := channelOf(path, html)
	r := &replica{
		channel: channel, rows: map[int64]rowHTML{}, gone: map[int64]bool{}, after: after,
		states: map[string]string{}, parts: map[string]string{"#here": hereIn.FindString(html)},
	}
	r.show(html)
	for _, row := range rows {
		r.rows[row.id] = row
	}
	return r, err
}

// show notes the states of presence and news that a page or a frame shows, for
// the server sends what differs from them.
func (r *replica) show(html string) {
	for _, m := range stateIn.FindAllStringSubmatch(html, -1) {
		r.states[m[1]] = m[2]
	}
}

// partial is what an <hx-partial> asks for.
type partial struct {
	target, style, html string
	found               bool // the target is there
}

// apply does what a frame says, as htmx does: all targets are looked up, then
// plain rows are put in, then the partials take place.
func (r *replica) apply(frame string) error {
	plain := ""
	var partials []partial
	for rest := strings.TrimSpace(frame); rest != ""; rest = strings.TrimSpace(rest) {
		if m := partialStart.FindStringSubmatch(rest); m != nil {
			html, after, ok := strings.Cut(rest[len(m[0]):], "</hx-partial>")
			if !ok {
				return fmt.Errorf("a partial without an end: %.300q", rest)
			}
			s := partial{target: m[1], style: m[2], html: html}
			if id := rowTarget.FindStringSubmatch(s.target); id != nil {
				_, s.found = r.rows[toNumber(id[1])]
			}
			partials = append(partials, s)
			rest = after
			continue
		}
		if !strings.HasPrefix(rest, `<li id="m-`) {
			return fmt.Errorf("a frame with %.300q", rest)
		}
		html, after, _ := strings.Cut(rest, "</li>")
		plain += html + "</li>"
		rest = after
	}
	newest := r.newest()
	if err := r.put(plain); err != nil {
		return err
	}
	for _, s := range partials {
		if err := r.swap(s); err != nil {
			return err
		}
	}
	if r.newest() > newest {
		r.trim()
	}
	r.hear(frame)
	return nil
}

// newest is the id of the last row, 0 for none.
func (r *replica) newest() int64 {
	ids := r.ids()
	return append([]int64{0}, ids...)[len(ids)]
}

// trim drops the oldest of too many rows. A page does so once the whole frame
// has been swapped in, where that has put news at the end.
func (r *replica) trim() {
	ids := r.ids()
	for _, id := range ids[:max(0, len(ids)-pageSize)] {
		delete(r.rows, id)
	}
}

// put puts rows in by their id.
func (r *replica) put(html string) error {
	rows, err := rowsOf(r.channel, html)
	if err != nil {
		return err
	}
	for _, row := range rows {
		have, ok := r.rows[row.id]
		switch {
		case r.gone[row.id]:
			return fmt.Errorf("it was deleted and comes again: %s", row.html)
		case ok && have.revision == row.revision && have.html != row.html:
			return fmt.Errorf("two rows of one revision: %s and %s", have.html, row.html)
		case !ok || have.revision < row.revision:
			r.rows[row.id] = row
		}
	}
	return nil
}

// swap does what a partial asks for.
func (r *replica) swap(s partial) error {
	id := rowTarget.FindStringSubmatch(s.target)
	switch {
	case id != nil && s.style == "delete":
		r.gone[toNumber(id[1])] = true
		if s.found {
			delete(r.rows, toNumber(id[1]))
		}
	case id != nil && s.style == "outerHTML":
		return r.alter(toNumber(id[1]), s)
	case s.target == "#messages" && s.style == "innerHTML":
		clear(r.rows)
		clear(r.gone)
		r.replaced++
		return r.put(s.html)
	case id != nil || s.target == "#messages":
		return fmt.Errorf("a partial that swaps %s by %s", s.target, s.style)
	default:
		r.show(s.html)
		r.parts[s.target] = s.html
	}
	return nil
}

// alter has an altered row take its place, where there is that.
func (r *replica) alter(id int64, s partial) error {
	rows, err := rowsOf(r.channel, s.html)
	switch {
	case err != nil:
		return err
	case len(rows) != 1 || rows[0].id != id:
		return fmt.Errorf("row %d is altered to %d rows: %s", id, len(rows), s.html)
	case r.gone[id]:
		return fmt.Errorf("it was deleted and is altered: %s", s.html)
	case !s.found:
		return nil
	case r.rows[id].revision > rows[0].revision:
		return fmt.Errorf("a row goes back from %s to %s", r.rows[id].html, rows[0].html)
	}
	return r.put(s.html)
}

// hear raises what it holds, as live.js does.
func (r *replica) hear(frame string) {
	if strings.HasPrefix(frame, `<hx-partial hx-target="#messages"`) {
		r.after = 0
	}
	for _, m := range revisionIn.FindAllStringSubmatch(frame, -1) {
		r.after = max(r.after, toNumber(m[1]))
	}
}

func (r *replica) ids() []int64 { return slices.Sorted(maps.Keys(r.rows)) }

// moment is what a page showed when it held everything up to a revision.
type moment struct {
	revision int64
	count    int    // of its rows
	ids      uint64 // a sum of them
}

// momentOf returns what a page shows that has these rows, oldest first.
func momentOf(revision int64, ids []int64) moment {
	sum := fnv.New64a()
	for _, id := range ids {
		fmt.Fprintln(sum, id)
	}
	return moment{revision, len(ids), sum.Sum64()}
}

// differs says how it differs from a fresh page, "" for not at all.
func (r *replica) differs(rows []rowHTML, after int64) string {
	if r.after != after {
		return fmt.Sprintf("it is at revision %d, a fresh page at %d", r.after, after)
	}
	ids := r.ids()
	for i, fresh := range rows {
		switch {
		case i >= len(ids):
			return fmt.Sprintf("it ends before row %d", fresh.id)
		case ids[i] != fresh.id:
			return fmt.Sprintf("its row no. %d is %d, a fresh page's is %d", i+1, ids[i], fresh.id)
		case r.rows[fresh.id] != fresh:
			return fmt.Sprintf("its row is\n%s\na fresh page's is\n%s", r.rows[fresh.id].html, fresh.html)
		}
	}
	if len(ids) > len(rows) {
		return fmt.Sprintf("it goes on with row %d, where a fresh page ends", ids[len(rows)])
	}
	return ""
}

// client is a page with its live connection, as static/live.js makes it: it
// climbs down from a transport that does not work and looks for a better one.
type client struct {
	name string
	path string // of the channel's page
	line *line
	http *http.Client

	random     *rand.Rand
	openWithin time.Duration // for a connection to show that it works
	silent     time.Duration // without a sign of life before it is taken for dead
	failures   int
	lookAfter  time.Duration // as live.js's climbAfter

	began   time.Time
	mu      sync.Mutex
	page    *replica       // nil until it has loaded
	fault   error          // what no server may do; it ends the client
	history []string       // the transports that it had, and why they ended
	opened  map[string]int // how often each transport has worked
	frames  map[string]int
	moments []moment // after the page and each frame
}

// rung is what a client does next: nil is the end.
type rung func(context.Context) rung

// errBetter ends a rung from which a WebSocket can be had.
var errBetter = errors.New("there is a better one")

// errSilent ends a rung without a sign of life.
var errSilent = errors.New("silence")

// errOver says that a stream has told the page to load again.
var errOver = errors.New("a stream says that it is over")

// run loads the page and keeps it live until ctx ends.
func (c *client) run(ctx context.Context) {
	defer c.http.CloseIdleConnections()
	next := c.load
	for next != nil && ctx.Err() == nil {
		next = next(ctx)
	}
}

// note keeps the end of a rung for the report of a failure.
func (c *client) note(rung string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.history) >= 60 {
		c.history = slices.Delete(c.history, 0, 20)
	}
	after := int64(-1)
	if c.page != nil {
		after = c.page.after
	}
	c.history = append(c.history, fmt.Sprintf("%6.2fs at %d %s: %v", time.Since(c.began).Seconds(), after, rung, err))
}

// works notes that a transport has opened.
func (c *client) works(by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[by]++
}

// blame notes what no server may do, and ends the client.
func (c *client) blame(err error) rung {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = cmp.Or(c.fault, err)
	return nil
}

// take takes a frame that came by a transport.
func (c *client) take(by, frame string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames[by]++
	c.fault = c.page.apply(frame)
	c.moments = append(c.moments, momentOf(c.page.after, c.page.ids()))
	return c.fault
}

func (c *client) live() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	query := url.Values{"after": {strconv.FormatInt(c.page.after, 10)}, "tab": {"tab"}}
	for id, state := range c.page.states {
		query.Set(id, state)
	}
	return c.line.URL + c.path + "/live?" + query.Encode()
}

// ask returns the status and the body of an answer.
func (c *client) ask(ctx context.Context, address string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Accept", "text/html")
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	if !ours(answer) {
		return 0, "", errForeign
	}
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

// rest waits before another try, longer after each failure. Now and then it is
// a lid that is closed for a while.
func (c *client) rest(ctx context.Context) {
	d := min(50*time.Millisecond<<min(c.failures, 10), time.Second)
	c.failures++
	if c.random.IntN(10) == 0 {
		d = 4 * time.Second
	}
	lasts(ctx, time.Duration((0.7+0.6*c.random.Float64())*float64(d)))
}

// load loads the page.
func (c *client) load(ctx context.Context) rung {
	loading, cancel := context.WithTimeout(ctx, c.silent)
	defer cancel()
	status, html, err := c.ask(loading, c.line.URL+c.path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		c.note("page", err)
		c.rest(ctx)
		return c.load
	}
	page, err := newReplica(c.path, html)
	if err != nil {
		return c.blame(err)
	}
	c.mu.Lock()
	c.page = page
	c.moments = append(c.moments, momentOf(page.after, page.ids()))
	c.mu.Unlock()
	return c.socket
}

// socket is the first rung, a WebSocket.
func (c *client) socket(ctx context.Context) rung {
	conn, err := c.dial(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		c.note("websocket", err)
		return c.events
	case err != nil:
		c.note("websocket", err)
		c.rest(ctx)
		if c.failures >= 2 {
			return c.events
		}
		return c.socket
	}
	defer conn.CloseNow() //nolint:errcheck // it may be closed
	conn.SetReadLimit(16 << 20)
	c.works("websocket")
	c.failures, c.lookAfter = 0, firstLook
	for {
		reading, cancel := context.WithTimeoutCause(ctx, c.silent, errSilent)
		_, frame, err := conn.Read(reading)
		if err != nil && context.Cause(reading) != nil {
			err = context.Cause(reading)
		}
		cancel()
		if code := websocket.CloseStatus(err); code >= 4000 {
			return c.blame(fmt.Errorf("a WebSocket is closed: %w", err))
		}
		if err != nil {
			c.note("websocket", err)
			if !errors.Is(err, errSilent) {
				c.rest(ctx)
			}
			return c.socket
		}
		if string(frame) == " " {
			continue
		}
		if err := c.take("websocket", string(frame)); err != nil {
			return c.blame(err)
		}
	}
}

// dial opens a WebSocket.
func (c *client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.openWithin)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, c.live(), &websocket.DialOptions{HTTPClient: c.http})
	return conn, err
}

// look looks for a WebSocket now and then, and has its rung end with errBetter
// once there is one. The function that it returns ends that.
func (c *client) look(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for lasts(ctx, c.lookAfter) {
			c.lookAfter = min(2*c.lookAfter, lastLook)
			if conn, err := c.dial(ctx); err == nil {
				_ = conn.CloseNow() // the rung opens its own
				end(errBetter)
				return
			}
		}
	})
	return func() {
		cancel()
		looking.Wait()
	}
}

// events is the second rung, text/event-stream.
func (c *client) events(ctx context.Context) rung {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	alive := time.AfterFunc(c.openWithin, func() { end(errSilent) })
	defer alive.Stop()
	stop := func() {}
	defer func() { stop() }()

	err := c.stream(ctx, func(name, data string) error {
		alive.Reset(c.silent)
		switch name {
		case "open":
			c.works("events")
			stop = c.look(ctx, end)
			return nil
		case "beat", "end":
			return nil // the answer ends after "end"
		case "over":
			return c.fail(errOver)
		case "message":
			return c.take("events", data)
		default:
			return c.fail(fmt.Errorf("an event %q", name))
		}
	})
	if c.faulty() {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	c.note("events", err)
	if errors.Is(err, errBetter) {
		c.failures = 0
		return c.socket
	}
	return c.held
}

// fail is blame for one that goes on with an error.
func (c *client) fail(err error) error {
	c.blame(err)
	return err
}

func (c *client) faulty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault != nil
}

// stream reads events as an EventSource does, until one is not taken or the
// stream ends.
func (c *client) stream(ctx context.Context, take func(name, data string) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.live(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return fmt.Errorf("%s, %s", answer.Status, kind)
	}
	lines := bufio.NewReader(answer.Body)
	name, data := "message", []string(nil)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err // with half an event nothing is done
		}
		line = line[:len(line)-1]
		if bytes.ContainsRune(line, '\r') {
			return c.fail(fmt.Errorf("an event stream with a line end within a line: %q", line))
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			data = append(data, string(value))
		case "":
			if len(line) == 0 && data != nil {
				if err := take(name, strings.Join(data, "\n")); err != nil {
					return err
				}
			}
			name, data = "message", nil
		}
	}
}

// held is the last rung, one answer after the other.
func (c *client) held(ctx context.Context) rung {
	holding, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer c.look(holding, end)()
	for {
		asking, cancel := context.WithTimeoutCause(holding, c.silent, errSilent)
		status, frame, err := c.ask(asking, c.live())
		if err != nil && context.Cause(asking) != nil {
			err = context.Cause(asking)
		}
		cancel()
		switch {
		case errors.Is(err, errBetter):
			c.note("held", err)
			c.failures = 0
			return c.socket
		case err == nil && (status == http.StatusUnauthorized || status == http.StatusNotFound):
			return c.blame(fmt.Errorf("a held answer of %d", status))
		case err == nil && status != http.StatusOK:
			err = fmt.Errorf("status %d", status)
		}
		if err != nil {
			c.note("held", err)
			c.rest(ctx)
			return c.socket
		}
		if strings.TrimSpace(frame) == "" {
			continue
		}
		if err := c.take("held", frame); err != nil {
			return c.blame(err)
		}
	}
}

// differs says how the client's page differs from a fresh one, "" for not at
// all.
func (c *client) differs(rows []rowHTML, after int64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fault != nil:
		return c.fault.Error()
	case c.page == nil:
		return "it has not loaded"
	default:
		return c.page.differs(rows, after)
	}
}

// lasts waits for some time and reports whether ctx lasted so long.
func lasts(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// pathOf is the path of a channel's page.
func pathOf(channel string) string { return "/channels/" + url.PathEscape(channel) }
