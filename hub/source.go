package hub

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Source is where a hub reads what it does not hold, and what knows how a frame
// is written. Its methods may be called by many goroutines at once. None is
// called by Registry.Publish, so none runs in the goroutine of whoever writes.
// A panic in one of them is taken for an error, because most run in goroutines
// in which a panic would end the process.
type Source interface {
	// Newest returns the newest rows of a channel: n at most, and none before the
	// row with which their HTML has come to size bytes. Window.Older says
	// whether there are rows before these.
	Newest(ctx context.Context, channelID int64, n, size int) (Window, error)

	// Changes returns the changes after a revision in their order, and the
	// channel's revision at that moment. It returns n changes at most, and none
	// after the one with which their HTML has come to size bytes. A row that
	// changed twice is there once, as it is now. Both reads show all that was
	// written, on whatever node, before they began.
	Changes(ctx context.Context, channelID, after int64, n, size int) ([]Change, int64, error)

	// Encode returns what a subscriber is sent for a frame's rows, as pieces that
	// are sent one after the other: everything but Frame.Other. The
	// pieces are shared and never change, so they should be the rows' own HTML
	// wherever they can.
	Encode(f *Frame) [][]byte

	// Presence returns the bytes that show a presence, empty for none.
	Presence(p Presence) []byte
}

// guardedSource turns the panics of a source into errors.
type guardedSource struct {
	source Source
	log    *slog.Logger
}

func (g guardedSource) newest(ctx context.Context, channelID int64, n, size int) (w Window, err error) {
	defer recoverTo(&err)
	return g.source.Newest(ctx, channelID, n, size)
}

func (g guardedSource) changes(ctx context.Context, channelID, after int64, n, size int) (changes []Change, reached int64, err error) {
	defer recoverTo(&err)
	return g.source.Changes(ctx, channelID, after, n, size)
}

func (g guardedSource) encode(f *Frame) (pieces [][]byte, err error) {
	defer recoverTo(&err)
	return g.source.Encode(f), nil
}

// presence returns no frame where the source panics: the next change of the
// presence makes good for it.
func (g guardedSource) presence(p Presence) *Frame {
	var html []byte
	err := func() (err error) {
		defer recoverTo(&err)
		html = g.source.Presence(p)
		return nil
	}()
	if err != nil {
		g.log.Error("a presence could not be rendered", "error", err)
	}
	return NewFrame(html)
}

// recoverTo turns a panic into an error that says where it came from. It is to
// be deferred.
func recoverTo(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("hub: a panic: %v\n%s", cause, debug.Stack())
	}
}
