package handlers

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a page and its frames say of what waits, and of who is here.
var (
	newsIn = regexp.MustCompile(`<div id="news" data-state="([^"]+)" hidden>(.*?)</div>`)
	dataIn = regexp.MustCompile(`<data value="(\d+)">([^<]+)</data>`)
	hereIn = regexp.MustCompile(`<ul id="here" data-state="([^"]+)">(.*?)</ul>`)
	typing = regexp.MustCompile(`<p id="typing"[^>]*>(.*?)</p>|<hx-partial hx-target="#typing" hx-swap="innerHTML">(.*?)</hx-partial>`)
	badge  = regexp.MustCompile(`<li id="c-(\d+)"[^>]*>.*?<span class="count">(?:<b>([^<]*)</b>)?`)
)

// tab is an open page of a person, with what it shows around the messages.
type tab struct {
	*feed
	path       string
	query      url.Values
	news, here string            // states
	waiting    map[string]string // counts by channel id
	people     string
	typists    string
	channels   []string // the ids in its list
}

// open opens a page and follows it. The query is what script adds to its own.
func (p *person) open(path string, query ...string) *tab {
	p.t.Helper()
	page := p.get(path).is(http.StatusOK)
	b := &tab{path: path, query: form(query...)}
	b.see(page.body)
	for _, m := range badge.FindAllStringSubmatch(page.body, -1) {
		b.channels = append(b.channels, m[1])
		if m[2] != b.waiting[m[1]] {
			p.t.Errorf("%s shows %q unread in channel %s and knows of %q", path, m[2], m[1], b.waiting[m[1]])
		}
	}
	b.feed = &feed{t: p.t}
	conn, _, err := p.dialPath(b.address())
	check(p.t, err)
	p.t.Cleanup(func() { _ = conn.CloseNow() }) // it may be closed
	b.Conn = conn
	return b
}

// address is where script asks for what changes.
func (b *tab) address() string {
	query := url.Values{"news": {b.news}}
	if b.here != "" {
		query.Set("here", b.here)
	}
	for name, values := range b.query {
		query[name] = values
	}
	if b.path == "/channels" {
		return "/live?" + query.Encode()
	}
	return b.path + "/live?" + query.Encode()
}

// see takes in what a page or a frame says.
func (b *tab) see(html string) {
	if m := newsIn.FindStringSubmatch(html); m != nil {
		b.news, b.waiting = m[1], map[string]string{}
		for _, c := range dataIn.FindAllStringSubmatch(m[2], -1) {
			b.waiting[c[1]] = c[2]
		}
	}
	if m := hereIn.FindStringSubmatch(html); m != nil {
		b.here, b.people = m[1], m[2]
	}
	if m := typing.FindStringSubmatch(html); m != nil {
		b.typists = m[1] + m[2]
	}
	if strings.HasPrefix(html, `<hx-partial hx-target="#channels"`) {
		for _, m := range badge.FindAllStringSubmatch(html, -1) {
			b.channels = append(b.channels, m[1])
		}
	}
}

// until takes frames in until something holds.
func (b *tab) until(what string, holds func() bool) {
	b.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			b.t.Fatalf("%s: it did not come true; %+v", what, b)
		}
		b.see(b.next())
	}
}

// shows waits until a tab shows so many unread messages in one channel.
func (b *tab) shows(channelID int64, count string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q unread", count), func() bool { return b.waiting[fmt.Sprint(channelID)] == count })
}

// TestUnread follows counts through two tabs of one user and their pages.
func TestUnread(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	dev := s.channel(t, "dev").ID
	anna.get("/channels/dev").is(http.StatusOK)
	general, list := anna.open("/channels/general"), anna.open("/channels")
	beas := bea.open("/channels/general") // Bea was never in dev
	for i := range 3 {
		bea.post("/channels/dev/messages", "body", fmt.Sprint("news ", i))
	}
	general.shows(dev, "3")
	list.shows(dev, "3")
	for _, path := range []string{"/channels/general", "/channels"} {
		page := anna.get(path).says("(3)")
		if !strings.Contains(page.body, `<span class="count"><b>3</b><span class="unseen"> unread</span>`) {
			t.Errorf("%s does not show it", path)
		}
		bea.get(path).saysNot("(3)", "<b>3</b>") // her own are not unread
	}

	// Deleted, it waits no more.
	bea.post("/channels/dev/messages/2/delete")
	general.shows(dev, "2")

	// Gone in, all is read, in all tabs. The line is there once.
	page := anna.get("/channels/dev").saysNot("(2)")
	if before, after, found := strings.Cut(page.body, `<li class="new">`); !found || strings.Contains(before, "news 0") || !strings.Contains(after, "news 2") {
		t.Error("no line before the first new message")
	}
	general.shows(dev, "")
	list.shows(dev, "")
	if page := anna.get("/channels/dev"); strings.Contains(page.body, `<li class="new">`) {
		t.Error("what is read is new again")
	}

	// Set back, it waits again, in all tabs, and not for others.
	anna.post("/channels/dev/unread", "from", "3").leadsTo("/channels")
	general.shows(dev, "1")
	list.shows(dev, "1")
	anna.get("/channels").says("Marked unread in #dev.")
	anna.htmx("/channels/dev/unread", "from", "1").is(http.StatusNoContent)
	list.shows(dev, "2")
	if page := anna.get("/channels/dev?mark"); strings.Count(page.body, `<button form="mark" name="from"`) != 2 || strings.Contains(page.body, `id="live"`) {
		t.Error("no buttons to mark messages as unread")
	}

	// More than can be counted.
	for i := range 101 {
		bea.post("/channels/dev/messages", "body", fmt.Sprint("more ", i))
	}
	list.shows(dev, "99+")
	anna.get("/channels").says("(99+)")
	if len(beas.waiting) != 0 {
		t.Errorf("for Bea wait %v", beas.waiting)
	}
}

// TestRead reports how far somebody has read, as script does.
func TestRead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	dev := s.channel(t, "dev").ID
	reading := anna.open("/channels/dev", "tab", "one", "reading", "1")
	other := anna.open("/channels/general", "tab", "two")

	// What is read in one tab is unread in none, although nobody has said yet
	// how far it is read.
	bea.post("/channels/dev/messages", "body", "one")
	bea.post("/channels/general/messages", "body", "to compare")
	general := s.channel(t, "general").ID
	reading.shows(general, "1")
	if got := reading.waiting[fmt.Sprint(dev)]; got != "" {
		t.Errorf("%q unread while it is read", got)
	}

	// Not read on, what came after is.
	anna.htmx("/channels/dev/read", "tab", "one", "reading", "0", "upto", "1").is(http.StatusNoContent)
	bea.post("/channels/dev/messages", "body", "two")
	other.shows(dev, "1")
	anna.htmx("/channels/dev/read", "tab", "one", "reading", "0", "upto", "2").is(http.StatusNoContent)
	other.shows(dev, "")

	// A position never goes back by itself, nor ahead of what there is.
	anna.htmx("/channels/dev/read", "upto", "1").is(http.StatusNoContent)
	anna.htmx("/channels/dev/read", "upto", "999").is(http.StatusNoContent)
	bea.post("/channels/dev/messages", "body", "three")
	other.shows(dev, "1")

	// The tab that reads goes, and with it its word.
	anna.htmx("/channels/dev/read", "tab", "one", "reading", "1", "upto", "3").is(http.StatusNoContent)
	other.shows(dev, "")
	bea.post("/channels/dev/messages", "body", "four")
	check(t, reading.CloseNow())
	other.shows(dev, "1")

	anna.htmx("/channels/dev/read", "upto", "x").is(http.StatusBadRequest)
	for _, from := range []string{"", "0", "-1", "x"} {
		anna.post("/channels/dev/unread", "from", from).is(http.StatusBadRequest)
	}
	for _, what := range []string{"read", "unread", "typing"} {
		anna.post("/channels/none/"+what, "from", "1").is(http.StatusNotFound)
		s.visitor(t).post("/channels/dev/"+what, "from", "1").is(http.StatusUnauthorized)
	}
}

// TestNewChannel appears in everybody's list, whatever they look at.
func TestNewChannel(t *testing.T) {
	t.Parallel()
	s := newServer(t, under("/chat"))
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	general, list := anna.open("/channels/general"), anna.open("/channels")
	bea.post("/channels", "name", "<b> 会议室").leadsTo("/channels/%3Cb%3E%20%E4%BC%9A%E8%AE%AE%E5%AE%A4")
	id := fmt.Sprint(s.channel(t, "<b> 会议室").ID)
	for _, tab := range []*tab{general, list} {
		tab.until("a new channel", func() bool { return slices.Contains(tab.channels, id) })
	}
	late := anna.open("/channels")
	if !slices.Contains(late.channels, id) || late.news != list.news {
		t.Errorf("a fresh page shows %v, %s; a live one knows %s", late.channels, late.news, list.news)
	}

	// A page that was away is told of all that it lacks.
	late.news = "1-0"
	conn, _, err := anna.dialPath(late.address())
	check(t, err)
	defer conn.CloseNow() //nolint:errcheck // it may be closed
	late.Conn, late.channels = conn, nil
	late.until("a channel that was missed", func() bool { return slices.Contains(late.channels, id) })
}

// TestHeldNews answers a held request at once where the page lacks something,
// with all of it, and waits where it does not.
func TestHeldNews(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	dev := fmt.Sprint(s.channel(t, "dev").ID)
	anna.get("/channels/dev").is(http.StatusOK)
	page := &tab{path: "/channels/general"}
	page.see(anna.get(page.path).body)
	for i := range 5 {
		answers := make(chan reply)
		go func() { answers <- anna.get(page.address(), header{"Accept", "text/html"}) }()
		waitFor(t, "Anna asks", func() bool { return s.followers(t, "Anna") == 1 })
		bea.post("/channels/dev/messages", "body", "news")
		answer := <-answers
		page.see(answer.is(http.StatusOK).body)
		if want := fmt.Sprint(i + 1); page.waiting[dev] != want {
			t.Fatalf("answered %q, want %s unread", answer.body, want)
		}
		waitFor(t, "it is over", func() bool { return s.followers(t, "Anna") == 0 })
	}

	// Two things at once: told one after the other, and then nothing.
	bea.post("/channels/dev/messages", "body", "more")
	bea.post("/channels", "name", "new")
	beas := bea.open("/channels/general")
	id := fmt.Sprint(s.channel(t, "new").ID)
	for page.waiting[dev] != "6" || !slices.Contains(page.channels, id) || !strings.Contains(page.people, "Bea") {
		page.see(anna.get(page.address(), header{"Accept", "text/html"}).is(http.StatusOK).body)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		page.see(anna.get(page.address(), header{"Accept", "text/html"}).is(http.StatusOK).body)
	}()
	waitFor(t, "Anna asks", func() bool { return s.followers(t, "Anna") == 1 })
	bea.htmx("/channels/general/typing").is(http.StatusNoContent)
	<-done
	if page.typists != "<bdi>Bea</bdi>" {
		t.Errorf("the next answer brings %+v", page)
	}
	check(t, beas.CloseNow())
}

// TestPresence sees people come, type and go.
func TestPresence(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea, eve := s.signIn(t, "Anna"), s.signIn(t, "<b>Bea"), s.signIn(t, "Eve")
	annas := anna.open("/channels/general")
	if names(annas.people) != "Anna" {
		t.Errorf("alone, the page shows %q", annas.people)
	}
	beas := bea.open("/channels/general")
	const both = "&lt;b&gt;Bea, Anna"
	annas.until("Bea comes", func() bool { return names(annas.people) == both })
	if names(beas.people) != both {
		t.Errorf("Bea's page shows %q", beas.people)
	}

	// Typing is for those who are here, and no news to oneself.
	eve.htmx("/channels/general/typing").is(http.StatusNoContent)
	bea.htmx("/channels/general/typing").is(http.StatusNoContent)
	annas.until("Bea types", func() bool { return annas.typists != "" })
	if annas.typists != "<bdi>&lt;b&gt;Bea</bdi>" {
		t.Errorf("it types %q", annas.typists)
	}
	if page := anna.get("/channels/general"); !strings.Contains(page.body, annas.typists+"</p>") {
		t.Error("a fresh page does not show who types")
	}
	bea.htmx("/channels/general/messages", "body", "here it is").is(http.StatusOK)
	annas.until("Bea has written", func() bool { return annas.typists == "" })

	// Elsewhere is not here, and gone is gone, once the last tab is.
	again := bea.open("/channels/general")
	bea.open("/channels")
	check(t, beas.CloseNow())
	check(t, again.CloseNow())
	annas.until("Bea goes", func() bool { return names(annas.people) == "Anna" })
}

// names returns the names in HTML, with a comma between.
func names(html string) string {
	var all []string
	for _, m := range regexp.MustCompile(`<bdi>(.*?)</bdi>`).FindAllStringSubmatch(html, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, ", ")
}
