package handlers

import (
	"net/http"
	"net/url"

	"hubbub/components"
	"hubbub/locale"
)

// A flash message waits in a cookie of its own for the page that comes next:
// showing one writes nothing to the store, and there is one for people who
// have just signed out. The cookie names the sentence, it does not hold it.
const flashCookie = "hubbub_flash"

// The flash messages by name.
const (
	flashUserCreated     = "user-created"
	flashNotLoggedIn     = "not-logged-in"
	flashLoggedOut       = "logged-out"
	flashAlreadySignedIn = "already-signed-in"
	flashChannelCreated  = "channel-created"
	flashPasswordSet     = "password-set"
	flashPasswordChanged = "password-changed"
	flashPasswordRemoved = "password-removed"
	flashMessageDeleted  = "message-deleted"
	flashMarkedUnread    = "marked-unread"
	flashMessageEdited   = "message-edited"
)

func flashOf(l *locale.Locale, name, about string) (components.Flash, bool) {
	switch name {
	case flashUserCreated:
		return components.Flash{Kind: components.Success, Text: l.UserCreated(about)}, true
	case flashNotLoggedIn:
		return components.Flash{Kind: components.Warning, Text: l.NotLoggedIn}, true
	case flashLoggedOut:
		return components.Flash{Kind: components.Info, Text: l.LoggedOut}, true
	case flashAlreadySignedIn:
		return components.Flash{Kind: components.Info, Text: l.AlreadySignedIn(about)}, true
	case flashChannelCreated:
		return components.Flash{Kind: components.Success, Text: l.ChannelCreated(about)}, true
	case flashPasswordSet:
		return components.Flash{Kind: components.Success, Text: l.PasswordSet}, true
	case flashPasswordChanged:
		return components.Flash{Kind: components.Success, Text: l.PasswordChanged}, true
	case flashPasswordRemoved:
		return components.Flash{Kind: components.Success, Text: l.PasswordRemoved}, true
	case flashMessageDeleted:
		return components.Flash{Kind: components.Info, Text: l.MessageDeleted}, true
	case flashMessageEdited:
		return components.Flash{Kind: components.Success, Text: l.MessageEdited}, true
	case flashMarkedUnread:
		return components.Flash{Kind: components.Info, Text: l.MarkedUnread(about)}, true
	}
	return components.Flash{}, false
}

// flash names a sentence and what it is about. The zero flash is none.
type flash struct{ name, about string }

// flashCookie returns the cookie that has the next page show a flash message.
func (h *Handlers) flashCookie(f flash) *http.Cookie {
	return h.cookie(flashCookie, url.Values{f.name: {f.about}}.Encode(), 60)
}

// takeFlash returns the flash message that waits, and sees to it that it is
// shown once.
func (h *Handlers) takeFlash(w http.ResponseWriter, r *http.Request, l *locale.Locale) []components.Flash {
	c, err := r.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(w, h.cookie(flashCookie, "", -1))
	values, err := url.ParseQuery(c.Value)
	if err != nil {
		return nil
	}
	for name := range values {
		if f, ok := flashOf(l, name, values.Get(name)); ok {
			return []components.Flash{f}
		}
	}
	return nil
}
