package handlers

import (
	"cmp"
	"net/http"

	"hubbub/locale"
)

// languageCookie remembers the language that someone chose.
const languageCookie = "hubbub_lang"

func language(r *http.Request) *locale.Locale {
	choice := ""
	if c, err := r.Cookie(languageCookie); err == nil {
		choice = c.Value
	}
	return locale.Match(choice, r.Header.Get("Accept-Language"))
}

// chooseLanguage remembers a language, signed in or not.
func (h *Handlers) chooseLanguage(q *request) (answer, error) {
	for _, l := range locale.All() {
		if l.Lang == q.PostForm.Get("lang") {
			a := leadsTo(cmp.Or(localPath(q.PostForm.Get("next")), "/"))
			a.cookies = []*http.Cookie{h.cookie(languageCookie, l.Lang, 365*24*60*60)}
			return a, nil
		}
	}
	return answer{}, errBadRequest
}

// cookie returns a cookie for our pages that script cannot read. It lives for
// maxAge seconds; a negative number ends it.
func (h *Handlers) cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: h.base + "/", MaxAge: maxAge,
		HttpOnly: true, Secure: h.Secure, SameSite: http.SameSiteLaxMode,
	}
}
