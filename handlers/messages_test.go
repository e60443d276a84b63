package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPost(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	const path = "/channels/general/messages"
	p.post(path, "body", "  two\r\n\tlines ").leadsTo("/channels/general")
	if a := p.get("/channels/general"); !strings.Contains(a.body, "<div class=\"body\" dir=\"auto\">  two\n\tlines</div>") {
		t.Errorf("the text is not there as typed: %s", a.body)
	}
	row := p.htmx(path, "body", "live").is(http.StatusOK)
	if rows := row.rows(); len(rows) != 1 || rows[0].html != row.body || rows[0].id != "2" {
		t.Errorf("the answer is not a row: %s", row.body)
	}
	if page := p.page("general"); page.rows[2] != row.body {
		t.Errorf("the page has %q, the answer was %q", page.rows[2], row.body)
	}

	long := strings.Repeat("ä", 4001)
	for _, tt := range []struct {
		about, body, key string
		status           int
		says             string
	}{
		{"nothing", "", "k", http.StatusUnprocessableEntity, "Write something first"},
		{"white space", " \r\n\t\u3000\u200b", "k", http.StatusUnprocessableEntity, "Write something first"},
		{"too long", long, "k", http.StatusUnprocessableEntity, "1 character too long (limit 4,000)"},
		{"not UTF-8", "a\xffb", "k", http.StatusUnprocessableEntity, "could not be understood"},
		{"too long a key", "text", strings.Repeat("k", 65), http.StatusBadRequest, "page is out of date"},
	} {
		a := p.post(path, "body", tt.body, "key", tt.key).is(tt.status).says(tt.says)
		if strings.ContainsAny(tt.body, "äx") {
			a.says(tt.body)
		}
		if len(tt.key) <= 64 {
			a.says("[" + tt.key + "]") // the next try is the same post
		}
		b := p.htmx(path, "body", tt.body, "key", tt.key).is(tt.status).says(tt.says)
		if to := b.Header.Get("HX-Retarget"); to != "#composer-error" || strings.Contains(b.body, "<html") {
			t.Errorf("%s: htmx puts it into %q: %s", tt.about, to, b.body)
		}
	}
	p.post(path, "body", strings.Repeat("ä", 4000)).leadsTo("/channels/general")
	p.post(path, "body", strings.Repeat("x", 2<<20)).is(http.StatusRequestEntityTooLarge).says("too large to send")
	a := p.htmx(path, "body", strings.Repeat("x", 2<<20)).is(http.StatusRequestEntityTooLarge)
	if to := a.Header.Get("HX-Retarget"); to != "#flash" {
		t.Errorf("htmx puts it into %q", to)
	}
	p.post(path).is(http.StatusUnprocessableEntity)
	p.send(http.MethodPost, path, nil, header{"Content-Type", "application/x-www-form-urlencoded; %"}).is(http.StatusBadRequest)
	if page := p.page("general"); page.revision != 3 {
		t.Errorf("revision %d, want 3", page.revision)
	}
}

// TestPostKeysFollowTime: keys of one time lie together in the store's index.
func TestPostKeysFollowTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 1000 {
			earlier, twin := newPostKey(), newPostKey()
			time.Sleep(time.Millisecond)
			if later := newPostKey(); earlier >= later || earlier == twin || len(later) > maxKey {
				t.Fatalf("%q and %q, and a millisecond later %q", earlier, twin, later)
			}
		}
	})
}

// TestSameKey posts once, one after the other and at once.
func TestSameKey(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	const path = "/channels/general/messages"
	anna.post(path, "body", "one time", "key", "k").leadsTo("/channels/general")
	anna.post(path, "body", "one time", "key", "k").leadsTo("/channels/general")
	if row := anna.htmx(path, "body", "one time", "key", "k"); row.body != anna.page("general").rows[1] {
		t.Errorf("got %s", row.body)
	}
	bea.post(path, "body", "Bea's", "key", "k").leadsTo("/channels/general")
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() { anna.htmx(path, "body", "at once", "key", fmt.Sprint("at once ", i%2)).is(http.StatusOK) })
	}
	group.Wait()
	if page := bea.page("general"); len(page.rows) != 4 {
		t.Errorf("%d messages, want 4", len(page.rows))
	}
	anna.post(path + "/1/delete").leadsTo("/channels/general")
	if a := anna.htmx(path, "body", "one time", "key", "k").is(http.StatusNoContent); a.body != "" {
		t.Errorf("a deleted post answers %s", a.body)
	}
	anna.get("/channels/general").saysNot("one time")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	s.channel(t, "other")
	const path = "/channels/general/messages"
	for _, body := range []string{"first secret", "second secret", "stays"} {
		anna.post(path, "body", body).leadsTo("/channels/general")
	}
	before := anna.page("general")
	bea.post(path + "/1/delete").is(http.StatusForbidden).says("only delete your own messages")
	a := bea.htmx(path + "/1/delete").is(http.StatusForbidden)
	if to := a.Header.Get("HX-Retarget"); to != "#flash" {
		t.Errorf("htmx puts it into %q", to)
	}
	for _, missing := range []string{path + "/99/delete", path + "/x/delete", path + "/-1/delete", "/channels/other/messages/1/delete", "/channels/none/messages/1/delete"} {
		anna.post(missing).is(http.StatusNotFound)
	}
	anna.get(path + "/1/delete").is(http.StatusMethodNotAllowed)
	before.shows(t, "after refused deletes", anna.page("general"))

	anna.post(path + "/1/delete").leadsTo("/channels/general")
	bea.get("/channels/general").saysNot("first secret").says("second secret")
	anna.get("/channels/general").says("Message deleted.")
	if a := anna.htmx(path + "/2/delete").is(http.StatusNoContent); a.body != "" {
		t.Errorf("htmx gets %q", a.body)
	}
	anna.htmx(path + "/2/delete").is(http.StatusNoContent)
	for _, page := range []string{"/channels/general", "/channels/general?before=9", "/channels/general?before=3"} {
		bea.get(page).is(http.StatusOK).saysNot("secret")
	}
	for after := range int64(5) {
		if frame := bea.live("general", after).next(); strings.Contains(frame, "secret") {
			t.Errorf("after %d: %s", after, frame)
		}
	}
}

// TestRates slow one user down and nobody else, and keep the text.
func TestRates(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(o *Options) { o.PostRate = 3 })
	anna, bea := s.signIn(t, "Anna"), s.signIn(t, "Bea")
	const path = "/channels/general/messages"
	for range 3 {
		anna.post(path, "body", "x").leadsTo("/channels/general")
	}
	a := anna.post(path, "body", "one too many", "key", "k").is(http.StatusTooManyRequests).says("sending too fast", "one too many", "[k]")
	b := anna.htmx(path, "body", "x").is(http.StatusTooManyRequests).says("sending too fast")
	if a.Header.Get("Retry-After") == "" || b.Header.Get("HX-Retarget") != "#composer-error" {
		t.Errorf("got %v and %v", a.Header, b.Header)
	}
	anna.post("/channels", "name", "one too many").is(http.StatusTooManyRequests)
	bea.post(path, "body", "x").leadsTo("/channels/general")
	anna.get("/channels/general").is(http.StatusOK)
}
