package handlers

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.visitor(t).get("/").is(http.StatusOK).says("What should people call you?").saysNot("Welcome")

	anna := s.visitor(t)
	anna.post("/login", "name", " Anna ").leadsTo("/")
	anna.get("/").leadsTo("/channels")
	anna.get("/channels").says("Welcome, Anna.", "Sign out")
	anna.get("/channels").saysNot("notice")
	anna.post("/login", "name", "Bea").leadsTo("/")
	anna.get("/channels").says("You’re already signed in as Anna.", "Welcome, Anna.")

	s.signIn(t, "Paul", "a password")
	for _, tt := range []struct {
		about, name, password string
		status                int
		says                  string
	}{
		{"taken", "Anna", "", http.StatusConflict, "Anna is in use"},
		{"taken, other case", "aNNA", "", http.StatusConflict, "is in use"},
		{"taken, other width", "Ａｎｎａ", "", http.StatusConflict, "is in use"},
		{"taken, look-alike", "Аnnа", "", http.StatusConflict, "is in use"},
		{"taken, with some password", "Anna", "4711 4711", http.StatusConflict, "is in use"},
		{"taken by one with a password", "Paul", "", http.StatusConflict, "enter your password"},
		{"wrong password", "Paul", "4712 4712", http.StatusUnprocessableEntity, "password is wrong"},
		{"huge password", "Paul", strings.Repeat("x", 5000), http.StatusUnprocessableEntity, "password is wrong"},
		{"short new password", "Cem", "4713", http.StatusUnprocessableEntity, "too short"},
		{"long new password", "Cem", strings.Repeat("x", 129), http.StatusUnprocessableEntity, "too long"},
		{"empty", " ", "", http.StatusUnprocessableEntity, "Enter a name."},
		{"too long", strings.Repeat("x", 33), "", http.StatusUnprocessableEntity, "too long"},
		{"invisible", "Cem\u200b", "", http.StatusUnprocessableEntity, "cannot be used"},
		{"bidi", "\u202emeC", "", http.StatusUnprocessableEntity, "cannot be used"},
	} {
		p := s.visitor(t)
		answer := p.post("/login", "name", tt.name, "password", tt.password, "next", "/channels/general")
		answer.is(tt.status).says(tt.says, "["+tt.name+"]", "[/channels/general]")
		if tt.password != "" && strings.Contains(answer.body, tt.password) {
			t.Errorf("%s: the password is in the answer", tt.about)
		}
		p.get("/channels").leadsTo("/?next=%2Fchannels")
	}
	for _, name := range []string{"Paul", "ＰＡＵＬ"} {
		p := s.visitor(t)
		p.post("/login", "name", name, "password", "a password", "next", "/user").leadsTo("/user")
		p.get("/user").says("Welcome, Paul.")
	}
}

// session returns the token that a browser holds, "" for none.
func (p *person) session() string {
	for _, c := range p.cookies() {
		if c.Name == "hubbub_session" {
			return c.Value
		}
	}
	return ""
}

func (p *person) cookies() []*http.Cookie {
	address, err := url.Parse(p.s.URL + p.s.base + "/")
	check(p.t, err)
	return p.Jar.Cookies(address)
}

// TestSessionToken changes at sign-in and is stored as a hash.
func TestSessionToken(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.visitor(t)
	address, err := url.Parse(s.URL)
	check(t, err)
	p.Jar.SetCookies(address, []*http.Cookie{{Name: "hubbub_session", Value: "planted", Path: "/"}})
	p.post("/login", "name", "Anna", "password", "a password").leadsTo("/")
	first := p.session()
	if first == "" || first == "planted" {
		t.Fatalf("the token after sign-in is %q", first)
	}
	p.post("/logout").leadsTo("/")
	if p.session() != "" {
		t.Error("the browser keeps its token after log-out")
	}
	p.post("/login", "name", "Anna", "password", "a password").leadsTo("/")
	if second := p.session(); second == first || second == "" {
		t.Errorf("the token of the next session is %q, of the first %q", second, first)
	}

	// The first session is over for whoever has kept its cookie.
	p.Jar.SetCookies(address, []*http.Cookie{{Name: "hubbub_session", Value: first, Path: "/"}})
	p.get("/user").leadsTo("/?next=%2Fuser")

	db := openDatabase(t, s)
	var plain, hashed int
	sum := sha256.Sum256([]byte(first))
	check(t, db.QueryRow(`SELECT count(*) FROM sessions WHERE instr(token, $1)`, first).Scan(&plain))
	check(t, db.QueryRow(`SELECT count(*) FROM sessions`).Scan(&hashed))
	if plain != 0 || hashed < 2 {
		t.Errorf("%d of %d sessions are stored by their token, which hashes to %x", plain, hashed, sum)
	}
}

// openDatabase opens the database beside a node.
func openDatabase(t *testing.T, s *server) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "hubbub.db"))
	check(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

func TestLogOut(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	t.Run("with a password", func(t *testing.T) {
		t.Parallel()
		p := s.signIn(t, "With", "a password")
		p.post("/logout").leadsTo("/")
		p.get("/").is(http.StatusOK).says("You’re signed out.").saysNot("Welcome")
		p.get("/").saysNot("You’re signed out.")
		p.post("/logout").leadsTo("/")
	})
	t.Run("without one", func(t *testing.T) {
		t.Parallel()
		p := s.signIn(t, "Without")
		p.post("/logout").leadsTo("/logout")
		p.get("/logout").is(http.StatusOK).says("nobody can get it back", "Set password and sign out", "Welcome, Without.")
		p.post("/logout", "password", "short").is(http.StatusUnprocessableEntity).says("too short")
		p.post("/logout", "confirm", "yes").leadsTo("/")
		p.get("/channels").leadsTo("/?next=%2Fchannels")
		s.visitor(t).post("/login", "name", "Without").is(http.StatusConflict)
	})
	t.Run("setting one", func(t *testing.T) {
		t.Parallel()
		p := s.signIn(t, "Setting")
		p.post("/logout", "password", "a password").leadsTo("/")
		p.get("/channels").leadsTo("/?next=%2Fchannels")
		s.signIn(t, "Setting", "a password").get("/user").says("Welcome, Setting.")
	})
}

// TestLogOutInFlight logs out while a request of the same session is under
// way that writes the session.
func TestLogOutInFlight(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	token := p.session()

	// The body is asked for after the session was read.
	asked := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(asked) }})
	body, write := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/user/password", body)
	check(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Expect", "100-continue")
	request.AddCookie(&http.Cookie{Name: "hubbub_session", Value: token})
	var group sync.WaitGroup
	group.Go(func() {
		client := http.Client{
			Transport:     &http.Transport{ExpectContinueTimeout: limit, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		if err := response.Body.Close(); err != nil || response.Header.Get("Location") != "/user" {
			t.Errorf("the request in flight: %v, %v", response, err)
		}
	})
	<-asked
	p.post("/logout", "confirm", "yes").leadsTo("/")
	_, err = io.WriteString(write, "password=a+password")
	check(t, err)
	check(t, write.Close())
	group.Wait()

	address, err := url.Parse(s.URL)
	check(t, err)
	p.Jar.SetCookies(address, []*http.Cookie{{Name: "hubbub_session", Value: token, Path: "/"}})
	p.get("/channels").leadsTo("/?next=%2Fchannels")
	p.live("general", 0).ends(closeSignedOut)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	p.get("/user").is(http.StatusOK).says("Your name has no password.")
	p.post("/user/password", "password", "short").is(http.StatusUnprocessableEntity).says("too short")
	p.post("/user/password", "password", "password 1").leadsTo("/user")
	p.get("/user").says("Your password has been set.", "Your name has a password.")

	other := s.signIn(t, "Anna", "password 1")
	p.post("/user/password", "current", "wrong one", "password", "password 2").is(http.StatusUnprocessableEntity).says("password is wrong")
	p.post("/user/password", "password", "password 2").is(http.StatusUnprocessableEntity)
	other.get("/user").is(http.StatusOK)
	p.post("/user/password", "current", "password 1", "password", "password 2").leadsTo("/user")
	p.get("/user").is(http.StatusOK).says("Your password has been changed.")
	other.get("/user").leadsTo("/?next=%2Fuser")
	other.post("/channels/general/messages", "body", "x").is(http.StatusUnauthorized)
	over := other.session()
	other.post("/login", "name", "Anna", "password", "password 2").leadsTo("/")
	if other.session() == over {
		t.Error("a session that was over goes on under its token")
	}

	if a := p.post("/user/password", "current", "wrong one", "remove", "yes").is(http.StatusUnprocessableEntity); !strings.Contains(a.body, `id="remove-current-error"`) || strings.Contains(a.body, `id="current-error"`) {
		t.Error("the error does not stand beside the field of the form that was sent")
	}
	p.post("/user/password", "current", "password 2", "remove", "yes").leadsTo("/user")
	p.get("/user").says("Your password has been removed.")
	s.visitor(t).post("/login", "name", "Anna", "password", "password 2").is(http.StatusConflict)
}

// TestSignedOut leads people to the sign-in and then to where they wanted.
func TestSignedOut(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, path := range []string{"/channels", "/user", "/logout", "/channels/a%2Fb%20%3F?before=7", "/channels/none"} {
		p := s.visitor(t)
		to := "/?" + url.Values{"next": {path}}.Encode()
		p.get(path).leadsTo(to)
		p.get(to).is(http.StatusOK).says("Sign in to continue.", "["+path+"]")
		p.post("/login", "name", fmt.Sprint("Person ", len(path)), "next", path).leadsTo(path)
	}
	for _, path := range []string{"/channels", "/channels/general/messages", "/channels/general/messages/1/delete", "/user/password"} {
		p := s.visitor(t)
		p.post(path, "name", "x", "body", "kept text").is(http.StatusUnauthorized).says("Sign in", "kept text")
		p.htmx(path, "name", "x", "body", "x").is(http.StatusUnauthorized).says("Sign in to continue.")
	}
}

// TestNextStaysHere asks to be led elsewhere in every way known.
func TestNextStaysHere(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/chat"} {
		s := newServer(t, func(o *Options) {
			if base != "" {
				under(base)(o)
			}
		})
		home, err := url.Parse(s.URL + base + "/login")
		check(t, err)
		for i, next := range []string{
			"//evil.example", "///evil.example", `/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`,
			"https:evil.example", "https://evil.example", "https:/evil.example", "HTTPS://evil.example", "javascript:xss(1)",
			"evil.example", "@evil.example", "//user@evil.example", "/%5cevil.example", "/%5c/evil.example", "/%2f%2fevil.example", "/%2fevil.example",
			"/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\nLocation: https://evil.example", "/\x00/evil.example", "/\x7f/evil.example",
			"/.//evil.example", "/..//evil.example", "/a/..//evil.example", "/%09/evil.example", "//evil.example/%2e%2e", "//[::1]", "//evil.example:80",
			"/../../evil", "/..", "/%2e%2e/evil", "/a/../../evil", "?", "#", "", " /x", "/\u2028/x", "/\u3000", "／／evil.example", "/%", "/%zz",
		} {
			answer := s.visitor(t).post("/login", "name", fmt.Sprint("Person ", i), "next", next)
			location := answer.is(http.StatusSeeOther).Header.Get("Location")
			to, err := home.Parse(location)
			if err != nil || to.Host != home.Host || to.Scheme != "http" || to.User != nil ||
				!strings.HasPrefix(location, base+"/") || strings.HasPrefix(location, "//") || strings.ContainsAny(location, "\\\t\r\n") || strings.Contains(to.Path, "//") || strings.Contains(to.Path, "/..") ||
				!strings.HasPrefix(to.Path, base+"/") {
				t.Errorf("under %q next %q leads to %q (%v, %v)", base, next, location, to, err)
			}
			if len(answer.Header.Values("Location")) != 1 {
				t.Errorf("next %q: %q", next, answer.Header)
			}
		}
	}
}

// TestLastChannel finds it again after a log-out and in another browser.
func TestLastChannel(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.channel(t, "a/b 会议")
	p := s.signIn(t, "Anna", "a password")
	p.get("/channels").is(http.StatusOK).saysNot("The latest channel you accessed")
	p.get("/channels/general").is(http.StatusOK)
	p.get("/").leadsTo("/channels/general")
	p.get("/channels/a%2Fb%20%E4%BC%9A%E8%AE%AE").is(http.StatusOK).says("You are now in channel [a/b 会议].")
	p.post("/logout").leadsTo("/")
	for _, p := range []*person{s.signIn(t, "Anna", "a password"), s.signIn(t, "anna", "a password")} {
		p.get("/").leadsTo("/channels/a%2Fb%20%E4%BC%9A%E8%AE%AE")
		p.get("/channels").says("The latest channel you accessed")
	}
}

// TestCookies cannot be read by script, sent by other sites or overheard.
func TestCookies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path   string
		secure bool
	}{{"", false}, {"/chat", true}} {
		s := newServer(t, func(o *Options) {
			o.Secure = tt.secure
			if tt.path != "" {
				o.BaseURL = &url.URL{Scheme: "https", Host: "chat.example", Path: tt.path}
			}
		})
		p := s.visitor(t)
		cookies := append(p.post("/login", "name", "Anna").Cookies(), p.post("/language", "lang", "zh-Hans").Cookies()...)
		names := ""
		for _, c := range cookies {
			names += c.Name + " "
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != tt.secure || c.Path != tt.path+"/" || c.Domain != "" {
				t.Errorf("under %q: %v", tt.path, c)
			}
			if lives := time.Duration(c.MaxAge) * time.Second; c.Name == "hubbub_session" && (lives < 30*24*time.Hour-time.Minute || lives > 30*24*time.Hour+time.Minute) {
				t.Errorf("a session lives %v", lives)
			}
		}
		if names != "hubbub_flash hubbub_session hubbub_lang " {
			t.Errorf("got cookies %q", names)
		}
	}
}

// TestNothingIsWritten by requests that change nothing.
func TestNothingIsWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	p.get("/channels/general")
	db := openDatabase(t, s)
	version := func() (n int) {
		t.Helper()
		check(t, db.QueryRow(`PRAGMA data_version`).Scan(&n))
		return n
	}
	before := version()
	for _, path := range []string{"/", "/channels", "/channels/general", "/channels/none", "/user", "/logout", "/none", "/static/none", "/healthz", "/readyz"} {
		p.get(path)
		s.visitor(t).get(path)
		if version() != before {
			t.Fatalf("GET %s writes the store", path)
		}
	}
	_ = p.live("general", 0).CloseNow()
	p.post("/channels", "name", "")
	p.post("/channels", "name", "general")
	p.post("/channels/general/messages", "body", " ")
	p.post("/language", "lang", "en")
	if version() != before {
		t.Error("a refused post writes the store")
	}
	p.post("/channels/general/messages", "body", "hello")
	if version() == before {
		t.Error("a post that is taken does not show: this test sees nothing")
	}
}

// TestSessionIsProlonged once a day, by a visit.
func TestSessionIsProlonged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.signIn(t, "Anna")
	age := func(by time.Duration) {
		t.Helper()
		ctx, err := s.sessions.Load(t.Context(), p.session())
		check(t, err)
		s.sessions.SetDeadline(ctx, s.sessions.Deadline(ctx).Add(-by))
		_, _, err = s.sessions.Commit(ctx)
		check(t, err)
	}
	age(23 * time.Hour)
	if c := p.get("/user").Header.Get("Set-Cookie"); strings.Contains(c, "hubbub_session") {
		t.Errorf("prolonged on its first day: %s", c)
	}
	age(2 * time.Hour)
	token := p.session()
	cookie := p.get("/user").is(http.StatusOK).Header.Get("Set-Cookie")
	if !strings.Contains(cookie, "hubbub_session="+token) || !strings.Contains(cookie, "Max-Age=25920") {
		t.Errorf("not prolonged after a day: %q", cookie)
	}
	age(40 * 24 * time.Hour)
	p.get("/user").leadsTo("/?next=%2Fuser")
}

// TestFormSentTwice is about a browser that sends the sign-in form twice and
// hears only the second answer: nobody else could get the name back.
func TestFormSentTwice(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	s.visitor(t).post("/login", "name", "Anna", "key", key).leadsTo("/")
	again := s.visitor(t)
	again.post("/login", "name", "Anna", "key", key).leadsTo("/")
	again.get("/channels").says("Welcome, Anna.")
	for _, other := range []string{"", "x", "ZYXWVUTSRQPONMLKJIHGFEDCBA"} {
		s.visitor(t).post("/login", "name", "Anna", "key", other).is(http.StatusConflict)
	}
	s.visitor(t).post("/login", "name", "Bob", "key", "short").leadsTo("/")
	s.visitor(t).post("/login", "name", "Bob", "key", "short").is(http.StatusConflict)
}
