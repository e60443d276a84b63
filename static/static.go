// Package static holds the files that pages load: the style sheet, the
// modules of script and the pictures, embedded and addressed by what is in
// them.
package static

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

//go:embed *.css *.js *.svg vendor/*.js
var files embed.FS

// hashLike is what stands before the extension in a hashed name.
var hashLike = regexp.MustCompile(`^\.[0-9a-f]{8}$`)

// importLine is a static import of one of our modules, which is a line of its
// own: import { name } from './file.js';
var importLine = regexp.MustCompile(`(?m)^(import (?:[^'\n]+ from )?'\./)([^'\n]+)(';)$`)

// comment is a line of a module that is nothing else.
var comment = regexp.MustCompile(`(?m)^\s*//.*\n`)

// Prefix is what the path of every asset begins with.
const Prefix = "/static/"

// Assets is the embedded files, ready to be served. It does not change once
// made.
type Assets struct {
	urls    map[string]string   // by file name
	imports map[string][]string // the files that a module needs, by its name
	served  map[string]asset    // by the last segments of the path
}

// asset is one file under one name.
type asset struct {
	contentType  string
	cacheControl string
	plain        body
	gzip         body // empty where compression gains nothing
}

// body is the bytes of one encoding of a file.
type body struct {
	bytes []byte
	etag  string
}

// New reads the embedded files, hashes and compresses them. Every file is
// served under its hashed name, for ever, and under its plain name, to be
// asked for again each time: that one is for what names a file without
// knowing its hash, such as a style sheet.
func New() (*Assets, error) {
	a := &Assets{urls: map[string]string{}, imports: map[string][]string{}, served: map[string]asset{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return a.load(name, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("static: %w", err)
	}
	return a, nil
}

// load adds a file, unless it is there already. Importers are the modules that
// led to it.
func (a *Assets) load(name string, importers []string) error {
	if slices.Contains(importers, name) {
		return fmt.Errorf("modules import each other in a circle: %s, %s", strings.Join(importers, ", "), name)
	}
	if a.urls[name] != "" {
		return nil
	}
	plain, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	if path.Ext(name) == ".js" {
		if plain, err = a.link(name, plain, importers); err != nil {
			return err
		}
	}
	return a.add(name, plain)
}

// link loads what a module imports and returns the module's source with the
// hashed names of those files, and without its comments. So a browser may keep
// each module for ever, and a change in one changes the names of all that
// import it.
func (a *Assets) link(name string, source []byte, importers []string) ([]byte, error) {
	var failed error
	linked := importLine.ReplaceAllFunc(source, func(line []byte) []byte {
		part := importLine.FindSubmatch(line)
		imported := string(part[2])
		if err := a.load(imported, append(slices.Clip(importers), name)); err != nil {
			failed = fmt.Errorf("%s: %w", name, err)
			return line
		}
		for _, file := range append(slices.Clone(a.imports[imported]), imported) {
			if !slices.Contains(a.imports[name], file) {
				a.imports[name] = append(a.imports[name], file)
			}
		}
		hashed := strings.TrimPrefix(a.urls[imported], Prefix)
		return slices.Concat(part[1], []byte(hashed), part[3])
	})
	return comment.ReplaceAll(linked, nil), failed
}

func (a *Assets) add(name string, plain []byte) error {
	extension := path.Ext(name)
	contentType := contentType(extension)
	if contentType == "" {
		return fmt.Errorf("%s: no content type for %q", name, extension)
	}
	packed, err := compress(plain)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	sum := sha256.Sum256(plain)
	hash := hex.EncodeToString(sum[:])

	f := asset{
		contentType:  contentType,
		cacheControl: "no-cache",
		plain:        body{bytes: plain, etag: `"` + hash[:32] + `"`},
	}
	if len(packed) < len(plain) {
		f.gzip = body{bytes: packed, etag: `"` + hash[:32] + `-gzip"`}
	}
	a.served[name] = f

	f.cacheControl = "public, max-age=31536000, immutable"
	hashed := strings.TrimSuffix(name, extension) + "." + hash[:8] + extension
	a.served[hashed] = f
	a.urls[name] = Prefix + hashed
	return nil
}

// contentType returns the type of the files that we have with an extension, ""
// for any other: what the system thinks of extensions does not count.
func contentType(extension string) string {
	switch extension {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml; charset=utf-8"
	default:
		return ""
	}
}

func compress(plain []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// URL returns the path of a file, such as "/static/app.3f2a9c1b.css" for
// "app.css". It panics for a file that there is not: the names are written in
// templates, and a wrong one shows in the first test that renders it.
func (a *Assets) URL(name string) string {
	u, ok := a.urls[name]
	if !ok {
		panic("static: no file " + name)
	}
	return u
}

// Modules returns the paths of the files that a module imports, and of those
// that they import, in the order in which they run. A page that names them all
// has them loaded at once and not one after the other.
func (a *Assets) Modules(name string) []string {
	urls := make([]string, 0, len(a.imports[name]))
	for _, file := range a.imports[name] {
		urls = append(urls, a.URL(file))
	}
	return urls
}

// ServeHTTP answers requests for assets, by paths that URL returned. A path
// without Prefix, such as /favicon.svg, means the file of that plain name.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if rest, ok := strings.CutPrefix(r.URL.Path, Prefix); ok {
		name = rest
	}
	f, ok := a.served[name]
	if !ok {
		f, ok = a.ofAnotherVersion(name)
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cacheControl)
	h.Set("X-Content-Type-Options", "nosniff")
	b := f.plain
	if f.gzip.bytes != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			b = f.gzip
			h.Set("Content-Encoding", "gzip")
			// ServeContent knows the length and leaves it out for an encoding.
			h.Set("Content-Length", strconv.Itoa(len(b.bytes)))
		}
	}
	h.Set("ETag", b.etag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b.bytes))
}

// ofAnotherVersion returns what this version has in the place of a file whose
// name holds the hash of another's. During an upgrade a page and its assets may
// come from different nodes: a page should not be bare then. Nobody keeps it.
// Modules are left out, because those of two versions do not fit together: the
// page works by its forms till it is loaded again.
func (a *Assets) ofAnotherVersion(name string) (asset, bool) {
	extension := path.Ext(name)
	stem := strings.TrimSuffix(name, extension)
	hash := path.Ext(stem)
	if extension == ".js" || !hashLike.MatchString(hash) {
		return asset{}, false
	}
	f, ok := a.served[strings.TrimSuffix(stem, hash)+extension]
	f.cacheControl = "no-store"
	return f, ok
}

// acceptsGzip reports whether an Accept-Encoding header lets us answer with
// gzip: it names gzip, or anything, and not with a weight of zero.
func acceptsGzip(header []string) bool {
	others := false // what * says of those not named
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(item, ";")
			ok := !isZero(weight)
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return ok
			case "*":
				others = ok
			}
		}
	}
	return others
}

// isZero reports whether a weight such as "q=0.0" is zero.
func isZero(weight string) bool {
	value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(weight)), "q=")
	return ok && strings.Trim(value, "0.") == ""
}
