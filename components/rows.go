package components

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"hubbub/locale"
	"hubbub/store"
)

// PageRows is how many rows a page shows, and how many a page that follows the
// newest ones keeps.
const PageRows = 100

// runGap is the longest pause within the run of one author's rows.
const runGap = 5 * time.Minute

// rows writes the rows of a page as they are. A line stands before the first
// row of each day and before the first new one, and a row that continues its
// author's run is marked so.
func rows(p *Page, v ChannelView) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		news := firstNew(p, v)
		var before Row
		for i, row := range v.Rows {
			if i == news || v.Marking {
				if err := interpose(p, v, before, row, i == news).Render(ctx, w); err != nil {
					return err
				}
				before = Row{PostedAt: row.PostedAt} // nobody's: nothing is closed up over it
			}
			class := ""
			if v.Target != 0 && row.ID == v.Target {
				class = "target"
			}
			if err := writeRow(ctx, w, p, before, row, class); err != nil {
				return err
			}
			before = row
		}
		return nil
	})
}

// interpose writes what stands between two rows: the line before the first new
// one, and the button that marks a row as unread.
func interpose(p *Page, v ChannelView, before, row Row, isFirstNew bool) templ.Component {
	var between []templ.Component
	if isNewDay(p, before, row) {
		between = append(between, dayLine(p, row.PostedAt.In(p.Zone)))
	}
	if isFirstNew {
		between = append(between, newLine(p, v, row.ID == v.Older && v.Older-1 > v.Read))
	}
	if v.Marking {
		between = append(between, mark(p, row.ID))
	}
	return templ.Join(between...)
}

// NextRow writes a row as it stands below another, or below none: the zero Row.
func NextRow(p *Page, before, row Row) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return writeRow(ctx, w, p, before, row, "")
	})
}

// writeRow writes a row with a class of the page's own, "" for none.
func writeRow(ctx context.Context, w io.Writer, p *Page, before, row Row, class string) error {
	switch {
	case isNewDay(p, before, row):
		if err := dayLine(p, row.PostedAt.In(p.Zone)).Render(ctx, w); err != nil {
			return err
		}
	case continues(before, row):
		class = strings.TrimSpace("same " + class)
	}
	html := row.HTML
	if class != "" {
		if _, err := io.WriteString(w, `<li class="`+class+`"`); err != nil {
			return err
		}
		html = html[len("<li"):]
	}
	_, err := w.Write(html)
	return err
}

// firstNew returns the index of the first row that is new to the viewer, -1
// where there is none.
func firstNew(p *Page, v ChannelView) int {
	if !v.Newest || v.Read < 0 {
		return -1
	}
	return slices.IndexFunc(v.Rows, func(row Row) bool { return row.ID > v.Read && row.AuthorID != p.Viewer.ID })
}

// newSince returns the revision after which there are rows that are new to the
// viewer, negative where there are none.
func newSince(p *Page, v ChannelView) int64 {
	if firstNew(p, v) < 0 {
		return -1
	}
	return v.Read
}

// continues reports whether a row belongs to the same run as the one before.
// One dated earlier does not, because its time would be taken for a later one.
// It goes by whole seconds, because that is what a row's HTML says.
func continues(before, row Row) bool {
	pause := row.PostedAt.Truncate(time.Second).Sub(before.PostedAt.Truncate(time.Second))
	return before.AuthorID == row.AuthorID && 0 <= pause && pause < runGap
}

// isNewDay reports whether a row is of another day than the one before.
func isNewDay(p *Page, before, row Row) bool {
	return before.PostedAt.IsZero() || !sameDay(before.PostedAt.In(p.Zone), row.PostedAt.In(p.Zone))
}

func sameDay(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// OwnCSS returns the style rules for what concerns one viewer: their own rows,
// which have a colour and a delete button, the rows that mention them, the
// reactions that are theirs too, and the words that rows show in their language.
func OwnCSS(userID int64, l *locale.Locale) string {
	id := strconv.FormatInt(userID, 10)
	own := `:is(#messages,.rows)>[data-author="` + id + `"]`
	at := `.body [data-user="` + id + `"]`
	return own + "{--who:var(--own);--fill:var(--own-tint);--name:var(--link);--end:var(--tools)}" +
		own + " .delete{display:grid}" +
		":is(#messages,.rows)>li:has([data-user=\"" + id + "\"]){--fill:var(--mention)}" +
		at + "{background:var(--mention);color:var(--text)}" +
		`[data-by~="` + id + `"]{border-color:var(--link);background:var(--sel);color:var(--sel-text)}` +
		":root{--w-edited:" + cssString(l.Edited) + ";--w-gone:" + cssString(l.QuoteGone) +
		";--w-reply:" + cssString(l.ReplyAfterOne) + ";--w-replies:" + cssString(l.RepliesAfterCount) + "}\n"
}

// cssString writes a string of CSS (CSS Syntax Level 3, 4.3.5).
func cssString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\a `).Replace(s) + `"`
}

// OwnStyle returns the address of the viewer's own style sheet.
func (p *Page) OwnStyle() string {
	return p.URL("/own/" + strconv.FormatInt(p.Viewer.ID, 10) + ".css?lang=" + p.Locale.Lang)
}

// GoneCSS returns the style rules by which a document that cannot take a row
// back hides it. A row that was closed up to it gets its author's name again:
// it is not the row above's.
func GoneCSS(id int64) string {
	gone := "#m-" + strconv.FormatInt(id, 10)
	next := gone + "+.same.same" // more specific than what it takes back
	return gone + "{display:none}@layer same{" + next + "," + next + " *," + next + " b::before{all:revert-layer}}\n"
}

// zoneName names a time zone for people, such as "Asia/Shanghai (UTC+08:00)".
func zoneName(zone *time.Location, now time.Time) string {
	offset := "UTC" + now.In(zone).Format("-07:00")
	switch name := zone.String(); name {
	case "UTC":
		return name
	case "Local", "":
		return offset
	default:
		return name + " (" + offset + ")"
	}
}

// NewRow renders a message. The row is the same for everyone.
func NewRow(ctx context.Context, base string, m store.Message, zone *time.Location) (Row, error) {
	var html bytes.Buffer
	err := MessageRow(base, m, zone).Render(ctx, &html)
	return Row{ID: m.ID, HTML: bytes.Clone(html.Bytes()), AuthorID: m.AuthorID, PostedAt: m.PostedAt}, err
}
