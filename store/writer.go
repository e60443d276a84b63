package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// maxBatch is how many writes share one commit at most. It bounds how long
// the first of them waits for the last.
const maxBatch = 256

// maxTries is how often a transaction is run that conflicts with those of other
// nodes.
const maxTries = 5

// Clients that write without a pause send the next write as soon as one is
// answered. If the first of these were committed alone, all others would wait
// for that commit. So where gatherFrom writes or more were under way at the end
// of a commit, the next commit waits for as many, until gatherTime after that
// end.
const (
	gatherFrom = 3
	gatherTime = 2 * time.Millisecond
)

// ErrClosed says that the store takes no more writes.
var ErrClosed = errors.New("the store is closed")

// tx is the transaction that a write runs in, and what it has changed.
type tx struct {
	*transaction
	changes   []Change
	numbers   map[int64]numbers // of the channels that it changes
	committed []func()          // to be called once it is committed, in this order
	blocked   error             // why the last write failed that waited for a lock in vain, nil for none
	wanted    locks             // the locks of that write
}

// changed registers a change for the listener.
func (t *tx) changed(c Change) { t.changes = append(t.changes, c) }

// after registers what is to be done when the write is durable, before the
// listener runs.
func (t *tx) after(do func()) { t.committed = append(t.committed, do) }

// writer owns the only writing connection. Writes that arrive while one
// commit waits for the disk share the next: the price of durability is paid
// once for all of them.
type writer struct {
	engine   engine
	db       *pool
	listener Listener
	queue    chan *write
	stop     sync.Once     // closes closing
	closing  chan struct{} // closed to refuse further writes
	done     chan struct{} // closed when the last commit is over

	gather   time.Duration // gatherTime
	underWay int           // how many writes the last commit answered and left waiting
	ended    time.Time     // when the last commit ended
}

type write struct {
	ctx   context.Context
	locks locks
	do    func(ctx context.Context, t *tx) error
	err   chan error // has room for one, so that the writer never waits
}

func startWriter(engine engine, db *pool) *writer {
	w := &writer{
		engine:  engine,
		db:      db,
		queue:   make(chan *write, maxBatch),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		gather:  gatherTime,
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

// locks names what a write locks until its commit. The writes of one commit run
// in the order of their locks, because two commits that took them in different
// orders could wait for each other.
type locks struct{ first, then int64 }

// lockPosition is for a write of a user's position or membership in a channel.
func lockPosition(userID, channelID int64) locks { return locks{userID, channelID} }

// lockChannel is for a write that changes a channel. It comes last because many
// writes want the same one, so it is held for the shortest time.
func lockChannel(channelID int64) locks { return locks{math.MaxInt64, channelID} }

func (l locks) compare(other locks) int {
	return cmp.Or(cmp.Compare(l.first, other.first), cmp.Compare(l.then, other.then))
}

// writeWith is write for what takes locks that others may want.
func (s *Store) writeWith(ctx context.Context, locks locks, do func(ctx context.Context, t *tx) error) error {
	job := &write{ctx: ctx, locks: locks, do: do, err: make(chan error, 1)}
	return s.writer.run(job, nil)
}

// run queues a write and returns when it is committed or has failed, or when
// giveUp is closed, after which nobody knows what becomes of it. A nil giveUp is
// never closed.
func (w *writer) run(job *write, giveUp <-chan struct{}) error {
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	select {
	case w.queue <- job:
	case <-w.closing:
		return ErrClosed
	case <-job.ctx.Done():
		return job.ctx.Err()
	}
	select {
	case err := <-job.err:
		return err
	case <-giveUp:
		return job.ctx.Err()
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
	if w.underWay < gatherFrom || time.Since(w.ended) >= w.gather {
		return jobs
	}
	late := time.NewTimer(time.Until(w.ended.Add(w.gather)))
	defer late.Stop()
	for len(jobs) < min(w.underWay, maxBatch) {
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

// commit runs the writes in one transaction, calls the listener and answers.
func (w *writer) commit(jobs []*write) {
	errs := make([]error, len(jobs))
	t, err := w.transact(jobs, errs)
	if err == nil {
		for _, do := range t.committed {
			do()
		}
		if len(t.changes) > 0 {
			w.listener(t.changes)
		}
	}
	w.underWay, w.ended = len(jobs)+len(w.queue), time.Now()
	for i, job := range jobs {
		if errs[i] == nil {
			errs[i] = err
		}
		job.err <- errs[i]
	}
}

// refusal is an error of a write that has changed nothing. There is nothing to
// undo, so the writes that share its commit need not run again.
type refusal struct{ error }

// refuse returns an error with which a write that has changed nothing may end. It
// is not for errors of the database, which may have ended the transaction.
func refuse(err error) error { return refusal{err} }

// refuseMissing turns the absence of a row into a refusal with ErrNotFound.
func refuseMissing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return refuse(ErrNotFound)
	}
	return err
}

// refused takes the error of a write that has changed nothing out of its
// wrapping, and reports whether it is one.
func refused(failure *error) bool {
	r, ok := (*failure).(refusal) //nolint:errorlint // refuse's own value, which nobody wraps
	if ok {
		*failure = r.error
	}
	return ok
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
		t, err := w.runAll(jobs, errs, attempt)
		switch {
		case errors.Is(err, errOneFailed) && len(jobs) > 1:
			attempt = w.attemptAlone
		case errors.Is(err, errOneFailed):
			return &tx{}, nil // it was alone, and its caller gets the error
		case w.engine.collided(err) && tries < maxTries:
		default:
			return t, err
		}
	}
}

// runAll runs the writes in one transaction.
func (w *writer) runAll(jobs []*write, errs []error, attempt func(context.Context, *tx, *write, *error) error) (*tx, error) {
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
	if err := w.engine.intact(); err != nil {
		return nil, errors.Join(err, t.Rollback())
	}
	if err := t.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	return t, nil
}

// attempt runs one write, which must not fail.
func (w *writer) attempt(ctx context.Context, t *tx, job *write, failure *error) error {
	*failure = job.do(ctx, t)
	refused := refused(failure)
	switch {
	case *failure == nil, refused && !w.concernsAll(ctx, *failure):
		return nil
	case w.concernsAll(ctx, *failure):
		return *failure
	default:
		return errOneFailed
	}
}

// concernsAll reports whether the failure of one write has ended the transaction.
func (w *writer) concernsAll(ctx context.Context, failure error) bool {
	return ctx.Err() != nil || w.engine.collided(failure) || Unavailable(failure) && !w.engine.blocked(failure)
}

// attemptAlone runs one write, and undoes it alone where it fails.
func (w *writer) attemptAlone(ctx context.Context, t *tx, job *write, failure *error) error {
	if t.blocked != nil && job.locks == t.wanted {
		*failure = t.blocked // it would wait as long again, and the whole commit with it
		return nil
	}
	if _, err := t.ExecContext(ctx, `SAVEPOINT write`); err != nil {
		return fmt.Errorf("beginning a write: %w", err)
	}
	changes, committed, numbers := len(t.changes), len(t.committed), maps.Clone(t.numbers)
	*failure = job.do(ctx, t)
	refused := refused(failure)
	if *failure != nil && w.concernsAll(ctx, *failure) {
		return *failure
	}
	if w.engine.blocked(*failure) {
		t.blocked, t.wanted = *failure, job.locks
	}
	if *failure != nil && !refused {
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
	w.stop.Do(func() { close(w.closing) })
	<-w.done
	return w.db.Close()
}
