package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hubbub/hub"
	"hubbub/store"
)

// onBuses runs a test with two nodes, on each kind of bus.
func onBuses(t *testing.T, test func(t *testing.T, a, b *server)) {
	t.Parallel()
	for _, byNATS := range []bool{false, true} {
		t.Run(map[bool]string{false: "NOTIFY", true: "NATS"}[byNATS], func(t *testing.T) {
			t.Parallel()
			a, b := newNodes(t, byNATS)
			test(t, a, b)
		})
	}
}

// TestNodesDeliver posts and deletes on one node for those who follow on
// another, whose page shows it at once.
func TestNodesDeliver(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		anna := a.signIn(t, "Anna")
		pages := []*replica{anna.page("general"), anna.on(b).page("general")}
		feeds := []*feed{anna.live("general", 0), anna.on(b).live("general", 0)}
		const posts = 50
		for i := range posts {
			there, here := []*server{a, b}[i%2], []*server{b, a}[i%2]
			anna.on(there).post("/channels/general/messages", "body", fmt.Sprint("message ", i)).leadsTo("/channels/general")
			anna.on(here).get("/channels/general").says(fmt.Sprint("message ", i))
		}
		anna.on(b).post("/channels/general/messages/1/delete").leadsTo("/channels/general")
		anna.get("/channels/general").saysNot("message 0")
		for i, s := range []*server{a, b} {
			feeds[i].follow(pages[i], posts+1)
			pages[i].shows(t, "the page", anna.on(s).page("general"))
		}
	})
}

// TestNodesEndSessions ends a user's connections to all nodes at once.
func TestNodesEndSessions(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		here, there := a.signIn(t, "Anna", "password 1"), b.signIn(t, "Anna", "password 1")
		bea := a.signIn(t, "Bea")
		stay := []*feed{here.live("general", 0), here.on(b).live("general", 0), bea.on(b).live("general", 0)}
		ended := []*feed{there.live("general", 0), there.on(a).live("general", 0)}
		began := time.Now()
		here.post("/user/password", "current", "password 1", "password", "password 2").leadsTo("/user")
		for _, f := range ended {
			f.ends(closeSignedOut)
		}
		if took := time.Since(began); took > soon {
			t.Errorf("after another password it took %v", took)
		}
		bea.post("/channels/general/messages", "body", "hello")
		for _, f := range stay {
			for !strings.Contains(f.next(), "hello") { // or it ends, and the test with it
			}
		}
		began = time.Now()
		here.post("/logout").leadsTo("/")
		for _, f := range stay[:2] {
			f.ends(closeSignedOut)
		}
		if took := time.Since(began); took > soon {
			t.Errorf("after logging out it took %v", took)
		}
	})
}

// TestNodesTell follows what is no message from one node to another: new
// channels, what is unread and read, who is there and who types.
func TestNodesTell(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		anna, bea := a.signIn(t, "Anna"), a.signIn(t, "Bea")
		anna.post("/channels", "name", "early").is(http.StatusSeeOther)
		anna.get("/channels/early").is(http.StatusOK)
		annas := anna.on(b).open("/channels/general")

		anna.post("/channels", "name", "late").is(http.StatusSeeOther)
		late := fmt.Sprint(a.channel(t, "late").ID)
		annas.until("the new channel", func() bool { return slices.Contains(annas.channels, late) })

		early := a.channel(t, "early")
		bea.post("/channels/early/messages", "body", "hello").leadsTo("/channels/early")
		annas.shows(early.ID, "1")
		anna.post("/channels/early/read", "upto", "1").is(http.StatusNoContent)
		annas.shows(early.ID, "")

		const both = "Anna, Bea"
		beas := bea.open("/channels/general")
		annas.until("Bea comes", func() bool { return names(annas.people) == both })
		beas.until("Anna is there", func() bool { return names(beas.people) == both })
		bea.htmx("/channels/general/typing").is(http.StatusNoContent)
		annas.until("Bea types", func() bool { return annas.typists == "<bdi>Bea</bdi>" })
		bea.htmx("/channels/general/messages", "body", "there").is(http.StatusOK)
		annas.until("Bea has written", func() bool { return annas.typists == "" })
		check(t, beas.CloseNow())
		annas.until("Bea goes", func() bool { return names(annas.people) == "Anna" })

		beas = bea.open("/channels/general")
		annas.until("Bea comes again", func() bool { return names(annas.people) == both })
		a.stop(t)
		annas.until("her node has stopped", func() bool { return names(annas.people) == "Anna" })
	})
}

// TestNodesTellCrowds takes those away from a full channel at once who are not in
// it any more, although nobody has heard them go.
func TestNodesTellCrowds(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		const channel, people = 1, 150
		crowd := make([]hub.User, people)
		for i := range crowd {
			crowd[i] = hub.User{ID: int64(i + 1), Name: fmt.Sprint("Person ", i+1)}
		}
		here := func() int {
			p := b.hubs.Presence(channel, crowd[people-1])
			return len(p.Here) + p.More
		}
		waitFor(t, "the other node hears of them", func() bool {
			a.announce([]hub.Attendance{{ChannelID: channel, Here: crowd}})
			return here() == people
		})
		began := time.Now()
		a.announce([]hub.Attendance{{ChannelID: channel, Here: crowd[1:], Whole: true}})
		waitFor(t, "it hears who is left", func() bool { return here() == people-1 })
		if took := time.Since(began); took > presenceEvery {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNodesShareTabs says on one node that a tab on another is not looked at any
// more, and that its channel is unread.
func TestNodesShareTabs(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		anna, bea := a.signIn(t, "Anna"), a.signIn(t, "Bea")
		general := a.channel(t, "general")
		anna.post("/channels", "name", "other").is(http.StatusSeeOther)
		anna.open("/channels/general", "tab", "first", "reading", "1")
		other := anna.open("/channels/other")
		anna.on(b).post("/channels/general/read", "upto", "0", "tab", "first", "reading", "0").is(http.StatusNoContent)
		waitFor(t, "the tab is not read", func() bool {
			return !slices.ContainsFunc(a.sockets.byReader()[a.user(t, "Anna").ID], func(s *socket) bool { return s.reading.Load() })
		})
		bea.post("/channels/general/messages", "body", "hello").leadsTo("/channels/general")
		other.shows(general.ID, "1")

		anna.post("/channels/general/read", "upto", "1", "tab", "first", "reading", "1").is(http.StatusNoContent)
		other.shows(general.ID, "")
		anna.on(b).post("/channels/general/unread", "from", "1").leadsTo("/channels")
		other.shows(general.ID, "1")
	})
}

// TestNodesProbe has the style sheet by which a document finds out that it comes
// through served by another node.
func TestNodesProbe(t *testing.T) {
	onBuses(t, func(t *testing.T, a, b *server) {
		anna := a.signIn(t, "Anna")
		name, arrived := a.probes.expect()
		anna.on(b).get("/probe/" + name + ".css").is(http.StatusOK)
		select {
		case <-arrived:
		case <-time.After(probeWithin):
			t.Error("the probe did not arrive in time")
		}
	})
}

// TestNodesSignIn sends one form to two nodes, as a double click may.
func TestNodesSignIn(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t, false)
	const key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	a.visitor(t).post("/login", "name", "Anna", "key", key).leadsTo("/")
	again := b.visitor(t)
	again.post("/login", "name", "Anna", "key", key).leadsTo("/")
	again.get("/channels").says("Welcome, Anna.")
	b.visitor(t).post("/login", "name", "Anna", "key", "ZYXWVUTSRQPONMLKJIHGFEDCBA").is(http.StatusConflict)
}

// TestNodesLook has a node find by itself what it was not told.
func TestNodesLook(t *testing.T) {
	t.Parallel()
	a, b := newNodes(t, false)
	anna := a.signIn(t, "Anna")
	feed := anna.on(b).live("general", 0)
	user, general := a.user(t, "Anna"), a.channel(t, "general")
	// Another node has posted, and was killed before it told.
	a.Store.Listen(func([]store.Message) {})
	_, err := a.Store.Post(t.Context(), general, user, "untold", "", time.Now())
	check(t, err)
	if frame := feed.next(); !strings.Contains(frame, "untold") {
		t.Errorf("pushed %q", frame)
	}
}
