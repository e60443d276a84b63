package components

import (
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"
)

// Text renders a message's body, as store.Body prepared it: escaped text in
// which http, https and mailto addresses are links, and nothing else is. Line
// breaks and spaces are left to CSS (white-space: pre-wrap), and bidi controls
// to the element around, which must isolate its text (dir="auto").
func Text(body string) templ.Component { return templ.Raw(linkify(body)) }

// linkify returns body as HTML. It takes time linear in the body's length.
func linkify(body string) string {
	var out strings.Builder
	written := 0
	for i := 0; ; {
		n := strings.IndexByte(body[i:], ':')
		if n < 0 {
			break
		}
		colon := i + n
		start := colon - schemeLen(body[i:colon])
		i = colon + 1
		if start == colon {
			continue
		}
		if strings.HasPrefix(body[i:], "//") {
			i += len("//")
		}
		i += addressLen(body[i:])
		address := body[start:i]
		if !linkable(address) {
			continue
		}
		escaped := html.EscapeString(address)
		out.WriteString(html.EscapeString(body[written:start]))
		out.WriteString(`<a href="`)
		out.WriteString(escaped)
		out.WriteString(`" rel="noopener noreferrer nofollow" target="_blank">`)
		out.WriteString(escaped)
		out.WriteString(`</a>`)
		written = i
	}
	if written == 0 {
		return html.EscapeString(body)
	}
	out.WriteString(html.EscapeString(body[written:]))
	return out.String()
}

// schemeLen returns the length of the linkable scheme that s ends with, 0 for
// none. The end of another scheme, such as git+https, is none.
func schemeLen(s string) int {
	for _, scheme := range [...]string{"https", "http", "mailto"} {
		start := len(s) - len(scheme)
		if start >= 0 && strings.EqualFold(s[start:], scheme) && (start == 0 || !isSchemeByte(s[start-1])) {
			return len(scheme)
		}
	}
	return 0
}

// isSchemeByte reports whether a scheme may contain c (RFC 3986, 3.1).
func isSchemeByte(c byte) bool {
	return isAlphanumeric(rune(c)) || c == '+' || c == '-' || c == '.'
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// addressLen returns how far the address reaches into s, which follows its
// scheme. People write addresses into sentences: what belongs to those, such
// as a full stop or the bracket that closes one before the address, is left
// out. That includes letters of scripts without case, which follow a host in
// Chinese or Japanese with no space between.
func addressLen(s string) int {
	var (
		host             = true
		parens, brackets int
		last             rune
		end              int
	)
	for i, r := range s {
		switch {
		case endsAddress(r):
			return end
		case host && (r == '(' || unicode.Is(unicode.Lo, r) && isAlphanumeric(last)):
			return end
		case (r == ',' || r == ';') && (host || strings.HasPrefix(s[i+1:], "http")): // a list
			return end
		case r == ')' && parens == 0, r == ']' && brackets == 0:
			return end
		case r == '/', r == '?', r == '#':
			host = false
		case r == '(':
			parens++
		case r == ')':
			parens--
		case r == '[':
			brackets++
		case r == ']':
			brackets--
		}
		if !strings.ContainsRune(`.,:;!?'*_~([`, r) {
			end = i + utf8.RuneLen(r)
		}
		last = r
	}
	return end
}

// endsAddress reports whether r is never part of an address: white space, what
// shows nothing or changes the direction, what RFC 3986 leaves out, and the
// punctuation of other scripts, which browsers encode in addresses they copy.
func endsAddress(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7F || strings.ContainsRune("\"<>\\^`{|}", r)
	}
	return r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsPunct(r) || !unicode.IsGraphic(r)
}

// linkable reports whether an address may be a link. One with a user before
// its host may not: in http://bank.example@evil.example the host is the latter.
func linkable(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Hostname() != "" && u.User == nil
	case "mailto":
		user, host, _ := strings.Cut(u.Opaque, "@")
		return user != "" && host != ""
	}
	return false
}
