package components

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"
)

// runGap is the longest pause within the run of one author's rows.
const runGap = 5 * time.Minute

// rows writes the rows of a page as they are. A line stands before the first
// row of each day and before the first new one, and a row that continues its
// author's run is marked so.
func rows(p *Page, v ChannelView) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		all, news := v.Rows, firstNew(p, v)
		for i, row := range all {
			at := row.PostedAt.In(p.Zone)
			newDay := i == 0 || !sameDay(all[i-1].PostedAt.In(p.Zone), at)
			if newDay {
				if err := dayLine(p, at).Render(ctx, w); err != nil {
					return err
				}
			}
			if i == news {
				if err := newLine(p, v, i == 0 && v.Older != 0 && v.Older-1 > v.Read).Render(ctx, w); err != nil {
					return err
				}
			}
			if v.Marking {
				if err := mark(p, row.ID).Render(ctx, w); err != nil {
					return err
				}
			}
			html := row.HTML
			if !newDay && i != news && !v.Marking && continues(all[i-1], row) {
				if _, err := io.WriteString(w, `<li class="same"`); err != nil {
					return err
				}
				html = html[len("<li"):]
			}
			if _, err := w.Write(html); err != nil {
				return err
			}
		}
		return nil
	})
}

// firstNew returns the index of the first row that is new to the viewer, -1
// where there is none.
func firstNew(p *Page, v ChannelView) int {
	if !v.Newest || v.Read < 0 {
		return -1
	}
	return slices.IndexFunc(v.Rows, func(row Row) bool { return row.ID > v.Read && row.AuthorID != p.Viewer.ID })
}

// continues reports whether a row belongs to the same run as the one before.
func continues(before, row Row) bool {
	return before.AuthorID == row.AuthorID && row.PostedAt.Sub(before.PostedAt) < runGap
}

func sameDay(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// OwnCSS returns the style rules of a viewer's own rows: their accent, and
// the delete button that only the author has.
func OwnCSS(userID int64) string {
	own := `#messages>[data-author="` + strconv.FormatInt(userID, 10) + `"]`
	return own + "{--who:var(--own);--bubble:var(--own-bubble);--name:var(--own-name)}" + own + " .delete{display:inline-grid}\n"
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
