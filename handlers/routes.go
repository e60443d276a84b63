package handlers

import (
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"hubbub/components"
)

// Limits on what a request may bring. The longest message takes some 48 KB
// where every character is percent-encoded; one that is too long should still
// come through, to be given back.
const (
	MaxHeaderBytes = 32 << 10
	maxFormBytes   = 1 << 20
)

// Times that a server should grant: to a request's header, to all of it, and
// to its answer. Live answers set their own.
const (
	HeaderTimeout = 10 * time.Second
	ReadTimeout   = 30 * time.Second
	WriteTimeout  = 60 * time.Second

	workTimeout = 15 * time.Second // for a page
)

// Routes returns the handler of all that Hubbub answers to.
func (h *Handlers) Routes() http.Handler {
	pages := http.NewServeMux()
	on := func(pattern string, answer handler) { pages.Handle(pattern, h.serve(answer)) }

	// Signing in and out.
	on("GET /{$}", h.home)
	on("POST /login", h.logIn)
	on("GET /logout", signedIn(h.askLogOut))
	on("POST /logout", h.logOut)
	on("POST /language", h.chooseLanguage)

	// The viewer's own page.
	on("GET /user", signedIn(h.user))
	on("POST /user/password", signedIn(h.setPassword))

	// Channels.
	on("GET /channels", signedIn(h.channels))
	on("POST /channels", signedIn(h.createChannel))
	on("GET /channels/{channel}", signedIn(h.room))

	// Messages.
	on("POST /channels/{channel}/messages", signedIn(h.post))
	on("POST /channels/{channel}/messages/{id}/delete", signedIn(h.paced(h.deleteMessage)))
	on("GET /m/{room}/{id}", signedIn(h.message))
	on("GET /m/{room}/{id}/thread", signedIn(h.thread))
	on("GET /m/{room}/{id}/edit", signedIn(h.edit))
	on("POST /m/{room}/{id}/edit", signedIn(h.paced(h.editMessage)))
	on("GET /m/{room}/{id}/history", signedIn(h.history))
	on("POST /m/{room}/{id}/delete", signedIn(h.paced(h.deleteMessage)))
	on("POST /m/{room}/{id}/reactions", signedIn(h.paced(h.react)))
	on("POST /m/{room}/{id}/pin", signedIn(h.paced(h.pin)))
	on("GET /channels/{channel}/pins", signedIn(h.pins))
	on("POST /m/{room}/{id}/save", signedIn(h.paced(h.save)))
	on("GET /saved", signedIn(h.saved))

	// What is read, and who types.
	on("POST /channels/{channel}/read", signedIn(h.paced(h.read)))
	on("POST /channels/{channel}/unread", signedIn(h.paced(h.markUnread)))
	on("POST /channels/{channel}/typing", signedIn(h.paced(h.typing)))

	// A page that answered a form stands at the form's address. Asked for
	// again, that leads to where the form is.
	on("GET /login", lead("/"))
	on("GET /language", lead("/"))
	on("GET /user/password", lead("/user"))
	on("GET /channels/{channel}/messages", leadToRoom)
	on("GET /channels/{channel}/unread", leadToRoom)

	pages.Handle("/", h.stream(func(w http.ResponseWriter, q *request) error {
		if methods := allowed(pages, q.Request); methods != "" {
			w.Header().Set("Allow", methods)
			return errMethod
		}
		return errNoPage
	}))

	// Pages are compressed and carry a session. What is below is neither.
	root := http.NewServeMux()
	root.Handle("/", gzhttp.GzipHandler(bounded(h.sessions.LoadAndSave(pages))))
	root.Handle("GET /live", starting(h.sessions.LoadAndSave(h.stream(h.follow))))
	root.Handle("GET /channels/{channel}/live", starting(h.sessions.LoadAndSave(h.stream(h.follow))))
	root.Handle("GET /static/", h.Assets)
	root.HandleFunc("GET /own/{stylesheet}", h.ownStyle)
	root.HandleFunc("GET /gone/{stylesheet}", h.goneStyle)
	root.HandleFunc("GET /probe/{stylesheet}", h.probe)
	root.Handle("GET /channels/{channel}/document", bounded(h.sessions.LoadAndSave(h.stream(h.document))))
	root.HandleFunc("GET /channels/{channel}/holder", h.holder)
	root.HandleFunc("GET /channels/{channel}/holder/again", h.holderAgain)
	root.HandleFunc("GET /healthz", h.healthy)
	root.HandleFunc("GET /readyz", h.ready)

	return h.logged(h.secured(h.mounted(h.sameOrigin(root))))
}

// lead leads to another path of ours.
func lead(path string) handler {
	return func(*request) (answer, error) { return leadsTo(path), nil }
}

func leadToRoom(q *request) (answer, error) {
	return leadsTo(components.ChannelPath(q.PathValue("channel"))), nil
}

// allowed returns the methods that a path of ours is for, "" where there is no
// such path.
func allowed(pages *http.ServeMux, r *http.Request) string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		try := &http.Request{Method: method, Host: r.Host, URL: r.URL}
		if _, pattern := pages.Handler(try); pattern != "" && pattern != "/" {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
}
