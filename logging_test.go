package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// TestLoggerNeutralisesControls logs every character that cannot be printed,
// in each place that a record has, and looks for it in what was written.
func TestLoggerNeutralisesControls(t *testing.T) {
	t.Parallel()
	var bad []string
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.IsPrint(r) && (r < 0x3000 || r > 0xe0000 && r < 0xe0100) {
			bad = append(bad, string(r))
		}
	}
	bad = append(bad, "\xff", "\xc2", "\r\nlevel=INFO msg=forged", "\x1b[2J", "\u202e")
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			for _, s := range bad {
				var out bytes.Buffer
				newLogger(&out, format).With("with"+s, s).WithGroup("group"+s).Info("message"+s,
					"string", s,
					"key"+s, 1,
					"error", fmt.Errorf("wrapped: %w", errors.New(s)),
					"bytes", []byte(s),
					"struct", struct{ Field string }{s},
					"map", map[string]string{s: s},
					slog.Group("inner"+s, "x", s),
				)
				line, whole := strings.CutSuffix(out.String(), "\n")
				if !whole {
					t.Errorf("%q: the line has no end: %q", s, line)
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar && format == "text" }); i >= 0 {
					t.Errorf("%q got through as it stands: %q", s, line[max(0, i-10):min(len(line), i+10)])
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("%q: not JSON: %s", s, line)
				}
			}
		})
	}
}

// TestLoggerKeepsMeaning shows that escaping loses nothing.
func TestLoggerKeepsMeaning(t *testing.T) {
	t.Parallel()
	const s = "línea \u009b[31m \u202e \U000e0001 日本 😀 \n end"
	var out bytes.Buffer
	newLogger(&out, "json").Info("m", "s", s)
	var record struct{ S string }
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	if record.S != s {
		t.Errorf("got %q, want %q", record.S, s)
	}
	out.Reset()
	newLogger(&out, "text").Info("m", "s", s)
	if !strings.Contains(out.String(), `日本 😀 \n end`) {
		t.Errorf("got %s", out.String())
	}
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hubbub.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	log, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if _, err := log.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if err := log.reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "before\none\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode&^0o640 != 0 {
		t.Errorf("got mode %v, want 0640 at most", mode)
	}
}

// TestLogFileReopensUnderLoad loses no line while the file changes.
func TestLogFileReopensUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hubbub.log")
	log, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 100 {
				if _, err := log.Write([]byte("line\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		if err := log.reopen(); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(got), "line\n"); n != 400 {
		t.Errorf("got %d lines, want 400", n)
	}
}

func TestLogFileNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none", "hubbub.log")
	if _, err := openLogFile(path); err == nil || !strings.Contains(err.Error(), "--log-file: open "+path) {
		t.Errorf("got %v", err)
	}
}
