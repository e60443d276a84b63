package components

import (
	"slices"
	"strconv"
	"strings"

	"hubbub/store"
)

// maxMarked is how many of those who gave a reaction a row names by their ids.
// Their own pages mark it as theirs.
const maxMarked = 50

// ids writes the ids of users, for [data-by~="7"].
func ids(users []int64) string {
	var out []byte
	for i, id := range users[:min(len(users), maxMarked)] {
		if i > 0 {
			out = append(out, ' ')
		}
		out = strconv.AppendInt(out, id, 10)
	}
	return string(out)
}

// reactors names those who gave a reaction, as far as their names are known, and
// how many others did.
func reactors(r store.Reaction) string {
	names := strings.Join(r.Names, ", ")
	if more := len(r.By) - len(r.Names); more > 0 {
		names += " +" + strconv.Itoa(more)
	}
	return names
}

// quickReactions are the reactions that are one click away.
func quickReactions() []string { return []string{"👍", "❤️", "😄", "🎉", "👀", "✅"} }

// newestFirst returns versions from the latest to the first.
func newestFirst(versions []store.Version) []store.Version {
	versions = slices.Clone(versions)
	slices.Reverse(versions)
	return versions
}
