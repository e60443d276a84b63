package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// What frames are made of.
const (
	rowStart     = `<li id="m-`
	rowRevision  = `" data-revision="`
	rowEnd       = `</li>`
	partialStart = `<hx-partial hx-target="#`
	partialEnd   = `</hx-partial>`
)

// maxMessage is the longest message that a viewer takes, in bytes.
const maxMessage = 16 << 20

// viewer is one live connection. It reads frames with a parser of its own, for
// it shares a core with the server.
type viewer struct {
	conn   net.Conn
	host   string // that it is connected to
	page   bool   // as a page, it is told of presence and news too
	last   int64  // the revision of the row shown last
	ledger *ledger
	heard  *atomic.Int64 // messages to all viewers, without the beats

	buffer    []byte
	held      int    // bytes in the buffer
	fragments []byte // of a message that has not ended
	fragment  bool   // there is such a message
}

// join opens a live connection at an address.
func join(ctx context.Context, u user, live string, v *viewer) error {
	c, err := dial(ctx, u.host)
	if err != nil {
		return err
	}
	a, err := c.do(u.get(live, "Origin: http://"+u.host, "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
	if err != nil {
		return err
	}
	if a.status != http.StatusSwitchingProtocols {
		c.close()
		return fmt.Errorf("a live connection was answered with %d", a.status)
	}
	// What came with the answer belongs to the frames.
	early, err := c.in.Peek(c.in.Buffered())
	if err != nil {
		return err
	}
	v.host = u.host
	v.conn, v.buffer, v.held = c.conn, make([]byte, max(4096, 2*len(early))), len(early)
	copy(v.buffer, early)
	return nil
}

// watch reads until the connection ends, and says why it did.
func (v *viewer) watch() error {
	for {
		if err := v.frames(v.ledger.now()); err != nil {
			return err
		}
		if v.held == len(v.buffer) {
			v.buffer = append(v.buffer, make([]byte, len(v.buffer))...)
		}
		n, err := v.conn.Read(v.buffer[v.held:])
		if err != nil {
			return err
		}
		v.held += n
	}
}

// frames takes the whole frames that are in the buffer and moves the rest to
// its start.
func (v *viewer) frames(now time.Duration) error {
	at := 0
	for {
		used, err := v.frame(v.buffer[at:v.held], now)
		if err != nil {
			return err
		}
		if used == 0 {
			v.held = copy(v.buffer, v.buffer[at:v.held])
			return nil
		}
		at += used
	}
}

// frame takes the first frame of data (RFC 6455, 5.2) and returns its length,
// 0 where it is not whole.
func (v *viewer) frame(data []byte, now time.Duration) (int, error) {
	if len(data) < 2 {
		return 0, nil
	}
	final, opcode := data[0]&0x80 != 0, data[0]&0x0f
	if data[0]&0x70 != 0 || data[1]&0x80 != 0 {
		return 0, fmt.Errorf("a frame begins with % x", data[:2])
	}
	head, length := 2, int(data[1])
	switch length {
	case 126:
		if len(data) < 4 {
			return 0, nil
		}
		head, length = 4, int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if len(data) < 10 {
			return 0, nil
		}
		head, length = 10, int(binary.BigEndian.Uint64(data[2:]))
	}
	if length < 0 || length > maxMessage {
		return 0, fmt.Errorf("a frame has %d bytes", length)
	}
	if len(data) < head+length {
		return 0, nil
	}
	payload := data[head : head+length]
	var err error
	switch {
	case opcode == 1 && final && !v.fragment:
		err = v.message(payload, now)
	case opcode == 1 && !v.fragment, opcode == 0 && v.fragment:
		v.fragments = append(v.fragments, payload...)
		if v.fragment = !final; final {
			err = v.message(v.fragments, now)
			v.fragments = v.fragments[:0]
		}
	case opcode == 9 && length < 126:
		// Masked, as all that a browser sends; with zeros.
		_, err = v.conn.Write(append([]byte{0x8a, 0x80 | byte(length), 0, 0, 0, 0}, payload...))
	case opcode == 8 && length >= 2:
		err = fmt.Errorf("the server ended a live connection with %d %s", binary.BigEndian.Uint16(payload), payload[2:])
	default:
		err = fmt.Errorf("a frame begins with % x", data[:2])
	}
	return head + length, err
}

// message takes the HTML of one message: rows, and for a page what it says of
// presence and news.
func (v *viewer) message(html []byte, now time.Duration) error {
	if html = bytes.TrimLeft(html, " \n"); len(html) > 0 {
		v.heard.Add(1)
	}
	for {
		html = bytes.TrimLeft(html, " \n")
		switch {
		case len(html) == 0:
			return nil
		case bytes.HasPrefix(html, []byte(rowStart)):
			end := bytes.Index(html, []byte(rowEnd))
			if end < 0 {
				return fmt.Errorf("a row does not end: %.200q", html)
			}
			if err := v.row(html[:end], now); err != nil {
				return err
			}
			html = html[end+len(rowEnd):]
		case v.page && bytes.HasPrefix(html, []byte(partialStart)) && !bytes.HasPrefix(html, []byte(partialStart+"m")):
			end := bytes.Index(html, []byte(partialEnd))
			if end < 0 {
				return fmt.Errorf("a partial does not end: %.200q", html)
			}
			html = html[end+len(partialEnd):]
		default:
			return fmt.Errorf("something foreign came: %.200q", html)
		}
	}
}

// row takes one row: it must be the next one.
func (v *viewer) row(row []byte, now time.Duration) error {
	id, rest := leadingNumber(row[len(rowStart):])
	rest, ok := bytes.CutPrefix(rest, []byte(rowRevision))
	revision, rest := leadingNumber(rest)
	_, text, marked := bytes.Cut(rest, []byte(postMark))
	if !ok || !marked || len(text) < tokenLen || id != revision {
		return fmt.Errorf("not a row of ours: %.200q", row)
	}
	token, err := strconv.ParseUint(string(text[:tokenLen]), 16, 31)
	if err != nil {
		return fmt.Errorf("not a row of ours: %.200q", row)
	}
	if revision != v.last+1 {
		return fmt.Errorf("after revision %d came %d", v.last, revision)
	}
	v.last = revision
	return v.ledger.deliver(v.host, revision, int(token), now)
}

func leadingNumber(text []byte) (n int64, rest []byte) {
	for i, c := range text {
		if c < '0' || c > '9' {
			return n, text[i:]
		}
		n = 10*n + int64(c-'0')
	}
	return n, nil
}

// audience is the viewers of one channel. Each has a goroutine that close
// waits for.
type audience struct {
	viewers  []*viewer
	ledger   *ledger
	heard    atomic.Int64
	closing  atomic.Bool
	watching sync.WaitGroup
}

// gather opens n live connections, the i-th as users[i]. The address is the
// page's own for a page, and else has nothing but the revision.
func gather(ctx context.Context, users []user, pages []string, path string, l *ledger) (*audience, error) {
	a := &audience{ledger: l, viewers: make([]*viewer, len(users))}
	err := each(ctx, len(users), func(ctx context.Context, i int) error {
		live := path + "/live?after=" + strconv.FormatInt(l.base, 10)
		if pages != nil {
			// As the script of a page that somebody looks at asks.
			live = pages[i] + "&tab=t" + strconv.Itoa(i) + "&reading=1"
		}
		v := &viewer{page: pages != nil, last: l.base, ledger: l, heard: &a.heard}
		if err := join(ctx, users[i], live, v); err != nil {
			return err
		}
		a.viewers[i] = v
		a.watching.Go(func() {
			if err := v.watch(); !a.closing.Load() {
				l.fail(fmt.Errorf("viewer %d: %w", i, err))
			}
		})
		return nil
	})
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// quiet waits until nothing but beats has come for a time.
func (a *audience) quiet(ctx context.Context, still time.Duration) error {
	for limit := time.Now().Add(answerLimit); time.Now().Before(limit); {
		before := a.heard.Load()
		if !pause(ctx, still) {
			return ctx.Err()
		}
		if failed := a.ledger.failure.Load(); failed != nil {
			return failed.err
		}
		if a.heard.Load() == before {
			return nil
		}
	}
	return errors.New("the viewers are told something all the time")
}

// close ends the connections and waits for their goroutines.
func (a *audience) close() {
	a.closing.Store(true)
	for _, v := range a.viewers {
		if v != nil {
			_ = v.conn.Close()
		}
	}
	a.watching.Wait()
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
