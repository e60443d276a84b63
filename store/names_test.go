package store

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestUserName(t *testing.T) {
	tests := []struct {
		about, typed, text string
		err                error
	}{
		{"plain", "Anna", "Anna", nil},
		{"spaces", "  Anna\u3000 Bea ", "Anna Bea", nil},
		{"one character", "x", "x", nil},
		{"Chinese", "张伟", "张伟", nil},
		{"Chinese, parts set apart", "卡尔·马克思", "卡尔・马克思", nil},
		{"Catalan", "Gal·la", "Gal·la", nil},
		{"Korean, decomposed", norm.NFD.String("김민수"), "김민수", nil},
		{"Vietnamese, decomposed", norm.NFD.String("Nguyễn"), "Nguyễn", nil},
		{"Hindi", "हिन्दी", "हिन्दी", nil},
		{"Thai", "น้ำใส", "น้ําใส", nil},
		{"Arabic", "محمد", "محمد", nil},
		{"Hebrew with points", "שָׁלוֹם", "שָׁלוֹם", nil},
		{"full width", "Ａｎｎａ１", "Anna1", nil},
		{"ligature", "ﬁn", "fin", nil},
		{"emoji", "Anna 😀", "Anna 😀", nil},
		{"emoji with a skin tone", "👍🏽", "👍🏽", nil},
		{"flag", "🇳🇱", "🇳🇱", nil},
		{"markup", `<b>"Bob" & 'co'</b>`, `<b>"Bob" & 'co'</b>`, nil},
		{"32 characters", strings.Repeat("张", 32), strings.Repeat("张", 32), nil},
		{"32 after composition", strings.Repeat("e\u0301", 32), strings.Repeat("é", 32), nil},

		{"empty", "", "", ErrNameEmpty},
		{"white space", " \t\r\n\u00A0\u2003\u3000", "", ErrNameEmpty},
		{"33 characters", strings.Repeat("张", 33), "", ErrNameTooLong},
		{"33 after decomposition", strings.Repeat("\uFDFA", 2), "", ErrNameTooLong},
		{"a megabyte", strings.Repeat("a", 1<<20), "", ErrNameTooLong},
		{"punctuation only", "...", "", ErrNameForbidden},
		{"invalid UTF-8", "Anna\xff", "", ErrNameForbidden},
		{"surrogate", "Anna\xed\xa0\x80", "", ErrNameForbidden},
		{"four marks", "q\u0301\u0302\u0303\u0304", "q\u0301\u0302\u0303\u0304", nil},
		{"five marks", "q\u0301\u0302\u0303\u0304\u0306", "", ErrNameForbidden},
		{"a heap of marks", "q" + strings.Repeat("\u0301\u0302", 15), "", ErrNameForbidden},
		{"the same mark twice", "q\u0323\u0323", "", ErrNameForbidden},
		{"a mark at the start", "\u0301a", "", ErrNameForbidden},
		{"a mark at the start of NFKC", "\u00A8a", "", ErrNameForbidden},
		{"joined emoji", "Anna 👩\u200D💻", "Anna 👩\u200D💻", nil},
		{"a family with tones", "👩🏽\u200D👩🏽\u200D👧", "👩🏽\u200D👩🏽\u200D👧", nil},
		{"styled emoji", "I ❤\uFE0F  you", "I ❤\uFE0F you", nil},
		{"joined and styled", "❤\uFE0F\u200D🔥", "❤\uFE0F\u200D🔥", nil},
		{"a keycap", "No 1\uFE0F\u20E3", "No 1\uFE0F\u20E3", nil},
		{"a styled letter", "a\uFE0F", "", ErrNameForbidden},
		{"a joiner after an emoji", "👩\u200D", "", ErrNameForbidden},
		{"a joiner before a letter", "👩\u200Da", "", ErrNameForbidden},
		{"Persian", "علی\u200Cرضا", "علی\u200Cرضا", nil},
		{"Hindi with a joiner", "क्\u200Dष", "क्\u200Dष", nil},
		{"Sinhala", "ශ්\u200Dරී", "ශ්\u200Dරී", nil},
		{"a non-joiner that does nothing", "علی\u200C", "", ErrNameForbidden},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			name, err := UserName(test.typed)
			if name.Text != test.text || !errors.Is(err, test.err) {
				t.Errorf("UserName(%+q) = %+q, %v; want %+q, %v", test.typed, name.Text, err, test.text, test.err)
			}
		})
	}
}

func TestChannelName(t *testing.T) {
	tests := []struct {
		about, typed, text string
		err                error
	}{
		{"plain", "general", "general", nil},
		{"spaces", "\u3000 release \u00A0 notes ", "release notes", nil},
		{"width is kept", "Ａ組", "Ａ組", nil},
		{"composed", "cafe\u0301", "café", nil},
		{"joined and styled emoji", "👩\u200D💻 ❤\uFE0F", "👩\u200D💻 ❤\uFE0F", nil},
		{"Persian", "می\u200Cخواهم", "می\u200Cخواهم", nil},
		{"a joiner that does nothing", "a\u200Db", "", ErrNameForbidden},
		{"symbols", "a/b?c#d%2e ☕", "a/b?c#d%2e ☕", nil},
		{"64 characters", strings.Repeat("频", 64), strings.Repeat("频", 64), nil},

		{"empty", "", "", ErrNameEmpty},
		{"white space", " \t\n\u3000", "", ErrNameEmpty},
		{"65 characters", strings.Repeat("频", 65), "", ErrNameTooLong},
		{"a megabyte", strings.Repeat("a", 1<<20), "", ErrNameTooLong},
		{"this path", ".", "", ErrNameForbidden},
		{"the path above", "..", "", ErrNameForbidden},
		{"a tab inside", "a\tb", "", ErrNameForbidden},
		{"invalid UTF-8", "a\xc3", "", ErrNameForbidden},
		{"a heap of marks", "q" + strings.Repeat("\u0301\u0302", 15), "", ErrNameForbidden},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			name, err := ChannelName(test.typed)
			if name.Text != test.text || !errors.Is(err, test.err) {
				t.Errorf("ChannelName(%+q) = %+q, %v; want %+q, %v", test.typed, name.Text, err, test.text, test.err)
			}
			if name.Look != "" {
				t.Errorf("Look = %q, want none", name.Look)
			}
		})
	}
}

func TestNamesRefuseWhatCannotBeSeen(t *testing.T) {
	for _, r := range "\x00\n\x1b\x7f\u0085\u009b" + // control
		"\u061c\u200e\u200f\u202a\u202e\u2066\u2069" + // bidi
		"\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e" + // zero width
		"\u034f\u115f\u1160\u3164\uffa0\u17b4\ufe00\ufe0f\U000e0041\U000e0100" + // ignorable
		"\u2800\U00013441\U0001d159" + // blank
		"\u2028\u2029" + // separators
		"\ue000\U00100000" + // private
		"\ufdd0\uffff\U0010ffff" + // not characters
		"\u0378\U000e0fff" + // not assigned
		"\ufff9\ufffc\ufffd" {
		for _, typed := range []string{"a" + string(r) + "b", "ab" + string(r), string(r) + "ab"} {
			if name, err := UserName(typed); err != ErrNameForbidden {
				t.Errorf("UserName(%+q) = %+q, %v", typed, name.Text, err)
			}
			if name, err := ChannelName(typed); err != ErrNameForbidden {
				t.Errorf("ChannelName(%+q) = %+q, %v", typed, name.Text, err)
			}
		}
	}
}

func TestNamesCollide(t *testing.T) {
	collide := func(a, b Name) bool {
		return a.Key == b.Key || a.Look == b.Look || a.skeleton == b.skeleton && mistakable(a.Text, b.Text)
	}
	alike := [][]string{
		{"Anna", "anna", "ＡＮＮＡ", "аnnа", "Аnnа", "Annа", "𝓐𝓷𝓷𝓪"},
		{"AI", "Al", "A1", "A|"},
		{"Bob", "Воb", "bob", "B0b", "ВоЬ"},
		{"paypal", "раураl", "PayPaI"},
		{"O0", "00", "оО"},
		{"Bern", "Веrn"},
		{"Bem", "Веm"},
		{"Аnna", "Annа"},
		{"山カ", "山力"},
		{"カ力", "力カ"},
		{"Straße", "STRASSE", "strasse"},
		{"Σίσυφος", "ΣΊΣΥΦΟΣ"},
		{"Işık", "IŞIK", "ışık"},
		{"İbrahim", "ibrahim", "İBRAHİM", "i\u0307brahim"},
		{"Ꭰ", "ꭰ"},
		{"ｱｷﾗ", "アキラ"},
		{"卡尔·马克思", "卡尔・马克思"},
		{"علی\u200Cرضا", "علیرضا"},
		{"I ❤\uFE0F you", "I ❤ you"},
	}
	for _, names := range alike {
		first := mustName(t, UserName, names[0])
		for _, typed := range names[1:] {
			if name := mustName(t, UserName, typed); !collide(first, name) || !collide(name, first) {
				t.Errorf("%q and %q are two names: %q, %q", names[0], typed, first, name)
			}
		}
	}
	apart := [][2]string{
		{"张伟", "張偉"}, {"Ann", "Anna"}, {"王芳", "王方"}, {"Jo Ann", "JoAnn"}, {"Zoe", "Zoë"}, {"Ali", "Ala"},
		{"Bern", "Bem"}, {"Arne", "Ame"}, {"王士", "王土"}, {"Mary", "rnary"}, {"Anna 王士", "Anna 王土"}, {"Ali", "All"},
	}
	for _, names := range apart {
		a, b := mustName(t, UserName, names[0]), mustName(t, UserName, names[1])
		if collide(a, b) || collide(b, a) {
			t.Errorf("%q and %q are one name: %q, %q", names[0], names[1], a, b)
		}
	}
	for _, names := range [][2]string{{"General", "ｇｅｎｅｒａｌ"}, {"Ａ組", "a組"}, {"STRASSE", "straße"}} {
		a, b := mustName(t, ChannelName, names[0]), mustName(t, ChannelName, names[1])
		if a.Key != b.Key {
			t.Errorf("channels %q and %q are two: %q, %q", names[0], names[1], a, b)
		}
	}
}

// TestKeysOfEveryCharacter holds the keys to their promises for each
// character alone, where a fuzzer would need luck.
func TestKeysOfEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.IsGraphic(r) || unicode.In(r, unicode.Han, unicode.Hangul) || norm.NFC.String(string(r)) != string(r) {
			continue
		}
		s := string(r)
		key := nameKey(s)
		for _, same := range []string{key, strings.ToUpper(s), strings.ToLower(s), strings.ToTitle(s), norm.NFKC.String(s)} {
			if got := nameKey(same); got != key {
				t.Errorf("nameKey(%+q) = %+q, nameKey(%+q) = %+q", s, key, same, got)
			}
		}
		for _, form := range []func(string) string{look, skeleton} {
			if once := form(norm.NFKC.String(s)); form(once) != once {
				t.Errorf("%+q becomes %+q, and that %+q", s, once, form(once))
			}
		}
	}
}

func FuzzUserName(f *testing.F) {
	fuzzName(f, UserName, MaxUserName)
}

func FuzzChannelName(f *testing.F) {
	fuzzName(f, ChannelName, MaxChannelName)
}

func fuzzName(f *testing.F, prepare func(string) (Name, error), limit int) {
	for _, seed := range []string{
		"Anna", " Ａ  Ｂ ", "张伟", "ﬁ ß ς ſ", "İı", "e\u0301\u0323", "i\u0307", "I\u0323\u0307", "卡·尔", "l·l", "ㄱㅏ", "\u1100\u1161", "ΐ", "ᾳ\u0301", "Ꭰꭰ",
		"٣", "۳", "׳א", "क्ष", "👩\u200D💻", "\u202Ea", "\u3164", "..", "a\u00A8", "\uFDFA", "\U0001D15E", "a\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		name, err := prepare(typed)
		if err != nil {
			if name != (Name{}) {
				t.Fatalf("%+q with error %v", name, err)
			}
			return
		}
		text := name.Text
		if n := utf8.RuneCountInString(text); n < 1 || n > limit || !utf8.ValidString(text) {
			t.Fatalf("%d characters: %+q", n, text)
		}
		if strings.ContainsFunc(text, func(r rune) bool {
			return dropJoiners(r) >= 0 && unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
				unicode.IsSpace(r) && r != ' '
		}) {
			t.Fatalf("forbidden characters in %+q", text)
		}
		if text != strings.Join(strings.Fields(text), " ") {
			t.Fatalf("stray spaces in %+q", text)
		}
		if again, err := prepare(text); again != name {
			t.Fatalf("%+q prepares to %+q, %v", name, again, err)
		}
		if key := nameKey(name.Key); key != name.Key {
			t.Fatalf("key %+q has the key %+q", name.Key, key)
		}
		if again := look(name.Look); name.Look != "" && again != name.Look {
			t.Fatalf("look %+q has the look %+q", name.Look, again)
		}
		if again := skeleton(name.skeleton); again != name.skeleton {
			t.Fatalf("skeleton %+q has the skeleton %+q", name.skeleton, again)
		}
		for _, same := range []string{strings.ToUpper(text), strings.ToLower(text), strings.Map(fullWidth, text)} {
			if other, err := prepare(same); err == nil && other.Key != name.Key {
				t.Fatalf("%+q has the key %+q, %+q has %+q", text, name.Key, same, other.Key)
			}
		}
	})
}

// fullWidth returns the full-width form of an ASCII character.
func fullWidth(r rune) rune {
	switch {
	case r == ' ':
		return '\u3000'
	case '!' <= r && r <= '~':
		return r - '!' + '！'
	}
	return r
}

func mustName(t *testing.T, prepare func(string) (Name, error), typed string) Name {
	t.Helper()
	name, err := prepare(typed)
	if err != nil {
		t.Fatalf("%q: %v", typed, err)
	}
	return name
}
