package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// newLogger returns a logger that writes a line for each record, as text or
// json. Nothing in a record can end its line or reach the reader's terminal
// as a control character: what cannot be printed is escaped.
func newLogger(w io.Writer, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(escaper{w}, nil))
	}
	return slog.New(slog.NewTextHandler(escaper{w}, nil))
}

// escaper escapes the characters that cannot be printed but that slog's
// handlers let stand: DEL in text; DEL, C1 controls and bidirectional
// overrides in JSON. There they occur only within strings, so a \u escape
// keeps the meaning.
type escaper struct{ w io.Writer }

// Write writes one whole line.
func (e escaper) Write(line []byte) (int, error) {
	out := make([]byte, 0, len(line)+16)
	for rest := line; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = append(out, rest[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

// logFile is a log on disk that can be opened anew after it was moved away.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// openLogFile opens a log to append to. It makes the file, not its directory.
func openLogFile(path string) (*logFile, error) {
	l := &logFile{path: path}
	if err := l.reopen(); err != nil {
		return nil, err
	}
	return l, nil
}

// reopen opens the log's path again and goes on there. If that fails, it goes
// on in the file that it has.
func (l *logFile) reopen() error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("--log-file: %w", err)
	}
	l.mu.Lock()
	old := l.file
	l.file = file
	l.mu.Unlock()
	if old == nil {
		return nil
	}
	if err := old.Close(); err != nil {
		return fmt.Errorf("close the old log: %w", err)
	}
	return nil
}

// Write appends p.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}

// Close closes the file. Nothing can be written after it.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// openLog returns the log that was asked for and what closes it. A log file is
// opened anew on SIGHUP, so that it can be rotated.
func openLog(ctx context.Context, c config, stderr io.Writer) (*slog.Logger, func(), error) {
	if c.logFile == "" {
		return newLogger(stderr, c.logFormat), func() {}, nil
	}
	file, err := openLogFile(c.logFile)
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(file, c.logFormat)

	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-hangup:
				if err := file.reopen(); err != nil {
					log.Error("the log could not be opened anew", "error", err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return log, func() {
		signal.Stop(hangup)
		cancel()
		work.Wait()
		if err := file.Close(); err != nil {
			fmt.Fprintln(stderr, "hubbub:", err)
		}
	}, nil
}
