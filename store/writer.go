package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// maxBatch is how many writes share one commit at most. It bounds how long
// the first of them waits for the last.
const maxBatch = 256

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
	committed []func() // to be called once it is committed, in this order
}

// changed notes a change for the listener.
func (t *tx) changed(m Message) { t.changes = append(t.changes, m) }

// after notes what is to be done when the write is durable, before it returns.
func (t *tx) after(do func()) { t.committed = append(t.committed, do) }

// writer owns the only writing connection. Writes that arrive while one
// commit waits for the disk share the next: the price of durability is paid
// once for all of them.
type writer struct {
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
	ctx context.Context
	do  func(ctx context.Context, t *tx) error
	err chan error // has room for one, so that the writer never waits
}

func startWriter(db *pool) *writer {
	w := &writer{
		db:       db,
		listener: func([]Message) {},
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
// be run twice for that, of which the first time is undone. Once
// begun, a write is finished whatever becomes of ctx, for its caller could not
// know whether it took place.
func (s *Store) write(ctx context.Context, do func(ctx context.Context, t *tx) error) error {
	w := s.writer
	job := &write{ctx: ctx, do: do, err: make(chan error, 1)}
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
		for _, do := range t.committed {
			do()
		}
		if len(t.changes) > 0 {
			w.listener(t.changes)
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
	t, err := w.run(jobs, errs, w.attempt)
	if errors.Is(err, errOneFailed) && len(jobs) > 1 {
		t, err = w.run(jobs, errs, w.attemptAlone)
	}
	if errors.Is(err, errOneFailed) {
		return &tx{}, nil // it was alone, and its caller is told why
	}
	return t, err
}

// run runs the writes in one transaction.
func (w *writer) run(jobs []*write, errs []error, attempt func(context.Context, *tx, *write, *error) error) (*tx, error) {
	// Not the context of one write: the others must not depend on it.
	ctx := context.Background()
	begun, err := w.db.begin(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	t := &tx{transaction: begun}
	for i, job := range jobs {
		if errs[i] = job.ctx.Err(); errs[i] != nil {
			continue
		}
		if err := attempt(ctx, t, job, &errs[i]); err != nil {
			return nil, errors.Join(err, t.Rollback())
		}
	}
	if err := t.Commit(); err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	return t, nil
}

// attempt runs one write, which must not fail.
func (w *writer) attempt(ctx context.Context, t *tx, job *write, failure *error) error {
	if *failure = job.do(ctx, t); *failure != nil {
		return errOneFailed
	}
	return nil
}

// attemptAlone runs one write, and undoes it alone where it fails.
func (w *writer) attemptAlone(ctx context.Context, t *tx, job *write, failure *error) error {
	if _, err := t.ExecContext(ctx, `SAVEPOINT write`); err != nil {
		return fmt.Errorf("beginning a write: %w", err)
	}
	changes, committed := len(t.changes), len(t.committed)
	if *failure = job.do(ctx, t); *failure != nil {
		t.changes, t.committed = t.changes[:changes], t.committed[:committed]
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
