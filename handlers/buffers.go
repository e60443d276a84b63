package handlers

import (
	"bufio"
	"bytes"
	"io"
	"sync"
)

// maxKept is how large a buffer may have grown and still be kept for the next.
const maxKept = 256 << 10

// buffers are for pages that are about to be sent.
type buffers struct{ pool sync.Pool }

// get returns an empty buffer, to be given back with put.
func (b *buffers) get() *bytes.Buffer {
	if buffer, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buffer
	}
	return new(bytes.Buffer)
}

// put takes a buffer back. Nobody may hold on to its bytes.
func (b *buffers) put(buffer *bytes.Buffer) {
	if buffer.Cap() > maxKept {
		return
	}
	buffer.Reset()
	b.pool.Put(buffer)
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
