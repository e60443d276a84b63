package components

import (
	"bytes"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Replace is the frame that puts rows, as they are at a revision, in the place
// of all that a page shows.
func Replace(rows [][]byte, revision int64) []byte {
	var frame bytes.Buffer
	frame.WriteString(`<hx-partial hx-target="#messages" hx-swap="innerHTML" data-revision="` + strconv.FormatInt(revision, 10) + `">`)
	for _, row := range rows {
		frame.Write(row)
	}
	frame.WriteString(`</hx-partial>`)
	return frame.Bytes()
}

// Part is one piece of a frame. The zero Part is one that only script can use.
type Part struct {
	Row  Row   // to put in, where it has an ID
	Gone int64 // id of the row to take away, 0 for none
	All  bool  // it replaces all rows
}

// Parts takes a frame apart, for those who cannot do what it says but have to
// write it down. A frame is our own HTML, in which text is escaped: rows do not
// hold rows, and partials do not hold partials.
func Parts(frame []byte) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for len(frame) > 0 {
			end := "</li>"
			partial := bytes.HasPrefix(frame, []byte("<hx-partial "))
			if partial {
				end = "</hx-partial>"
			}
			piece := frame
			if i := bytes.Index(frame, []byte(end)); i >= 0 {
				piece = frame[:i+len(end)]
			}
			frame = frame[len(piece):]
			tag, _, _ := strings.Cut(string(piece), ">")
			var part Part
			switch target := attribute(tag, "hx-target"); {
			case !partial:
				part.Row = parseRow(tag, piece)
			case target == "#messages":
				part.All = true
			case attribute(tag, "hx-swap") == "delete":
				part.Gone = rowID(strings.TrimPrefix(target, "#"))
			}
			if !yield(part) {
				return
			}
		}
	}
}

// parseRow reads a row back from its HTML. Its time is in whole seconds.
func parseRow(tag string, html []byte) Row {
	row := Row{ID: rowID(attribute(tag, "id")), HTML: html}
	var err error
	if row.AuthorID, err = strconv.ParseInt(attribute(tag, "data-author"), 10, 64); err != nil {
		return Row{}
	}
	if row.PostedAt, err = time.Parse(time.RFC3339, attribute(string(html), "datetime")); err != nil {
		return Row{}
	}
	return row
}

// rowID returns the message's id in the id of a row's element, 0 for none.
func rowID(id string) int64 {
	digits, ok := strings.CutPrefix(id, "m-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return 0
	}
	return n
}

// attribute returns the first value of that name in HTML of ours.
func attribute(html, name string) string {
	_, value, _ := strings.Cut(html, " "+name+`="`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}
