package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// actionLimit is how long the steps of one person.do may take.
const actionLimit = 30 * time.Second

// chromium is the one browser process of this test run.
var chromium sharedBrowser

// sharedBrowser starts Chromium when the first test needs it.
type sharedBrowser struct {
	once      sync.Once
	ctx       context.Context
	cancel    context.CancelFunc // of the allocator
	dir       string             // the profile
	userAgent string
	err       error
}

// newBrowser returns the browser that all tests share. A browser that cannot
// be had fails the test.
func newBrowser(t *testing.T) *sharedBrowser {
	t.Helper()
	chromium.once.Do(func() { chromium.err = chromium.start() })
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	return &chromium
}

func (b *sharedBrowser) start() error {
	path, err := findChromium()
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "hubbub-chromium-"); err != nil {
		return err
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(b.dir),
		chromedp.NoSandbox, // the pages are ours, and containers often allow none
		chromedp.DisableGPU,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true),
		// Without a screen there is no mouse, and pages would be laid out for touch.
		chromedp.Flag("blink-settings", "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"),
	)
	var ctx context.Context
	ctx, b.cancel = chromedp.NewExecAllocator(context.Background(), options...)
	b.ctx, _ = chromedp.NewContext(ctx) // ended by close
	version, err := chromedp.CallBrowser(b.ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	b.userAgent = version.UserAgent
	return nil
}

// close ends the process, if there is one, and waits for it.
func (b *sharedBrowser) close() {
	if b.ctx != nil {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "close Chromium:", err)
		}
		b.cancel()
	}
	if b.dir != "" {
		if err := os.RemoveAll(b.dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove Chromium's profile:", err)
		}
	}
}

// findChromium returns the path of the browser to test with.
func findChromium() (string, error) {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the browser tests need Chromium: run \"apt-get install chromium fonts-noto-cjk\" as root, or set CHROMIUM to its path")
}

// person is somebody at a browser of their own: cookies and storage are
// shared with nobody. It is used by one goroutine at a time.
type person struct {
	ctx      context.Context
	noScript bool
	media    []*emulation.MediaFeature
	size     emulation.SetDeviceMetricsOverrideParams
	setup    []chromedp.Action[chromedp.Void] // of each of the person's tabs

	mu       sync.Mutex
	origins  []string // that the person's browser may ask for something
	troubles []string // errors that the browser showed in its console
	expected []string // parts of troubles that are meant to be
	traffic  map[network.RequestID]*transfer
	held     chan *fetch.EventRequestPaused // requests that wait for the test
}

// transfer is a request and what its answer took.
type transfer struct {
	method, url string
	kind        network.ResourceType
	bytes       float64 // over the wire, headers and body
}

// option sets up a person's browser before the first page.
type option func(*settings)

type settings struct {
	noScript bool
	steps    []chromedp.Action[chromedp.Void]
	media    []*emulation.MediaFeature
	agent    emulation.SetUserAgentOverrideParams
	size     emulation.SetDeviceMetricsOverrideParams
}

// command makes a step of a protocol command.
func command[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, cmd, params)
		return chromedp.Void{}, err
	}
}

// withoutScript turns the page's own script off. Evaluating from a test still
// works.
func withoutScript(s *settings) { s.noScript = true }

// disableScript turns the page's own script off or on.
func disableScript(off bool) chromedp.Action[chromedp.Void] {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
}

// withLanguage asks for pages in a language, such as "zh-CN".
func withLanguage(tag string) option {
	return func(s *settings) {
		s.agent.AcceptLanguage = tag
		s.steps = append(s.steps, command(emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: tag}))
	}
}

// withMedia sets a CSS media feature, such as prefers-reduced-motion.
func withMedia(name, value string) option {
	return func(s *settings) {
		s.media = append(s.media, &emulation.MediaFeature{Name: name, Value: value})
	}
}

// dark prefers a dark page.
func dark(s *settings) { withMedia("prefers-color-scheme", "dark")(s) }

// inZone sets the browser's time zone.
func inZone(name string) option {
	return func(s *settings) {
		s.steps = append(s.steps, command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name}))
	}
}

// withoutPolicy makes the browser pass over the content security policy, so
// that nothing but the pages themselves stands against what is planted.
func withoutPolicy(s *settings) {
	s.steps = append(s.steps, command(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}))
}

// withWidth sets the viewport's width in CSS pixels.
func withWidth(width int) option {
	return func(s *settings) { s.size.Width = int64(width) }
}

// withScale sets how many pixels of the screen a CSS pixel has.
func withScale(scale float64) option {
	return func(s *settings) { s.size.DeviceScaleFactor = scale }
}

// withHeight sets the viewport's height in CSS pixels.
func withHeight(height int) option {
	return func(s *settings) { s.size.Height = int64(height) }
}

// withTouch makes it a phone: a touch screen and a mobile viewport.
func withTouch(s *settings) {
	s.size.Mobile = true
	s.steps = append(s.steps, command(emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true, MaxTouchPoints: 5}))
}

// newPerson opens a tab in a new private window. The test fails at its end if
// the console then shows an error, an exception or a violation of the
// content security policy that was not announced with expect.
func newPerson(t *testing.T, b *sharedBrowser, options ...option) *person {
	t.Helper()
	s := settings{
		media: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}},
		agent: emulation.SetUserAgentOverrideParams{UserAgent: b.userAgent, AcceptLanguage: "en-US"},
		size:  emulation.SetDeviceMetricsOverrideParams{Width: 1280, Height: 800, DeviceScaleFactor: 1},
	}
	for _, o := range options {
		o(&s)
	}
	ctx, _ := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext()) // ended by the cleanup
	p := &person{ctx: ctx, noScript: s.noScript, media: s.media, size: s.size}
	p.setup = append([]chromedp.Action[chromedp.Void]{
		command(audits.Enable, cdp.Empty{}),
		command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}), // all tabs are in front
		command(emulation.SetUserAgentOverride, s.agent),
		command(emulation.SetDeviceMetricsOverride, s.size),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: s.media}),
		disableScript(s.noScript),
	}, s.steps...)
	p.begin(t)
	return p
}

// begin opens the person's tab.
func (p *person) begin(t *testing.T) {
	t.Helper()
	p.traffic, p.held = map[network.RequestID]*transfer{}, make(chan *fetch.EventRequestPaused, 100)
	t.Cleanup(func() { p.close(t) })
	if err := chromedp.Listen(p.ctx, p.hear); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p.do(t, p.setup...)
}

// tab opens another tab in the person's window.
func (p *person) tab(t *testing.T) *person {
	t.Helper()
	ctx, _ := chromedp.NewContext(p.ctx) // ended by the cleanup
	other := &person{ctx: ctx, noScript: p.noScript, media: p.media, size: p.size, setup: p.setup}
	other.begin(t)
	return other
}

// visit opens a page. Whatever the person's browser asks for at an origin that
// was not visited so fails the test.
func (p *person) visit(t *testing.T, address string) {
	t.Helper()
	p.mu.Lock()
	p.origins = append(p.origins, origin(address))
	p.mu.Unlock()
	p.do(t, chromedp.Navigate(address))
}

// origin returns the scheme, host and port of an address. That of a WebSocket
// is that of the server that opens it.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.Replace(u.Scheme, "ws", "http", 1) + "://" + u.Host
}

// asks notes a request of the browser, and returns what is wrong with it.
func (p *person) asks(id network.RequestID, sent *transfer) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traffic[id] = sent
	if !slices.Contains(p.origins, origin(sent.url)) {
		return "request to another origin: " + sent.method + " " + sent.url
	}
	return ""
}

// close closes the person's tab and reports what is wrong.
func (p *person) close(t *testing.T) {
	t.Helper()
	p.settle(t)
	for _, trouble := range p.unexpected() {
		t.Errorf("the browser's console shows: %s", trouble)
	}
	if t.Failed() {
		screenshot(t, p, filepath.Join(t.ArtifactDir(), "failed.png"))
	}
	if err := chromedp.Cancel(p.ctx); err != nil {
		t.Errorf("close the tab: %v", err)
	}
}

// settle waits until the events of what happened so far have arrived: the tab
// sends them and the answer in order.
func (p *person) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[int]("0")); err != nil {
		t.Errorf("the tab does not answer: %v", err)
	}
}

// expect announces an error that the test means to cause, by a part of it.
func (p *person) expect(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, part)
}

// unexpected returns the troubles that nobody announced.
func (p *person) unexpected() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var unexpected []string
	for _, trouble := range p.troubles {
		if !slices.ContainsFunc(p.expected, func(part string) bool { return strings.Contains(trouble, part) }) {
			unexpected = append(unexpected, trouble)
		}
	}
	return unexpected
}

// hear notes the events that mean trouble.
func (p *person) hear(event any) {
	var trouble string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeError && e.Type != runtime.ConsoleAPICalledTypeAssert {
			return
		}
		trouble = "console." + string(e.Type) + ":"
		for _, arg := range e.Args {
			if arg.Description != "" {
				trouble += " " + arg.Description
			} else {
				trouble += " " + string(arg.Value)
			}
		}
	case *runtime.EventExceptionThrown:
		trouble = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			trouble += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelError {
			return
		}
		trouble = fmt.Sprintf("%s error: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		csp := e.Issue.Details.ContentSecurityPolicyIssueDetails
		if csp == nil {
			return
		}
		trouble = fmt.Sprintf("content security policy: %s forbids %s %s", csp.ViolatedDirective, csp.ContentSecurityPolicyViolationType, csp.BlockedURL)
	case *page.EventJavascriptDialogOpening:
		trouble = "dialog: " + e.Message
		go func() { // it holds the page up; not from here, which holds the tab up
			_, _ = chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	case *network.EventRequestWillBeSent:
		trouble = p.asks(e.RequestID, &transfer{method: e.Request.Method, url: e.Request.URL, kind: e.Type})
	case *network.EventWebSocketCreated:
		trouble = p.asks(e.RequestID, &transfer{method: "GET", url: e.URL, kind: network.ResourceTypeWebSocket})
	case *network.EventLoadingFinished:
		p.mu.Lock()
		if sent := p.traffic[e.RequestID]; sent != nil {
			sent.bytes = e.EncodedDataLength
		}
		p.mu.Unlock()
	case *fetch.EventRequestPaused:
		p.held <- e
	}
	if trouble == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = append(p.troubles, trouble)
}

// do takes steps in the person's tab, within actionLimit.
func (p *person) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%v\n%s", err, p.page())
	}
}

// ask evaluates an expression in the page, and awaits it if it is a promise.
func ask[T any](t *testing.T, p *person, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("evaluate %s: %v\n%s", expression, err, p.page())
	}
	return v
}

// waitFor waits until an expression is true in the page.
func (p *person) waitFor(t *testing.T, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error is not final: the page may be between two documents.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it did not come true that %s (%v)\n%s", expression, err, p.page())
		case <-tick.C:
		}
	}
}

// page describes where the person is, for the message of a failure.
func (p *person) page() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body ? document.body.innerText : "no body").replace(/\s+/g, " ").slice(0, 600)`))
	if err != nil {
		return fmt.Sprintf("the page cannot be read: %v", err)
	}
	return "the page is " + s
}

// lineParams are how slow the line is, and whether there is one. Chromium has
// changed where it takes the latter, and passes over what it does not know.
type lineParams struct {
	network.EmulateNetworkConditionsByRuleParams
	Offline bool `json:"offline"`
}

// throttle makes the step that gives a tab such a line.
func throttle(line network.Conditions) chromedp.Action[chromedp.Void] {
	emulate := cdp.Command[lineParams, network.EmulateNetworkConditionsByRuleResult]{Method: network.CommandEmulateNetworkConditionsByRule}
	params := lineParams{Offline: line.Offline}
	params.MatchedNetworkConditions = []*network.Conditions{&line}
	return command(emulate, params)
}

//go:embed testdata/axe-4.14.1.min.js
var axeSource string

// axe fails the test for everything in the person's page that axe-core finds
// not accessible. The policy of the page does not bind what a test evaluates.
func axe(t *testing.T, p *person, options string) {
	t.Helper()
	violations, err := p.violations(options)
	if err != nil {
		t.Fatalf("axe: %v", err)
	}
	for _, v := range violations {
		t.Error(v)
	}
}

// What axe-core is asked to look for.
const (
	everything = `{resultTypes: ["violations"]}`
	contrast   = `{resultTypes: ["violations"], runOnly: ["color-contrast"]}`
)

// violations returns what axe-core finds in the page and in each of its frames,
// a paragraph each.
func (p *person) violations(options string) (violations []string, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	if p.noScript {
		// Timers stand still without script, and axe needs them. The page's own
		// scripts were passed over when it loaded, and stay so.
		if err := chromedp.Do(ctx, disableScript(false)); err != nil {
			return nil, fmt.Errorf("turn script on: %w", err)
		}
		defer func() {
			if e := chromedp.Do(ctx, disableScript(true)); e != nil {
				err = errors.Join(err, fmt.Errorf("turn script off: %w", e))
			}
		}()
	}
	tree, err := chromedp.Call(p.ctx, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		return nil, fmt.Errorf("find the frames: %w", err)
	}
	violations, err = violationsIn(ctx, 0, options)
	frames := tree.FrameTree.ChildFrames
	for i := 0; err == nil && i < len(frames); i++ {
		frames = append(frames, frames[i].ChildFrames...)
		world, e := chromedp.Call(ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: frames[i].Frame.ID})
		if e != nil {
			return nil, fmt.Errorf("enter a frame: %w", e)
		}
		var more []string
		more, err = violationsIn(ctx, world.ExecutionContextID, options)
		violations = append(violations, more...)
	}
	return violations, err
}

// violationsIn returns what axe-core finds in one document, without its frames.
func violationsIn(ctx context.Context, world runtime.ExecutionContextID, options string) (violations []string, err error) {
	in := func(p *runtime.EvaluateParams) { p.ContextID = world }
	if world != 0 { // a frame is part of a page that has these
		options = `{...` + options + `, rules: {"landmark-one-main": {enabled: false}, "page-has-heading-one": {enabled: false}}}`
	}
	run := `axe.run(document, {...` + options + `, iframes: false}).then(r => JSON.stringify({url: r.url, violations: r.violations}))`
	loaded, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`"axe" in window`, in))
	if err == nil && !loaded {
		_, err = chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](axeSource, in))
	}
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](run, chromedp.EvalAwaitPromise, in))
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	var result struct {
		URL        string
		Violations []struct {
			ID, Impact, Help, HelpURL string
			Nodes                     []struct{ HTML, FailureSummary string }
		}
	}
	if err := json.Unmarshal([]byte(answer), &result); err != nil {
		return nil, fmt.Errorf("read the result: %w", err)
	}
	for _, v := range result.Violations {
		var s strings.Builder
		fmt.Fprintf(&s, "axe: %s: %s (%s, %s)\n  %s", result.URL, v.Help, v.ID, v.Impact, v.HelpURL)
		for _, node := range v.Nodes {
			fmt.Fprintf(&s, "\n  %s\n    %s", node.HTML, strings.ReplaceAll(node.FailureSummary, "\n", "\n    "))
		}
		violations = append(violations, s.String())
	}
	return violations, nil
}

// screenshot saves what the tab shows as a PNG file.
func screenshot(t *testing.T, p *person, file string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, actionLimit)
	defer cancel()
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Errorf("take screenshot %s: %v", file, err)
		return
	}
	if err := os.WriteFile(file, image, 0o644); err != nil {
		t.Errorf("save screenshot: %v", err)
	}
}
