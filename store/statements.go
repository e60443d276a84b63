package store

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"sync"
)

// pool is connections to a database, on which each statement is prepared once.
// The texts are all ours, so there is a bounded number of them.
type pool struct {
	*sql.DB
	lock       io.Closer // to be closed after it, nil for none
	unprepared bool      // nothing is prepared here, because the driver does it by itself
	prepared   sync.Map  // *sql.Stmt by text
	wanted     sync.Map  // texts that a transaction could not prepare
}

// Close is as in sql.DB.
func (p *pool) Close() error {
	err := p.DB.Close()
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
	}
	return err
}

// statement returns a prepared statement. It takes a connection of its own, so
// it must not be called by one that holds one already.
func (p *pool) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, ok := p.prepared.Load(text); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if other, ok := p.prepared.LoadOrStore(text, stmt); ok {
		return other.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// QueryContext is as in sql.DB.
func (p *pool) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if p.unprepared {
		return p.DB.QueryContext(ctx, text, args...)
	}
	stmt, err := p.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// QueryRowContext is as in sql.DB.
func (p *pool) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if p.unprepared {
		return p.DB.QueryRowContext(ctx, text, args...)
	}
	stmt, err := p.statement(ctx, text)
	if err != nil {
		return p.DB.QueryRowContext(ctx, text, args...) // to fail in the same way
	}
	return stmt.QueryRowContext(ctx, args...)
}

// begin begins a transaction.
func (p *pool) begin(ctx context.Context, options *sql.TxOptions) (*transaction, error) {
	t, err := p.tryBegin(ctx, options)
	if Unavailable(err) {
		// The connection may have ended while it was idle, with the server that
		// it led to. Nothing is begun yet, so another can be had.
		t, err = p.tryBegin(ctx, options)
	}
	if err != nil {
		return nil, err
	}
	return &transaction{t, p}, nil
}

// tryBegin begins a transaction. What the last ones could not prepare, for they
// held a connection, is prepared first.
func (p *pool) tryBegin(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error) {
	var err error
	p.wanted.Range(func(text, _ any) bool {
		if _, err = p.statement(ctx, text.(string)); err == nil {
			p.wanted.Delete(text)
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return p.BeginTx(ctx, options)
}

// transaction is one that runs the prepared statements of its pool.
type transaction struct {
	*sql.Tx
	pool *pool
}

// statement returns a prepared statement, nil where it is not prepared yet.
func (t *transaction) statement(ctx context.Context, text string) *sql.Stmt {
	if t.pool.unprepared {
		return nil
	}
	stmt, ok := t.pool.prepared.Load(text)
	if !ok {
		t.pool.wanted.Store(text, nil)
		return nil
	}
	return t.StmtContext(ctx, stmt.(*sql.Stmt))
}

// ExecContext is as in sql.Tx.
func (t *transaction) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if stmt := t.statement(ctx, text); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, text, args...)
}

// QueryContext is as in sql.Tx.
func (t *transaction) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if stmt := t.statement(ctx, text); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, text, args...)
}

// QueryRowContext is as in sql.Tx.
func (t *transaction) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if stmt := t.statement(ctx, text); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, text, args...)
}
