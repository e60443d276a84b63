package store

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// The longest names, in characters (code points) once prepared.
const (
	MaxUserName    = 32
	MaxChannelName = 64
)

// What can be wrong with a name.
var (
	ErrNameEmpty     = errors.New("the name is empty")
	ErrNameTooLong   = errors.New("the name is too long")
	ErrNameForbidden = errors.New("the name has characters that are not allowed, or nothing to read")
)

// Name is a prepared name and the keys by which it is unique.
//
// The keys follow the Unicode tables that Hubbub is built with, so an update
// of Go, golang.org/x/text or go.mau.fi/util can change those of a stored name.
type Name struct {
	Text string // as shown
	Key  string // the same for names that differ only in case, width or joiners
	Look string // the same for names that are easily mistaken within a script, "" for channels

	skeleton string // the same for names that look alike across scripts, "" for channels
}

// UserName prepares a user's display name by the Nickname profile of PRECIS
// (RFC 8266): 1 to MaxUserName characters in NFKC, spaces trimmed and folded.
//
// It refuses, rather than strips, what the profile does not allow and what
// cannot be told apart or read: control, bidi, zero-width and other invisible
// characters, private, unassigned and blank-looking ones, heaped combining marks
// (UTS #39, 5.4), and names without a letter, number or symbol. Joiners are
// allowed where writing needs them (RFC 5892, A.1 and A.2) and in emoji. The
// error is ErrNameEmpty, ErrNameTooLong or ErrNameForbidden.
func UserName(typed string) (Name, error) {
	name, err := prepareName(typed, MaxUserName, func(s string) (string, error) {
		plain, emoji := splitEmoji(katakanaDots(s))
		text, err := precis.Nickname.String(plain)
		return joinEmoji(text, emoji), err
	})
	if err != nil {
		return Name{}, err
	}
	name.Look, name.skeleton = look(name.Text), skeleton(name.Text)
	return name, nil
}

// ChannelName prepares a channel's name: 1 to MaxChannelName characters in
// NFC, spaces trimmed and folded. It refuses what UserName refuses for being
// invisible or unreadable, with the same errors. That includes "." and ".."
// between slashes, which proxies take for steps in a path.
func ChannelName(typed string) (Name, error) {
	return prepareName(typed, MaxChannelName, func(s string) (string, error) {
		if plain, _ := splitEmoji(s); !joinersFit(plain) {
			return "", ErrNameForbidden
		}
		words := strings.FieldsFunc(s, func(r rune) bool { return unicode.Is(unicode.Zs, r) })
		name := norm.NFC.String(strings.Join(words, " "))
		for segment := range strings.SplitSeq(name, "/") {
			if segment == "." || segment == ".." {
				return "", ErrNameForbidden
			}
		}
		return name, nil
	})
}

// prepareName applies the rules common to all names around normalize.
func prepareName(typed string, limit int, normalize func(string) (string, error)) (Name, error) {
	// No character takes more than 12 bytes however it is decomposed, so this
	// refuses only what is too long or mostly spaces, before any work is done.
	if len(typed) > 16*limit {
		return Name{}, ErrNameTooLong
	}
	if strings.TrimSpace(typed) == "" {
		return Name{}, ErrNameEmpty
	}
	if !utf8.ValidString(typed) {
		return Name{}, ErrNameForbidden
	}
	text, err := normalize(typed)
	if err != nil {
		return Name{}, ErrNameForbidden
	}
	if utf8.RuneCountInString(text) > limit {
		return Name{}, ErrNameTooLong
	}
	if strings.ContainsFunc(text, forbidden) || !strings.ContainsFunc(text, readable) || heapedMarks(text) {
		return Name{}, ErrNameForbidden
	}
	return Name{Text: text, Key: nameKey(text)}, nil
}

// katakanaDots puts U+30FB for U+00B7 between Han letters, where Chinese sets
// the parts of a foreign name apart (卡尔·马克思). Of these two dots, PRECIS
// allows only the former there (RFC 5892, appendix A).
func katakanaDots(s string) string {
	rs := []rune(s)
	for i := 1; i < len(rs)-1; i++ {
		if rs[i] == '·' && unicode.Is(unicode.Han, rs[i-1]) && unicode.Is(unicode.Han, rs[i+1]) {
			rs[i] = '・'
		}
	}
	return string(rs)
}

// forbidden reports whether no name may contain r. Joiners are checked before, by
// what is around them. U+FFFC and U+FFFD stand for something that is missing.
func forbidden(r rune) bool {
	if r == zwnj || r == zwj || r == emojiStyle {
		return false
	}
	return !unicode.IsGraphic(r) || invisible(r) || r == 0xFFFC || r == 0xFFFD
}

// invisible reports whether r, which is not white space, shows nothing: a
// format character, one that is ignorable by default (UAX #44), or one of the
// symbols and letters that are blank.
func invisible(r rune) bool {
	switch r {
	case 0x2800, // BRAILLE PATTERN BLANK
		0x13441, 0x13442, // EGYPTIAN HIEROGLYPH FULL BLANK, HALF BLANK
		0x1D159: // MUSICAL SYMBOL NULL NOTEHEAD
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// readable reports whether r can make a name by itself.
func readable(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r)
}

// heapedMarks reports whether s begins with a combining mark, repeats one, or
// has more than four non-spacing ones in a row, which could spill over other
// rows (UTS #39, 5.4).
func heapedMarks(s string) bool {
	var last rune
	marks := 0
	for i, r := range norm.NFD.String(s) {
		if i == 0 && unicode.IsMark(r) {
			return true
		}
		if !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
			continue
		}
		if marks++; marks > 4 || marks > 1 && r == last {
			return true
		}
		last = r
	}
	return false
}

// nameKey is the same for strings in NFC that match when case and
// compatibility forms are ignored (The Unicode Standard, 3.13, D146), and joiners.
func nameKey(s string) string {
	s = strings.Map(dropJoiners, s)
	for range 2 {
		s = norm.NFKC.String(foldCase(s))
	}
	return s
}

func dropJoiners(r rune) rune {
	if r == zwnj || r == zwj || r == emojiStyle {
		return -1
	}
	return r
}

// foldCase folds case in full. Upper case comes first, and composed, so that
// the dotless ı and the dotted İ meet i as they do when the case of a Turkish
// name is changed; lower case because cases.Fold swaps the cases of Cherokee.
func foldCase(s string) string {
	upper := norm.NFC.String(strings.ToUpper(s))
	return cases.Fold().String(strings.ToLower(upper))
}
