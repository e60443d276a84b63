package components

import (
	"strings"

	"github.com/a-h/templ"

	"hubbub/locale"
)

// How long a password is, in characters. Forms say so and handlers hold to it.
const (
	MinPassword = 8
	MaxPassword = 128
)

// field is one field of a form.
type field struct {
	id, name, label string
	hint            string // stands below it, "" for none
	err             string // what is wrong with it, "" for nothing
	isNew           bool   // a password to be chosen
	required, focus bool
}

// describe returns the attributes that tie a field to its hint and its error.
func (f field) describe() templ.Attributes {
	var ids []string
	a := templ.Attributes{}
	if f.err != "" {
		a["aria-invalid"] = "true"
		ids = append(ids, f.id+"-error")
	}
	if f.hint != "" {
		ids = append(ids, f.id+"-hint")
	}
	if ids != nil {
		a["aria-describedby"] = strings.Join(ids, " ")
	}
	return a
}

// asset returns the address of an embedded file.
func (p *Page) asset(name string) string { return p.Base + p.Assets.URL(name) }

// localesBut returns the languages to switch to from one.
func localesBut(current *locale.Locale) []*locale.Locale {
	var others []*locale.Locale
	for _, l := range locale.All() {
		if l.Lang != current.Lang {
			others = append(others, l)
		}
	}
	return others
}
