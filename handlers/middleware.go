package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"
)

// policy allows what Hubbub itself serves and nothing else, nowhere inline.
// Its own pages may frame it; others are named by the admin's proxy.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'"

// secured sets the headers that protect every answer. By the header Hubbub,
// script tells our answers from those of a proxy or a sign-in page on the way,
// which have statuses and HTML as well.
func (h *Handlers) secured(next http.Handler) http.Handler {
	policy := policy
	if h.BaseURL != nil {
		// Browsers of some years ago do not let 'self' stand for a socket.
		policy = strings.Replace(policy, "connect-src 'self'",
			"connect-src 'self' "+strings.Replace(h.BaseURL.Scheme, "http", "ws", 1)+"://"+h.BaseURL.Host, 1)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Hubbub", "1")
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}

// mounted takes the path of the base URL off, and leads from the host's root
// to it.
func (h *Handlers) mounted(next http.Handler) http.Handler {
	if h.base == "" {
		return next
	}
	stripped := http.StripPrefix(h.base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.EscapedPath()
		if clean := path.Clean(asked); len(clean) > 1 && clean != strings.TrimSuffix(asked, "/") {
			// The mux would lead to the clean path without the base.
			if r.URL.RawQuery != "" {
				clean += "?" + r.URL.RawQuery
			}
			http.Redirect(w, r, clean, http.StatusTemporaryRedirect)
			return
		}
		switch {
		case strings.HasPrefix(asked, h.base+"/"):
			stripped.ServeHTTP(w, r)
		case asked == "/healthz" || asked == "/readyz":
			next.ServeHTTP(w, r) // a monitor asks the node, not through the proxy
		case asked == "/" || asked == h.base:
			http.Redirect(w, r, h.base+"/", http.StatusSeeOther)
		default:
			http.NotFound(w, r)
		}
	})
}

// sameOrigin refuses posts that another site has made a browser send.
func (h *Handlers) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	if h.BaseURL != nil {
		// Behind a proxy that rewrites Host, only this names our origin. The
		// URL was checked at the start.
		if err := protection.AddTrustedOrigin(h.origin()); err != nil {
			h.Log.Error("the base URL is no origin", "error", err)
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bounded(h.sessions.LoadAndSave(h.serve(func(*request) (answer, error) {
			return answer{}, errCrossOrigin
		}))).ServeHTTP(w, r)
	}))
	return protection.Handler(next)
}

// origin is the scheme and host of the base URL.
func (h *Handlers) origin() string { return h.BaseURL.Scheme + "://" + h.BaseURL.Host }

// originPatterns returns patterns (path.Match) of the hosts, beside a request's
// own, whose pages may open a WebSocket.
func (h *Handlers) originPatterns() []string {
	if h.BaseURL == nil {
		return nil
	}
	return []string{strings.ReplaceAll(h.BaseURL.Host, "[", `\[`)} // an IPv6 address has brackets
}

// bounded refuses to read more than a form may have, and to work on it for
// longer than a server waits to write.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
		next.ServeHTTP(w, r)
	})
}

// starting bounds the time till an answer that goes on has started: till then it
// reads from the store as a page does.
func starting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		limit := time.AfterFunc(workTimeout, func() { cancel(context.DeadlineExceeded) })
		defer limit.Stop()
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, limitKey{}, limit)))
	})
}

// limitKey finds the limit of starting in a request's context.
type limitKey struct{}

// started says that an answer goes on from now.
func started(r *http.Request) {
	if limit, ok := r.Context().Value(limitKey{}).(*time.Timer); ok {
		limit.Stop()
	}
}

// logged writes a line for each request: never its query, form or cookies.
func (h *Handlers) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		recorder := &recorder{ResponseWriter: w}
		defer func() {
			level := slog.LevelInfo
			if recorder.status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
			h.Log.LogAttrs(r.Context(), level, "request",
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", recorder.status),
				slog.Int64("bytes", recorder.bytes),
				slog.Duration("took", time.Since(began)),
				slog.String("from", h.clientIP(r)),
			)
		}()
		next.ServeHTTP(recorder, r)
	})
}

// recorder records what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *recorder) WriteHeader(status int) {
	if a.status == 0 || a.status < http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *recorder) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

func (a *recorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// clientIP is the address that a request came from. A trusted proxy's word is
// taken for the address that it speaks for; anyone else's is not, for anyone
// can write a header.
func (h *Handlers) clientIP(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && h.trusts(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap()
	}
	return ip.String()
}

func (h *Handlers) trusts(ip netip.Addr) bool {
	for _, prefix := range h.TrustedProxies {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}
