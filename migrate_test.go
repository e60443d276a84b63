package main

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hubbub/e2e/throwaway"
)

// TestMigrate talks on a data directory, moves it to PostgreSQL and goes on
// talking there, still signed in.
func TestMigrate(t *testing.T) {
	t.Parallel()
	postgres, err := throwaway.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Close(); err != nil {
			t.Error(err)
		}
	})
	database, err := postgres.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	client := newClient(t)
	say := func(r *running, body string) string {
		t.Helper()
		response, err := client.PostForm(r.url+"/channels/general/messages", url.Values{"body": {body}})
		return read(t, response, err)
	}
	command := func(ctx context.Context, args ...string) (string, error) {
		var out bytes.Buffer
		env := environment(map[string]string{"HUBBUB_DATA": data, "HUBBUB_DATABASE": database})
		err := run(ctx, append([]string{"migrate"}, args...), env, &out, io.Discard)
		return out.String(), err
	}

	r := start(t, data)
	response, err := client.PostForm(r.url+"/login", url.Values{"name": {"Anna"}})
	read(t, response, err)
	say(r, "It stays.")
	if out, err := command(t.Context()); err == nil || !strings.Contains(err.Error(), "stop the Hubbub that runs on it") || out != "" {
		t.Errorf("while it runs: %q, %v", out, err)
	}
	r.stopped(t)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := command(stopped); err == nil || err.Error() != "stopped; nothing was moved" {
		t.Errorf("stopped: %v", err)
	}
	out, err := command(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	for _, want := range []string{
		"messages: 1 of 1 copied\n", "sessions: 1 of 1 compared\n", "Moved 7 rows in ", data + " is left as it was.\n", "Start Hubbub with --database",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if _, err := command(t.Context()); err == nil || !strings.Contains(err.Error(), "the target is not empty") {
		t.Errorf("twice: %v", err)
	}

	r = start(t, data, "--database="+database)
	if page := say(r, "It goes on."); !strings.Contains(page, "It stays.") || !strings.Contains(page, "It goes on.") {
		t.Errorf("the page on PostgreSQL: %s", page)
	}
	r.stopped(t)
	r = start(t, data)
	response, err = client.Get(r.url + "/channels/general")
	if page := read(t, response, err); !strings.Contains(page, "It stays.") || strings.Contains(page, "It goes on.") {
		t.Errorf("the page on SQLite: %s", page)
	}
	r.stopped(t)
}

func TestMigrateFlags(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"migrate", "--help"}, environment(nil), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"hubbub migrate", "--to=URL", "[HUBBUB_DATABASE]", "--data=DIR", "default: ./data", "[HUBBUB_DATA]"} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in the help", want)
		}
	}
	out.Reset()
	if err := run(t.Context(), []string{"--help"}, environment(nil), &out, io.Discard); err != nil || !strings.Contains(out.String(), "hubbub migrate") {
		t.Errorf("%v, and no word on it in %s", err, out.String())
	}
	none := filepath.Join(t.TempDir(), "none")
	const postgres = "--to=postgres://me:secret@127.0.0.1:1/hubbub"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "--to: no database is given"},
		{[]string{"--to=./data"}, "--to: it is no URL"},
		{[]string{postgres, "--data="}, `--data: "" names no directory`},
		{[]string{postgres, "--data=main.go"}, `--data: "main.go" is not a directory`},
		{[]string{postgres, "--data=" + none}, "there is no Hubbub to move"},
		{[]string{postgres, "--addr=:1"}, "unknown flag --addr (hubbub migrate --help lists the flags)"},
		{[]string{"serve"}, "unexpected argument serve (hubbub migrate --help lists the flags)"},
	} {
		err := run(t.Context(), append([]string{"migrate"}, tt.args...), environment(nil), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %s", tt.args, err, tt.want)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a directory was made")
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
