package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// messageOf reads a message as JSON.
func (p *person) messageOf(path string) messageJSON {
	p.t.Helper()
	var thread threadJSON
	check(p.t, json.Unmarshal([]byte(p.get(path+"/thread", header{"Accept", "application/json"}).is(http.StatusOK).body), &thread))
	return thread.Message
}

// TestEdit lets the author alone give a message another text, shows everyone what
// it said before, and loses neither text of two edits at once.
func TestEdit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	anna.post("/channels/general/messages", "body", "frist").leadsTo("/channels/general")
	page, feed := bea.page("general"), bea.live("general", 1)
	const m = "/m/1/1"
	anna.get(m+"/edit").is(http.StatusOK).says("frist", "[1]")
	bea.get(m + "/edit").is(http.StatusForbidden)
	bea.post(m+"/edit", "body", "hers", "revision", "1").is(http.StatusForbidden)
	anna.post(m+"/edit", "body", "first", "revision", "1").leadsTo(m + "/thread")
	anna.get(m+"/thread").says("Message edited.", "first").saysNot("frist")
	feed.follow(page, 2)
	page.shows(t, "a page that follows", bea.page("general"))
	if row := page.rows[1]; !strings.Contains(row, `class="edited" href="`+m+`/history"`) || !strings.Contains(row, ">first<") {
		t.Errorf("the row is %s", row)
	}
	bea.get(m+"/history").is(http.StatusOK).says("frist", "first")
	if bea.get("/channels/general"); s.user(t, "Bea").LastChannel == 0 {
		t.Error("Bea was never there")
	}

	// From another tab that still shows the first text.
	conflict := anna.post(m+"/edit", "body", "mine", "revision", "1").is(http.StatusConflict).says("Nothing is lost")
	for _, text := range []string{">first</textarea>", ">mine</textarea>", `name="revision" value="2"`} {
		if !strings.Contains(conflict.body, text) {
			t.Errorf("after a conflict there is no %s", text)
		}
	}
	anna.post(m+"/edit", "body", "mine", "revision", "2").leadsTo(m + "/thread")
	anna.post(m+"/edit", "body", " ", "revision", "3").is(http.StatusUnprocessableEntity).says("delete it")
	anna.post(m+"/edit", "body", strings.Repeat("x", 16_001), "revision", "3").is(http.StatusUnprocessableEntity).says("too long")
	anna.post(m+"/edit", "body", "x", "revision", "z").is(http.StatusBadRequest)
	if got := bea.messageOf(m); got.Body != "mine" || got.EditedAt == nil || got.Revision != 3 {
		t.Errorf("it is %+v", got)
	}
	anna.post(m + "/delete").leadsTo("/channels/general")
	for _, below := range []string{"/edit", "/history", "/thread", ""} {
		anna.get(m + below).is(http.StatusNotFound)
	}
	anna.post(m+"/edit", "body", "x", "revision", "4").is(http.StatusNotFound)
}

// TestReact gives reactions and takes them back, in a row that is the same for
// everyone, and makes nothing unread.
func TestReact(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	anna.post("/channels/general/messages", "body", "hello").leadsTo("/channels/general")
	bea.get("/channels/general")
	anna.post("/channels", "name", "other").is(http.StatusSeeOther)
	tab := bea.open("/channels/other")
	page, feed := bea.page("general"), bea.live("general", 1)
	const m = "/m/1/1"
	for range 2 { // a repeated request changes nothing
		bea.post(m+"/reactions", "emoji", "👍", "set", "on", "next", m+"/thread").leadsTo(m + "/thread")
	}
	anna.htmx(m+"/reactions", "emoji", "👍").is(http.StatusNoContent)
	feed.follow(page, 3)
	page.shows(t, "a page that follows", bea.page("general"))
	if row := page.rows[1]; !strings.Contains(row, `value="👍" data-by="2 1" title="Bea, Anna">👍 2</button>`) {
		t.Errorf("the row is %s", row)
	}
	anna.htmx(m+"/reactions", "emoji", "👍").is(http.StatusNoContent) // turns it round
	bea.post(m+"/reactions", "emoji", "👍", "set", "off").leadsTo(m)
	if got := anna.messageOf(m); len(got.Reactions) != 0 {
		t.Errorf("left are %v", got.Reactions)
	}
	for _, emoji := range []string{"", "two words", strings.Repeat("x", 65), "\xff"} {
		bea.post(m+"/reactions", "emoji", emoji, "set", "on").is(http.StatusBadRequest)
	}
	bea.post(m+"/reactions", "emoji", "👍", "set", "maybe").is(http.StatusBadRequest)
	for i := range 50 {
		bea.htmx(m+"/reactions", "emoji", fmt.Sprint("e", i), "set", "on").is(http.StatusNoContent)
	}
	bea.htmx(m+"/reactions", "emoji", "one too many", "set", "on").is(http.StatusBadRequest)
	bea.htmx(m+"/reactions", "emoji", "e50", "set", "on").is(http.StatusConflict).says("as many different reactions")
	anna.post("/channels/general/messages", "body", "news").leadsTo("/channels/general")
	tab.shows(1, "1") // the post, and none of the reactions
}

// TestReactAtOnce has many react in one moment: none is lost.
func TestReactAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna := s.signIn(t, "Anna")
	anna.post("/channels/general/messages", "body", "hello").leadsTo("/channels/general")
	var group sync.WaitGroup
	for i := range 20 {
		p := s.signIn(t, fmt.Sprint("Person ", i))
		group.Go(func() { p.htmx("/m/1/1/reactions", "emoji", "🎉", "set", "on").is(http.StatusNoContent) })
	}
	group.Wait()
	if got := anna.messageOf("/m/1/1"); len(got.Reactions) != 1 || len(got.Reactions[0].By) != 20 {
		t.Errorf("there are %v", got.Reactions)
	}
}

// TestReply answers a message in the room, in its order: the reply shows a line
// of what it answers, which follows an edit, and the row answered counts.
func TestReply(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	anna.post("/channels/general/messages", "body", "who is in?").leadsTo("/channels/general")
	page, feed := anna.page("general"), anna.live("general", 1)
	const m = "/m/1/1"
	bea.get(m+"/thread").says("No replies", "who is in?")
	bea.post("/channels/general/messages", "body", "I am", "reply_to", "1", "next", m+"/thread").leadsTo(m + "/thread")
	bea.post("/channels/general/messages", "body", " ", "reply_to", "1").is(http.StatusUnprocessableEntity).says("Write something first", "who is in?")
	reply := anna.get(m+"/thread").says("1 reply", "I am").rows()
	if len(reply) != 2 || !strings.Contains(reply[1].html, `<a class="quote" dir="auto" href="/m/1/1#m-1"><b><bdi>Anna</bdi></b> who is in?</a>`) {
		t.Errorf("its page has %v", reply)
	}
	for feed.follow(page, 3); page.revision < 3; {
	}
	page.shows(t, "a page that follows", anna.page("general"))
	if row := page.rows[1]; !strings.Contains(row, `<a class="replies one" href="/m/1/1/thread">1</a>`) {
		t.Errorf("the row answered is %s", row)
	}
	anna.post(m+"/edit", "body", "who comes?", "revision", "1").leadsTo(m + "/thread")
	bea.get("/channels/general").saysNot("who is in?")
	anna.post(m + "/delete").leadsTo("/channels/general")
	bea.get("/channels/general").says("I am").saysNot("who comes?")
	for _, row := range bea.get("/channels/general").rows() {
		if row.id == "2" && !strings.Contains(row.html, `<p class="quote gone"></p>`) {
			t.Errorf("the reply is %s", row.html)
		}
	}
	bea.post("/channels/general/messages", "body", "too late", "reply_to", "1").is(http.StatusConflict).says("has been deleted", "too late")
}

// TestPinsAndSaved pins for everyone, and saves for oneself alone.
func TestPinsAndSaved(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	anna.post("/channels/general/messages", "body", "the rules").leadsTo("/channels/general")
	const m = "/m/1/1"
	anna.get("/channels/general/pins").is(http.StatusOK).says("Nothing is pinned")
	bea.get("/saved").is(http.StatusOK).says("Nothing saved")
	for range 2 {
		bea.post(m+"/pin", "set", "on", "next", m+"/thread").leadsTo(m + "/thread")
		bea.post(m+"/save", "set", "on").leadsTo(m)
	}
	anna.get("/channels/general/pins").says("the rules")
	anna.get(m+"/thread").says("Unpin", "Save for later")
	bea.get("/saved").says("the rules")
	anna.get("/saved").saysNot("the rules")
	bea.get(m + "/thread").says("Remove from saved")
	bea.post(m+"/pin", "set", "off").leadsTo(m)
	bea.post(m+"/save", "set", "off").leadsTo(m)
	anna.get("/channels/general/pins").saysNot("the rules")
	bea.get("/saved").saysNot("the rules")
	bea.post(m+"/save", "set", "on").leadsTo(m)
	anna.post(m + "/delete").leadsTo("/channels/general")
	bea.get("/saved").saysNot("the rules")
	for _, act := range []string{"/pin", "/save", "/reactions"} {
		bea.post(m+act, "set", "on", "emoji", "👍").is(http.StatusNotFound)
		bea.post("/m/9/1"+act, "set", "on", "emoji", "👍").is(http.StatusNotFound)
		s.visitor(t).post(m+act, "set", "on", "emoji", "👍").is(http.StatusUnauthorized)
	}
	bea.post(m+"/pin", "set", "perhaps").is(http.StatusBadRequest)
}

// TestWritesArePaced bounds what one user may write, which is no post, and keeps
// nobody else from it.
func TestWritesArePaced(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *Options) { o.PostRate = 5 })
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	bea.post("/channels/general/messages", "body", "hello").leadsTo("/channels/general")
	refused := func() bool {
		return anna.htmx("/m/1/1/delete").StatusCode == http.StatusTooManyRequests
	}
	writes := 1
	for !refused() {
		if writes++; writes > 4*leastWriteRate {
			t.Fatalf("none of %d writes was refused", writes)
		}
	}
	if writes < leastWriteRate {
		t.Errorf("refused after %d writes, allowed are %d", writes, leastWriteRate)
	}
	bea.htmx("/m/1/1/reactions", "emoji", "👍").is(http.StatusNoContent)
}

// TestConnectionsAreBounded lets one user have so many connections, and others
// theirs all the same.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	for range 64 {
		anna.live("general", 0)
	}
	if _, response, err := anna.dial("general", 0); err == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more is let in: %v", err)
	}
	bea.live("general", 0)
}
