package components

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"
)

// colours is how many avatar colours the style sheet has: c0, c1 ...
const colours = 12

// avatarClass returns the class of a name's avatar. The same name has the
// same colour everywhere.
func avatarClass(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return "c" + strconv.Itoa(int(h.Sum32()%colours))
}

// initials returns what stands in a name's avatar: the first letter or digit
// of its first and of its last word, or of its only one.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 {
		return ""
	}
	first, last := initial(words[0]), ""
	if len(words) > 1 {
		last = initial(words[len(words)-1])
	}
	return first + last
}

// initial returns a word's first letter or digit with the marks that belong
// to it, or its first character when it has neither.
func initial(word string) string {
	runes := []rune(word)
	start := 0
	for i, r := range runes {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			start = i
			break
		}
	}
	end := start + 1
	for end < len(runes) && unicode.IsMark(runes[end]) {
		end++
	}
	return strings.ToUpper(string(runes[start:end]))
}
