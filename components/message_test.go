package components

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"hubbub/store"
)

func render(t *testing.T, c interface {
	Render(context.Context, io.Writer) error
}) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMessageRow(t *testing.T) {
	at := time.Date(2026, time.November, 22, 22, 24, 5, 123456000, time.UTC)
	m := store.Message{ChannelID: 3, Channel: "a/b c", ID: 12345, Revision: 12346, AuthorID: 17, AuthorName: `<b>"Ann"`, PostedAt: at, Body: "Forty characters of body, give or take <"}
	got := render(t, MessageRow("/chat", m, time.FixedZone("", 8*3600)))
	want := `<li id="m-12345" data-revision="12346" data-author="17">` +
		`<b class="who ` + avatarClass(m.AuthorName) + `" data-i="B"><bdi>&lt;b&gt;&#34;Ann&#34;</bdi></b> ` +
		`<a class="when" href="/chat/m/3/12345/thread"><time id="t-12345" datetime="2026-11-22T22:24:05Z" title="+08:00">06:24</time></a> ` +
		`<div class="body" dir="auto">Forty characters of body, give or take &lt;</div>` +
		`<button form="delete" formaction="/chat/m/3/12345/delete" aria-labelledby="w-delete t-12345" class="delete">×</button></li>`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// A row goes to everyone in the channel: it is kept small.
func TestMessageRowIsSmall(t *testing.T) {
	m := store.Message{Channel: "general", ID: 12345, Revision: 12345, AuthorID: 17, AuthorName: "Ann", PostedAt: time.Now(), Body: strings.Repeat("x", 40)}
	if n := len(render(t, MessageRow("", m, time.UTC))); n > 460 {
		t.Errorf("a row of %d bytes", n)
	}
}
