package components

import "strconv"

// What a frame is made of beside rows, which stand for themselves: a page puts
// them in by their ids.

// Replacing returns what stands around the rows, as they are at a revision, that
// take the place of all that a page shows.
func Replacing(revision int64) (begin, end []byte) {
	return partial("#messages", "innerHTML", revision), []byte(partialEnd)
}

// Altering returns what stands around a row of an altered message: a page that
// does not show the message drops it.
func Altering(id, revision int64) (begin, end []byte) {
	return partial(rowSelector(id), "outerHTML", revision), []byte(partialEnd)
}

// Removing returns what takes away the row of a message that is gone at a
// revision.
func Removing(id, revision int64) []byte {
	return append(partial(rowSelector(id), "delete", revision), partialEnd...)
}

const partialEnd = "</hx-partial>"

func rowSelector(id int64) string { return "#m-" + strconv.FormatInt(id, 10) }

func partial(target, swap string, revision int64) []byte {
	return []byte(`<hx-partial hx-target="` + target + `" hx-swap="` + swap + `" data-revision="` + strconv.FormatInt(revision, 10) + `">`)
}
