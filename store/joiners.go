package store

import (
	"strings"

	"golang.org/x/text/secure/precis"
)

// Characters that show nothing by themselves.
const (
	zwnj       = '\u200C' // keeps letters from joining, as Persian needs within words
	zwj        = '\u200D' // joins letters, and emoji to one
	emojiStyle = '\uFE0F' // shows the character before it as an emoji
)

// splitEmoji takes joiners and styles out of the emoji in a string. It returns
// what is left, and the emoji that had any, each as it was.
func splitEmoji(s string) (plain string, emoji []string) {
	rs := []rune(s)
	var b strings.Builder
	for i := 0; i < len(rs); {
		n := emojiLength(rs[i:])
		part := string(rs[i : i+max(n, 1)])
		if bare := strings.Map(dropJoiners, part); n > 0 && bare != part {
			emoji = append(emoji, part)
			part = bare
		}
		b.WriteString(part)
		i += max(n, 1)
	}
	return b.String(), emoji
}

// joinEmoji is the inverse of splitEmoji, also where what was left has been
// normalized. An emoji that is no more there is left out.
func joinEmoji(plain string, emoji []string) string {
	var b strings.Builder
	for _, e := range emoji {
		before, after, found := strings.Cut(plain, strings.Map(dropJoiners, e))
		if found {
			b.WriteString(before + e)
			plain = after
		}
	}
	return b.String() + plain
}

// emojiLength returns how many characters at the start of a string are one emoji
// (UTS #51, 1.4.9), 0 for none: a picture, a style or a tone, and more of these
// after joiners; or the cap of a key.
func emojiLength(rs []rune) int {
	if len(rs) >= 3 && (rs[0] >= '0' && rs[0] <= '9' || rs[0] == '#' || rs[0] == '*') && rs[1] == emojiStyle && rs[2] == '\u20E3' {
		return 3
	}
	n := 0
	for n < len(rs) && isPicture(rs[n]) {
		n++
		if n < len(rs) && (rs[n] == emojiStyle || isTone(rs[n])) {
			n++
		}
		if n+1 >= len(rs) || rs[n] != zwj || !isPicture(rs[n+1]) {
			return n
		}
		n++
	}
	return n
}

// isTone reports whether r is one of the five tones of skin.
func isTone(r rune) bool { return r >= 0x1F3FB && r <= 0x1F3FF }

// isPicture reports whether r can be shown as an emoji. Some of these blocks have
// other symbols too, for which a style does nothing.
func isPicture(r rune) bool {
	switch {
	case r >= 0x1F000 && r <= 0x1FAFF,
		r >= 0x2190 && r <= 0x23FF,
		r >= 0x25A0 && r <= 0x27BF,
		r >= 0x2934 && r <= 0x2935,
		r >= 0x2B00 && r <= 0x2BFF:
		return true
	}
	switch r {
	case 0xA9, 0xAE, 0x203C, 0x2049, 0x2122, 0x2139, 0x24C2, 0x3030, 0x303D, 0x3297, 0x3299:
		return true
	}
	return false
}

// joinersFit reports whether each joiner in a string stands where the letters
// around it need one (RFC 5892, A.1 and A.2).
func joinersFit(s string) bool {
	for word := range strings.FieldsSeq(s) {
		if !strings.ContainsFunc(word, func(r rune) bool { return dropJoiners(r) < 0 }) {
			continue
		}
		if _, err := precis.NewFreeform().String(word); err != nil {
			return false
		}
	}
	return true
}
