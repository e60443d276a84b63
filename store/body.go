package store

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What can be wrong with a message's body.
var (
	ErrBodyEmpty   = errors.New("the message is empty")
	ErrBodyTooLong = errors.New("the message is too long")
	ErrBodyInvalid = errors.New("the message is not valid UTF-8")
)

// Body prepares a message's body as typed. Line ends become LF; blank lines
// before the text and white space after it go; a control character other than
// LF and TAB becomes its picture (ESC is shown as ␛) or, where it has none,
// U+FFFD. Nothing else is changed, and nothing is ever cut: more than MaxBody
// characters (code points) after that is ErrBodyTooLong. A body that shows
// nothing is ErrBodyEmpty, one that is not UTF-8 ErrBodyInvalid.
func Body(typed string) (string, error) {
	if !utf8.ValidString(typed) {
		return "", ErrBodyInvalid
	}
	body := strings.ReplaceAll(typed, "\r\n", "\n")
	body = strings.ReplaceAll(body, "\r", "\n")
	body = strings.Map(controlPicture, body)
	body = strings.TrimRightFunc(body, unicode.IsSpace)
	text := strings.IndexFunc(body, func(r rune) bool { return !unicode.IsSpace(r) && !invisible(r) })
	if text < 0 {
		return "", ErrBodyEmpty
	}
	indent := len(body) - len(strings.TrimLeftFunc(body, unicode.IsSpace))
	body = body[strings.LastIndexByte(body[:indent], '\n')+1:]
	if utf8.RuneCountInString(body) > MaxBody {
		return "", ErrBodyTooLong
	}
	return body, nil
}

// controlPicture makes control characters visible and harmless, to terminals
// as well (U+009B is a CSI).
func controlPicture(r rune) rune {
	switch {
	case r == '\n' || r == '\t' || !unicode.IsControl(r):
		return r
	case r < ' ':
		return '\u2400' + r
	case r == 0x7F:
		return '\u2421'
	default: // C1 controls have no pictures.
		return utf8.RuneError
	}
}
