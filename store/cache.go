package store

import "sync"

// maxCached is how many entries a cache holds. Beyond that it starts anew.
const maxCached = 20_000

// cache keeps what was read from the database until it is written to. Every
// write of this store drops what it changes once it is committed and before it
// returns, so nobody reads anything older than what they know of.
type cache[K comparable, V any] struct {
	off bool // others write to the database as well: keep nothing

	mu      sync.Mutex
	entries map[K]V
	dropped uint64 // how often: what was read before a drop is not kept after it
}

// get returns the value of a key, read where it is not at hand. Values are
// shared: do not change them.
func (c *cache[K, V]) get(key K, read func() (V, error)) (V, error) {
	if c.off {
		return read()
	}
	c.mu.Lock()
	v, ok := c.entries[key]
	dropped := c.dropped
	c.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped == dropped {
		if c.entries == nil || len(c.entries) >= maxCached {
			c.entries = map[K]V{}
		}
		c.entries[key] = v
	}
	return v, nil
}

// drop forgets the value of a key.
func (c *cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
	delete(c.entries, key)
}
