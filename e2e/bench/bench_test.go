package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary be a floor, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "floor-") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSmallest runs everything at a size at which the figures mean nothing, so
// that the checks go on fitting the server.
func TestSmallest(t *testing.T) {
	var table bytes.Buffer
	var progress bytes.Buffer
	err := run(t.Context(), []string{
		"-binary=" + os.Getenv("HUBBUB_E2E_BINARY"), "-dir=" + t.TempDir(),
		"-rounds=1", "-slice=20ms", "-settle=0s", "-still=20ms", "-viewers=3", "-posters=2",
		"-nodes=2", "-idle=10", "-idle-for=10ms", "-messages=3000", "-channels=30", "-users=20",
	}, &table, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, what := range []string{
		"server CPU per delivered row, 3 viewers", "rows delivered, 3 viewers with presence and news",
		"p99 from post to row at half of limit's load", "p99 from post to row at half of its own load", "memory per live connection", "channel page, 100 rows", "channel page, compressed",
		"durable posts, 2 posters", "one post alone, median", "server CPU of a page with 3000 messages", "start to first page", "binary",
	} {
		if !strings.Contains(table.String(), "| "+what) {
			t.Errorf("the table has no %q", what)
		}
	}
	if t.Failed() {
		t.Log(table.String())
	}
}

// TestViewerChecks shows that a viewer finds what is wrong with what it is
// shown, however it is cut into frames and reads.
func TestViewerChecks(t *testing.T) {
	t.Parallel()
	row := func(revision, token int) string {
		return fmt.Sprintf(`<li id="m-%d" data-revision="%d" data-author="1"><div class="body" dir="auto">%s%s word</div></li>`, revision, revision, postMark, tokenText(token))
	}
	const presence = "<hx-partial hx-target=\"#here\" hx-swap=\"outerHTML\"><ul id=\"here\"><li><bdi>viewer 1</bdi></li></ul></hx-partial>\n"
	for _, tt := range []struct {
		name   string
		page   bool
		frames []string // of one message each; "+" begins one that goes on
		want   string   // of the error, "" for three rows
	}{
		{"one by one", false, []string{row(8, 0), row(9, 1), row(10, 2)}, ""},
		{"several in one", false, []string{row(8, 2) + "\n" + row(9, 0) + row(10, 1)}, ""},
		{"in fragments", false, []string{"+" + row(8, 0) + row(9, 1)[:20], row(9, 1)[20:] + row(10, 2)}, ""},
		{"long", false, []string{row(8, 0) + strings.Repeat(" ", 70000), row(9, 1), row(10, 2)}, ""},
		{"beats", false, []string{" ", row(8, 0), row(9, 1), " ", row(10, 2)}, ""},
		{"presence for a page", true, []string{presence + row(8, 0), row(9, 1), row(10, 2) + presence}, ""},
		{"presence for nobody", false, []string{row(8, 0), presence}, "foreign"},
		{"a window", true, []string{`<hx-partial hx-target="#messages">` + row(8, 0) + `</hx-partial>`}, "foreign"},
		{"an alteration", true, []string{`<hx-partial hx-target="#m-8" hx-swap="outerHTML" data-revision="9">` + row(8, 0) + `</hx-partial>`}, "foreign"},
		{"a delete", true, []string{`<hx-partial hx-target="#m-8" hx-swap="delete" data-revision="9"></hx-partial>`}, "foreign"},
		{"a gap", false, []string{row(8, 0), row(10, 2)}, "after revision 8 came 10"},
		{"twice", false, []string{row(8, 0), row(8, 0)}, "after revision 8 came 8"},
		{"out of order", false, []string{row(9, 0) + row(8, 1)}, "after revision 7 came 9"},
		{"nobody's", false, []string{row(8, 3)}, "nobody posted"},
		{"another text", false, []string{strings.ReplaceAll(row(8, 0), postMark, "seed ")}, "not a row of ours"},
		{"cut off", false, []string{row(8, 0)[:40]}, "does not end"},
		{"text", false, []string{"hello"}, "foreign"},
		{"one post in two rows", false, []string{row(8, 0), row(9, 0), row(10, 1)}, "there twice"},
	} {
		for _, piece := range []int{1 << 20, 1, 7} {
			t.Run(fmt.Sprintf("%s by %d", tt.name, piece), func(t *testing.T) {
				t.Parallel()
				l := newLedger(7, 3)
				for range 3 {
					if _, err := l.next(0); err != nil {
						t.Fatal(err)
					}
					l.accepted.Add(1)
				}
				var stream []byte
				open := false
				for _, text := range tt.frames {
					text, more := strings.CutPrefix(text, "+")
					first := byte(1)
					if open {
						first = 0
					}
					if open = more; !more {
						first |= 0x80
					}
					stream = appendFrame(stream, first, text)
				}
				err := watchStream(t.Context(), l, tt.page, stream, piece)
				if err == nil {
					err = l.check()
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("got error %v, want %q", err, tt.want)
				}
			})
		}
	}
}

func appendFrame(stream []byte, first byte, text string) []byte {
	switch n := len(text); {
	case n < 126:
		stream = append(stream, first, byte(n))
	case n < 1<<16:
		stream = binary.BigEndian.AppendUint16(append(stream, first, 126), uint16(n))
	default:
		stream = binary.BigEndian.AppendUint64(append(stream, first, 127), uint64(n))
	}
	return append(stream, text...)
}

// watchStream has a viewer watch bytes that come piece by piece, and returns
// what it finds wrong before they end.
func watchStream(ctx context.Context, l *ledger, page bool, stream []byte, piece int) error {
	here, there := net.Pipe()
	defer here.Close()
	stop := context.AfterFunc(ctx, func() { _ = there.Close() })
	defer stop()
	go func() {
		defer there.Close()
		for len(stream) > 0 {
			n := min(piece, len(stream))
			if _, err := there.Write(stream[:n]); err != nil {
				return // the viewer has seen enough
			}
			stream = stream[n:]
		}
	}()
	v := &viewer{conn: here, page: page, last: l.base, ledger: l, heard: &atomic.Int64{}, buffer: make([]byte, 64)}
	if err := v.watch(); err.Error() != "EOF" {
		return err
	}
	return nil
}

// TestHistogram shows that a quantile is within a thirtieth of the truth.
func TestHistogram(t *testing.T) {
	t.Parallel()
	h := &histogram{}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for part, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond} {
		got, err := h.quantile(part)
		if err != nil || (got-want).Abs() > want/30 {
			t.Errorf("quantile %v is %v, %v; want %v", part, got, err, want)
		}
	}
}

// TestGoals shows that ratios are taken within rounds.
func TestGoals(t *testing.T) {
	t.Parallel()
	r := &row{what: "x", unit: duration, floor: "limit", goal: ratioAtMost(0.7)}
	r.round(0.6, 1)
	r.round(3, 2)
	r.round(0.065, 0.1)
	var out bytes.Buffer
	(&table{rows: []*row{r}}).print(&out)
	if want := "| x | 600 ms (65.0 ms..3000 ms) | limit 1000 ms (100 ms..2000 ms) | 0.65 x (0.60 x..1.50 x) | <= 0.70 x | yes |  |\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}
