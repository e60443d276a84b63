package e2e

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// seed replays the fates and the actions of a run of a model:
// go test ./e2e -run '^TestModel$' -seed=N
var seed = flag.Uint64("seed", 0, "replay the run of a model with this seed")

const (
	modelClients = 50
	modelAuthors = 32
	settleLimit  = 30 * time.Second // for a client to hold what there is, once there is peace

	enoughTroubles = 5
)

// modelTime is how long a model makes trouble: HUBBUB_MODEL, or 12s.
func modelTime(t *testing.T) time.Duration {
	t.Helper()
	value := os.Getenv("HUBBUB_MODEL")
	if value == "" {
		return 12 * time.Second
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		t.Fatalf("HUBBUB_MODEL=%q is not a time such as 5m", value)
	}
	return d
}

// TestModel is a model of one node on SQLite.
func TestModel(t *testing.T) {
	t.Parallel()
	runModel(t, func(t *testing.T, flags ...string) *nodes { return &nodes{all: []*server{quick(t, flags...)}} })
}

// TestModelNodes is a model of three nodes on PostgreSQL, of which each request
// goes to any, and of the servers between them, which are stopped as well.
func TestModelNodes(t *testing.T) {
	t.Parallel()
	for bus, options := range buses {
		t.Run(bus, func(t *testing.T) {
			t.Parallel()
			runModel(t, func(t *testing.T, flags ...string) *nodes {
				return startNodes(t, 3, append([]nodesOption{ownPostgres, withFlags(flags...)}, options...)...)
			})
		})
	}
}

// runModel has people post and delete, and pages follow them on all transports,
// each behind a proxy of its own that refuses upgrades, holds answers back,
// stalls, cuts or answers in the servers' place, while servers are stopped and killed. Then there is peace, but
// for each proxy's own obstacle. By then every page, fed only by frames, must
// hold what a fresh one of any node holds; and after each frame on the way it
// must have held what a page of that revision held, for the connection could
// have ended there.
//
// The seed gives what everyone does, and the fate of each line's n-th
// connection. It does not give which of two things at the same time is first,
// nor which node answers: a run that is replayed is alike, not the same.
func runModel(t *testing.T, start func(t *testing.T, flags ...string) *nodes) {
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: go test ./e2e -run '^%s$' -seed=%[1]d", seed, strings.ReplaceAll(t.Name(), "/", "$/^"))
	trouble := modelTime(t)
	logFile := filepath.Join(t.ArtifactDir(), "hubbub.log")
	n := start(t, "--log-format=text", "--log-file="+logFile)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the log complains of:\n%s", complaints(t, logFile))
		}
	})
	m := &model{seed: seed, nodes: n, channels: []string{"general", "A/B 100%", "闲聊"}, ids: map[string]int64{}}
	// What is under way has till then to end.
	ctx, cancel := context.WithTimeout(t.Context(), trouble+4*settleLimit)
	defer cancel()
	founder := newVisitor(t, n.all[0], "Founder")
	for _, channel := range m.channels[1:] {
		if status := founder.send(t, "/channels", url.Values{"name": {channel}}); status != http.StatusSeeOther {
			t.Fatalf("a channel is answered with %d", status)
		}
	}
	for _, channel := range m.channels {
		_, html := founder.page(t, pathOf(channel))
		id, err := channelOf(pathOf(channel), html)
		noError(t, err)
		m.ids[channel] = id
	}
	obstacles := []obstacle{nothing, refuses, nothing, buffers, nothing, swallows, strips}
	for i := range modelClients {
		m.clients = append(m.clients, m.newClient(t, i, obstacles[i%len(obstacles)]))
	}
	for i := range modelAuthors {
		m.authors = append(m.authors, m.newAuthor(t, i))
	}

	m.fill(t, ctx)
	watching, leave := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer leave()
	for _, c := range m.clients {
		late := time.Duration(c.random.Int64N(int64(trouble / 4)))
		clients.Go(func() {
			if lasts(watching, late) {
				c.run(watching)
			}
		})
	}
	writing, stop := context.WithCancel(ctx)
	var authors sync.WaitGroup
	defer authors.Wait()
	defer stop()
	authors.Go(func() { m.changeSeasons(writing, m.numbers(streamSeasons, 0)) })
	for _, a := range m.authors {
		authors.Go(func() { a.run(writing, ctx) })
	}

	m.operate(t, time.Now().Add(trouble), m.numbers(streamOperator, 0))
	m.calm.Store(true)
	stop()
	authors.Wait()
	m.compareClients(t)
	leave()
	clients.Wait()
	m.compareAuthors(t)
	n.kill(t, syscall.SIGTERM)
	m.compareMoments(t)
	m.report(t)
}

// Each that draws numbers has a stream of its own.
const (
	streamOperator = iota
	streamSeasons
	streamClient
	streamLine
	streamAuthor
	streamAuthorLine
)

// numbers returns the n-th sequence of random numbers of a kind.
func (m *model) numbers(stream, n int) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, uint64(stream)<<32|uint64(n)))
}

// complaints returns the end of what the servers' log holds that is not in order.
func complaints(t *testing.T, logFile string) string {
	text, err := os.ReadFile(logFile)
	if err != nil {
		t.Error(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Contains(line, "level=INFO") })
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// model is one run of a model.
type model struct {
	seed     uint64
	nodes    *nodes
	channels []string
	ids      map[string]int64 // of the channels
	clients  []*client
	authors  []*author
	calm     atomic.Bool   // the lines are as good as they get
	clearing atomic.Bool   // more is deleted than posted
	answered atomic.Int64  // posts and deletes
	troubled int           // how often there was trouble
	stopping time.Duration // the longest that a server took to end after SIGTERM
	healing  time.Duration // the longest that servers took to be ready after their database was back
}

func (m *model) newClient(t *testing.T, n int, own obstacle) *client {
	t.Helper()
	name := fmt.Sprint("Client ", n)
	return &client{
		name: name, path: pathOf(m.channels[n%len(m.channels)]), began: time.Now(),
		line:   newLine(t, m.nodes, own, m.numbers(streamLine, n), &m.calm),
		http:   &http.Client{Jar: newVisitor(t, m.node(n), name).client.Jar, Transport: &http.Transport{}, CheckRedirect: stay},
		random: m.numbers(streamClient, n), openWithin: openWithin, silent: silent, lookAfter: firstLook,
		opened: map[string]int{}, frames: map[string]int{},
	}
}

// node takes the nodes in turns.
func (m *model) node(n int) *server { return m.nodes.all[n%len(m.nodes.all)] }

// operate makes trouble for some time, and until enough has taken place. However
// slow the machine is, something is done between two troubles.
func (m *model) operate(t *testing.T, until time.Time, random *rand.Rand) {
	t.Helper()
	troubles := m.troubles()
	first := random.IntN(len(troubles))
	for {
		up := 500*time.Millisecond + time.Duration(random.Int64N(int64(m.upTime())))
		work := m.answered.Load() + 50 + random.Int64N(250)
		left := time.Until(until)
		if left < up && m.enough() || left < -2*settleLimit {
			lasts(t.Context(), left)
			return
		}
		lasts(t.Context(), up)
		for limit := time.Now().Add(5 * time.Second); m.answered.Load() < work && time.Now().Before(limit); {
			lasts(t.Context(), 10*time.Millisecond)
		}
		troubles[(first+m.troubled)%len(troubles)](t, random)
		m.troubled++
	}
}

// upTime is how long there is no trouble at most, but for half a second: there
// is more of it where there are more servers.
func (m *model) upTime() time.Duration { return 8 * time.Second / time.Duration(len(m.troubles())) }

// trouble is what the operator does and mends.
type trouble func(t *testing.T, random *rand.Rand)

// troubles are those that there are, in turns. Any enoughTroubles of them on end
// are of all kinds.
func (m *model) troubles() []trouble {
	kill, stop := m.restart(1, syscall.SIGKILL), m.restart(1, syscall.SIGTERM)
	if m.nodes.postgres == nil {
		return []trouble{kill, kill, stop, kill}
	}
	start := func(start func(context.Context) error) func() error {
		return func() error { return start(context.Background()) }
	}
	p, two := m.nodes.postgres, m.restart(2, syscall.SIGKILL)
	n := m.nodes.nats
	if n == nil {
		return []trouble{m.away(p.Stop, start(p.Start)), kill, m.away(p.Pause, p.Resume), two, stop, kill}
	}
	return []trouble{
		m.away(p.Stop, start(p.Start)), kill, m.away(n.Stop, start(n.Start)),
		m.away(p.Pause, p.Resume), two, m.away(n.Pause, n.Resume), stop, kill,
	}
}

// restart ends some nodes by a signal and starts them again; where there are
// others, not at once.
func (m *model) restart(count int, signal syscall.Signal) trouble {
	return func(t *testing.T, random *rand.Rand) {
		t.Helper()
		away := time.Duration(random.Int64N(int64(time.Second)))
		var ended []*server
		for _, i := range random.Perm(len(m.nodes.all))[:count] {
			began := time.Now()
			m.nodes.all[i].kill(t, signal)
			if signal == syscall.SIGTERM {
				m.stopping = max(m.stopping, time.Since(began))
			}
			ended = append(ended, m.nodes.all[i])
		}
		if len(m.nodes.all) > count {
			lasts(t.Context(), away)
		}
		for _, s := range ended {
			s.restart(t)
		}
	}
}

// away has a server that the nodes need be away for a while. They are ready
// when it is back.
func (m *model) away(begin, end func() error) trouble {
	return func(t *testing.T, random *rand.Rand) {
		t.Helper()
		noError(t, begin())
		lasts(t.Context(), 200*time.Millisecond+time.Duration(random.Int64N(int64(2*time.Second))))
		noError(t, end())
		began := time.Now()
		for _, s := range m.nodes.all {
			s.waitReady(t)
		}
		m.healing = max(m.healing, time.Since(began))
	}
}

// changeSeasons has times in which channels grow and times in which they
// shrink, so much that pages have to show older rows again.
func (m *model) changeSeasons(ctx context.Context, random *rand.Rand) {
	m.clearing.Store(true) // they are full
	for lasts(ctx, time.Second+time.Duration(random.Int64N(int64(3*time.Second)))) {
		m.clearing.Store(!m.clearing.Load())
	}
}

// author is someone who posts and deletes, and tries each again until it is
// answered.
type author struct {
	name    string
	m       *model
	url     string // of the server, or of a line to it
	http    *http.Client
	random  *rand.Rand
	posted  map[string][]rowHTML // what is acknowledged and not deleted, by channel
	deleted map[string][]int64   // of which the deletion is acknowledged
	keys    int
	tries   int
	looks   int // at pages, of which none lacked what the author had done
	fault   error
}

func (m *model) newAuthor(t *testing.T, n int) *author {
	t.Helper()
	name := fmt.Sprint("Author ", n)
	return &author{
		name: name, m: m, url: m.node(n).URL,
		http: &http.Client{
			Jar: newVisitor(t, m.node(n), name).client.Jar, Transport: &http.Transport{}, Timeout: time.Second, CheckRedirect: stay,
		},
		random: m.numbers(streamAuthor, n),
		posted: map[string][]rowHTML{}, deleted: map[string][]int64{},
	}
}

// fill has the authors post more than pages show, before there is any trouble,
// and gives each a line from then on.
func (m *model) fill(t *testing.T, ctx context.Context) {
	t.Helper()
	var group sync.WaitGroup
	for _, a := range m.authors {
		group.Go(func() {
			for range 8 * len(m.channels) {
				if a.fault == nil {
					a.fault = a.post(ctx, m.channels[a.random.IntN(len(m.channels))])
				}
			}
		})
	}
	group.Wait()
	for i, a := range m.authors {
		a.url = newLine(t, m.nodes, nothing, m.numbers(streamAuthorLine, i), &m.calm).URL
	}
}

// run posts and deletes till writing ends, and tries the last of it again till
// ctx ends.
func (a *author) run(writing, ctx context.Context) {
	defer a.http.CloseIdleConnections()
	for lasts(writing, time.Duration(a.random.Int64N(int64(60*time.Millisecond)))) && a.fault == nil {
		channel := a.m.channels[a.random.IntN(len(a.m.channels))]
		own := len(a.posted[channel])
		switch luck := a.random.IntN(10); {
		case a.m.clearing.Load() && luck < 9 && own > 0:
			a.fault = a.delete(ctx, channel, own-1) // the newest
		case luck < 2 && own > 0:
			a.fault = a.delete(ctx, channel, own-1-a.random.IntN(min(own, 40)))
		default:
			a.fault = a.post(ctx, channel)
		}
		if a.fault == nil && a.random.IntN(8) == 0 {
			a.fault = a.look(writing, channel)
		}
	}
}

// look loads a page of the channel in which the author has just posted or
// deleted: it shows that, whichever node it comes from.
func (a *author) look(ctx context.Context, channel string) error {
	path := pathOf(channel)
	status, html, err := a.try(ctx, http.MethodGet, path, nil)
	if err != nil || status != http.StatusOK {
		return nil //nolint:nilerr // another time
	}
	rows, after, err := readPage(path, html)
	if err != nil {
		return err
	}
	shown := map[int64]bool{}
	for _, row := range rows {
		shown[row.id] = true
	}
	for _, own := range a.posted[channel] {
		if own.id > after || !shown[own.id] && (len(rows) == 0 || own.id > rows[0].id) {
			return fmt.Errorf("%s at revision %d does not show the author's own row %d", path, after, own.id)
		}
	}
	for _, id := range a.deleted[channel] {
		if shown[id] {
			return fmt.Errorf("%s at revision %d still shows row %d to the author who has deleted it", path, after, id)
		}
	}
	a.looks++
	return nil
}

// post posts a message, as often as it takes, under one key.
func (a *author) post(ctx context.Context, channel string) error {
	a.keys++
	tails := []string{"", "\nand\n\n\tmore\n", " <b>&amp;\"'</b> </li>", " 你好 😀", " https://example.com/?a=1&b=2", strings.Repeat(" again", 200)}
	body := fmt.Sprintf("%d by %s in %s%s", a.keys, a.name, channel, tails[a.random.IntN(len(tails))])
	html, err := a.form(ctx, http.StatusOK, pathOf(channel)+"/messages", url.Values{"body": {body}, "key": {fmt.Sprint(a.keys)}})
	if err != nil {
		return err
	}
	rows, err := rowsOf(a.m.ids[channel], html)
	if err != nil || len(rows) != 1 {
		return fmt.Errorf("a post is answered with %d rows (%w): %s", len(rows), err, html)
	}
	a.posted[channel] = append(a.posted[channel], rows[0])
	return nil
}

// delete deletes one of the messages, as often as it takes.
func (a *author) delete(ctx context.Context, channel string, n int) error {
	id := a.posted[channel][n].id
	_, err := a.form(ctx, http.StatusNoContent, fmt.Sprintf("/m/%d/%d/delete", a.m.ids[channel], id), nil)
	if err == nil {
		a.posted[channel] = slices.Delete(a.posted[channel], n, n+1)
		a.deleted[channel] = append(a.deleted[channel], id)
	}
	return err
}

// form sends a form until it is answered, which has to be with a status, and
// returns the answer.
func (a *author) form(ctx context.Context, want int, path string, form url.Values) (string, error) {
	for {
		a.tries++
		status, html, err := a.try(ctx, http.MethodPost, path, form)
		switch {
		case err == nil && status == want:
			a.m.answered.Add(1)
			return html, nil
		case err == nil && status != http.StatusBadGateway && status != http.StatusServiceUnavailable:
			return "", fmt.Errorf("%s is answered with %d: %.300s", path, status, html)
		}
		if !lasts(ctx, time.Duration(a.random.Int64N(int64(100*time.Millisecond)))) {
			return "", fmt.Errorf("%s is not answered: %d, %w", path, status, err)
		}
	}
}

func (a *author) try(ctx context.Context, method, path string, form url.Values) (status int, html string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("HX-Request", "true")
	}
	answer, err := a.http.Do(request)
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

// read returns a node's page as someone gets it who comes anew.
func (m *model) read(t *testing.T, s *server, address string) string {
	t.Helper()
	response, err := m.clients[0].http.Get(s.URL + address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	html, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, response.Status, err)
	}
	return string(html)
}

// compareClients waits until every client holds what a fresh page holds, of
// which those of all nodes are the same.
func (m *model) compareClients(t *testing.T) {
	t.Helper()
	limit := time.Now().Add(settleLimit)
	for _, channel := range m.channels {
		path := pathOf(channel)
		rows, after, err := readPage(path, m.read(t, m.node(0), path))
		noError(t, err)
		for i := range m.nodes.all {
			others, at, err := readPage(path, m.read(t, m.node(i), path))
			noError(t, err)
			if at != after || !slices.Equal(others, rows) {
				t.Errorf("seed %d: %s differs between nodes, at revision %d on one and at %d on another", m.seed, path, after, at)
			}
		}
		for _, c := range m.clients {
			if c.path != path {
				continue
			}
			for c.differs(rows, after) != "" && !c.faulty() && time.Now().Before(limit) {
				lasts(t.Context(), 10*time.Millisecond)
			}
			if difference := c.differs(rows, after); difference != "" {
				t.Errorf("seed %d, %s of %s, obstacle %d: %s\n%s", m.seed, c.name, path, c.line.own, difference, c.past())
			}
		}
	}
}

// past returns what a client has been through.
func (c *client) past() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.history, "\n")
}

// compareAuthors holds all pages of all channels, back to the first, to what
// was acknowledged.
func (m *model) compareAuthors(t *testing.T) {
	t.Helper()
	for _, a := range m.authors {
		if a.fault != nil {
			t.Errorf("seed %d, %s: %v", m.seed, a.name, a.fault)
		}
	}
	for _, channel := range m.channels {
		path := pathOf(channel)
		want := map[int64]rowHTML{}
		for _, a := range m.authors {
			for _, row := range a.posted[channel] {
				want[row.id] = row
			}
		}
		address := path
		for page := 0; ; page++ {
			rows, err := rowsOf(m.ids[channel], m.read(t, m.node(page), address))
			noError(t, err)
			if len(rows) == 0 {
				break
			}
			for _, row := range rows {
				if want[row.id] != row {
					t.Errorf("seed %d: %s has a row that was not posted, or is deleted, or is there twice: %s", m.seed, path, row.html)
				}
				delete(want, row.id)
			}
			address = fmt.Sprint(path, "?before=", rows[0].id)
		}
		for _, row := range want {
			t.Errorf("seed %d: %s lacks a row that was acknowledged: %s", m.seed, path, row.html)
		}
	}
}

// compareMoments holds what every client showed after each frame to what the
// database says of that revision: the newest of the messages that had been
// posted by then and not deleted.
func (m *model) compareMoments(t *testing.T) {
	t.Helper()
	db := m.nodes.open(t)
	for _, channel := range m.channels {
		truth := m.truth(t, db, channel)
		for _, c := range m.clients {
			if c.path != pathOf(channel) {
				continue
			}
			for i, got := range c.moments {
				if want := truth[got.revision]; got != want {
					t.Errorf("seed %d, %s of %s, obstacle %d, after %d frames: it showed %d rows at revision %d, not the %d that there were\n%s",
						m.seed, c.name, c.path, c.line.own, i, got.count, got.revision, want.count, c.past())
					break
				}
			}
		}
	}
}

// truth returns what a page of a channel shows at each revision.
func (m *model) truth(t *testing.T, db *sql.DB, channel string) map[int64]moment {
	t.Helper()
	rows, err := db.Query(`
		SELECT m.id, m.revision, m.deleted FROM messages m JOIN channels c ON c.id = m.channel_id
		WHERE c.name = $1`, channel)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	changes := map[int64]int64{} // the id of the message that each revision posted or deleted
	for rows.Next() {
		var id, revision int64
		var deleted bool
		if err := rows.Scan(&id, &revision, &deleted); err != nil {
			t.Fatal(err)
		}
		changes[id] = id
		if deleted {
			changes[revision] = id
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	truth := map[int64]moment{0: momentOf(0, nil)}
	var ids []int64
	for revision := range int64(len(changes)) {
		revision++
		switch id := changes[revision]; {
		case id == 0:
			t.Fatalf("seed %d: nothing has revision %d of %s", m.seed, revision, channel)
		case id == revision:
			ids = append(ids, id)
		default:
			ids = slices.DeleteFunc(ids, func(other int64) bool { return other == id })
		}
		truth[revision] = momentOf(revision, ids[max(0, len(ids)-pageSize):])
	}
	return truth
}

// told counts the frames that clients took by each transport, and those of them
// that were whole windows.
func (m *model) told() (frames map[string]int, windows int) {
	frames = map[string]int{}
	for _, c := range m.clients {
		c.mu.Lock()
		if c.page != nil {
			windows += c.page.replaced
		}
		for by, n := range c.frames {
			frames[by] += n
		}
		c.mu.Unlock()
	}
	return frames, windows
}

// enough says that there was trouble of all kinds and that every transport was
// of use.
func (m *model) enough() bool {
	frames, _ := m.told()
	return m.troubled >= min(enoughTroubles, len(m.troubles())-1) && frames["websocket"] > 0 && frames["events"] > 0 && frames["held"] > 0
}

// report tells what took place, and fails the test if that proves nothing.
func (m *model) report(t *testing.T) {
	t.Helper()
	posts, deletes, tries, looks := 0, 0, 0, 0
	for _, a := range m.authors {
		tries += a.tries
		looks += a.looks
		for _, channel := range m.channels {
			posts += len(a.posted[channel]) + len(a.deleted[channel])
			deletes += len(a.deleted[channel])
		}
	}
	frames, windows := m.told()
	t.Logf("%d posts and %d deletes in %d tries, seen by their authors on %d pages, trouble %d times (stops took up to %v, healing up to %v), frames %v, %d of them whole windows",
		posts, deletes, tries, looks, m.troubled, m.stopping.Round(time.Millisecond), m.healing.Round(time.Millisecond), frames, windows)
	if deletes == 0 || looks == 0 || !m.enough() {
		t.Error("too little took place to prove anything")
	}
}
