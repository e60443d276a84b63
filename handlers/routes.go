package handlers

import (
	"net/http"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"hubbub/components"
)

// Limits on what a request may bring. A message of the longest kind takes some
// 48 KB where every character is percent-encoded.
const (
	MaxHeaderBytes = 32 << 10
	maxFormBytes   = 128 << 10
)

// Times that a request may take.
const (
	HeaderTimeout = 10 * time.Second
	formTimeout   = 30 * time.Second // reading a body
	pageTimeout   = 30 * time.Second // writing an answer that is not live
)

// page answers a request with the page that it belongs to. errors.go answers
// for an error that it returns.
type page func(w http.ResponseWriter, r *http.Request, p *components.Page) error

// Routes returns the handler of all that Hubbub answers to.
func (h *Handlers) Routes() http.Handler {
	pages := http.NewServeMux()
	on := func(pattern string, answer page) { pages.Handle(pattern, h.serve(answer)) }

	// Signing in and out.
	on("GET /{$}", h.home)
	on("POST /login", h.logIn)
	on("GET /logout", h.signedIn(h.askLogOut))
	on("POST /logout", h.logOut)
	on("POST /language", h.chooseLanguage)

	// The viewer's own page.
	on("GET /user", h.signedIn(h.user))
	on("POST /user/password", h.signedIn(h.setPassword))

	// Channels.
	on("GET /channels", h.signedIn(h.channels))
	on("POST /channels", h.signedIn(h.createChannel))
	on("GET /channels/{channel}", h.signedIn(h.channel))

	// Messages.
	on("POST /channels/{channel}/messages", h.signedIn(h.post))
	on("POST /channels/{channel}/messages/{id}/delete", h.signedIn(h.deleteMessage))

	on("/", h.unknown)

	// Pages are compressed and carry a session. What is below is neither.
	root := http.NewServeMux()
	root.Handle("/", gzhttp.GzipHandler(h.sessions.LoadAndSave(withoutWait(pages))))
	root.Handle("GET /channels/{channel}/live", h.sessions.LoadAndSave(h.serve(h.live)))
	root.Handle("GET /static/", h.Assets)
	root.HandleFunc("GET /own/{stylesheet}", h.ownStyle)
	root.HandleFunc("GET /healthz", h.healthy)
	root.HandleFunc("GET /readyz", h.ready)

	return h.logged(h.recovered(h.secured(h.mounted(h.sameOrigin(root)))))
}

// unknown answers for a path that is nothing of ours.
func (h *Handlers) unknown(_ http.ResponseWriter, r *http.Request, _ *components.Page) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	return errNoPage
}
