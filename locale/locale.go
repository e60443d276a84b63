// Package locale holds the words that Hubbub speaks, one catalog a language.
package locale

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/text/language"
)

// Locale is one language: how it is named, its words, and how it writes
// dates and numbers. It is shared and must not be changed.
type Locale struct {
	Tag  language.Tag
	Lang string // the lang attribute of HTML and the value of the cookie, such as "zh-Hans"
	Name string // in the language itself, for the switch
	Dir  string // the direction that it is written in: "ltr" or "rtl"

	Words
}

// catalog is every language that we speak, and who is served by which.
type catalog struct {
	locales []*Locale // the default one first
	matcher language.Matcher
}

var load = sync.OnceValue(func() catalog {
	c := catalog{locales: []*Locale{english(), simplifiedChinese()}}
	var tags []language.Tag
	for _, l := range c.locales {
		tags = append(tags, l.Tag)
	}
	c.matcher = language.NewMatcher(tags)
	return c
})

// All returns every language that Hubbub speaks, the default one first.
func All() []*Locale { return slices.Clone(load().locales) }

// Match returns the language to speak with someone. The choice that they made
// wins when it names one of ours; else what their browser's Accept-Language
// header asks for; else English.
func Match(choice, acceptLanguage string) *Locale {
	c := load()
	for _, l := range c.locales {
		if l.Lang == choice {
			return l
		}
	}
	wanted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil {
		return c.locales[0]
	}
	_, index, confidence := c.matcher.Match(wanted...)
	if confidence == language.No {
		return c.locales[0]
	}
	return c.locales[index]
}

// Number writes a whole number with its digits in groups of three.
func (l *Locale) Number(n int) string { return number(n, l.GroupMark) }

// number writes a whole number with a mark between groups of three digits.
func number(n int, mark string) string {
	digits := strconv.Itoa(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + mark + digits[i:]
	}
	return digits
}

// plural returns a number of things, with the word for one or for more of them.
func plural(n int, mark, one, more string) string {
	if n == 1 {
		return number(n, mark) + " " + one
	}
	return number(n, mark) + " " + more
}

// Date writes the day of a time, such as "22 November 2026".
func (l *Locale) Date(t time.Time) string { return l.FormatDate(t) }

// Day writes the day of a time with its weekday, for the lines between days.
func (l *Locale) Day(t time.Time) string { return l.FormatDay(t) }

// DateTime writes a time to the minute.
func (l *Locale) DateTime(t time.Time) string {
	return l.FormatDate(t) + l.DateTimeGap + t.Format("15:04")
}

// Failure is what an error page says: what happened, and what to do now.
type Failure struct {
	Title string
	Text  string
}
