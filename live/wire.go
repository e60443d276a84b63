package live

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hubbub/hub"
)

// maxWritten is how many bytes of several messages are put into one write.
const maxWritten = 16 << 10

// maxControl is the longest frame of ours that is not a message (RFC 6455, 5.5).
const maxControl = 2 + 125

// hijacker hands a connection over without the buffers that a request has: browsers
// send next to nothing, and what we send needs one only meanwhile.
type hijacker struct {
	http.ResponseWriter
	writers *writers
	wire    *wire // once it is handed over
}

// Hijack implements http.Hijacker.
func (l *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	l.wire = &wire{Conn: conn, writers: l.writers, ahead: bytes.Clone(ahead)}
	return l.wire, bufio.NewReadWriter(bufio.NewReaderSize(l.wire, 16), bufio.NewWriterSize(l.wire, maxControl)), nil
}

// wire is the connection below a WebSocket. All messages are sent here, for
// several then need but one write, and everybody's are the same bytes.
// websocket.Conn writes what is no message: each such frame is whole in its
// buffer, hence in one call of Write, and goes before or after what is sent.
type wire struct {
	net.Conn
	writers *writers

	start  [2]byte     // of a frame, while it is awaited
	ahead  []byte      // what was read and not taken yet
	frame  int         // bytes that may be taken: of one frame
	ending atomic.Bool // no further frame is awaited

	mu      sync.Mutex   // held from the first byte of a frame to the last
	writing atomic.Int32 // ticks that a write has taken, from 1; 0 for none
}

// errFrameOver says that a frame has been taken, and that the next is to be
// awaited.
var errFrameOver = errors.New("the frame is over")

// errEnding says that no further frame is awaited.
var errEnding = errors.New("the connection is about to end")

// await waits for the next frame, and has it taken by Read.
func (w *wire) await() error {
	if w.ending.Load() {
		return errEnding
	}
	for len(w.ahead) < len(w.start) {
		held := copy(w.start[:], w.ahead)
		n, err := w.Conn.Read(w.start[held:])
		w.ahead = w.start[:held+n]
		if err != nil {
			return err
		}
	}
	w.frame = frameLength(w.ahead[1])
	return nil
}

// frameLength returns the length of a frame by its second byte (RFC 6455, 5.2).
// One whose length is elsewhere has no end: it is a message, which ends the
// connection, or what no browser sends, and may take more stack.
func frameLength(second byte) int {
	const masked, long = 0x80, 126
	length := int(second &^ masked)
	switch {
	case length >= long:
		return math.MaxInt
	case second&masked != 0:
		return 2 + 4 + length
	default:
		return 2 + length
	}
}

// interrupt ends await. A frame that is being taken is taken to its end.
func (w *wire) interrupt() {
	w.ending.Store(true)
	_ = w.SetReadDeadline(time.Now())
}

// release lets Read take all that comes, once nobody awaits a frame.
func (w *wire) release() {
	_ = w.SetReadDeadline(time.Time{})
	w.frame = math.MaxInt
}

// Read implements net.Conn. It fails with errFrameOver at the end of a frame.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.frame == 0 {
		return 0, errFrameOver
	}
	p = p[:min(len(p), w.frame)]
	if len(w.ahead) > 0 {
		n = copy(p, w.ahead)
		w.ahead = w.ahead[n:]
	} else if n, err = w.Conn.Read(p); errors.Is(err, os.ErrDeadlineExceeded) && n == 0 {
		_ = w.SetReadDeadline(time.Time{}) // of interrupt
		n, err = w.Conn.Read(p)
	}
	w.frame -= n
	return n, err
}

// Write implements net.Conn. It is given whole frames.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return (*lockedWire)(w).Write(p)
}

// send sends frames, each as a message of text, by one write if they are not too
// long.
func (w *wire) send(frames []*hub.Frame) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	writer := w.writers.get((*lockedWire)(w))
	defer w.writers.put(writer)
	for _, frame := range frames {
		pieces, length, err := frame.Pieces()
		if err != nil {
			return err
		}
		writeHeader(writer, length)
		for _, piece := range pieces {
			_, _ = writer.Write(piece)
		}
	}
	return writer.Flush() // which fails as what was written before it did
}

// writeHeader writes the header of a whole message of text (RFC 6455, 5.2).
func writeHeader(w *bufio.Writer, length int) {
	const finalText = 0x80 | 0x1
	header := append(w.AvailableBuffer(), finalText)
	switch {
	case length < 126:
		header = append(header, byte(length))
	case length <= math.MaxUint16:
		header = binary.BigEndian.AppendUint16(append(header, 126), uint16(length))
	default:
		header = binary.BigEndian.AppendUint64(append(header, 127), uint64(length))
	}
	_, _ = w.Write(header)
}

// stalls counts a tick, and reports whether a write has taken sendTimeout.
func (w *wire) stalls() bool {
	n := w.writing.Load()
	return n > 0 && w.writing.CompareAndSwap(n, n+1) && n > int32(sendTimeout.Seconds())
}

// lockedWire is a wire of which the caller holds the lock.
type lockedWire wire

// Write implements io.Writer.
func (w *lockedWire) Write(p []byte) (int, error) {
	w.writing.Store(1)
	n, err := w.Conn.Write(p)
	w.writing.Store(0)
	return n, err
}

// writers put what is about to be sent to a WebSocket into one write.
type writers struct{ pool sync.Pool }

// get returns a writer to w, to be given back with put once it is flushed.
func (all *writers) get(w io.Writer) *bufio.Writer {
	if writer, ok := all.pool.Get().(*bufio.Writer); ok {
		writer.Reset(w)
		return writer
	}
	return bufio.NewWriterSize(w, maxWritten)
}

// put takes a writer back.
func (all *writers) put(writer *bufio.Writer) {
	writer.Reset(nil)
	all.pool.Put(writer)
}
