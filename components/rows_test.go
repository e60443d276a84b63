package components

import (
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // for machines without zone files

	"hubbub/locale"
)

func TestRows(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	p := &Page{Locale: locale.Match("en", ""), Zone: zone}
	start := time.Date(2026, time.November, 22, 15, 50, 0, 0, time.UTC) // 23:50 there
	var all []Row
	for i, r := range []struct {
		author int64
		after  time.Duration // the start
	}{
		{1, 0},
		{1, 4 * time.Minute},           // continues
		{2, 4*time.Minute + 1},         // somebody else
		{2, 9*time.Minute + 1},         // after too long a pause
		{2, 10 * time.Minute},          // the next day
		{2, 15*time.Minute - 1},        // continues
		{1, 40*24*time.Hour + 9*60*60}, // long after
	} {
		all = append(all, Row{HTML: []byte("<li id=\"" + strconv.Itoa(i) + "\"></li>"), AuthorID: r.author, PostedAt: start.Add(r.after)})
	}
	got := render(t, rows(p, ChannelView{Rows: all}))
	want := strings.Join([]string{
		`<li class="day"><time datetime="2026-11-22">Sunday, 22 November 2026</time></li>`,
		`<li id="0"></li>`,
		`<li class="same" id="1"></li>`,
		`<li id="2"></li>`,
		`<li id="3"></li>`,
		`<li class="day"><time datetime="2026-11-23">Monday, 23 November 2026</time></li>`,
		`<li id="4"></li>`,
		`<li class="same" id="5"></li>`,
		`<li class="day"><time datetime="2027-01-01">Friday, 1 January 2027</time></li>`,
		`<li id="6"></li>`,
	}, "")
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestDatedBefore sets a row apart that is dated before the one above it.
func TestDatedBefore(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	for pause, want := range map[time.Duration]bool{0: true, runGap - 1: true, runGap: false, -1: false, -time.Hour: false} {
		if got := continues(Row{AuthorID: 1, PostedAt: at}, Row{AuthorID: 1, PostedAt: at.Add(pause)}); got != want {
			t.Errorf("after %v: %t", pause, got)
		}
	}
}

// TestNewLine finds the first row that is new to the viewer: by another, and
// after what was read.
func TestNewLine(t *testing.T) {
	t.Parallel()
	p := &Page{Locale: locale.All()[0], Zone: time.UTC, Viewer: &Viewer{ID: 1}}
	at := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	row := func(id, author int64) Row {
		return Row{ID: id, AuthorID: author, PostedAt: at, HTML: []byte("<li id=\"" + strconv.FormatInt(id, 10) + "\"></li>")}
	}
	v := ChannelView{Newest: true, Older: 5, Rows: []Row{row(5, 2), row(6, 2), row(7, 1), row(8, 2), row(9, 2)}}
	v.Channel.Name = "a b"
	const day = `<li class="day"><time datetime="2026-11-22">Sunday, 22 November 2026</time></li>`
	const line = `<li class="new"><span>New</span></li>`
	for read, want := range map[int64]string{
		-1: day + `<li id="5"></li><li class="same" id="6"></li><li id="7"></li><li id="8"></li><li class="same" id="9"></li>`, // never been here
		9:  day + `<li id="5"></li><li class="same" id="6"></li><li id="7"></li><li id="8"></li><li class="same" id="9"></li>`,
		8:  day + `<li id="5"></li><li class="same" id="6"></li><li id="7"></li><li id="8"></li>` + line + `<li id="9"></li>`,
		6:  day + `<li id="5"></li><li class="same" id="6"></li><li id="7"></li>` + line + `<li id="8"></li><li class="same" id="9"></li>`,
		4:  day + line + `<li id="5"></li><li class="same" id="6"></li><li id="7"></li><li id="8"></li><li class="same" id="9"></li>`,
		3: day + `<li class="new"><a href="/channels/a%20b?after=3">To the first new message</a></li>` +
			`<li id="5"></li><li class="same" id="6"></li><li id="7"></li><li id="8"></li><li class="same" id="9"></li>`,
	} {
		v.Read = read
		if got := render(t, rows(p, v)); got != want {
			t.Errorf("read up to %d: got:\n%s\nwant:\n%s", read, got, want)
		}
	}
	v.Read, v.Newest = 4, false
	if got := render(t, rows(p, v)); strings.Contains(got, "new") {
		t.Errorf("a page of earlier messages: %s", got)
	}
}

// TestPresenceFrame names people and counts them, in no language.
func TestPresenceFrame(t *testing.T) {
	t.Parallel()
	got := render(t, PresenceFrame(PresenceView{Here: []string{"<b>", "张伟"}, More: 2, Typing: []string{"<b>", "张伟"}, State: "s"}))
	want := `<hx-partial hx-target="#here" hx-swap="outerHTML"><ul id="here" data-state="s">` +
		`<li class="` + avatarClass("<b>") + `" data-i="B"><bdi>&lt;b&gt;</bdi></li>` +
		`<li class="` + avatarClass("张伟") + `" data-i="张"><bdi>张伟</bdi></li><li>+2</li></ul></hx-partial> ` +
		`<hx-partial hx-target="#present" hx-swap="innerHTML">4</hx-partial> ` +
		`<hx-partial hx-target="#typing" hx-swap="innerHTML"><bdi>&lt;b&gt;</bdi><bdi>张伟</bdi></hx-partial>`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := render(t, typists(nil)); got != "" {
		t.Errorf("nobody types: %q", got)
	}
}

func TestZoneName(t *testing.T) {
	now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for want, zone := range map[string]*time.Location{
		"UTC":                          time.UTC,
		"UTC+05:30":                    time.FixedZone("", 5*3600+1800),
		"America/New_York (UTC-05:00)": newYork,
	} {
		if got := zoneName(zone, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
