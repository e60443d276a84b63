package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func assets(t *testing.T) *Assets {
	t.Helper()
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// get asks for a path with headers given as name, value, name, value ...
func get(a *Assets, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result()
}

func content(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What we did not write is what its makers published.
func TestVendoredFilesArePinned(t *testing.T) {
	for name, want := range map[string]string{
		"vendor/htmx-4.0.1.esm.min.js":  "df982506d1529a193f6073f568ec821d4ae8db761bdb0ef07bd6a3d5eace0b2e",
		"vendor/hx-ws-4.0.1.min.js":     "a7c11e4eca05417d6299bb40aaacca01572e44605389fc4d5ef12be408a4d03b",
		"vendor/hx-upsert-4.0.1.min.js": "9e516c6608f765b568559a4caed3c3121eff2702fb7ce012f21775639d2699c3",
	} {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s has changed: sha256 %s, want %s", name, got, want)
		}
	}
}

func TestHashedNameIsImmutable(t *testing.T) {
	a := assets(t)
	u := a.URL("app.css")
	if !strings.HasPrefix(u, "/static/app.") || !strings.HasSuffix(u, ".css") || u == "/static/app.css" {
		t.Fatalf("URL: %s", u)
	}
	r := get(a, "GET", u)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %d", r.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/css; charset=utf-8",
		"Cache-Control":          "public, max-age=31536000, immutable",
		"Vary":                   "Accept-Encoding",
		"Content-Encoding":       "",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want, _ := files.ReadFile("app.css")
	if !bytes.Equal(content(t, r), want) {
		t.Error("the bytes are not those of the file")
	}
}

func TestPlainNameIsRevalidated(t *testing.T) {
	a := assets(t)
	for _, path := range []string{"/favicon.svg", "/static/favicon.svg"} {
		r := get(a, "GET", path)
		if r.StatusCode != http.StatusOK || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, Cache-Control %q", path, r.StatusCode, r.Header.Get("Cache-Control"))
		}
		if got := r.Header.Get("Content-Type"); got != "image/svg+xml; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", path, got)
		}
	}
}

func TestGzip(t *testing.T) {
	a := assets(t)
	u := a.URL("app.css")
	plain := get(a, "GET", u)
	packed := get(a, "GET", u, "Accept-Encoding", "br, gzip;q=0.8")
	if packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	if packed.Header.Get("Etag") == plain.Header.Get("Etag") {
		t.Error("two encodings share an ETag")
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content(t, plain)) {
		t.Error("the compressed bytes are others")
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"":                 false,
		"gzip":             true,
		"GZIP":             true,
		"deflate, gzip":    true,
		"br":               false,
		"*":                true,
		"gzip;q=0":         false,
		"gzip; q=0.000":    false,
		"gzip;q=0.001":     true,
		"gzip;q=0, *":      false,
		"*;q=0":            false,
		"identity, *;q=.5": true,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("acceptsGzip(%q) = %t", header, got)
		}
	}
}

func TestNotModified(t *testing.T) {
	a := assets(t)
	u := a.URL("app.css")
	for _, encoding := range []string{"", "gzip"} {
		etag := get(a, "GET", u, "Accept-Encoding", encoding).Header.Get("Etag")
		for _, condition := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			r := get(a, "GET", u, "Accept-Encoding", encoding, "If-None-Match", condition)
			if r.StatusCode != http.StatusNotModified || len(content(t, r)) != 0 || r.Header.Get("Etag") != etag {
				t.Errorf("If-None-Match %s: %d", condition, r.StatusCode)
			}
		}
		if r := get(a, "GET", u, "Accept-Encoding", encoding, "If-None-Match", `"other"`); r.StatusCode != http.StatusOK {
			t.Errorf("another ETag: %d", r.StatusCode)
		}
	}
}

// TestModules follows the imports from the one module that pages name: each leads
// to a file under the name that its content has, and Modules lists them all.
func TestModules(t *testing.T) {
	t.Parallel()
	a := assets(t)
	specifier := regexp.MustCompile(`(?:from |import )'([^']*)'`)
	want := map[string]bool{}
	var follow func(u string)
	follow = func(u string) {
		r := get(a, "GET", u)
		source := content(t, r)
		if r.StatusCode != http.StatusOK || r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d, %s", u, r.StatusCode, r.Header.Get("Cache-Control"))
		}
		sum := sha256.Sum256(source)
		if hash := hex.EncodeToString(sum[:])[:8]; !strings.HasSuffix(u, "."+hash+".js") {
			t.Errorf("%s: the hash of what is served is %s", u, hash)
		}
		if strings.Contains(u, "/vendor/") {
			return
		}
		for _, part := range specifier.FindAllSubmatch(source, -1) {
			imported := path.Join(path.Dir(u), string(part[1]))
			if !want[imported] {
				want[imported] = true
				follow(imported)
			}
		}
	}
	follow(a.URL("app.js"))
	got := map[string]bool{}
	for _, u := range a.Modules("app.js") {
		got[u] = true
	}
	if !maps.Equal(got, want) || len(got) < 5 {
		t.Errorf("the modules are %v, want %v", got, want)
	}
	own, err := fs.Glob(files, "*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range own {
		if u := a.URL(name); name != "app.js" && !got[u] {
			t.Errorf("no page loads %s", name)
		}
	}
}

// TestCircle refuses modules that import each other: neither could be named by
// its content.
func TestCircle(t *testing.T) {
	t.Parallel()
	a := &Assets{}
	if err := a.load("live.js", []string{"app.js", "live.js"}); err == nil || !strings.Contains(err.Error(), "app.js, live.js, live.js") {
		t.Errorf("a circle: %v", err)
	}
}

// TestScriptSize keeps our own script small: 24 KB over the wire.
func TestScriptSize(t *testing.T) {
	t.Parallel()
	a := assets(t)
	total := 0
	for name, f := range a.served {
		if path.Dir(name) == "." && path.Ext(name) == ".js" && !hashLike.MatchString(path.Ext(strings.TrimSuffix(name, ".js"))) {
			t.Logf("%-14s %5d bytes, %5d compressed", name, len(f.plain.bytes), len(f.gzip.bytes))
			total += len(f.gzip.bytes)
		}
	}
	t.Logf("%d bytes compressed in all", total)
	if total < 1000 || total > 24<<10 {
		t.Errorf("our script takes %d bytes, compressed", total)
	}
}

// TestRange sends a part of a file, of either encoding.
func TestRange(t *testing.T) {
	t.Parallel()
	a := assets(t)
	u := a.URL("app.css")
	for _, encoding := range []string{"", "gzip"} {
		whole := content(t, get(a, "GET", u, "Accept-Encoding", encoding))
		r := get(a, "GET", u, "Accept-Encoding", encoding, "Range", "bytes=10-19")
		if got := content(t, r); r.StatusCode != http.StatusPartialContent || !bytes.Equal(got, whole[10:20]) || r.Header.Get("Content-Length") != "10" {
			t.Errorf("%q: %d, %v, %q", encoding, r.StatusCode, r.Header, got)
		}
	}
}

// TestAnotherVersion answers for the hash of a version that this is not with
// what there is, for this once.
func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	a := assets(t)
	now := content(t, get(a, "GET", a.URL("app.css")))
	for path, want := range map[string]int{
		"/static/app.00000000.css":   http.StatusOK,
		"/static/app.0000000.css":    http.StatusNotFound,
		"/static/app.ABCDEF00.css":   http.StatusNotFound,
		"/static/other.00000000.css": http.StatusNotFound,
		"/static/app.00000000.svg":   http.StatusNotFound,
		"/static/app.00000000.js":    http.StatusNotFound, // modules of two versions do not fit together
	} {
		r := get(a, "GET", path)
		if r.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, want)
		}
		if want == http.StatusOK && (!bytes.Equal(content(t, r), now) || r.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
}

func TestHeadUnknownAndMethods(t *testing.T) {
	a := assets(t)
	u := a.URL("app.css")
	want := get(a, "GET", u)
	head := get(a, "HEAD", u)
	if head.StatusCode != http.StatusOK || len(content(t, head)) != 0 || head.Header.Get("Content-Length") != want.Header.Get("Content-Length") {
		t.Errorf("HEAD: %d, Content-Length %q", head.StatusCode, head.Header.Get("Content-Length"))
	}
	for _, path := range []string{"/static/", "/static/none.css", "/static/../static.go", "/static/vendor/LICENSE-htmx"} {
		if r := get(a, "GET", path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	if r := get(a, "POST", u); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", r.StatusCode)
	}
}
