package locale

import (
	"reflect"
	"testing"
	"time"

	"golang.org/x/text/language"
)

// Every word is there in every language.
func TestComplete(t *testing.T) {
	for _, l := range All() {
		complete(t, l.Lang, reflect.ValueOf(*l))
	}
}

func complete(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[language.Tag]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			complete(t, name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.IsZero():
		t.Errorf("%s is empty", name)
	case v.Kind() == reflect.Func:
		args := make([]reflect.Value, v.Type().NumIn())
		for i := range args {
			args[i] = reflect.Zero(v.Type().In(i))
			if args[i].Kind() == reflect.String {
				args[i] = reflect.ValueOf("some name")
			}
		}
		if got := v.Call(args)[0].String(); got == "" {
			t.Errorf("%s says nothing", name)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ choice, accept, want string }{
		{"", "", "en"},
		{"", "en-GB,en;q=0.8", "en"},
		{"", "zh", "zh-Hans"},
		{"", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"},
		{"", "zh-SG", "zh-Hans"},
		{"", "zh-TW", "zh-Hans"},
		{"", "zh-Hant-HK", "zh-Hans"},
		{"", "de,fr;q=0.5", "en"},
		{"", "de,zh-CN;q=0.5", "zh-Hans"},
		{"", "en,zh-CN;q=0.5", "en"},
		{"", "*", "en"},
		{"", ";;;not a header", "en"},
		{"en", "zh-CN", "en"},
		{"zh-Hans", "en", "zh-Hans"},
		{"xx", "zh-CN", "zh-Hans"},
	} {
		if got := Match(c.choice, c.accept); got.Lang != c.want {
			t.Errorf("Match(%q, %q) = %s, want %s", c.choice, c.accept, got.Lang, c.want)
		}
	}
}

func TestDatesAndNumbers(t *testing.T) {
	at := time.Date(2026, time.November, 22, 9, 5, 0, 0, time.UTC)
	for _, c := range []struct {
		l                     *Locale
		date, day, at, number string
	}{
		{english(), "22 November 2026", "Sunday, 22 November 2026", "22 November 2026, 09:05", "4,000"},
		{simplifiedChinese(), "2026年11月22日", "2026年11月22日 星期日", "2026年11月22日 09:05", "4,000"},
	} {
		for _, s := range [][2]string{
			{c.l.Date(at), c.date}, {c.l.Day(at), c.day}, {c.l.DateTime(at), c.at}, {c.l.Number(4000), c.number},
		} {
			if s[0] != s[1] {
				t.Errorf("%s: got %q, want %q", c.l.Lang, s[0], s[1])
			}
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", -999: "-999", 1000: "1,000", -123456: "-123,456", 1234567: "1,234,567"} {
		if got := english().Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

// Every request is matched.
func BenchmarkMatch(b *testing.B) {
	for b.Loop() {
		Match("", "zh-CN,zh;q=0.9,en-GB;q=0.8,en;q=0.7")
	}
}
