package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers says what of ours each folder may import. A folder that is not here
// is not part of the design.
var layers = map[string][]string{
	".":          {"bus", "components", "handlers", "hub", "live", "locale", "static", "store"},
	"handlers":   {"bus", "components", "hub", "live", "locale", "static", "store"},
	"live":       {"bus", "components", "hub", "locale", "static", "store"},
	"bus":        nil,
	"components": {"locale", "static", "store"},
	"hub":        nil,
	"locale":     nil,
	"static":     nil,
	"store":      {"store"}, // store/move is a command of its own
	"e2e":        {"e2e"},   // it knows only the binary; the benchmark starts servers beside it
}

// servers is the package that starts the servers which tests need: any test may
// import it.
const servers = "hubbub/e2e/throwaway"

// publisher is the only file that sends what has changed to hubs and to the bus, so
// that no change reaches some of its readers only.
const publisher = "live/publish.go"

// constants are calls whose results nobody changes, so that an unexported
// variable may hold one.
var constants = []string{
	"regexp.MustCompile", "strings.NewReplacer", "sync.OnceValue", "sync.OnceValues",
}

// TestLayers holds the whole tree to the design.
func TestLayers(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	files := map[string]*ast.File{} // by slash-separated path
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch base := entry.Name(); {
			case name == ".":
			case strings.HasPrefix(base, "."), strings.HasPrefix(base, "_"), base == "testdata", name == "bin", name == "data":
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 5 {
		t.Fatalf("found only %d Go files", len(files))
	}
	types := storeTypes(files)
	for name, file := range files {
		for _, complaint := range checkFile(fset, name, file, types) {
			t.Error(complaint)
		}
	}
}

// storeTypes returns the names that components may use of the store: its
// types and constants, but not the Store itself.
func storeTypes(files map[string]*ast.File) map[string]bool {
	types := map[string]bool{}
	for name, file := range files {
		if path.Dir(name) != "store" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					types[spec.Name.Name] = true
				case *ast.ValueSpec:
					for _, ident := range spec.Names {
						types[ident.Name] = gen.Tok == token.CONST
					}
				}
			}
		}
	}
	delete(types, "Store")
	return types
}

// checkFile returns the rules that the file at name breaks, a sentence each.
func checkFile(fset *token.FileSet, name string, file *ast.File, storeTypes map[string]bool) []string {
	var complaints []string
	complain := func(node ast.Node, format string, args ...any) {
		complaints = append(complaints, fmt.Sprintf("%s: %s", fset.Position(node.Pos()), fmt.Sprintf(format, args...)))
	}
	isTest := strings.HasSuffix(name, "_test.go")

	folder, _, below := strings.Cut(name, "/")
	if !below {
		folder = "."
	}
	allowed, known := layers[folder]
	if !known {
		complain(file.Name, "folder %s is not in the design: a new folder needs a goroutine or a protocol of its own", folder)
	}
	names := append(strings.Split(path.Dir(name), "/"), strings.TrimSuffix(file.Name.Name, "_test"))
	for _, bad := range []string{"internal", "models", "services", "utils"} {
		if slices.Contains(names, bad) {
			complain(file.Name, "no package is named %s: name it after what it holds", bad)
		}
	}

	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			complain(spec, "import path %s cannot be read", spec.Path.Value)
			continue
		}
		ours, ok := strings.CutPrefix(imported, "hubbub")
		if !ok || ours != "" && ours[0] != '/' {
			continue
		}
		layer, _, _ := strings.Cut(strings.TrimPrefix(ours, "/"), "/")
		ownTest := isTest && (layer == folder || imported == servers)
		if !slices.Contains(allowed, layer) && !ownTest {
			complain(spec, "%s may not import %s: imports run one way, main -> handlers -> components -> {store's types, locale, static}, handlers -> {store, hub}", folder, imported)
		}
	}
	if isTest {
		return complaints
	}

	if folder == "components" {
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "store" && !storeTypes[selector.Sel.Name] {
				complain(selector, "components know the store's types only, not store.%s", selector.Sel.Name)
			}
			return true
		})
	}
	if slices.Contains(allowed, "bus") && name != publisher {
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok && selector.Sel.Name == "Publish" {
				complain(selector.Sel, "only %s may use Publish, of the bus as of hubs", publisher)
			}
			return true
		})
	}
	if ast.IsGenerated(file) {
		return complaints
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil && decl.Name.Name == "init" {
				complain(decl, "no func init: what is set up belongs to a value that main makes")
			}
		case *ast.GenDecl:
			if decl.Tok != token.VAR {
				continue
			}
			for _, spec := range decl.Specs {
				spec := spec.(*ast.ValueSpec)
				for i, ident := range spec.Names {
					if !stateless(folder, decl, spec, i) {
						complain(ident, "package-level variable %s: no package-level state, give it to a value that main makes", ident.Name)
					}
				}
			}
		}
	}
	return complaints
}

// stateless reports whether the i-th variable of spec only names something
// that does not change.
func stateless(folder string, decl *ast.GenDecl, spec *ast.ValueSpec, i int) bool {
	name := spec.Names[i].Name
	if name == "_" {
		return true // an assertion
	}
	if folder == "." && name == "version" {
		return true // set by the linker
	}
	for _, doc := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	if i >= len(spec.Values) {
		return false
	}
	if sentinel, ok := strings.CutPrefix(strings.ToLower(name[:1])+name[1:], "err"); ok && ast.IsExported(sentinel) {
		return true // an error to compare with, whatever its type
	}
	call, ok := spec.Values[i].(*ast.CallExpr)
	return ok && !ast.IsExported(name) && slices.Contains(constants, callee(call.Fun))
}

// callee returns "package.Function" of what is called, whether or not its
// type arguments are written.
func callee(fun ast.Expr) string {
	switch fun := fun.(type) {
	case *ast.IndexExpr:
		return callee(fun.X)
	case *ast.IndexListExpr:
		return callee(fun.X)
	case *ast.SelectorExpr:
		if pkg, ok := fun.X.(*ast.Ident); ok {
			return pkg.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

// TestLayersCanFail feeds checkFile what it must refuse and what it must not.
func TestLayersCanFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, source, want string }{
		{"store imports handlers", "store/a.go", `package store; import _ "hubbub/handlers"`, "store may not import hubbub/handlers"},
		{"store's tests import hub", "store/a_test.go", `package store; import _ "hubbub/hub"`, "store may not import hubbub/hub"},
		{"a package's test from outside", "store/a_test.go", `package store_test; import _ "hubbub/store"`, ""},
		{"components import hub", "components/a.go", `package components; import _ "hubbub/hub"`, "components may not import hubbub/hub"},
		{"store's tests start a server", "store/a_test.go", `package store; import _ "hubbub/e2e/throwaway"`, ""},
		{"the store starts a server", "store/a.go", `package store; import _ "hubbub/e2e/throwaway"`, "store may not import hubbub/e2e/throwaway"},
		{"below a folder", "hub/deep/a.go", `package deep; import _ "hubbub/store/migrations"`, "hub may not import hubbub/store/migrations"},
		{"the benchmark starts a server", "e2e/bench/a.go", `package main; import _ "hubbub/e2e/throwaway"`, ""},
		{"e2e imports main's parts", "e2e/a_test.go", `package e2e; import _ "hubbub/store"`, "e2e may not import hubbub/store"},
		{"handlers import main", "handlers/a.go", `package handlers; import _ "hubbub"`, "handlers may not import hubbub"},
		{"another module of a like name", "hub/a.go", `package hub; import _ "hubbubble/store"`, ""},
		{"main imports all", "a.go", `package main; import (_ "hubbub/handlers"; _ "hubbub/store")`, ""},
		{"components call the store", "components/a.go", `package components; import "hubbub/store"; func f() { store.Open() }`, "not store.Open"},
		{"components hold the store", "components/a.go", `package components; import "hubbub/store"; type t struct { s *store.Store }`, "not store.Store"},
		{"components use its types", "components/a.go", `package components; import "hubbub/store"; type t struct { u store.User }`, ""},
		{"handlers publish to the bus", "handlers/a.go", `package handlers; import "hubbub/bus"; func (h *Handlers) f() { h.Bus.Publish(bus.Notice{}) }`, "only live/publish.go may use Publish"},
		{"main publishes to the bus", "a.go", `package main; func f() { nodes.Publish(notice()) }`, "only live/publish.go may use Publish"},
		{"another file of live publishes", "live/nodes.go", `package live; func f(s *Server) { b := s.Bus; b.Publish(notice()) }`, "only live/publish.go may use Publish"},
		{"a method value", "live/nodes.go", `package live; func f(s *Server) { send(s.Bus.Publish) }`, "only live/publish.go may use Publish"},
		{"a method expression", "live/nodes.go", `package live; import "hubbub/bus"; func f() { send((*bus.Bus).Publish) }`, "only live/publish.go may use Publish"},
		{"generated code publishes", "handlers/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage handlers; func f(h *Handlers) { h.Bus.Publish(notice()) }", "only live/publish.go may use Publish"},
		{"the file that publishes", "live/publish.go", `package live; func f(s *Server) { s.Bus.Publish(notice()) }`, ""},
		{"a file of that name elsewhere", "handlers/publish.go", `package handlers; func f(h *Handlers) { h.Bus.Publish(notice()) }`, "only live/publish.go may use Publish"},
		{"tests publish", "live/a_test.go", `package live; func f(s *Server) { s.Bus.Publish(notice()) }`, ""},
		{"the bus publishes to NATS", "bus/a.go", `package bus; func f(nc *nats.Conn) { nc.Publish("subject", nil) }`, ""},
		{"a name of its own", "handlers/a.go", `package handlers; func Publish() {}; func f() { Publish() }`, ""},
		{"an unknown folder", "mail/a.go", `package mail`, "folder mail is not in the design"},
		{"a bad name", "store/utils/a.go", `package utils`, "no package is named utils"},
		{"a bad package name", "store/a.go", `package models`, "no package is named models"},
		{"init", "store/a.go", `package store; func init() {}`, "no func init"},
		{"a method init", "store/a.go", `package store; type s int; func (s) init() {}`, ""},
		{"a map", "store/a.go", `package store; var cache = map[string]int{}`, "package-level variable cache"},
		{"a mutex", "store/a.go", `package store; import "sync"; var mu sync.Mutex`, "package-level variable mu"},
		{"one of two", "store/a.go", `package store; var _, n = 1, 2`, "package-level variable n"},
		{"an error that is not one", "store/a.go", `package store; var errs []error`, "package-level variable errs"},
		{"an error", "store/a.go", `package store; import "errors"; var ErrTaken = errors.New("taken")`, ""},
		{"an error of our own", "handlers/a.go", `package handlers; var errGone = &failure{410}`, ""},
		{"a list of errors", "handlers/a.go", `package handlers; var errors = []error{}`, "package-level variable errors"},
		{"an assertion", "store/a.go", `package store; import "io"; var _ io.Closer = (*Store)(nil)`, ""},
		{"embedded files", "static/a.go", "package static\nimport \"embed\"\n//go:embed *.css\nvar files embed.FS", ""},
		{"files not embedded", "static/a.go", "package static\nimport \"embed\"\nvar files embed.FS", "package-level variable files"},
		{"a regexp", "store/a.go", `package store; import "regexp"; var word = regexp.MustCompile("a")`, ""},
		{"an exported regexp", "store/a.go", `package store; import "regexp"; var Word = regexp.MustCompile("a")`, "package-level variable Word"},
		{"a value made once", "static/a.go", `package static; import "sync"; var assets = sync.OnceValue[int](load)`, ""},
		{"the version", "a.go", `package main; var version string`, ""},
		{"a version elsewhere", "store/a.go", `package store; var version string`, "package-level variable version"},
		{"tests may have state", "store/a_test.go", `package store; var update bool; func init() {}`, ""},
		{"generated code may have state", "store/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage store; var n int", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, tt.file, tt.source, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			got := checkFile(fset, tt.file, file, map[string]bool{"User": true})
			if tt.want == "" && len(got) > 0 {
				t.Errorf("got %q, want no complaint", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want) || !strings.HasPrefix(got[0], tt.file)) {
				t.Errorf("got %q, want one complaint about %s with %q", got, tt.file, tt.want)
			}
		})
	}
}
