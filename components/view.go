// Package components holds what Hubbub's HTML looks like: templ components
// and the view structs that handlers fill in for them.
package components

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"net/url"
	"strconv"
	"time"

	"hubbub/locale"
	"hubbub/static"
	"hubbub/store"
)

// Page is what every page is made with, whoever it is for.
type Page struct {
	Base   string         // path that Hubbub is mounted under: "" or "/chat"
	Locale *locale.Locale // the viewer's language
	Zone   *time.Location // the server's time zone
	Assets *static.Assets
	Viewer *Viewer // nil when signed out
	Flash  []Flash
	Near   []store.Channel // the channels near to the viewer, for the side
	Unread *Unread         // what waits for the viewer, nil on pages that do not say
	Here   string          // this page's path and query without Base, to come back to after a change of language

	Theme   string // "light", "dark" or "system"; "" is "system"
	Density string // "comfortable" or "compact"; "" is "comfortable"
}

// Viewer is whom a page is for.
type Viewer struct {
	ID          int64
	Name        string
	HasPassword bool
	CreatedAt   time.Time
}

// URL returns the address of a path of ours, such as "/channels".
func (p *Page) URL(path string) string { return p.Base + path }

// ChannelURL returns the address of a channel's page, or of what is below it.
func (p *Page) ChannelURL(name, below string) string {
	return p.Base + ChannelPath(name) + below
}

// ChannelPath returns the path of a channel's page. The name is one
// percent-encoded segment, whatever is in it.
func ChannelPath(name string) string { return "/channels/" + url.PathEscape(name) }

// MessagePath returns the path of a message.
func MessagePath(channelID, id int64) string {
	return "/m/" + strconv.FormatInt(channelID, 10) + "/" + strconv.FormatInt(id, 10)
}

// FlashKind is the tone of a flash message.
type FlashKind string

// The four kinds of flash messages.
const (
	Info    FlashKind = "info"
	Success FlashKind = "success"
	Warning FlashKind = "warning"
	Danger  FlashKind = "danger"
)

// Flash is a sentence shown once, about what has just happened.
type Flash struct {
	Kind FlashKind
	Text string
}

// SignInView is the sign-in page. Its form posts name, password and next to
// /login.
type SignInView struct {
	Name          string // as typed
	NameError     string // stands beside the name
	AskPassword   bool   // the name has a password: show the field open, and focus it
	PasswordError string
	Next          string // local path to go to once in, "" for none
	Key           string // the form's key: sent twice, it signs in as one
}

// UserView is the viewer's own page. One form posts current (where there is a
// password) and password to /user/password, another posts current and
// remove=yes there.
type UserView struct {
	PasswordError string // beside the new password
	CurrentError  string // beside the current password, asked for where there is one
	RemoveError   string // beside the current password of the form that removes it
}

// LogOutView asks before a name without a password is given up. One form
// posts password to /logout, to set it first; another posts confirm=yes there.
type LogOutView struct {
	PasswordError string
}

// ChannelsView is the list of channels.
type ChannelsView struct {
	Channels []store.Channel // by name
	Latest   *store.Channel  // the channel that the viewer visited last, nil for none
	Name     string          // of the channel to create, as typed
	Error    string          // beside it
}

// ChannelView is a channel's page.
type ChannelView struct {
	Channel  store.Channel
	Presence PresenceView
	Rows     []Row  // oldest first
	Read     int64  // messages after this revision are new to the viewer; negative for a first visit
	Marking  bool   // each row has a button to mark it as unread
	Revision int64  // live updates are asked for after this one
	Older    int64  // "Earlier messages" leads to those before this id; 0 for none
	Target   int64  // id of the message that the page is about, 0 for none
	Newer    int64  // "Newer messages" leads to those after this id; 0 for none, and ignored when Newest
	Newest   bool   // the rows end with the newest message: the page is live
	Body     string // the composer's text, kept when it was refused
	Error    string // beside the composer
	Key      string // the composer's key: the same key posts once
	Probe    string // name of the style sheet by which a document finds out that it is not held back; "" for none
}

// ThreadView is a message's own page. One form posts body, key, reply_to and next
// to the channel's messages, others post next and emoji or set to what is below
// the message.
type ThreadView struct {
	Channel store.Channel
	Row     Row
	IsOwn   bool   // the viewer has written it
	Pinned  bool   // for the channel
	Saved   bool   // by the viewer
	Replies []Row  // oldest first
	More    int64  // there are more after this id; 0 for none
	Body    string // of a reply, kept when it was refused
	Error   string // beside it
	Key     string // of a reply: the same key posts once
}

// path is the path of the message, and thread that of the page.
func (v ThreadView) path() string   { return MessagePath(v.Channel.ID, v.Row.ID) }
func (v ThreadView) thread() string { return v.path() + "/thread" }

// EditView is the page that edits a message. Its form posts body and revision.
type EditView struct {
	Message  store.Message // as it is now
	Body     string        // as typed
	Error    string        // beside it
	Conflict bool          // somebody has edited the message meanwhile: show both texts
}

// Unread is what waits for a viewer in other channels, as a page knows it.
type Unread struct {
	Channels []store.Unread // in the order of their ids
	Latest   int64          // the id of the channel made last that the page knows of
}

// Count returns how many messages wait in a channel, store.MaxUnread at most.
// Of nil it is 0.
func (u *Unread) Count(channelID int64) int {
	if u == nil {
		return 0
	}
	for _, c := range u.Channels {
		if c.ChannelID == channelID {
			return c.Count
		}
	}
	return 0
}

// Total returns how many messages wait in all channels, store.MaxUnread at
// most.
func (u *Unread) Total() int {
	total := 0
	for _, c := range u.Channels {
		total += c.Count
	}
	return min(total, store.MaxUnread)
}

// State names what waits: it is the same for the same counts. It begins with
// Latest and a hyphen, so that a page can be told of the channels that it lacks.
func (u *Unread) State() string {
	digest := crc32.NewIEEE()
	for _, c := range u.Channels {
		fmt.Fprintf(digest, "%d:%d,", c.ChannelID, c.Count)
	}
	return fmt.Sprintf("%d-%x", u.Latest, digest.Sum32())
}

// live says whether rows come to the page by themselves.
func (v ChannelView) live() bool { return v.Newest && !v.Marking }

// PresenceView is who is in a channel, by name.
type PresenceView struct {
	Here   []string
	More   int      // who are here and not named
	Typing []string // without the viewer
	State  string   // names this presence
}

// count is how many people are in the channel.
func (v PresenceView) count() string { return strconv.Itoa(len(v.Here) + v.More) }

// Row is a rendered message and what the page needs to know of it to set
// days apart and the rows of one author close together.
type Row struct {
	ID       int64
	HTML     []byte
	AuthorID int64
	PostedAt time.Time
}

// MissingChannelView is the answer for a channel that does not exist.
type MissingChannelView struct {
	Name  string // as asked for
	Valid bool   // the name may be given to a channel, so the page offers to create it
}

// FailureView is an error page.
type FailureView struct {
	Status int
	Title  string
	Text   string
	Kept   string // what was typed and could not be taken, to be copied; "" for nothing
}

// theme returns the name of the page's colours in the style sheet.
func (p *Page) theme() string { return cmp.Or(p.Theme, "system") }

// density returns the name of the page's spacing in the style sheet.
func (p *Page) density() string { return cmp.Or(p.Density, "comfortable") }

// colorScheme tells the browser which colours to paint before any style
// sheet has come.
func (p *Page) colorScheme() string {
	if t := p.theme(); t != "system" {
		return t
	}
	return "light dark"
}

// pageTitle is what the browser's tab says.
func pageTitle(p *Page, f frame) string {
	title := f.title + " · Hubbub"
	if p.Unread != nil && p.Unread.Total() > 0 {
		title = "(" + countText(p.Unread.Total()) + ") " + title
	}
	return title
}

// countText is a count of messages, which are not counted for ever.
func countText(n int) string {
	if n >= store.MaxUnread {
		return strconv.Itoa(store.MaxUnread-1) + "+"
	}
	return strconv.Itoa(n)
}
