package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// conversation fills a channel with what people write.
func conversation(t *testing.T, s *server, channel string) {
	t.Helper()
	mia, jonas, li := newVisitor(t, s, "Mia"), newVisitor(t, s, "Jonas"), newVisitor(t, s, "李娜")
	mia.post(t, channel, "Good morning! The new printer on the second floor is finally here.")
	jonas.post(t, channel, "Does it do A3?", "And can I send to it from my phone?")
	mia.post(t, channel, "Yes to both. How to set it up: https://wiki.example.com/printers/second-floor")
	li.post(t, channel, "太好了！午饭后我来试试。", "For everyone on Linux:\n\n    lpadmin -p floor2 -E -v ipp://printer2.example.com/ipp\n    lpoptions -d floor2")
	jonas.post(t, channel, "Worked the first time. Thank you!")
	mia.post(t, channel, strings.Repeat("long", 60))
}

// tour leads somebody through every page in every state that it has, and has
// each looked at.
func tour(t *testing.T, s *server, look func(p *person, state string), options ...option) {
	t.Helper()
	conversation(t, s, "general")
	zoe := newVisitor(t, s, "Zoe")
	zoe.post(t, "general", numbered(110)...)
	zoe.send(t, "/channels", map[string][]string{"name": {"紧急 & urgent"}})
	p := newPerson(t, newBrowser(t), options...)
	for _, status := range []string{"404", "409", "422", "400"} {
		p.expect("status of " + status)
	}
	state := func(name string) {
		t.Helper()
		p.waitFor(t, settled)
		// Nothing fades while it is looked at.
		ask[bool](t, p, `(document.getAnimations().forEach(a => a.pause()), true)`)
		look(p, name)
	}

	p.visit(t, s.URL+"/")
	state("sign-in")
	p.signIn(t, "Zoe")
	p.see(t, "#name-error", "Zoe")
	state("sign-in-taken")
	p.fill(t, "#name", "Noor")
	p.fill(t, "#password", "short")
	p.follow(t, "#signin button.primary")
	state("sign-in-password")
	p.visit(t, s.URL+"/")
	p.signIn(t, "Noor")
	p.see(t, ".notice", "Noor")
	state("channels-greeting")
	p.fill(t, "#name", "general")
	p.follow(t, "#create button.primary")
	state("channels-error")
	p.visit(t, s.channelURL("nowhere"))
	state("missing-channel")
	p.follow(t, "main button.primary")
	state("channel-empty")
	p.open(t, s, "general")
	p.post(t, "Hello, all. I am new here.")
	p.post(t, "Where is the coffee?")
	state("channel")
	p.fill(t, "#body", strings.Repeat("x", 4001))
	if p.noScript {
		p.follow(t, "#composer button.primary")
	} else {
		p.click(t, "#composer button.primary")
	}
	p.waitFor(t, `document.getElementById("composer-error").textContent !== ""`)
	state("channel-error")
	p.visit(t, s.channelURL("general")+"?before=50")
	state("channel-earlier")
	p.visit(t, s.channelURL("general")+"?mark")
	state("channel-mark")
	p.follow(t, "#messages > .mark:nth-last-child(4) button")
	p.see(t, ".notice", "general")
	zoe.post(t, "general", "Down the corridor, on the left.")
	p.visit(t, s.channelURL("general"))
	p.see(t, "#messages > .new", "")
	zoe.send(t, "/channels/general/typing", nil)
	state("channel-new")
	p.visit(t, s.channelURL("general")+"?before=1")
	state("channel-before-all")
	p.visit(t, s.URL+"/channels")
	state("channels")
	p.visit(t, s.URL+"/nothing")
	state("not-found")
	p.visit(t, s.channelURL("general")+"?before=x")
	state("bad-request")
	p.visit(t, s.URL+"/logout")
	state("log-out")
	p.visit(t, s.URL+"/user")
	state("user")
	p.fill(t, "#password", "correct horse")
	p.follow(t, `[action$="/user/password"] button.primary`)
	p.see(t, ".notice.success", "")
	p.click(t, "details.apart summary")
	p.waitFor(t, `document.querySelector("details.apart").open`)
	state("user-password")
	p.fill(t, "#current", "wrong")
	p.fill(t, "#password", "wrong too")
	p.follow(t, `[action$="/user/password"] button.primary`)
	state("user-error")
}

// tours are the ways to take a tour that make a difference.
func tours(t *testing.T, take func(t *testing.T, options ...option)) {
	for _, language := range []string{"en-US", "zh-CN"} {
		t.Run(language, func(t *testing.T) {
			withAndWithoutScript(t, func(t *testing.T, options ...option) {
				take(t, append(options, withLanguage(language))...)
			})
		})
	}
}

var (
	inDark   = &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	inForced = &emulation.MediaFeature{Name: "forced-colors", Value: "active"}
)

// overflow is an expression of what sticks out of the window.
const overflow = `(() => {
	const out = [];
	const all = ` + documents + `;
	for (const d of all) {
		const root = d.documentElement;
		if (root.scrollWidth > d.defaultView.innerWidth) out.push("the page is " + root.scrollWidth + " wide");
	}
	for (const e of all.flatMap(d => [...d.querySelectorAll("body *")])) {
		const innerWidth = e.ownerDocument.defaultView.innerWidth;
		if (!e.checkVisibility() || e.closest(".unseen, .skip") || getComputedStyle(e).clipPath !== "none") continue;
		if (e.closest("#messages .who, #messages .when")) continue;
		const r = e.getBoundingClientRect();
		if (r.width && (r.right > innerWidth + 1 || r.left < -1)) {
			const hidden = (() => { for (let a = e.parentElement; a; a = a.parentElement) if (getComputedStyle(a).overflowX === "hidden" && a.getBoundingClientRect().right <= innerWidth + 1 && getComputedStyle(a).textOverflow === "ellipsis") return true })();
			if (!hidden) out.push(e.outerHTML.slice(0, 120) + " from " + r.left + " to " + r.right);
		}
	}
	return out;
})()`

// TestPages lays every page in every state out from a small phone to a large
// screen, and has axe-core look at it, in light and dark.
func TestPages(t *testing.T) {
	t.Parallel()
	tours(t, func(t *testing.T, options ...option) {
		tour(t, quick(t), func(p *person, state string) {
			t.Helper()
			for _, width := range []int{320, 400, 640, 641, 959, 960, 1280, 1920} {
				p.emulate(t, width, "")
				if out := ask[[]string](t, p, overflow); len(out) > 0 {
					t.Errorf("at %d pixels: %s", width, strings.Join(out, "\n"))
				}
				if width == 320 || width == 1280 {
					axe(t, p, everything)
					p.emulate(t, width, "", inDark)
					axe(t, p, contrast)
				}
			}
			p.emulate(t, 0, "")
			if t.Failed() {
				t.Fatalf("that was %s", state)
			}
		}, options...)
	})
}

// TestTouch wants what is touched to be large enough: 44 pixels high, as
// WCAG 2.2 has it in 2.5.5, links in a text aside.
func TestTouch(t *testing.T) {
	t.Parallel()
	tour(t, quick(t), func(p *person, state string) {
		t.Helper()
		small := ask[[]string](t, p, `[...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), textarea")]
			.filter(e => e.checkVisibility() && !e.closest("#messages .body, #messages .when, .skip"))
			.map(e => [e.closest("label.switch, ul.channels > li") || e, e])
			.filter(([box, e]) => { const r = box.getBoundingClientRect(); return r.height < 44 - .5 || r.width < 24 })
			.map(([box, e]) => e.outerHTML.slice(0, 120) + " is " + box.getBoundingClientRect().width + " by " + box.getBoundingClientRect().height)`)
		if len(small) > 0 {
			t.Errorf("%s: too small to touch:\n%s", state, strings.Join(small, "\n"))
		}
	}, withTouch, withWidth(375))
}

// TestLook saves every page as a picture when HUBBUB_LOOK names a directory.
func TestLook(t *testing.T) {
	dir := os.Getenv("HUBBUB_LOOK")
	if dir == "" {
		t.Skip("HUBBUB_LOOK is not set")
	}
	t.Parallel()
	tours(t, func(t *testing.T, options ...option) {
		tour(t, quick(t), func(p *person, state string) {
			t.Helper()
			for name, f := range map[string]func(){
				"wide":       func() { p.emulate(t, 1280, "") },
				"phone":      func() { p.emulate(t, 375, "") },
				"dark":       func() { p.emulate(t, 1280, "", inDark) },
				"phone-dark": func() { p.emulate(t, 320, "", inDark) },
				"forced":     func() { p.emulate(t, 1280, "", inForced) },
			} {
				f()
				file := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-" + state + "-" + name + ".png"
				screenshot(t, p, filepath.Join(dir, file))
			}
			p.emulate(t, 0, "")
		}, options...)
	})
}

// TestMedia looks at what printers, forced colours and reduced motion change.
func TestMedia(t *testing.T) {
	t.Parallel()
	s := quick(t)
	newVisitor(t, s, "Zoe").post(t, "general", numbered(90)...)
	ann := newUser(t, s, "Ann")
	ann.open(t, s, "general")
	ann.post(t, "mine")

	ann.emulate(t, 0, "print")
	ann.want(t, `!document.getElementById("composer").checkVisibility() && !document.querySelector("nav").checkVisibility() && !document.querySelector(".head .ib").checkVisibility()`)
	ann.want(t, `[...document.querySelectorAll("#messages .delete")].every(e => !e.checkVisibility())`)
	ann.want(t, `document.querySelector(".head").checkVisibility()`)
	ann.emulate(t, 0, "")
	pdf, err := chromedp.Run(ann.ctx, chromedp.PrintToPDF())
	if err != nil {
		t.Fatal(err)
	}
	// 91 rows of some 20 pixels and more take several sheets.
	if pages := strings.Count(string(pdf), "/Type /Page\n"); pages < 3 {
		t.Errorf("the print has %d pages, so rows are missing", pages)
	}

	ann.emulate(t, 0, "", inForced)
	border := func(text string) string {
		return ask[string](t, ann, `getComputedStyle(`+row(text)+`).borderInlineStartColor`)
	}
	if border("mine") == border("message 90") {
		t.Error("own rows look like others' in forced colours")
	}
	ann.want(t, `getComputedStyle(document.querySelector("#messages > li[id]")).borderInlineStartStyle === "solid"`)
	ask[bool](t, ann, `document.getElementById("body").focus(), true`)
	ann.want(t, `getComputedStyle(document.querySelector(".box")).outlineStyle === "solid"`) // shadows are not painted

	bob := newUser(t, s, "Bob", withMedia("prefers-reduced-motion", "reduce"))
	bob.see(t, ".notice", "Welcome, Bob.")
	bob.want(t, `document.getAnimations().every(a => a.effect.getTiming().duration <= 1)`)
}

// TestFirstView weighs what an empty channel shows at first, as it comes over
// the wire. The second style sheet is asked for at the end of the page.
func TestFirstView(t *testing.T) {
	t.Parallel()
	s := quick(t)
	ann := newUser(t, s, "Ann")
	fresh := newPerson(t, newBrowser(t))
	cookies := ask[string](t, ann, `document.cookie`)
	if cookies != "" {
		t.Errorf("script can read cookies: %q", cookies)
	}
	v := newVisitor(t, s, "Zoe")
	fresh.become(t, v)
	fresh.visit(t, s.channelURL("general"))
	fresh.settle(t)
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	total, kinds := 0.0, []string{}
	for _, r := range fresh.traffic {
		if (r.kind == "Document" || r.kind == "Stylesheet") && !strings.Contains(r.url, "/more.") {
			total += r.bytes
			kinds = append(kinds, fmt.Sprintf("%s %s %v", r.kind, r.url, math.Round(r.bytes)))
		}
	}
	slices.Sort(kinds)
	t.Log(strings.Join(kinds, "\n"))
	if len(kinds) < 2 || total < 1000 || total > 14*1024 {
		t.Errorf("the first view takes %v bytes, want 14 KB at most:\n%s", total, strings.Join(kinds, "\n"))
	}
}

// TestScriptSize keeps our own script small: 15 KB minified. What is measured
// keeps the long names, which are a fifth of it.
func TestScriptSize(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../static/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var source []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	script := regexp.MustCompile(`(?m)(^|\s)//.*$`).ReplaceAll(source, nil)
	script = regexp.MustCompile(`\s*([^\w\s$'"`+"`"+`])\s*`).ReplaceAll(script, []byte("$1"))
	if size := len(script); size < 8<<10 || size > 21000 {
		t.Errorf("our script has %d bytes without comments and spaces", size)
	}
}

// TestRowsBeforeScript opens a channel in a fresh browser, over a line of 20 ms
// and 1.6 Mbit/s on which no script comes: the rows are painted all the same.
func TestRowsBeforeScript(t *testing.T) {
	t.Parallel()
	s := quick(t)
	v := newVisitor(t, s, "Zoe")
	v.post(t, "general", "good morning")
	ann := newPerson(t, newBrowser(t))
	ann.become(t, v)
	line := []*network.Conditions{{Latency: 20, DownloadThroughput: 200_000, UploadThroughput: 200_000}}
	ann.mu.Lock()
	ann.origins = append(ann.origins, origin(s.URL))
	ann.mu.Unlock()
	ann.do(t,
		command(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: line}),
		command(fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*.js*", RequestStage: fetch.RequestStageRequest}}}),
		command(page.Navigate, page.NavigateParams{URL: s.channelURL("general")}), // unlike visit, this does not wait for the scripts
	)
	ann.caught(t)
	ann.waitFor(t, `(body => body && body.textContent === "good morning" && body.checkVisibility())(document.querySelector("#messages .body"))`)
	ann.waitFor(t, `performance.getEntriesByName("first-contentful-paint").length === 1`)
	ann.want(t, `document.readyState !== "complete" && !window.htmx`)
	ann.release(t)
	ann.waitFor(t, isLive)
}
