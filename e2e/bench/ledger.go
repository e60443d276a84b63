package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite"
)

// maxPosts is how many posts a ledger of a measurement has room for.
const maxPosts = 2 << 20

// ledger knows what was posted to one channel, and checks what comes back.
// Posts are numbered from 0: the number is the token in their text.
type ledger struct {
	base      int64 // the channel's revision before the first post
	began     time.Time
	tokens    atomic.Int64 // given out
	accepted  atomic.Int64
	delivered atomic.Int64                // rows, to all viewers together
	sent      []atomic.Int64              // when, by token, in nanoseconds since began
	rows      []atomic.Int32              // by revision after base: the token and one, 0 for not seen yet
	delays    atomic.Pointer[delays]      // nil while nobody asks
	failure   atomic.Pointer[viewerError] // the first
}

type viewerError struct{ err error }

// delays are the times from post to row.
type delays struct {
	histogram
	near string // the host whose viewers do not count, "" for none
}

// newLedger returns a ledger with room for so many posts.
func newLedger(base int64, room int) *ledger {
	return &ledger{
		base: base, began: time.Now(),
		sent: make([]atomic.Int64, room), rows: make([]atomic.Int32, room),
	}
}

func (l *ledger) now() time.Duration { return time.Since(l.began) }

// next gives out the token of a post that is made now.
func (l *ledger) next(now time.Duration) (int, error) {
	token := l.tokens.Add(1) - 1
	if token >= int64(len(l.sent)) {
		return 0, errOverfull
	}
	l.sent[token].Store(int64(now))
	return int(token), nil
}

// deliver notes that a viewer at a host was shown a row. All viewers must be
// shown the same at a revision.
func (l *ledger) deliver(host string, revision int64, token int, now time.Duration) error {
	at := revision - l.base - 1
	if at < 0 || at >= int64(len(l.rows)) || int64(token) >= l.tokens.Load() {
		return fmt.Errorf("a row that nobody posted: revision %d, token %d", revision, token)
	}
	if !l.rows[at].CompareAndSwap(0, int32(token)+1) && l.rows[at].Load() != int32(token)+1 {
		return fmt.Errorf("two rows have revision %d", revision)
	}
	if delays := l.delays.Load(); delays != nil && delays.near != host {
		delays.add(now - time.Duration(l.sent[token].Load()))
	}
	l.delivered.Add(1)
	return nil
}

// fail keeps the first failure of a viewer.
func (l *ledger) fail(err error) { l.failure.CompareAndSwap(nil, &viewerError{err}) }

// drain waits until every viewer has been shown every accepted post.
func (l *ledger) drain(viewers int) error {
	want := l.accepted.Load() * int64(viewers)
	limit := time.Now().Add(answerLimit)
	for l.delivered.Load() != want {
		if failed := l.failure.Load(); failed != nil {
			return failed.err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("after %v viewers have been shown %d rows of %d", answerLimit, l.delivered.Load(), want)
		}
		time.Sleep(500 * time.Microsecond)
	}
	return nil
}

// check says whether the rows that were shown are the posts that were
// accepted, each once.
func (l *ledger) check() error {
	n := int(l.accepted.Load())
	seen := make([]bool, n)
	for at := range n {
		token := int(l.rows[at].Load()) - 1
		if token < 0 || token >= n || seen[token] {
			return fmt.Errorf("the row at revision %d is of post %d: lacking, or there twice", l.base+int64(at)+1, token)
		}
		seen[token] = true
	}
	return nil
}

// checkStore says whether a data folder holds the accepted posts, each once.
func (l *ledger) checkStore(ctx context.Context, data string) error {
	db, err := openStore(data, "")
	if err != nil {
		return err
	}
	defer db.Close()
	return l.checkChannel(ctx, db, path.Base(room))
}

// checkChannel says whether a channel in a database holds the accepted posts,
// each once.
func (l *ledger) checkChannel(ctx context.Context, db *sql.DB, name string) error {
	rows, err := db.QueryContext(ctx, `
		SELECT substr(body, $1, $2) FROM messages
		WHERE body LIKE $3 AND channel_id = (SELECT id FROM channels WHERE name = $4)`,
		len(postMark)+1, tokenLen, postMark+"%", name)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := map[int64]bool{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		token, err := strconv.ParseInt(text, 16, 64)
		if err != nil || token >= l.tokens.Load() || seen[token] {
			return fmt.Errorf("the store holds post %q, which nobody made, or holds it twice", text)
		}
		seen[token] = true
	}
	if int64(len(seen)) != l.accepted.Load() {
		return fmt.Errorf("the store holds %d posts of %d that were accepted", len(seen), l.accepted.Load())
	}
	return rows.Err()
}

// openStore opens the database in a data folder, on one connection.
func openStore(data string, pragmas ...string) (*sql.DB, error) {
	return openSQLite(filepath.Join(data, "hubbub.db"), pragmas...)
}

func openSQLite(file string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_pragma": {"busy_timeout(10000)"}}
	for _, pragma := range pragmas {
		if pragma != "" {
			query.Add("_pragma", pragma)
		}
	}
	escaped := (&url.URL{Path: file}).EscapedPath()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: escaped, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// histogram counts times, in classes that are a thirty-second of their size.
type histogram struct {
	counts [64 * 32]atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	h.counts[class(uint64(max(d, 0)))].Add(1)
}

func class(n uint64) int {
	shift := max(bits.Len64(n)-6, 0)
	return shift*32 + int(n>>shift)
}

// quantile returns the time under which a part of all are, such as 0.99.
func (h *histogram) quantile(part float64) (time.Duration, error) {
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	if total == 0 {
		return 0, errors.New("nothing was timed")
	}
	rest := int64(float64(total)*part) + 1
	for i := range h.counts {
		if rest -= h.counts[i].Load(); rest <= 0 {
			shift := max(i/32-1, 0)
			return time.Duration((uint64(i-shift*32)<<shift + uint64(i-shift*32+1)<<shift) / 2), nil
		}
	}
	return 0, errors.New("nothing is as slow")
}

// middleAndHighest returns the median and the 99th percentile, in seconds.
func (h *histogram) middleAndHighest() (middle, highest float64, err error) {
	p50, err := h.quantile(0.5)
	if err != nil {
		return 0, 0, err
	}
	p99, err := h.quantile(0.99)
	return p50.Seconds(), p99.Seconds(), err
}
