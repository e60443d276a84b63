package live

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"hubbub/bus"
	"hubbub/e2e/throwaway"
	"hubbub/hub"
	"hubbub/store"
)

// TestNodesCrowd removes at once those who are not in a full room any more,
// although nobody has said of each that they have gone.
func TestNodesCrowd(t *testing.T) {
	t.Parallel()
	postgres, err := throwaway.StartPostgres(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, postgres.Close()) })
	database, err := postgres.NewDatabase(t.Context())
	check(t, err)
	join := func() *node {
		onBus, err := bus.Open(bus.Options{Database: database, Cluster: database, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		check(t, err)
		return openNode(t, database, onBus)
	}
	a, b := join(), join()

	const people = 150
	crowd := make([]hub.User, people)
	for i := range crowd {
		crowd[i] = hub.User{ID: int64(i + 1), Name: fmt.Sprint("Person ", i+1)}
	}
	last := &store.User{ID: crowd[people-1].ID, Name: crowd[people-1].Name}
	here := func() int {
		p := b.Presence(b.room, last)
		return len(p.Here) + p.More
	}
	waitFor(t, "the other node knows of them", func() bool {
		a.publishAttendance([]hub.Attendance{{ChannelID: a.room.ID, Here: crowd}})
		return here() == people
	})
	began := time.Now()
	a.publishAttendance([]hub.Attendance{{ChannelID: a.room.ID, Here: crowd[1:], Whole: true}})
	waitFor(t, "it knows who is left", func() bool { return here() == people-1 })
	if took := time.Since(began); took > presenceEvery {
		t.Errorf("it took %v", took)
	}
}
