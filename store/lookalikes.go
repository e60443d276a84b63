package store

import (
	"strings"
	"unicode"

	"go.mau.fi/util/confusable"
)

// look is the same for names that people mistake for each other within a script:
// those that differ in case, in which of I, l, 1 and | they have, or in O and 0.
func look(s string) string {
	return nameKey(strings.Map(func(r rune) rune {
		switch r {
		case 'I', '1', '|':
			return 'l'
		case '0':
			return 'o'
		default:
			return r
		}
	}, s))
}

// skeleton is the same for strings that are confusable (UTS #39, 4). Folding the
// case of a skeleton can make it confusable again (M, m, rn): three rounds
// settle every character.
func skeleton(s string) string {
	s = strings.Map(dropJoiners, s)
	for range 3 {
		s = foldCase(confusable.Skeleton(s))
	}
	return s
}

// mistakable reports whether two names of the same skeleton are mistaken for each
// other. Where all that differs is written in one script, its readers tell it
// apart: Bern and Bem, or 王士 and 王土.
func mistakable(a, b string) bool {
	as, bs := []rune(look(a)), []rune(look(b))
	for len(as) > 0 && len(bs) > 0 && as[0] == bs[0] {
		as, bs = as[1:], bs[1:]
	}
	for len(as) > 0 && len(bs) > 0 && as[len(as)-1] == bs[len(bs)-1] {
		as, bs = as[:len(as)-1], bs[:len(bs)-1]
	}
	script := onlyScript(as)
	return script == "" || script != onlyScript(bs)
}

// onlyScript returns the name of the one script that letters are written in, ""
// where there is none or more than one.
func onlyScript(letters []rune) (only string) {
	for _, r := range letters {
		switch script := scriptOf(r); {
		case script == "Common", script == "Inherited":
		case script == "", only != "" && script != only:
			return ""
		default:
			only = script
		}
	}
	return only
}

// scriptOf returns the name of a character's script, "" for none.
func scriptOf(r rune) string {
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
