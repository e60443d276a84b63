package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"
)

// floorFrame is how long a frame of the limit is, in bytes, its header and all.
const floorFrame = 350

// runFloor serves one of the floors until ctx ends. It tells its address in
// the same words as the server.
func runFloor(ctx context.Context, name string, stdout io.Writer) error {
	var handler http.Handler
	switch name {
	case "floor-limit":
		handler = newLimit()
	case "floor-bare":
		handler = newBare()
	default:
		return fmt.Errorf("there is no %s", name)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s is at http://%s/\n", name, listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// limit writes each message to each socket, one after the other. The order of
// revisions asks for the lock; whoever posts waits until all is written, so
// nobody falls behind unnoticed.
type limit struct {
	mu       sync.Mutex
	sockets  []net.Conn
	revision int64
	frame    []byte // the last one; only its numbers and its token change
	row      []byte // of that frame
}

// The row of the limit: numbers have a fixed width.
const (
	limitRow      = `<li id="m-%010d" data-revision="%010d" data-author="1"><div class="body" dir="auto">` + postMark + `%s `
	limitID       = len(`<li id="m-`)
	limitRevision = limitID + 10 + len(`" data-revision="`)
	limitToken    = limitRevision + 10 + len(`" data-author="1"><div class="body" dir="auto">`) + len(postMark)
)

func newLimit() *limit {
	row := fmt.Sprintf(limitRow, 0, 0, tokenText(0))
	row += strings.Repeat("x", floorFrame-4-len(row)-len(rowEnd)) + rowEnd
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(row)))
	frame = append(frame, row...)
	return &limit{frame: frame, row: frame[4:]}
}

func (l *limit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var form [len(postField) + tokenLen]byte
		if _, err := io.ReadFull(r.Body, form[:]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.send(form[len(postField):])
		w.WriteHeader(http.StatusNoContent)
		return
	}
	digest := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(digest[:])+"\r\n\r\n")
	if err != nil {
		_ = conn.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sockets = append(l.sockets, conn)
}

func (l *limit) send(token []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revision++
	var digits [10]byte
	number := strconv.AppendInt(digits[:0], l.revision, 10)
	copy(l.row[limitID+10-len(number):], number)
	copy(l.row[limitRevision+10-len(number):], number)
	copy(l.row[limitToken:], token)
	for _, socket := range l.sockets {
		_, _ = socket.Write(l.frame) // the viewer finds out what it lacks
	}
}

// newBare returns the handler of the bare server. PUT gives it the page that
// GET answers with.
func newBare() http.Handler {
	var mu sync.Mutex
	var page []byte
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		page := page
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		_, _ = w.Write(page)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /plain", answer)
	mux.Handle("GET /gzip", gzhttp.GzipHandler(answer))
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		page = body
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.PostForm.Get("body") == "" {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return mux
}
