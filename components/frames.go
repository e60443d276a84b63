package components

import (
	"bytes"
	"strconv"
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
