package e2e

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

//go:embed testdata/xss.txt
var xssCorpus string

// payloads returns what is to be planted.
func payloads(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.SplitSeq(xssCorpus, "\n") {
		if line != "" && !strings.HasPrefix(line, "#!") {
			all = append(all, line)
		}
	}
	if len(all) < 150 {
		t.Fatalf("the corpus has only %d payloads", len(all))
	}
	return all
}

// wantHarmless fails the test if something that was planted has become more
// than text. What runs would throw, too, as nobody defines xss.
func (p *person) wantHarmless(t *testing.T) {
	t.Helper()
	p.want(t, `window.xss === undefined`)
	if foreign := ask[[]string](t, p, `(() => {
		const tags = new Set("A B BDI BODY BUTTON DATA DETAILS DIALOG DIV FORM H1 H2 HEAD HEADER HTML IMG INPUT KBD LABEL LI LINK MAIN META NAV NOSCRIPT OL P SCRIPT SECTION SPAN SUMMARY TEXTAREA TIME TITLE UL".split(" "));
		const inRows = new Set("A B BDI BUTTON DIV LI TIME".split(" "));
		const wrong = [];
		for (const e of document.querySelectorAll("*")) {
			if (!tags.has(e.tagName) || e.closest("#messages > [id]") && !inRows.has(e.tagName)) wrong.push(e.outerHTML.slice(0, 200));
			for (const a of e.attributes) {
				if (/^on/i.test(a.name) || a.name === "style" && e.id !== "mark-here" || a.name === "srcdoc") wrong.push(a.name + ": " + e.outerHTML.slice(0, 200));
				if (/^(href|src|action|formaction)$/.test(a.name)) {
					const u = new URL(a.value, location.href);
					const away = e.closest("#messages .body") && e.tagName === "A" && /^(https?|mailto):$/.test(u.protocol);
					if (u.origin !== location.origin && !away) wrong.push(a.name + ": " + a.value);
				}
			}
		}
		for (const s of document.scripts) if (s.textContent || !s.src.startsWith(location.origin)) wrong.push(s.outerHTML);
		for (const id of ["messages", "composer", "delete", "main", "flash"]) {
			if (document.querySelectorAll("#" + id).length > 1) wrong.push("two of " + id);
		}
		return wrong;
	})()`); len(foreign) > 0 {
		t.Errorf("%s holds what nobody should be able to put there:\n%s", ask[string](t, p, `location.href`), strings.Join(foreign, "\n"))
	}
}

// TestXSS plants the corpus wherever people can write, and opens every page
// that shows it: with the policy, which alone would stop most of it, and
// without, when only the escaping of the pages is left.
func TestXSS(t *testing.T) {
	t.Parallel()
	t.Run("policy on", func(t *testing.T) {
		t.Parallel()
		plantAndOpen(t, 5)
	})
	t.Run("policy off", func(t *testing.T) {
		t.Parallel()
		plantAndOpen(t, 30, withoutPolicy)
	})
}

// plantAndOpen opens at most so many pages of each kind.
func plantAndOpen(t *testing.T, most int, options ...option) {
	s := quick(t)
	all := payloads(t)
	ann := newUser(t, s, "Ann", options...)
	ann.expect("status of 404")
	ann.expect("status of 409")
	ann.expect("status of 422")
	ann.open(t, s, "general")

	// Messages, pushed to an open page.
	zoe := newVisitor(t, s, "Zoe")
	zoe.post(t, "general", all...)
	zoe.post(t, "general", "the last")
	ann.waitRow(t, "the last")
	ann.wantHarmless(t)

	// Names of users and channels, as many as are accepted.
	var names []string
	channels := []string{"general"}
	var users []*visitor
	for _, payload := range all {
		if v := newVisitor(t, s, payload); v != nil {
			v.post(t, "general", "from "+fmt.Sprint(len(users)))
			users = append(users, v)
			names = append(names, payload)
		}
		if status := zoe.send(t, "/channels", url.Values{"name": {payload}}); status == http.StatusSeeOther {
			channels = append(channels, payload)
		}
	}
	if len(names) < 10 || len(channels) < 20 {
		t.Fatalf("only %d names of users and %d of channels were accepted", len(names), len(channels))
	}
	ann.waitRow(t, "from "+fmt.Sprint(len(users)-1))
	ann.wantHarmless(t)

	// Fresh pages: the channel, all its history, the list.
	ann.do(t, chromedp.Reload())
	ann.wantHarmless(t)
	for ann.holds(t, `!!document.querySelector("#earlier a")?.checkVisibility()`) {
		rows := len(ann.rows(t))
		ann.click(t, "#earlier a")
		ann.waitFor(t, fmt.Sprintf(`document.querySelectorAll("#messages > li[id]").length > %d`, rows))
	}
	ann.waitRow(t, "the last")
	ann.wantHarmless(t)
	ann.visit(t, s.URL+"/channels")
	ann.wantHarmless(t)
	if n := ask[int](t, ann, `document.querySelectorAll("[aria-labelledby=all-title] li").length`); n != len(channels) {
		t.Errorf("the list has %d channels, want %d", n, len(channels))
	}

	// Every channel with such a name, one that is missing, and one that is
	// refused with what was typed kept.
	for _, channel := range channels[1:min(len(channels), most)] {
		ann.visit(t, s.channelURL(channel))
		ann.wantHarmless(t)
	}
	ann.visit(t, s.channelURL(channels[1]))
	ann.post(t, all[1])
	ann.wantHarmless(t)
	for _, payload := range all[:min(18, most)] {
		ann.visit(t, s.channelURL(payload+"?"))
		ann.see(t, "main", payload)
		ann.wantHarmless(t)
		ann.visit(t, s.URL+"/channels")
		ann.fill(t, "#name", payload)
		ann.follow(t, "#create button.primary")
		ann.see(t, "#name-error", "already exists")
		ann.wantHarmless(t)
	}

	// Pages of people with such names, and sign-in with one that is taken.
	bob := newPerson(t, newBrowser(t), options...)
	bob.expect("status of 409")
	bob.visit(t, s.URL+"/")
	for _, name := range names[:min(10, most)] {
		bob.signIn(t, name)
		bob.see(t, "#name-error", name)
		bob.wantHarmless(t)
		bob.visit(t, s.URL+"/?next="+url.QueryEscape("/channels/"+name))
		bob.wantHarmless(t)
	}
	for _, u := range users[:min(10, most)] {
		bob.become(t, u)
		for _, path := range []string{"/user", "/logout", "/channels/general"} {
			bob.visit(t, s.URL+path)
			bob.wantHarmless(t)
		}
	}
}
