package store

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestBody(t *testing.T) {
	tests := []struct {
		about, typed, body string
		err                error
	}{
		{"plain", "hello", "hello", nil},
		{"line ends", "a\r\nb\rc\nd\n\re", "a\nb\nc\nd\n\ne", nil},
		{"blank lines around", "\r\n \t\r\n  a\n\n b \n\t\n", "  a\n\n b", nil},
		{"indent", "    code\n\tmore", "    code\n\tmore", nil},
		{"wide indent", "\u3000段落", "\u3000段落", nil},
		{"control characters", "a\x00b\x1b[31mc\x7fd\u009be", "a␀b␛[31mc␡d\uFFFDe", nil},
		{"a control character alone", "\x07", "␇", nil},
		{"bidi and joiners are kept", "\u202Eabc\u202C 👩\u200D💻", "\u202Eabc\u202C 👩\u200D💻", nil},
		{"the longest", strings.Repeat("界", MaxBody), strings.Repeat("界", MaxBody), nil},
		{"the longest, as browsers send it", strings.Repeat("\r\n", 9) + "a" + strings.Repeat("\r\n", MaxBody-2) + "b", "a" + strings.Repeat("\n", MaxBody-2) + "b", nil},

		{"empty", "", "", ErrBodyEmpty},
		{"white space", " \t\r\n\u00A0\u2003\u2028\u3000", "", ErrBodyEmpty},
		{"invisible", "\u200B\u200D \uFEFF\u2800\u3164\u115F\u1160\uFFA0\u00AD\u202E\uFE0F", "", ErrBodyEmpty},
		{"too long", strings.Repeat("界", MaxBody+1), "", ErrBodyTooLong},
		{"invalid UTF-8", "a\xffb", "", ErrBodyInvalid},
		{"surrogate", "\xed\xa0\x80", "", ErrBodyInvalid},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			body, err := Body(test.typed)
			if body != test.body || !errors.Is(err, test.err) {
				t.Errorf("Body(%+q) = %+q, %v; want %+q, %v", test.typed, body, err, test.body, test.err)
			}
		})
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{"hello", "\r\n  a\r\rb \n", "\x00\x1b\x7f\u0085", "\u200b \u3164", "a\xff", "\u2028a\u2029"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		body, err := Body(typed)
		if err != nil {
			if body != "" {
				t.Fatalf("%+q with error %v", body, err)
			}
			return
		}
		if n := utf8.RuneCountInString(body); n < 1 || n > MaxBody || !utf8.ValidString(body) {
			t.Fatalf("%d characters: %+q", n, body)
		}
		if strings.ContainsFunc(body, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("control characters in %+q", body)
		}
		if again, err := Body(body); again != body {
			t.Fatalf("%+q prepares to %+q, %v", body, again, err)
		}
	})
}
