package handlers

import (
	"bytes"
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
