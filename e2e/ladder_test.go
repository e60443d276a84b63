package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// obstacle is what a proxy does to live connections.
type obstacle int32

const (
	nothing  obstacle = iota
	refuses           // it answers a WebSocket's handshake with 400
	buffers           // it does so too, and holds every answer back until it is complete
	swallows          // it takes a handshake and never answers
	strips            // it passes a handshake on as a plain request
)

// passOn returns the handler of a proxy to a server. What it does to a request
// is what obstacleOf says.
func passOn(s *server, transport http.RoundTripper, obstacleOf func(*http.Request) obstacle) (http.Handler, error) {
	target, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	plain := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	buffering := *plain
	buffering.ModifyResponse = func(answer *http.Response) error {
		if path := answer.Request.URL.Path; !strings.HasSuffix(path, "/live") && !strings.HasSuffix(path, "/document") || answer.StatusCode == http.StatusSwitchingProtocols {
			return nil
		}
		whole, err := io.ReadAll(answer.Body)
		answer.Body = io.NopCloser(strings.NewReader(string(whole)))
		return err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, upgrade := obstacleOf(r), r.Header.Get("Upgrade") != ""
		switch {
		case upgrade && (o == refuses || o == buffers):
			http.Error(w, "no upgrades here", http.StatusBadRequest)
		case upgrade && o == swallows:
			<-r.Context().Done()
		case upgrade && o == strips:
			r.Header.Del("Connection")
			r.Header.Del("Upgrade")
			plain.ServeHTTP(w, r)
		case o == buffers:
			buffering.ServeHTTP(w, r)
		default:
			plain.ServeHTTP(w, r)
		}
	}), nil
}

// proxy stands between browsers and a server, on a loopback address.
type proxy struct {
	*httptest.Server
	obstacle   atomic.Int32
	handshakes atomic.Int32 // that were asked for
}

// behindProxy returns a proxy with an obstacle, and the server as it is to be
// visited through it.
func behindProxy(t *testing.T, s *server, o obstacle) (*proxy, *server) {
	t.Helper()
	p := &proxy{}
	p.obstacle.Store(int32(o))
	handler, err := passOn(s, http.DefaultTransport, func(r *http.Request) obstacle {
		if r.Header.Get("Upgrade") != "" {
			p.handshakes.Add(1)
		}
		return obstacle(p.obstacle.Load())
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(handler)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	through := *s
	through.URL = p.URL
	return p, &through
}

// expectBadLine announces what a browser says of a line that is cut.
func (p *person) expectBadLine() {
	for _, part := range []string{"net::ERR_", "Failed to fetch", "WebSocket connection to", "htmx:ws:error"} {
		p.expect(part)
	}
}

// What the state of a page is, and whether it has a WebSocket.
const (
	isLive    = `document.getElementById("state").className === "live"`
	hasSocket = `document.getElementById("live").hasAttribute("hx-ws:connect")`
)

// TestLadder is behind proxies of three kinds that do not let a WebSocket
// through. The page finds a way by itself, and back once there is no obstacle.
func TestLadder(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]obstacle{"refuses": refuses, "buffers": buffers, "swallows": swallows} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			cleo := newVisitor(t, s, "Cleo")
			cleo.post(t, "general", "before") // message 1
			front, through := behindProxy(t, s, o)
			ann := newUser(t, through, "Ann")
			ann.expectBadLine()
			began := time.Now()
			ann.open(t, through, "general")
			ann.waitFor(t, isLive+` && !`+hasSocket)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it is live after %v", took)
			}
			tried := front.handshakes.Load()
			cleo.post(t, "general", "by another way")
			ann.waitRow(t, "by another way")
			cleo.send(t, "/m/1/1/delete", nil)
			ann.waitFor(t, count("before")+" === 0")
			cleo.post(t, "general", numbered(10)...)
			ann.waitRow(t, "message 10")
			ann.post(t, "my own")
			want := append([]string{"by another way"}, append(numbered(10), "my own")...)
			ann.wantRows(t, want...)

			// That a look for a WebSocket is in vain is not the end of it.
			eventually(t, "the page looks for a WebSocket", func() bool { return front.handshakes.Load() > tried })
			front.obstacle.Store(int32(nothing))
			ann.waitFor(t, isLive+` && `+hasSocket)
			cleo.post(t, "general", "by the best way")
			ann.waitRow(t, "by the best way")
			ann.wantRows(t, append(want, "by the best way")...)
			ann.see(t, "#state", "Connected")
		})
	}
}

// offline cuts the person's line, or mends it, and then tells the page, which
// tries it at once.
func (p *person) offline(t *testing.T, off bool) {
	t.Helper()
	p.do(t,
		throttle(network.Conditions{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}),
		command(network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}),
	)
}

// TestOffline cuts the line: the page says so and since when, keeps what is
// posted, and sends it once when the line is back.
func TestOffline(t *testing.T) {
	t.Parallel()
	for tag, word := range map[string]string{"en-US": "Offline since", "zh-CN": "起已断网"} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			cleo := newVisitor(t, s, "Cleo")
			ann := newUser(t, s, "Ann", withLanguage(tag))
			ann.expectBadLine()
			ann.open(t, s, "general")
			ann.waitFor(t, isLive)
			ann.offline(t, true)
			ann.see(t, "#state.offline", word)
			ann.want(t, `/\d\d:\d\d/.test(document.getElementById("state").textContent)`)
			for _, text := range numbered(3) {
				ann.fill(t, "#body", text)
				ann.click(t, send)
				ann.see(t, "#outbox li", text)
				ann.waitFor(t, `document.getElementById("body").value === ""`)
			}
			ann.wantRows(t)
			ann.waitFor(t, `document.querySelectorAll("#outbox li").length === 3`)
			cleo.post(t, "general", "meanwhile")

			ann.offline(t, false)
			ann.waitFor(t, isLive+` && !document.querySelector("#outbox li")`)
			ann.wantRows(t, append([]string{"meanwhile"}, numbered(3)...)...)
			ann.do(t, chromedp.Reload())
			ann.wantRows(t, append([]string{"meanwhile"}, numbered(3)...)...)
		})
	}
}

// TestOfflineReload loses the server under a post, and the page as well: the
// next page of the channel sends it.
func TestOfflineReload(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	ann.expectBadLine()
	ann.open(t, s, "general")
	ann.waitFor(t, isLive)
	ann.offline(t, true)
	ann.fill(t, "#body", "it waits")
	ann.click(t, send)
	ann.see(t, "#outbox li", "it waits")
	ann.visit(t, "about:blank")
	ann.offline(t, false)
	ann.open(t, s, "general")
	ann.waitRow(t, "it waits")
	ann.waitFor(t, `!document.querySelector("#outbox li")`)
	ann.do(t, chromedp.Reload())
	ann.wantRows(t, "it waits")
}

// TestRefusedLater posts what the server refuses once the line is back: it is
// kept, with the reason, to be tried again or edited.
func TestRefusedLater(t *testing.T) {
	t.Parallel()
	for tag, words := range map[string]struct{ reason, retry, edit string }{
		"en-US": {"1 character too long (limit 16,000).", "Retry", "Edit"},
		"zh-CN": {"超出 1 个字符（上限 16,000）。", "重新发送", "编辑"},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			s := quick(t)
			ann := newUser(t, s, "Ann", withLanguage(tag))
			ann.expectBadLine()
			ann.expect("status of 422")
			ann.open(t, s, "general")
			ann.waitFor(t, isLive)
			ann.offline(t, true)
			ann.see(t, "#state.offline", "")
			long := strings.Repeat("x", 16001)
			ann.fill(t, "#body", long)
			ann.click(t, send)
			ann.see(t, "#outbox li", long)
			ann.offline(t, false)
			ann.see(t, "#outbox .failed small", words.reason)
			button := func(name string) string {
				return `[...document.querySelectorAll("#outbox .failed button")].find(b => b.textContent === ` + js(name) + `)`
			}
			before := ann.sent("POST", "/messages")
			ann.want(t, `(`+button(words.retry)+`.click(), true)`)
			eventually(t, "it is tried again", func() bool { return ann.sent("POST", "/messages") > before })
			ann.see(t, "#outbox .failed small", words.reason)
			ann.want(t, `(`+button(words.edit)+`.click(), true)`)
			ann.want(t, `!document.querySelector("#outbox li") && document.getElementById("body").value.length === 16001`)
			ann.fill(t, "#body", "shorter")
			ann.click(t, send)
			ann.waitRow(t, "shorter")
			ann.wantRows(t, "shorter")
		})
	}
}

// TestDraft keeps what is typed and not sent, for each channel.
func TestDraft(t *testing.T) {
	t.Parallel()
	s := quick(t)
	newVisitor(t, s, "Cleo").send(t, "/channels", url.Values{"name": {"other"}})
	ann := newUser(t, s, "Ann")
	body := func(text string) string { return `document.getElementById("body").value === ` + js(text) }
	drafts := map[string]string{"general": "a draft\nof two lines", "other": "<b>another</b>"}
	for channel, text := range drafts {
		ann.open(t, s, channel)
		ann.want(t, body(""))
		ann.fill(t, "#body", text)
	}
	for channel, text := range drafts {
		ann.open(t, s, channel)
		ann.want(t, body(text))
		ann.do(t, chromedp.Reload())
		ann.waitFor(t, body(text))
	}
	ann.open(t, s, "general")
	ann.click(t, send)
	ann.waitRow(t, drafts["general"])
	ann.waitFor(t, body(""))
	ann.do(t, chromedp.Reload())
	ann.waitRow(t, drafts["general"])
	ann.want(t, body(""))
	ann.open(t, s, "other")
	ann.want(t, body(drafts["other"]))

	// A page of earlier messages has the same one, till it is sent from there.
	ann.visit(t, s.channelURL("other")+"?before=1")
	ann.want(t, body(drafts["other"]))
	ann.fill(t, "#body", "sent from there")
	ann.follow(t, send)
	ann.waitRow(t, "sent from there")
	ann.want(t, body(""))
	ann.insert(t, "one more")

	// A log-out takes them along.
	ann.click(t, ".self")
	ann.follow(t, "#me .leave button")
	ann.fill(t, "#password", "rain in may")
	ann.follow(t, `main form[action="/logout"] button.primary`)
	ann.want(t, `!Object.keys(localStorage).some(name => name.includes(":draft"))`)
}
