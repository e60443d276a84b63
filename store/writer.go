package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"
)

// maxBatch is how many writes share one commit at most. It bounds how long
// the first of them waits for the last.
const maxBatch = 256

// maxTries is how often a transaction is run that others on other nodes get in
// the way of.
const maxTries = 5

// Those who write without a pause come back as soon as they are answered. Were
// the first of them committed alone, all others would wait for that. So where
// minCompany writes or more were under way at the end of a commit, the next one
// waits for as many, till gatherTime after that end.
const (
	minCompany = 3
	gatherTime = 2 * time.Millisecond
)

// ErrClosed says that the store takes no more writes.
var ErrClosed = errors.New("the store is closed")

// tx is the transaction that a write runs in, and what it has changed.
type tx struct {
	*transaction
	changes   []Message
	numbers   map[int64]numbers // of the channels that it changes
	committed []func()          // to be called once it is committed, in this order
}

// changed notes a change for the listener.
func (t *tx) changed(m Message) { t.changes = append(t.changes, m) }

// after notes what is to be done when the write is durable, before it returns.
func (t *tx) after(do func()) { t.committed = append(t.committed, do) }

// writer owns the only writing connection. Writes that arrive while one
// commit waits for the disk share the next: the price of durability is paid
// once for all of them.
type writer struct {
	engine   engine
	db       *pool
	listener Listener
	queue    chan *write
	closing  chan struct{} // closed to refuse further writes
	done     chan struct{} // closed when the last commit is over

	patience time.Duration // gatherTime
	company  int           // how many writes the last commit answered and left waiting
	ended    time.Time     // when that was
}

type write struct {
	ctx   context.Context
	locks locks
	do    func(ctx context.Context, t *tx) error
	err   chan error // has room for one, so that the writer never waits
}

func startWriter(engine engine, db *pool) *writer {
	w := &writer{
		engine:   engine,
		db:       db,
		queue:    make(chan *write, maxBatch),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		patience: gatherTime,
	}
	go w.serve()
	return w
}

// write runs do in a transaction that it shares with others and returns when
// that is committed. An error of do undoes what do did, and nothing else; do may
// be run more than once for that, of which only the last time is not undone.
// Once begun, a write is finished whatever becomes of ctx, for its caller could
// not know whether it took place.
func (s *Store) write(ctx context.Context, do func(ctx context.Context, t *tx) error) error {
	return s.writeWith(ctx, locks{}, do)
}

// locks names what a write keeps from other nodes till its commit. Writes of
// one commit are run in the order of their locks: two commits that wanted each
// other's would wait for ever.
type locks struct{ first, then int64 }

// lockPosition is of a write of a user's position in a channel.
func lockPosition(userID, channelID int64) locks { return locks{userID, channelID} }

// lockChannel is of a write that changes a channel. Many want the same one, so
// it is held for the shortest time.
func lockChannel(channelID int64) locks { return locks{math.MaxInt64, channelID} }

func (l locks) compare(other locks) int {
	return cmp.Or(cmp.Compare(l.first, other.first), cmp.Compare(l.then, other.then))
}

// writeWith is write for what has locks that others may want.
func (s *Store) writeWith(ctx context.Context, locks locks, do func(ctx context.Context, t *tx) error) error {
	w := s.writer
	job := &write{ctx: ctx, locks: locks, do: do, err: make(chan error, 1)}
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	select {
	case w.queue <- job:
	case <-w.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-job.err:
		return err
	case <-w.done:
		// The writer has ended; it may have answered on its way out.
		select {
		case err := <-job.err:
			return err
		default:
			return ErrClosed
		}
	}
}

func (w *writer) serve() {
	defer close(w.done)
	for {
		select {
		case job := <-w.queue:
			w.commit(w.batch(job))
		case <-w.closing:
			for {
				select {
				case job := <-w.queue:
					w.commit(w.batch(job))
				default:
					return
				}
			}
		}
	}
}

// batch returns the first write and those that share its commit: all that wait,
// and those that are about to come.
func (w *writer) batch(first *write) []*write {
	// Whoever is about to join goes first: the runtime runs this goroutine as
	// soon as there is one write, before others that came in the same moment.
	runtime.Gosched()
	jobs := w.waiting([]*write{first})
	if w.company < minCompany || time.Since(w.ended) >= w.patience {
		return jobs
	}
	late := time.NewTimer(time.Until(w.ended.Add(w.patience)))
	defer late.Stop()
	for len(jobs) < min(w.company, maxBatch) {
		select {
		case job := <-w.queue:
			jobs = w.waiting(append(jobs, job))
		case <-late.C:
			return jobs
		}
	}
	return jobs
}

// waiting adds the writes that wait to those of a commit, up to maxBatch.
func (w *writer) waiting(jobs []*write) []*write {
	for len(jobs) < maxBatch {
		select {
		case job := <-w.queue:
			jobs = append(jobs, job)
		default:
			return jobs
		}
	}
	return jobs
}

// commit runs the writes in one transaction, tells the listener and answers.
func (w *writer) commit(jobs []*write) {
	errs := make([]error, len(jobs))
	t, err := w.transact(jobs, errs)
	if err == nil {
		if len(t.changes) > 0 {
			w.listener(t.changes)
		}
		for _, do := range t.committed {
			do()
		}
	}
	w.company, w.ended = len(jobs)+len(w.queue), time.Now()
	for i, job := range jobs {
		if errs[i] == nil {
			errs[i] = err
		}
		job.err <- errs[i]
	}
}

// errOneFailed says that one of several writes has failed, and nothing is
// written yet.
var errOneFailed = errors.New("a write failed")

// transact fills in errs, one for each write, and returns an error that
// concerns them all: then nothing is written. Writes seldom fail, so they are
// run without savepoints first, and again with one each where one of them did.
func (w *writer) transact(jobs []*write, errs []error) (*tx, error) {
	slices.SortStableFunc(jobs, func(a, b *write) int { return a.locks.compare(b.locks) })
	attempt := w.attempt
	for tries := 1; ; tries++ {
		t, err := w.run(jobs, errs, attempt)
		switch {
		case errors.Is(err, errOneFailed) && len(jobs) > 1:
			attempt = w.attemptAlone
		case errors.Is(err, errOneFailed):
			return &tx{}, nil // it was alone, and its caller is told why
		case w.engine.collided(err) && tries < maxTries:
		default:
			return t, err
		}
	}
}

// run runs the writes in one transaction.
func (w *writer) run(jobs []*write, errs []error, attempt func(context.Context, *tx, *write, *error) error) (*tx, error) {
	// Not the context of one write: the others must not depend on it.
	ctx := context.Background()
	if limit := w.engine.writeLimit(); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	begun, err := w.db.begin(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	t := &tx{transaction: begun, numbers: map[int64]numbers{}}
	for i, job := range jobs {
		if errs[i] = job.ctx.Err(); errs[i] != nil {
			continue
		}
		if err := attempt(ctx, t, job, &errs[i]); err != nil {
			return nil, errors.Join(err, t.Rollback())
		}
	}
	if err := storeRevisions(ctx, t); err != nil {
		return nil, errors.Join(fmt.Errorf("numbering the changes: %w", err), t.Rollback())
	}
	if err := t.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	return t, nil
}

// attempt runs one write, which must not fail.
func (w *writer) attempt(ctx context.Context, t *tx, job *write, failure *error) error {
	*failure = job.do(ctx, t)
	switch {
	case *failure == nil:
		return nil
	case w.concernsAll(ctx, *failure):
		return *failure
	default:
		return errOneFailed
	}
}

// concernsAll says whether the failure of one write has ended the transaction.
func (w *writer) concernsAll(ctx context.Context, failure error) bool {
	return ctx.Err() != nil || w.engine.collided(failure) || Unavailable(failure)
}

// attemptAlone runs one write, and undoes it alone where it fails.
func (w *writer) attemptAlone(ctx context.Context, t *tx, job *write, failure *error) error {
	if _, err := t.ExecContext(ctx, `SAVEPOINT write`); err != nil {
		return fmt.Errorf("beginning a write: %w", err)
	}
	changes, committed, numbers := len(t.changes), len(t.committed), maps.Clone(t.numbers)
	*failure = job.do(ctx, t)
	if *failure != nil && w.concernsAll(ctx, *failure) {
		return *failure
	}
	if *failure != nil {
		t.changes, t.committed, t.numbers = t.changes[:changes], t.committed[:committed], numbers
		if _, err := t.ExecContext(ctx, `ROLLBACK TO write`); err != nil {
			return fmt.Errorf("undoing a write: %w", errors.Join(err, *failure))
		}
	}
	if _, err := t.ExecContext(ctx, `RELEASE write`); err != nil {
		return fmt.Errorf("ending a write: %w", errors.Join(err, *failure))
	}
	return nil
}

func (w *writer) close() error {
	close(w.closing)
	<-w.done
	return w.db.Close()
}
