package handlers

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"hubbub/hub"
	"hubbub/store"
)

func TestCreateChannel(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	for _, name := range []string{
		"plans", "a/b", "what?", "#1", "100%", "..a..", "a b", "会议室", "🚀", "%2e%2e", "a;b,c", "a&b=c+d", `a\b`, `"quoted"`, "a..", "~",
	} {
		path := "/channels/" + url.PathEscape(name)
		p.post("/channels", "name", "  "+name+" ").leadsTo(path)
		p.get(path).is(http.StatusOK).says("#"+name+" created.", "You are now in channel ["+name+"].")
		p.post(path+"/messages", "body", "in "+name).leadsTo(path)
		p.get(path).says("in " + name)
		if frame := p.live(name, 0).next(); !strings.Contains(frame, "/messages/1/delete") {
			t.Errorf("%s: %s", name, frame)
		}
		p.post(path + "/messages/1/delete").leadsTo(path)
		p.get("/").leadsTo(path)
		p.get("/channels").is(http.StatusOK).says(name)
	}
	before, err := s.Store.Channels(t.Context())
	check(t, err)
	for _, tt := range []struct {
		name   string
		status int
		says   string
	}{
		{"plans", http.StatusConflict, "#plans already exists."},
		{"PLANS", http.StatusConflict, "already exists."},
		{"ｐｌａｎｓ", http.StatusConflict, "already exists."},
		{"", http.StatusUnprocessableEntity, "Enter a channel name."},
		{" \t ", http.StatusUnprocessableEntity, "Enter a channel name."},
		{strings.Repeat("x", store.MaxChannelName+1), http.StatusUnprocessableEntity, "too long"},
		{"..", http.StatusUnprocessableEntity, "cannot be used"},
		{".", http.StatusUnprocessableEntity, "cannot be used"},
		{"a\u200bb", http.StatusUnprocessableEntity, "cannot be used"},
		{"a\x1bb", http.StatusUnprocessableEntity, "cannot be used"},
	} {
		p.post("/channels", "name", tt.name).is(tt.status).says(tt.says, "["+tt.name+"]")
	}
	if after, err := s.Store.Channels(t.Context()); err != nil || len(after) != len(before) {
		t.Errorf("%d channels, then %d", len(before), len(after))
	}
}

// TestChannelAddress has one address for a channel, however it is written.
func TestChannelAddress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	s.channel(t, "Plans/2026")
	for _, path := range []string{"plans%2f2026", "PLANS%2F2026", "%50lans%2F2026%20", "%EF%BC%B0lans%2F2026"} {
		p.get("/channels/" + path + "?before=3").leadsTo("/channels/Plans%2F2026?before=3")
	}
	p.get("/channels/Plans%2F2026").is(http.StatusOK)
	p.post("/channels/plans%2F2026/messages", "body", "x").leadsTo("/channels/Plans%2F2026")
}

// TestMissingChannel offers to create it where that can be.
func TestMissingChannel(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	p.get("/channels/new%20one").is(http.StatusNotFound).says("There is no channel “new one”.", "[new one]", "Create #new one")
	p.get("/channels/a%E2%80%8Bb").is(http.StatusNotFound).saysNot("Create #a")
	p.get("/channels/%ff").is(http.StatusNotFound)
	p.get("/channels/" + strings.Repeat("x", 2000)).is(http.StatusNotFound)
	p.post("/channels/none/messages", "body", "kept text").is(http.StatusNotFound).says("kept text")
	p.post("/channels/none/messages/1/delete").is(http.StatusNotFound)
	p.post("/channels", "name", "new one").leadsTo("/channels/new%20one")
}

// TestPages walks through 250 messages, some of them deleted, both ways: each
// is on one page.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	s.fill(t, "general", "Anna", 250)
	var want []string
	for id := 1; id <= 250; id++ {
		if id%50 == 7 {
			p.post(fmt.Sprintf("/channels/general/messages/%d/delete", id))
		} else {
			want = append(want, fmt.Sprint(id))
		}
	}
	walk := func(path, link string) (ids []string, last string) {
		t.Helper()
		for range 9 {
			a := p.get(path).is(http.StatusOK)
			var page []string
			for _, row := range a.rows() {
				page = append(page, row.id)
			}
			if len(page) > 100 {
				t.Errorf("%s has %d messages", path, len(page))
			}
			if link == "before" {
				ids = append(page, ids...)
			} else {
				ids = append(ids, page...)
			}
			last, path = path, ""
			for n := range parse(t, a.body).Descendants() {
				href, _ := attribute(n, "href")
				if _, hidden := attribute(n, "hidden"); !hidden && strings.Contains(href, "?"+link+"=") {
					path = href
				}
			}
			if path == "" {
				return ids, last
			}
			if a := p.get(path); a.StatusCode == http.StatusSeeOther {
				a.leadsTo("/channels/general")
				path, link = "/channels/general", "no more"
			}
		}
		t.Fatal("there is no end to it")
		return nil, ""
	}
	back, oldest := walk("/channels/general", "before")
	if !slices.Equal(back, want) {
		t.Errorf("back: %v", back)
	}
	on, _ := walk(oldest, "after")
	slices.SortFunc(on, func(a, b string) int { return int(number(t, a) - number(t, b)) })
	if on = slices.Compact(on); !slices.Equal(on, want) {
		t.Errorf("on: %v", on)
	}
	for _, query := range []string{"before=x", "before=-1", "after=1e3", "after=99999999999999999999"} {
		p.get("/channels/general?" + query).is(http.StatusBadRequest)
	}
	p.get("/channels/general?after=9999").leadsTo("/channels/general")
	p.get("/channels/general?before=1").is(http.StatusOK)
}

// BenchmarkChannelPage answers with a page of 100 rows, without a socket.
func BenchmarkChannelPage(b *testing.B) {
	for _, channels := range []int{1, 50} {
		b.Run(fmt.Sprint("channels=", channels), func(b *testing.B) {
			s := newServer(b, func(o *Options) { o.Log = slog.New(slog.DiscardHandler) })
			p := s.signIn(b, "Anna")
			s.fill(b, "general", "Anna", hub.WindowSize)
			s.signIn(b, "Bea")
			for i := range channels - 1 {
				name := fmt.Sprint("channel ", i)
				s.channel(b, name)
				if i%3 == 0 {
					p.get("/channels/" + url.PathEscape(name)).is(http.StatusOK)
					s.fill(b, name, "Bea", 1)
				}
			}
			p.get("/channels/general").is(http.StatusOK)
			request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/channels/general", nil)
			address, err := url.Parse(s.URL)
			check(b, err)
			for _, c := range p.Jar.Cookies(address) {
				request.AddCookie(c)
			}
			routes := s.Routes()
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				routes.ServeHTTP(w, request)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
