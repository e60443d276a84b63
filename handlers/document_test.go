package handlers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// streamed is a document that is read while it is sent.
type streamed struct {
	t      testing.TB
	header http.Header
	body   *bufio.Reader
	read   strings.Builder
}

// streams opens a channel's streamed document.
func (p *person) streams(channel string) *streamed {
	p.t.Helper()
	return p.reads("/channels/" + url.PathEscape(channel) + "/live?document")
}

func (p *person) reads(path string) *streamed {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.s.URL+p.s.base+path, nil)
	check(p.t, err)
	request.Header.Set("Accept", "text/html")
	answer, err := p.Do(request)
	check(p.t, err)
	p.t.Cleanup(func() {
		cancel()
		_ = answer.Body.Close() // it may have ended
	})
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || got != "text/html; charset=utf-8" {
		p.t.Errorf("%s: %s, %q", path, answer.Status, got)
	}
	return &streamed{t: p.t, header: answer.Header, body: bufio.NewReader(answer.Body)}
}

// until reads on until some text has come.
func (d *streamed) until(text string) {
	d.t.Helper()
	for !strings.Contains(d.read.String(), text) {
		c, err := d.body.ReadByte()
		if err != nil {
			d.t.Fatalf("it ended (%v) without %q:\n%s", err, text, d.read.String())
		}
		d.read.WriteByte(c)
	}
}

// ends reads to the end, which has to be a good one, and returns all of it.
func (d *streamed) ends() string {
	d.t.Helper()
	_, err := io.Copy(&d.read, d.body)
	check(d.t, err)
	return d.read.String()
}

var (
	streamedRow  = regexp.MustCompile(`<li (?:class="same" )?id="m-(\d+)"`)
	streamedGone = regexp.MustCompile(`<link rel="stylesheet" href="[^"]*/gone/(\d+)\.css">`)
)

// shown are the ids of the rows that a browser shows of what was read.
func (d *streamed) shown() []string {
	gone := map[string]bool{}
	for _, m := range streamedGone.FindAllStringSubmatch(d.read.String(), -1) {
		gone[m[1]] = true
	}
	var ids []string
	for _, m := range streamedRow.FindAllStringSubmatch(d.read.String(), -1) {
		if !gone[m[1]] {
			ids = append(ids, m[1])
		}
	}
	return ids
}

// ids are those of the rows on a channel's page.
func (p *person) ids(channel string) []string {
	p.t.Helper()
	var ids []string
	for _, row := range p.get("/channels/" + channel).is(http.StatusOK).rows() {
		ids = append(ids, row.id)
	}
	return ids
}

// wellFormed checks that a document is complete: the browser has nothing to
// add, to close or to move.
func wellFormed(t testing.TB, document string) {
	t.Helper()
	if !strings.HasPrefix(strings.ToLower(document), "<!doctype html><html lang=") {
		t.Errorf("it begins with %.100s", document)
	}
	var open []string
	for tokens := html.NewTokenizer(strings.NewReader(document)); ; {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			if len(open) > 0 || tokens.Err() != io.EOF {
				t.Errorf("%q are open at the end: %v", open, tokens.Err())
			}
			return
		case html.StartTagToken:
			name, _ := tokens.TagName()
			if !slices.Contains([]string{"meta", "link", "base", "input", "img"}, string(name)) {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := tokens.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("</%s> where %q are open", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

// TestDocument streams the window, then posts and deletes as they come.
func TestDocument(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/chat"} {
		s := newServer(t, under(base+"/"))
		anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
		empty := bea.streams("general")
		empty.until("No messages yet.")
		anna.post("/channels/general/messages", "body", "first")
		empty.until("first")

		here := bea.streams("general")
		here.until(">first</div>")
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": ""} {
			if got := here.header.Get(name); got != want {
				t.Errorf("its %s is %q, want %q", name, got, want)
			}
		}
		anna.post("/channels/general/messages", "body", "</li><li id=\"m-99\"><script>second")
		here.until("second")
		bea.post("/channels/general/messages", "body", "third")
		here.until(">third</div>")
		anna.htmx("/channels/general/messages/1/delete").is(http.StatusNoContent)
		here.until(`<link rel="stylesheet" href="` + base + `/gone/1.css">`)
		anna.post("/channels/general/messages", "body", "fourth")
		here.until(">fourth</div>")
		for _, d := range []*streamed{here, empty} {
			d.until(">fourth</div>")
			if got, want := d.shown(), anna.ids("general"); !slices.Equal(got, want) {
				t.Errorf("it shows %q, a page %q", got, want)
			}
		}
		s.stop(t)
		page := here.ends()
		wellFormed(t, page)
		for text, want := range map[string]int{
			`<base target="_top">`: 1, `<form id="delete" method="post">`: 1, `id="w-delete"`: 1, `/own/2.css`: 1, `<li class="day">`: 1,
			`formaction="` + base + `/channels/general/messages/4/delete"`: 0, // that was the delete
			`formaction="` + base + `/channels/general/messages/3/delete"`: 1,
			"<script": 0, "style=": 0, "hx-partial": 0,
		} {
			if got := strings.Count(page, text); got != want {
				t.Errorf("%q is there %d times, want %d, in\n%s", text, got, want, page)
			}
		}
	}
}

// TestDocumentArranges closes pushed rows up as pages do, but not to one that
// may have been deleted.
func TestDocumentArranges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	anna.post("/channels/general/messages", "body", "1")
	d := bea.streams("general")
	for i, p := range []*person{anna, bea, bea} {
		p.post("/channels/general/messages", "body", fmt.Sprint(i+2))
	}
	d.until(`id="m-4"`)
	bea.htmx("/channels/general/messages/4/delete").is(http.StatusNoContent)
	bea.post("/channels/general/messages", "body", "6")
	bea.post("/channels/general/messages", "body", "7")
	d.until(`>7</div>`)
	var same []string
	for _, m := range regexp.MustCompile(`class="same" id="m-(\d+)"`).FindAllStringSubmatch(d.read.String(), -1) {
		same = append(same, m[1])
	}
	if want := []string{"2", "4", "7"}; !slices.Equal(same, want) {
		t.Errorf("closed up are %q, want %q", same, want)
	}
	s.visitor(t).get("/gone/4.css").is(http.StatusOK).says("#m-4{display:none}", "#m-4+.same.same")
	for _, bad := range []string{"x.css", "0.css", "-1.css", "1.js", "1}.css"} {
		anna.get("/gone/" + bad).is(http.StatusNotFound)
	}
}

// TestDocumentsAgree has many post and delete while documents come and go. Each
// shows what a fresh page shows, and nothing is lost between its window and
// what comes after it.
func TestDocumentsAgree(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	people := []*person{s.signIn(t, "Anna"), s.signIn(t, "Bea")}
	var writers, readers sync.WaitGroup
	for i, p := range people {
		writers.Go(func() {
			for n := range 30 {
				id := p.htmx("/channels/general/messages", "body", fmt.Sprint(i, " says ", n)).rows()[0].id
				if n%3 == i {
					p.htmx("/channels/general/messages/" + id + "/delete").is(http.StatusNoContent)
				}
			}
		})
	}
	documents := make([]*streamed, 8)
	for i := range documents {
		readers.Go(func() { documents[i] = people[i%2].streams("general") })
	}
	writers.Wait()
	readers.Wait()
	people[0].post("/channels/general/messages", "body", "the last")
	want := people[0].ids("general")
	for i, d := range documents {
		d.until("the last</div>")
		if got := d.shown(); !slices.Equal(got, want) {
			t.Errorf("document %d shows %q, a page %q", i, got, want)
		}
	}
}

// TestDocumentAnew ends one that has become long, and one that missed more than
// it can be told.
func TestDocumentAnew(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	d := anna.streams("general")
	s.fill(t, "general", "Anna", documentRows+50)
	wellFormed(t, d.ends())
	if got := len(d.shown()); got < documentRows || got > documentRows+50 {
		t.Errorf("it ended after %d rows", got)
	}
	again := anna.streams("general")
	again.until(fmt.Sprintf(`id="m-%d"`, documentRows+50))
	if got := again.shown(); len(got) != 100 || !strings.Contains(again.read.String(), "?before=951\"") {
		t.Errorf("the next begins with %d rows", len(got))
	}
}

// TestDocumentUncovers leaves rows out that come from further up.
func TestDocumentUncovers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	s.fill(t, "general", "Anna", 110)
	d := anna.streams("general")
	d.until(`id="m-110"`)
	anna.htmx("/channels/general/messages/50/delete").is(http.StatusNoContent)
	anna.post("/channels/general/messages", "body", "newer")
	d.until(">newer</div>")
	if got := d.shown(); len(got) != 100 || got[0] != "11" || got[99] != "112" {
		t.Errorf("it shows %d rows, %q", len(got), got)
	}
}

// TestDocumentOver says in the viewer's language why there is nothing more, at
// once, and stays: the frame around it would ask again.
func TestDocumentOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	here, there := s.signIn(t, "Anna", "password 1"), s.signIn(t, "Anna", "password 1")
	chinese := s.visitor(t)
	chinese.post("/language", "lang", "zh-Hans", "next", "/")
	over := map[*streamed]string{
		s.visitor(t).streams("general"): `Sign in to continue. <a class="button" href="/">Sign in</a>`,
		chinese.streams("general"):      `请先登录。 <a class="button" href="/">登录</a>`,
		here.streams("<none>"):          `There is no channel “&lt;none&gt;”. It may have been renamed, or the link is wrong. <a class="button" href="/channels">See all channels</a>`,
	}
	ended, stays := here.streams("general"), there.streams("general")
	waitFor(t, "two follow", func() bool { return s.followers(t, "Anna") == 2 })
	began := time.Now()
	here.post("/logout").leadsTo("/")
	ended.until(`Sign in to continue. <a class="button" href="/">Sign in</a>`)
	if took := time.Since(began); took > soon {
		t.Errorf("it took %v", took)
	}
	over[ended] = ""
	var stopping atomic.Bool
	var readers sync.WaitGroup
	for d, text := range over {
		d.until(text)
		readers.Go(func() {
			page := d.ends()
			if !stopping.Load() {
				t.Error("it has ended, so that the browser asks again")
			}
			wellFormed(t, page)
			if strings.Contains(page, "secret") || strings.Contains(page, "http-equiv") {
				t.Errorf("it goes on with\n%s", page)
			}
		})
	}
	for range 10 {
		there.post("/channels/general/messages", "body", "a secret")
	}
	stays.until("a secret")
	stopping.Store(true)
	s.stop(t)
	readers.Wait()
}

// TestFirstDocument leads on to the holder once its probe has arrived, and to
// itself where that is held back with it.
func TestFirstDocument(t *testing.T) {
	t.Parallel()
	s := newServer(t, under("/chat/"))
	anna := s.signIn(t, "Anna")
	anna.post("/channels/general/messages", "body", "hello")
	first := anna.reads("/channels/general/document")
	first.until("hello</div>")
	probe := regexp.MustCompile(`href="/chat(/probe/\w+\.css)"`).FindStringSubmatch(first.read.String())
	if probe == nil {
		t.Fatalf("no probe in %s", first.read.String())
	}
	s.visitor(t).get(probe[1]).is(http.StatusOK)
	s.visitor(t).get(probe[1]).is(http.StatusOK) // it has come already
	page := first.ends()
	wellFormed(t, page)
	leads := regexp.MustCompile(`<meta http-equiv="refresh" content="(\d+); url=/chat([^"]+)"`).FindStringSubmatch(page)
	if leads == nil || leads[1] != "1" || !strings.HasPrefix(leads[2], "/channels/general/holder/again?") {
		t.Fatalf("it leads to %q", leads)
	}

	// Both are the same for everyone, and kept.
	again := s.visitor(t).get(html.UnescapeString(leads[2])).is(http.StatusMovedPermanently)
	holder := s.visitor(t).get(strings.TrimPrefix(again.Header.Get("Location"), "/chat")).is(http.StatusOK)
	for _, a := range []reply{again, holder} {
		if cache, vary := a.Header.Get("Cache-Control"), a.Header.Get("Vary"); cache != remembered || vary != "" {
			t.Errorf("%s may be kept with %q, by %q", a.Request.URL, cache, vary)
		}
	}
	wellFormed(t, holder.body)
	if refresh := holder.Header.Get("Refresh"); refresh != "2; url=/chat"+html.UnescapeString(leads[2]) || !strings.Contains(holder.body, `<iframe src="/chat/channels/general/live?document" title="Messages in general">`) {
		t.Errorf("the holder leads to %q and is\n%s", refresh, holder.body)
	}

	late := anna.reads("/channels/general/document").ends()
	if !strings.Contains(late, `<meta http-equiv="refresh" content="10; url=/chat/channels/general/document">`) {
		t.Errorf("held back, it is\n%s", late)
	}
	s.probes.mu.Lock()
	defer s.probes.mu.Unlock()
	if n := len(s.probes.waiting); n > 0 {
		t.Errorf("%d probes are still waited for", n)
	}
	for _, p := range []*person{s.visitor(t)} {
		p.get("/channels/general/document").leadsTo("/channels/general/live?document")
	}
	anna.get("/channels/none/document").leadsTo("/channels/none/live?document")
}
