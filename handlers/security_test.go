package handlers

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"hubbub/store"
)

// payloads returns the lines of the corpus that try to run something.
func payloads(t *testing.T) []string {
	t.Helper()
	corpus, err := os.ReadFile("../e2e/testdata/xss.txt")
	check(t, err)
	var all []string
	for line := range strings.SplitSeq(string(corpus), "\n") {
		if line != "" && !strings.HasPrefix(line, "#!") {
			all = append(all, line)
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d payloads", len(all))
	}
	return all
}

// shape adds the elements of a page to a set, each with an attribute of it.
func shape(t *testing.T, page string, into map[string]bool) {
	t.Helper()
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if tokens.Err() != io.EOF {
				t.Error(tokens.Err())
			}
			return
		case html.CommentToken:
			into["!--"] = true
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			into[token.Data] = true
			for _, a := range token.Attr {
				into[token.Data+" "+a.Key] = true
				if isAddress(a.Key) {
					scheme, _, ok := strings.Cut(a.Val, ":")
					if ok && !slices.Contains([]string{"http", "https", "mailto"}, strings.ToLower(scheme)) && !strings.ContainsAny(scheme, "/?#") {
						into[token.Data+" "+a.Key+"="+scheme] = true
					}
				}
			}
		}
	}
}

// isAddress says whether an attribute holds an address.
func isAddress(name string) bool {
	return slices.Contains([]string{"href", "action", "src", "formaction", "hx-get", "hx-post", "hx-ws:connect"}, name)
}

// TestMarkupIsText gives all kinds of markup as names and messages. Pages and
// pushes have no element and no attribute but those they have for plain words.
func TestMarkupIsText(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	tour := func(p *person, name, channel string, into map[string]bool) {
		t.Helper()
		path := "/channels/" + url.PathEscape(channel)
		for _, page := range []string{"/user", "/channels", path, path + "?before=999999", "/channels/missing" + url.PathEscape(channel), "/logout", "/none"} {
			a := p.get(page)
			if a.StatusCode >= 500 {
				a.is(http.StatusOK)
			}
			shape(t, a.body, into)
		}
		for _, a := range []reply{
			p.post("/channels", "name", channel), p.post("/channels", "name", channel+strings.Repeat("x", 70)),
			p.post(path+"/messages", "body", name+strings.Repeat("x", 4001)), p.post(path+"/messages", "body", " ", "key", name),
			p.s.visitor(t).post("/login", "name", name), p.s.visitor(t).post("/login", "name", name+strings.Repeat("x", 40), "next", "/"+channel),
			p.s.visitor(t).get("/?next=" + url.QueryEscape("/"+name)),
			p.s.visitor(t).post("/channels", "body", name),
		} {
			shape(t, a.body, into)
		}
	}
	plain := map[string]bool{}
	p := s.signIn(t, "Plain")
	p.post("/channels", "name", "plain").leadsTo("/channels/plain")
	for _, body := range []string{"plain words", "https://a.example/ mailto:a@b.example"} {
		p.post("/channels/plain/messages", "body", body).leadsTo("/channels/plain")
	}
	tour(p, "Plain", "plain", plain)
	for range 2 {
		shape(t, p.live("plain", 0).next(), plain)
		p.post("/channels/plain/messages/1/delete")
		s.fill(t, "plain", "Plain", 101)
	}

	// A node for some of them at a time: its pages name all channels.
	var names, channels atomic.Int32
	t.Run("payloads", func(t *testing.T) {
		for chunk := range slices.Chunk(payloads(t), 16) {
			t.Run(chunk[0], func(t *testing.T) {
				t.Parallel()
				tryMarkup(t, newServer(t), chunk, tour, plain, &names, &channels)
			})
		}
	})
	if names.Load() < 10 || channels.Load() < 30 {
		t.Errorf("only %d names and %d channels were accepted", names.Load(), channels.Load())
	}
}

// tryMarkup uses payloads wherever words can be typed.
func tryMarkup(t *testing.T, s *server, payloads []string, tour func(*person, string, string, map[string]bool), plain map[string]bool, names, channels *atomic.Int32) {
	got := map[string]bool{}
	p := s.signIn(t, "Plain")
	s.channel(t, "markup")
	for _, payload := range payloads {
		row := p.htmx("/channels/markup/messages", "body", payload)
		if body, err := store.Body(payload); err == nil {
			shape(t, row.is(http.StatusOK).body, got)
			for n := range parse(t, row.body).Descendants() {
				if n.Type == html.ElementNode && n.Data == "p" && textOf(n) != body {
					t.Errorf("the body %q is read as %q", body, textOf(n))
				}
			}
		}
		if name, err := store.UserName(payload); err == nil {
			if _, err := s.Store.UserByName(t.Context(), name); errors.Is(err, store.ErrNotFound) {
				q := s.visitor(t)
				if a := q.post("/login", "name", payload); a.StatusCode == http.StatusSeeOther {
					names.Add(1)
					q.post("/channels/markup/messages", "body", payload).leadsTo("/channels/markup")
					tour(q, payload, "markup", got)
				}
			}
		}
		if name, err := store.ChannelName(payload); err == nil {
			path := "/channels/" + url.PathEscape(name.Text)
			if a := p.post("/channels", "name", payload); a.StatusCode == http.StatusSeeOther {
				channels.Add(1)
				a.leadsTo(path)
				p.htmx(path+"/messages", "body", payload).is(http.StatusOK)
				shape(t, p.live(name.Text, 0).next(), got)
				for _, a := range []reply{p.get(path), p.get("/channels/missing" + url.PathEscape(name.Text)), p.post("/channels", "name", payload)} {
					shape(t, a.body, got)
				}
			}
		}
	}
	tour(p, "Plain", "markup", got)
	shape(t, p.live("markup", 0).next(), got)
	for item := range got {
		if !plain[item] {
			t.Errorf("something of %q makes <%s>", payloads, item)
		}
	}
}

func textOf(n *html.Node) string {
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text.WriteString(d.Data)
		}
	}
	return text.String()
}

// TestHeaders looks for the headers that protect every answer.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		s := newServer(t, func(o *Options) { o.Secure = secure })
		p, nobody := s.visitor(t), s.visitor(t)
		if !secure {
			p.post("/login", "name", "Anna")
		}
		css := s.Assets.URL("app.css")
		for _, a := range []reply{
			p.get("/"), p.get("/channels"), p.get("/channels/general"), p.get("/channels/none"), p.get("/none"), p.get("/channels?before=x"),
			p.get("/channels/general?before=x"), p.get(css), p.get("/static/none"), p.get("/own/1.css"), p.get("/own/x"), p.get("/healthz"), p.get("/readyz"),
			p.get("/channels/general/live?after=x"), p.post("/channels/general/messages", "body", ""), p.post("/channels/general/messages", "body", strings.Repeat("x", 2<<20)),
			p.htmx("/channels/general/messages", "body", "x"), nobody.get("/channels"), nobody.post("/channels", "name", "x"),
			p.send(http.MethodPut, "/channels", nil), p.send(http.MethodOptions, "/", nil), p.send(http.MethodPost, css, nil), p.get("//channels"),
			p.send(http.MethodPost, "/channels", form("name", "x"), header{"Origin", "https://evil.example"}),
		} {
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := a.Header.Values(name); !slices.ContainsFunc(got, func(v string) bool { return strings.HasPrefix(v, want) }) {
					t.Errorf("%s %s, %s: %s is %q", a.Request.Method, a.Request.URL, a.Status, name, got)
				}
			}
			policy := a.Header.Get("Content-Security-Policy")
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || !strings.Contains(policy, "frame-ancestors 'self'") || !strings.Contains(policy, "base-uri 'none'") {
				t.Errorf("the policy is %s", policy)
			}
			// Whether all of a host is for https is not for one of its paths to say.
			if got := a.Header.Get("Strict-Transport-Security") != ""; got {
				t.Errorf("%s: Strict-Transport-Security %v", a.Request.URL, got)
			}
			if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && a.StatusCode < 300 &&
				!strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s may be stored: %q", a.Request.URL, a.Header)
			}
		}
	}
}

// TestCrossOrigin refuses what other sites have a browser send.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	proxied := newServer(t, func(o *Options) { o.BaseURL = &url.URL{Scheme: "https", Host: "chat.example"} })
	for i, tt := range []struct {
		s       *server
		headers []header
		refused bool
	}{
		{s, nil, false},
		{s, []header{{"Origin", s.URL}}, false},
		{s, []header{{"Origin", s.URL}, {"Sec-Fetch-Site", "same-origin"}}, false},
		{s, []header{{"Sec-Fetch-Site", "none"}}, false},
		{s, []header{{"Origin", "https://evil.example"}}, true},
		{s, []header{{"Origin", "null"}}, true},
		{s, []header{{"Origin", "http://127.0.0.1:1"}}, true},
		{s, []header{{"Sec-Fetch-Site", "cross-site"}}, true},
		{s, []header{{"Sec-Fetch-Site", "same-site"}}, true},
		{s, []header{{"Origin", s.URL}, {"Sec-Fetch-Site", "cross-site"}}, true},
		{proxied, []header{{"Origin", "https://chat.example"}}, false}, // the proxy has rewritten Host
		{proxied, []header{{"Origin", "https://chat.example.evil.example"}}, true},
		{proxied, []header{{"Origin", "https://chat.example:8443"}}, true},
	} {
		p := tt.s.visitor(t)
		p.post("/login", "name", fmt.Sprint("Person ", i))
		if tt.s == proxied {
			continue // its cookies are for the proxy's address; see below
		}
		a := p.send(http.MethodPost, "/channels/general/messages", form("body", "kept text"), tt.headers...)
		if !tt.refused {
			a.leadsTo("/channels/general")
			continue
		}
		a.is(http.StatusForbidden).says("came from another site", "kept text")
		b := p.send(http.MethodPost, "/channels/general/messages", form("body", "x"), append(tt.headers, header{"HX-Request", "true"})...)
		if b.is(http.StatusForbidden); b.Header.Get("HX-Retarget") != "#flash" {
			t.Errorf("htmx: %q", b.Header)
		}
	}
	for origin, status := range map[string]int{"https://chat.example": http.StatusSeeOther, "https://evil.example": http.StatusForbidden, "http://chat.example": http.StatusForbidden} {
		proxied.visitor(t).send(http.MethodPost, "/login", form("name", "Via "+origin[:12]+origin[len(origin)-12:]), header{"Origin", origin}).is(status)
	}
	for _, p := range s.signIn(t, "Reader").page("general").rows {
		if strings.Contains(p, "kept text") && strings.Contains(p, "Person 4") {
			t.Errorf("a refused post was made: %s", p)
		}
	}
	if conn, response, err := proxied.visitor(t).dial("general", 0, header{"Origin", "https://chat.example"}); err != nil {
		t.Errorf("a socket from the base URL: %v, %v", response, err)
	} else {
		check(t, conn.CloseNow())
	}
}

// TestBaseURL lives under a path: every address in every page is below it.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, under("/chat"))
	p := s.visitor(t)
	pages := []reply{p.get("/").is(http.StatusOK), p.get("/?next=%2Fuser"), p.post("/login", "name", "")}
	p.get("/channels").leadsTo("/?next=%2Fchannels")
	p.post("/login", "name", "Anna").leadsTo("/")
	p.get("/").leadsTo("/channels")
	p.post("/channels", "name", "a/b").leadsTo("/channels/a%2Fb")
	p.post("/channels/a%2Fb/messages", "body", "hello").leadsTo("/channels/a%2Fb")
	s.fill(t, "general", "Anna", 250)
	feed := p.live("a/b", 0)
	pages = append(pages, p.htmx("/channels/a%2Fb/messages", "body", "live"))
	feed.next()
	p.post("/language", "lang", "en", "next", "/user").leadsTo("/user")
	for _, path := range []string{
		"/channels", "/channels/a%2Fb", "/channels/general", "/channels/general?before=120", "/channels/general?after=20",
		"/channels/none", "/user", "/logout", "/none",
	} {
		pages = append(pages, p.get(path))
	}
	addresses := map[string]bool{}
	for _, a := range pages {
		for n := range parse(t, a.body).Descendants() {
			for _, attr := range n.Attr {
				if !isAddress(attr.Key) || strings.HasPrefix(attr.Val, "#") || addresses[attr.Val] {
					continue
				}
				addresses[attr.Val] = true
				if !strings.HasPrefix(attr.Val, "/chat/") {
					t.Errorf("%s: %s=%q", a.Request.URL, attr.Key, attr.Val)
				}
				if n.Data != "form" && n.Data != "button" && attr.Key != "hx-post" && attr.Key != "hx-ws:connect" && attr.Val != "/chat/logout" {
					if b := p.get(strings.TrimPrefix(attr.Val, "/chat")); b.StatusCode >= 400 && !strings.Contains(attr.Val, "none") && !strings.HasSuffix(attr.Val, "/thread") { // no page of a message yet
						t.Errorf("%s: %s", attr.Val, b.Status)
					}
				}
			}
		}
	}
	if len(addresses) < 20 {
		t.Errorf("only %d addresses: %v", len(addresses), addresses)
	}
	p.get("//channels").is(http.StatusTemporaryRedirect)
	if to := p.get("//channels").Header.Get("Location"); to != "/chat/channels" {
		t.Errorf("/chat//channels leads to %q", to)
	}
	for path, status := range map[string]int{"/": http.StatusSeeOther, "/chat": http.StatusSeeOther, "/healthz": http.StatusOK, "/readyz": http.StatusOK, "/channels": http.StatusNotFound, "/chatter": http.StatusNotFound, "/chat/healthz": http.StatusOK} {
		request, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
		check(t, err)
		a := p.ask(request)
		if a.is(status); status == http.StatusSeeOther && a.Header.Get("Location") != "/chat/" {
			t.Errorf("%s leads to %q", path, a.Header.Get("Location"))
		}
	}
}

// TestForwardedFor believes it of nobody but the proxies that are trusted.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	from := func(s *server, forwarded string, n int) int {
		return s.visitor(t).send(http.MethodPost, "/login", form("name", fmt.Sprint("Person ", n)), header{"X-Forwarded-For", forwarded}).StatusCode
	}
	direct := newServer(t, func(o *Options) { o.LoginRate = 1 })
	if a, b := from(direct, "10.0.0.1", 1), from(direct, "10.0.0.2", 2); a != http.StatusSeeOther || b != http.StatusTooManyRequests {
		t.Errorf("from a peer that is not trusted: %d, %d", a, b)
	}
	proxied := newServer(t, func(o *Options) {
		o.LoginRate = 1
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}
	})
	for i, tt := range []struct {
		forwarded string
		status    int
	}{
		{"10.0.0.1", http.StatusSeeOther},
		{"10.0.0.2", http.StatusSeeOther},
		{"10.0.0.1", http.StatusTooManyRequests},
		{"10.9.9.9, 10.0.0.2", http.StatusTooManyRequests}, // its own word on the left
		{"10.0.0.2, 192.0.2.1", http.StatusTooManyRequests},
		{"10.0.0.3, 192.0.2.1", http.StatusSeeOther},
		{"::ffff:10.0.0.3", http.StatusTooManyRequests},
		{"not an address", http.StatusSeeOther}, // that is the proxy itself
		{"neither", http.StatusTooManyRequests},
	} {
		if got := from(proxied, tt.forwarded, i); got != tt.status {
			t.Errorf("%d, %q: %d, want %d", i, tt.forwarded, got, tt.status)
		}
	}
	if a := proxied.visitor(t).post("/login", "name", "Late"); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	} else {
		a.is(http.StatusTooManyRequests).says("Too many attempts")
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for accept, want := range map[string]string{"": "en", "zh-CN,zh;q=0.9": "zh-Hans", "de,zh;q=0.5": "zh-Hans", "fr": "en", "en-GB": "en", "\xff": "en"} {
		a := s.visitor(t).get("/", header{"Accept-Language", accept}).is(http.StatusOK)
		if !strings.Contains(a.body, `<html lang="`+want+`"`) {
			t.Errorf("%q: %.60s", accept, a.body)
		}
	}
	p := s.visitor(t)
	p.post("/language", "lang", "zh-Hans", "next", "/?next=%2Fuser").leadsTo("/?next=%2Fuser")
	if a := p.get("/", header{"Accept-Language", "en"}); !strings.Contains(a.body, `<html lang="zh-Hans"`) {
		t.Errorf("the choice is not kept: %.60s", a.body)
	}
	p.post("/language", "lang", "en", "next", "//evil.example").leadsTo("/")
	p.post("/language", "lang", "tlh").is(http.StatusBadRequest)
	if a := p.get("/none", header{"Accept-Language", "zh"}).is(http.StatusNotFound); !strings.Contains(a.body, `<html lang="en"`) {
		t.Errorf("%.60s", a.body)
	}
}

// TestHTTP is about what every server has to do right.
func TestHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	css := s.Assets.URL("app.css")
	for _, path := range []string{"/channels", "/channels/general", "/none", css, "/healthz"} {
		full, a := p.get(path), p.send(http.MethodHead, path, nil)
		if a.StatusCode != full.StatusCode || a.body != "" || a.Header.Get("Content-Type") != full.Header.Get("Content-Type") {
			t.Errorf("HEAD %s: %s %q %q", path, a.Status, a.Header, a.body)
		}
	}
	for _, path := range []string{"/none", "/channels/a/b", "/channels/general/messages/x", "/static2", "/.git/config", "/channels/general/"} {
		p.get(path).is(http.StatusNotFound).says("There is nothing here.", "Welcome, Anna.")
	}
	for path, to := range map[string]string{"/login": "/", "/language": "/", "/user/password": "/user", "/channels/general/messages": "/channels/general"} {
		p.get(path).leadsTo(to)
	}
	for method, path := range map[string]string{http.MethodPut: "/channels", http.MethodDelete: "/channels/general", http.MethodPatch: "/user/password", http.MethodPost: "/user"} {
		a := p.send(method, path, nil).is(http.StatusMethodNotAllowed).says("be opened that way")
		if a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", method, path)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		s.visitor(t).get(path).is(http.StatusOK)
	}

	style := p.get(css).is(http.StatusOK)
	etag := style.Header.Get("ETag")
	if a := p.get(css, header{"If-None-Match", etag}).is(http.StatusNotModified); etag == "" || a.body != "" {
		t.Errorf("ETag %q: %q", etag, a.body)
	}
	if got := style.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("Cache-Control of %s: %q", css, got)
	}
	for _, path := range []string{"/channels/general", css} {
		a := p.get(path, header{"Accept-Encoding", "gzip"})
		unpacked := ""
		if reader, err := gzip.NewReader(strings.NewReader(a.body)); err == nil {
			all, err := io.ReadAll(reader)
			check(t, err)
			unpacked = string(all)
		}
		if a.Header.Get("Content-Encoding") != "gzip" || len(unpacked) <= len(a.body) || !strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s: %q, %d bytes for %d", path, a.Header, len(a.body), len(unpacked))
		}
		if b := p.get(path, header{"Accept-Encoding", "identity"}); b.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(b.body, unpacked[:15]) {
			t.Errorf("%s without gzip: %q", path, b.Header)
		}
	}
}

// TestHTTP10 signs in and posts with a client from the last century.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cookie := ""
	ask := func(method, path, body string) *http.Response {
		t.Helper()
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		check(t, err)
		defer conn.Close()
		check(t, conn.SetDeadline(time.Now().Add(limit)))
		fmt.Fprintf(conn, "%s %s HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nCookie: %s\r\n\r\n%s", method, path, len(body), cookie, body)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(t, err)
		for _, c := range response.Cookies() {
			if c.Name == "hubbub_session" {
				cookie = c.Name + "=" + c.Value
			}
		}
		all, err := io.ReadAll(response.Body)
		check(t, err)
		response.Body = io.NopCloser(strings.NewReader(string(all)))
		return response
	}
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/", "", http.StatusOK},
		{"POST", "/login", "name=Anna", http.StatusSeeOther},
		{"POST", "/channels/general/messages", "body=from+afar", http.StatusSeeOther},
	} {
		if got := ask(step.method, step.path, step.body); got.StatusCode != step.status {
			t.Errorf("%s %s: %s", step.method, step.path, got.Status)
		}
	}
	page, err := io.ReadAll(ask("GET", "/channels/general", "").Body)
	if err != nil || !strings.Contains(string(page), "from afar") {
		t.Errorf("the page: %v %.2000s", err, page)
	}
}

// TestAccessLog has a line for each request, and in it nothing that is secret
// and nothing that ends the line.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna", "geheim 4711")
	p.get("/?next=%2Fgeheim")
	p.post("/channels/general/messages", "body", "geheim", "key", "geheim")
	p.get("/channels/general?before=1&geheim=1", header{"Authorization", "geheim"})
	p.get("/none/%0d%0atime=now%20level=INFO%20msg=forged%1b%5B2J%7f%c2%9b", header{"User-Agent", "geheim"}, header{"X-Forwarded-For", "1.2.3.4"})
	p.post("/login", "name", "x", "password", "geheim")
	_ = p.live("general", 0).CloseNow()
	lines := func() []string { return strings.Split(strings.TrimSuffix(s.out.String(), "\n"), "\n") }
	waitFor(t, "seven lines", func() bool { return len(lines()) == 7 })
	for _, line := range lines() {
		if !regexp.MustCompile(`^time=\S+ level=INFO msg=request method=(GET|POST) path=\S.* status=\d+ bytes=\d+ took=\S+ from=127\.0\.0\.1$`).MatchString(line) {
			t.Errorf("a line: %q", line)
		}
		for _, secret := range []string{"geheim", p.session(), "1.2.3.4", "?", "\r", "\x1b"} {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in %q", secret, line)
			}
		}
	}
	if all := s.out.String(); !strings.Contains(all, "path=/channels/general/live status=101") {
		t.Errorf("no line for the live connection: %s", all)
	}
}

// TestRefusedBodyIsBounded reads no more of a form than any may have.
func TestRefusedBodyIsBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, origin := range []string{s.URL, "https://evil.example"} {
		a := s.visitor(t).send(http.MethodPost, "/login", form("name", strings.Repeat("x", maxFormBytes)), header{"Origin", origin})
		a.is(http.StatusRequestEntityTooLarge)
	}
}
