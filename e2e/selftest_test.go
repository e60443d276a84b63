package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestServerComesBack shows that a killed server starts again on its port and
// data, and that one asked to stop ends in good order.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	first := s.PID()
	s.kill(t, syscall.SIGKILL)
	s.restart(t)
	if s.PID() == first {
		t.Error("the same process answers")
	}
	s.kill(t, syscall.SIGTERM)
	if strings.Count(s.Log(), s.URL) < 2 {
		t.Errorf("the log does not name the address at each start:\n%s", s.Log())
	}
}

// stub serves one page under a strict policy, and a script that is its own.
func stub(t *testing.T, body, script string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; img-src 'self'")
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Stub</title><link rel="icon" href="/icon"><script src="/app.js" defer></script><main><h1>Stub</h1>%s<p id="language">%s</p></main></html>`,
				body, r.Header.Get("Accept-Language"))
		case "/app.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, script)
		case "/icon":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestBrowserHearsTrouble shows that a page with a fault cannot pass.
func TestBrowserHearsTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, script, want string }{
		{"console error", "", `console.error("told", 7)`, `console.error: "told" 7`},
		{"exception", "", `null.x`, "exception: Uncaught TypeError"},
		{"rejected promise", "", `Promise.reject(new Error("no"))`, "exception: Uncaught (in promise) Error: no"},
		{"missing image", `<img alt="" src="/missing">`, "", "network error: Failed to load resource"},
		{"inline script", `<script>document.title = "x"</script>`, "", "content security policy: script-src"},
		{"inline style", `<p style="color: red">x</p>`, "", "content security policy: style-src"},
		{"eval", "", `try { eval("1") } catch {}`, "content security policy: script-src"},
		{"dialog", "", `setTimeout(() => alert("seen"))`, "dialog: seen"},
		{"foreign navigation", `<a id="away" href="http://127.0.0.1:1/">x</a>`, `document.getElementById("away").click()`, "request to another origin: GET http://127.0.0.1:1/"},
		{"foreign fetch", "", `fetch("http://127.0.0.1:1/").catch(() => {})`, "content security policy: connect-src"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := stub(t, tt.body, tt.script)
			p := newPerson(t, newBrowser(t))
			p.visit(t, url)
			p.settle(t)
			got := strings.Join(p.unexpected(), "\n")
			if !strings.Contains(got, tt.want) {
				t.Errorf("heard %q, want %q", got, tt.want)
			}
			p.expect("") // the rest of this test is not a failure
		})
	}
}

// TestBrowserOptions shows that the options reach the page.
func TestBrowserOptions(t *testing.T) {
	t.Parallel()
	const script = `document.documentElement.dataset.script = "on"`
	for _, tt := range []struct {
		name       string
		options    []option
		expression string
		want       bool
	}{
		{"script on", nil, `document.documentElement.dataset.script === "on"`, true},
		{"script off", []option{withoutScript}, `document.documentElement.dataset.script === "on"`, false},
		{"English", nil, `document.getElementById("language").innerText.startsWith("en-US")`, true},
		{"Chinese", []option{withLanguage("zh-CN")}, `document.getElementById("language").innerText.startsWith("zh-CN")`, true},
		{"Chinese to script", []option{withLanguage("zh-CN")}, `new Intl.NumberFormat().resolvedOptions().locale === "zh-CN"`, true},
		{"light", nil, `matchMedia("(prefers-color-scheme: dark)").matches`, false},
		{"dark", []option{dark}, `matchMedia("(prefers-color-scheme: dark)").matches`, true},
		{"calm", []option{withMedia("prefers-reduced-motion", "reduce")}, `matchMedia("(prefers-reduced-motion: reduce)").matches`, true},
		{"width", []option{withWidth(320)}, `innerWidth === 320`, true},
		{"touch", []option{withTouch}, `navigator.maxTouchPoints === 5`, true},
		{"touch to styles", []option{withTouch}, `matchMedia("(hover: none) and (pointer: coarse)").matches`, true},
		{"mouse to styles", nil, `matchMedia("(hover: hover) and (pointer: fine)").matches`, true},
		{"in front", nil, `document.hasFocus() && document.visibilityState === "visible"`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := stub(t, "", script)
			p := newPerson(t, newBrowser(t), tt.options...)
			p.visit(t, url)
			if got := ask[bool](t, p, tt.expression); got != tt.want {
				t.Errorf("%s is %t", tt.expression, got)
			}
		})
	}
}

// TestPeopleShareNothing shows that two people have cookies of their own.
func TestPeopleShareNothing(t *testing.T) {
	t.Parallel()
	url := stub(t, "", "")
	one, two := newPerson(t, newBrowser(t)), newPerson(t, newBrowser(t))
	one.visit(t, url)
	two.visit(t, url)
	if got := ask[string](t, one, `document.cookie = "name=one", document.cookie`); got != "name=one" {
		t.Fatalf("got cookie %q", got)
	}
	if got := ask[string](t, two, `document.cookie`); got != "" {
		t.Errorf("the other has cookie %q", got)
	}
}

// TestAxeFinds shows that axe runs under the policy, with script on and off,
// passes what is right and finds what is not.
func TestAxeFinds(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"script on": nil, "script off": {withoutScript}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			right, wrong := stub(t, "<p>Fine.</p>", ""), stub(t, `<img src="/icon">`, "")
			p := newPerson(t, newBrowser(t), options...)
			p.visit(t, right)
			axe(t, p, everything)
			p.visit(t, wrong)
			violations, err := p.violations(everything)
			if err != nil {
				t.Fatal(err)
			}
			if len(violations) != 1 || !strings.Contains(violations[0], "image-alt") {
				t.Errorf("got %q, want one about image-alt", violations)
			}
			screenshot(t, p, filepath.Join(t.ArtifactDir(), "stub.png"))
		})
	}
}
