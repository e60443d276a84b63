package handlers

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// retryAfter is how long somebody who was too fast is asked to wait.
const retryAfter = 10 * time.Second

// limiter allows each key so many events a minute. They may come all at once:
// people do things in bursts.
type limiter struct {
	perMinute int

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// newLimiter returns a limiter; 0 a minute allows everything.
func newLimiter(perMinute int) *limiter {
	return &limiter{perMinute: perMinute, keys: map[string]*rate.Limiter{}}
}

// allow reports whether one more event is allowed now, and counts it.
func (l *limiter) allow(key string) bool {
	if l.perMinute == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.keys[key]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.keys[key] = bucket
	}
	return bucket.Allow()
}

// sweep forgets the keys that have their whole allowance again.
func (l *limiter) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, bucket := range l.keys {
		if bucket.TokensAt(now) >= float64(l.perMinute) {
			delete(l.keys, key)
		}
	}
}

// addressKey is an address's key in a limiter. Who has one IPv6 address has all
// of its /64.
func addressKey(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Is4() {
		return ip
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// viewerKey is the viewer's key in a limiter.
func viewerKey(q *request) string { return strconv.FormatInt(q.viewer.ID, 10) }

// leastWriteRate is how many writes beside posts a user may make in a minute at
// least, however few posts are allowed: script tells of typing and reading too.
const leastWriteRate = 240

// writeRate returns how many writes beside posts a user may make in a minute, 0
// for any number.
func writeRate(postRate int) int {
	if postRate == 0 {
		return 0
	}
	return max(2*postRate, leastWriteRate)
}

// paced bounds how fast one user may write, so that nobody else waits for it.
func (h *Handlers) paced(next handler) handler {
	return func(q *request) (answer, error) {
		if !h.writes.allow(viewerKey(q)) {
			return answer{}, errManyPosts
		}
		return next(q)
	}
}
