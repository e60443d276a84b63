package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// quick starts a server that lets tests be faster than people.
func quick(t *testing.T, args ...string) *server {
	t.Helper()
	return startServer(t, append([]string{"--post-rate=0", "--login-rate=0"}, args...)...)
}

// js writes a value as a JavaScript expression.
func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// eventually waits until a condition of the test's own holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), actionLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("it did not come true: %s", what)
		case <-tick.C:
		}
	}
}

// withAndWithoutScript runs a test that must hold either way.
func withAndWithoutScript(t *testing.T, test func(*testing.T, ...option)) {
	t.Run("script on", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("script off", func(t *testing.T) {
		t.Parallel()
		test(t, withoutScript)
	})
}

// channelURL is the address of a channel's page.
func (s *server) channelURL(channel string) string {
	return s.URL + "/channels/" + url.PathEscape(channel)
}

// newUser opens a browser and signs in under a new name.
func newUser(t *testing.T, s *server, name string, options ...option) *person {
	t.Helper()
	p := newPerson(t, newBrowser(t), options...)
	p.visit(t, s.URL+"/")
	p.signIn(t, name)
	p.waitFor(t, `document.querySelector(".welcome bdi").textContent === `+js(name))
	return p
}

// signIn fills in the sign-in form of the page and sends it.
func (p *person) signIn(t *testing.T, name string) {
	t.Helper()
	p.fill(t, "#name", name)
	p.follow(t, "#signin button.primary")
}

// openMenu opens the menu with the viewer's name, and before it the side where
// that is a drawer.
func (p *person) openMenu(t *testing.T) {
	t.Helper()
	if !p.holds(t, `document.getElementById("side").checkVisibility()`) {
		p.click(t, "button.burger")
	}
	p.click(t, ".self")
	p.see(t, ".welcome", "")
}

// leave signs out by the menu.
func (p *person) leave(t *testing.T) {
	t.Helper()
	p.openMenu(t)
	p.follow(t, ".leave button")
}

// open goes to a channel's page.
func (p *person) open(t *testing.T, s *server, channel string) {
	t.Helper()
	p.visit(t, s.channelURL(channel))
	p.waitFor(t, `document.querySelector("h1").textContent === `+js(channel))
	p.waitFor(t, settled)
}

// settled is an expression of whether the frame of a page without script, if it
// has one, has come to the document in which rows are added.
const settled = `!document.querySelector("#stream") || ` + streams
const streams = list + `.location.pathname.endsWith("/live") && !!` + list + `.getElementById("scroller")`

// post writes a message, sends it by the button, and waits until it shows.
func (p *person) post(t *testing.T, text string) {
	t.Helper()
	p.fill(t, "#body", text)
	if p.noScript {
		p.follow(t, "#composer button.primary")
	} else {
		p.click(t, "#composer button.primary")
	}
	p.waitRow(t, text)
	p.waitFor(t, `document.getElementById("body").value === ""`)
}

// waitRow waits until one row, and no more than one, shows a text.
func (p *person) waitRow(t *testing.T, text string) {
	t.Helper()
	p.waitFor(t, count(text)+" === 1")
}

// documents is an expression of the page's document and those of its frames, as
// far as they can be read.
const documents = `(() => {
	const all = [document];
	for (const d of all) all.push(...[...d.querySelectorAll("iframe")].map(f => f.contentDocument).filter(d => d?.documentElement));
	return all;
})()`

// list is an expression of the document whose rows are shown: without script
// it is in a frame.
const list = documents + `.at(-1)`

// count is an expression of how many rows show a text.
func count(text string) string {
	return `[...` + list + `.querySelectorAll("#messages > li[id] > .body")].filter(p => p.checkVisibility() && p.textContent.trim() === ` + js(strings.TrimSpace(text)) + `).length`
}

// row is an expression of the row that shows a text.
func row(text string) string {
	return `[...` + list + `.querySelectorAll("#messages > li[id]")].find(r => r.querySelector(".body").textContent.trim() === ` + js(strings.TrimSpace(text)) + `)`
}

// rows returns the texts of the rows, oldest first.
func (p *person) rows(t *testing.T) []string {
	t.Helper()
	return ask[[]string](t, p, texts)
}

// texts is an expression of the texts of the rows that are not deleted.
const texts = `[...` + list + `.querySelectorAll("#messages > li[id] > .body")].filter(p => p.checkVisibility()).map(p => p.textContent.trim())`

// wantRows fails the test unless these, and no others, are the rows.
func (p *person) wantRows(t *testing.T, want ...string) {
	t.Helper()
	if p.noScript { // the frame may be between two documents
		p.waitFor(t, `JSON.stringify(`+texts+`) === JSON.stringify(`+js(append([]string{}, want...))+`)`)
		return
	}
	if got := p.rows(t); !slices.Equal(got, want) {
		t.Fatalf("the rows are %q, want %q", got, want)
	}
}

// remove deletes the person's own message that shows a text.
func (p *person) remove(t *testing.T, text string) {
	t.Helper()
	p.waitRow(t, text)
	button := `#` + ask[string](t, p, `(`+row(text)+`).id`) + ` .delete`
	if p.noScript {
		p.follow(t, button)
	} else {
		p.click(t, button)
	}
	p.waitFor(t, count(text)+" === 0")
}

// see waits until an element is shown with a text in it.
func (p *person) see(t *testing.T, selector, text string) {
	t.Helper()
	p.waitFor(t, documents+`.flatMap(d => [...d.querySelectorAll(`+js(selector)+`)]).some(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && e.textContent.includes(`+js(text)+`))`)
}

// holds tells whether an expression is true in the page now.
func (p *person) holds(t *testing.T, expression string) bool {
	t.Helper()
	return ask[bool](t, p, expression)
}

// want fails the test unless an expression is true in the page now.
func (p *person) want(t *testing.T, expression string) {
	t.Helper()
	if !p.holds(t, expression) {
		t.Errorf("it is not so that %s", expression)
	}
}

// point returns the middle of what shows of an element, once it stands still
// on the screen and nothing is over it.
func (p *person) point(t *testing.T, selector string) (x, y float64) {
	t.Helper()
	place := `(() => {
		const e = ` + documents + `.map(d => d.querySelector(` + js(selector) + `)).find(e => e?.checkVisibility());
		if (!e) return null;
		e.scrollIntoView({block: "nearest", behavior: "instant"});
		const r = e.getClientRects()[0];
		if (!r || !r.width) return null;
		const at = [r.x + r.width / 2, r.y + r.height / 2];
		const top = e.ownerDocument.elementFromPoint(...at);
		if (!top || !e.contains(top) && !top.contains(e)) return null;
		for (let f = e.ownerDocument.defaultView.frameElement; f; f = f.ownerDocument.defaultView.frameElement) {
			const box = f.getBoundingClientRect();
			at[0] += box.x;
			at[1] += box.y;
			if (f.ownerDocument.elementFromPoint(...at) !== f) return null;
		}
		return at;
	})()`
	var at []float64
	p.waitFor(t, settled)
	eventually(t, selector+" can be pointed at", func() bool {
		before := at
		at = ask[[]float64](t, p, place)
		return at != nil && slices.Equal(at, before)
	})
	return at[0], at[1]
}

// click clicks on an element with the mouse.
func (p *person) click(t *testing.T, selector string) {
	t.Helper()
	x, y := p.point(t, selector)
	p.do(t, chromedp.MouseClickXY(x, y))
}

// hover moves the mouse over an element.
func (p *person) hover(t *testing.T, selector string) {
	t.Helper()
	x, y := p.point(t, selector)
	p.do(t, chromedp.MouseEvent(chromedp.MouseMoved, x, y, chromedp.ButtonNone))
}

// follow clicks on what leads to another page, and waits for it.
func (p *person) follow(t *testing.T, selector string) {
	t.Helper()
	p.turn(t, func() { p.click(t, selector) })
}

// turn does what leads to another page, and waits until that is complete.
func (p *person) turn(t *testing.T, act func()) {
	t.Helper()
	ask[bool](t, p, `document.left = true`)
	act()
	p.waitFor(t, `!document.left && document.readyState === "complete"`)
}

// fill replaces the text of a field.
func (p *person) fill(t *testing.T, selector, text string) {
	t.Helper()
	ask[bool](t, p, `(() => { const e = document.querySelector(`+js(selector)+`); e.focus(); e.select(); return true })()`)
	if text == "" {
		p.press(t, kb.Delete)
		return
	}
	p.insert(t, text)
}

// insert puts text in at the cursor, as pasting does.
func (p *person) insert(t *testing.T, text string) {
	t.Helper()
	p.do(t, command(input.InsertText, input.InsertTextParams{Text: text}))
}

// press presses a key, of the kb package, with others held down.
func (p *person) press(t *testing.T, key string, with ...chromedp.Modifier) {
	t.Helper()
	if key == kb.Enter {
		p.enter(t, 13, "\r", with...)
		return
	}
	p.do(t, chromedp.KeyEvent(key, chromedp.KeyModifiers(with...)))
}

// enter presses Enter as keyboards do: one event, of which the page prevents
// the line break too. An input method's types no text, and may have code 229.
func (p *person) enter(t *testing.T, code int64, text string, with ...chromedp.Modifier) {
	t.Helper()
	down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: code, Text: text}
	for _, m := range with {
		down.Modifiers |= int64(m)
	}
	up := down
	up.Type, up.Text = input.DispatchKeyEventTypeKeyUp, ""
	p.do(t, command(input.DispatchKeyEvent, down), command(input.DispatchKeyEvent, up))
}

// tabTo walks the keyboard's way until it stands on an element. Wherever it
// stops, the focus must show.
func (p *person) tabTo(t *testing.T, selector string, with ...chromedp.Modifier) {
	t.Helper()
	var way []string
	for range 150 { // each row is a stop
		p.press(t, kb.Tab, with...)
		stop := ask[struct {
			Name      string
			Here, Lit bool
		}](t, p, `(() => {
			let e = document.activeElement;
			while (e.contentDocument) e = e.contentDocument.activeElement;
			const style = getComputedStyle(e);
			const box = e.closest(".box");
			return {
				Name: e.tagName + "#" + e.id + "." + e.className,
				Here: e.matches(`+js(selector)+`),
				Lit: e === e.ownerDocument.body || style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && style.opacity === "1" ||
					e.id === "body" && getComputedStyle(box).boxShadow !== "none",
			};
		})()`)
		way = append(way, stop.Name)
		if !stop.Lit {
			t.Errorf("the focus does not show on %s", stop.Name)
		}
		if stop.Here {
			return
		}
	}
	t.Fatalf("the keyboard does not come to %s: %q\n%s", selector, way, p.page())
}

// emulate changes the viewport's width and media features; "" is a screen.
func (p *person) emulate(t *testing.T, width int, medium string, features ...*emulation.MediaFeature) {
	t.Helper()
	size := p.size
	if width > 0 {
		size.Width = int64(width)
	}
	p.do(t,
		command(emulation.SetDeviceMetricsOverride, size),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: append(slices.Clone(p.media), features...)}),
	)
}

// intercept holds posts to the channel that the person is in, at a stage, until
// the test has them go on. Stop it with release.
func (p *person) intercept(t *testing.T, stage fetch.RequestStage) {
	t.Helper()
	p.do(t, command(fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/messages", RequestStage: stage}}}))
	// The page's loader learns of it a little later: try till one is held.
	for {
		ask[bool](t, p, `(window.passed = false, fetch(location.pathname + "/messages", {method: "HEAD"}).then(() => { window.passed = true }), true)`)
		var held *fetch.EventRequestPaused
		eventually(t, "a request is held or passes", func() bool {
			select {
			case held = <-p.held:
				return true
			default:
				return p.holds(t, `window.passed`)
			}
		})
		if held != nil {
			p.do(t, command(fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: held.RequestID}))
			p.waitFor(t, `window.passed`)
			return
		}
	}
}

// caught waits until a request is held.
func (p *person) caught(t *testing.T) *fetch.EventRequestPaused {
	t.Helper()
	select {
	case e := <-p.held:
		return e
	case <-time.After(actionLimit):
		t.Fatalf("no request was held\n%s", p.page())
		return nil
	}
}

// lose has a held request fail as if the line were cut.
func (p *person) lose(t *testing.T, held *fetch.EventRequestPaused) {
	t.Helper()
	p.do(t,
		command(fetch.FailRequest, fetch.FailRequestParams{RequestID: held.RequestID, ErrorReason: network.ErrorReasonConnectionReset}),
		command(fetch.Disable, cdp.Empty{}),
	)
}

// release lets what is held go on, and holds nothing more.
func (p *person) release(t *testing.T) {
	t.Helper()
	p.do(t, command(fetch.Disable, cdp.Empty{}))
}

// sent returns the requests so far of a method whose address ends so, or goes
// on with more of its query.
func (p *person) sent(method, suffix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.traffic {
		if r.method == method && (strings.HasSuffix(r.url, suffix) || strings.Contains(r.url, suffix+"&")) {
			n++
		}
	}
	return n
}

// visitor is somebody without a browser, to fill a server with.
type visitor struct {
	s      *server
	client http.Client
}

// newVisitor signs in under a name that is new, or has that password. It returns
// nil if the name is refused.
func newVisitor(t *testing.T, s *server, name string, password ...string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{s: s, client: http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if v.send(t, "/login", url.Values{"name": {name}, "password": password}) != http.StatusSeeOther {
		return nil
	}
	return v
}

// at is the visitor at another node, with the same session.
func (v *visitor) at(s *server) *visitor { return &visitor{s, v.client} }

// send posts a form and returns the status of the answer.
func (v *visitor) send(t *testing.T, path string, form url.Values) int {
	t.Helper()
	response, err := v.client.PostForm(v.s.URL+path, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// post posts messages to a channel, in order.
func (v *visitor) post(t *testing.T, channel string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if status := v.send(t, "/channels/"+url.PathEscape(channel)+"/messages", url.Values{"body": {body}}); status != http.StatusSeeOther {
			t.Fatalf("posting %q is answered with %d", body, status)
		}
	}
}

// cookies are the visitor's, for a browser that takes them over.
func (v *visitor) cookies(t *testing.T) []*http.Cookie {
	t.Helper()
	u, err := url.Parse(v.s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return v.client.Jar.Cookies(u)
}

// become gives the person's browser a visitor's session.
func (p *person) become(t *testing.T, v *visitor) {
	t.Helper()
	for _, c := range v.cookies(t) {
		p.do(t, command(network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: v.s.URL + "/"}))
	}
}

// numbered returns n texts, "message 1" and so on.
func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("message %d", i+1)
	}
	return texts
}
