//go:build !linux

package main

import (
	"errors"
	"math"
	"time"
)

// Elsewhere than on Linux nothing is pinned, and what a process takes is not
// known: those figures are left out.

func pickCores() (server, generator int) { return -1, -1 }

func pin(int) error { return nil }

func onCore(_ int, start func() error) error { return start() }

func cpuTime(int) (time.Duration, error) { return 0, nil }

func endedTime(int) (time.Duration, error) { return 0, nil }

func networkThread(int) int { return 0 }

func residentMemory(int) (float64, error) { return math.NaN(), nil }

type ticker struct{ t *time.Ticker }

func newTicker(every time.Duration) (*ticker, error) {
	if every <= 0 {
		return nil, errors.New("no interval")
	}
	return &ticker{time.NewTicker(every)}, nil
}

func (t *ticker) wait() (int, error) {
	<-t.t.C
	return 1, nil
}

func (t *ticker) stop() error {
	t.t.Stop()
	return nil
}

func openFiles() int { return 256 }

func loadAverage() string { return "unknown" }

func machine() string { return "unknown processor" }

func diskOf(string) string { return "unknown file system" }
