package e2e

import (
	"testing"
)

func TestChannels(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.expect("status of 409")
		ann.expect("status of 422")
		ann.see(t, "#create", "Create a channel")
		create := func(name string) {
			ann.visit(t, s.URL+"/channels")
			ann.fill(t, "#name", name)
			ann.follow(t, "#create button.primary")
		}
		for _, tt := range []struct{ name, want string }{
			{"", "Enter a channel name."},
			{"   ", "Enter a channel name."},
			{"General", "#General already exists."},
			{"ｇｅｎｅｒａｌ", "already exists."},
		} {
			create(tt.name)
			ann.see(t, "#name-error", tt.want)
			ann.want(t, `document.getElementById("name").value === `+js(tt.name))
			ann.want(t, described("#name")+`.includes(`+js(tt.want)+`)`)
			ann.want(t, `document.activeElement.id === "name"`)
		}

		// Trimmed, in any script.
		create("  茶 & cake/50%?  ")
		ann.see(t, "#flash .success", "#茶 & cake/50%? created.")
		ann.see(t, ".head", "You are now in channel [茶 & cake/50%?].")
		ann.see(t, "#scroller .empty", "No messages yet.")
		ann.see(t, `nav [aria-current="page"]`, "茶 & cake/50%?")
		ann.post(t, "one lump")

		// Everyone else finds it in the list.
		bob := newUser(t, s, "Bob", options...)
		bob.see(t, "ul.channels time", "Created ")
		bob.want(t, `[...document.querySelectorAll("#all-channels bdi")].map(a => a.textContent).sort().join("|") === "general|茶 & cake/50%?"`)
		bob.want(t, `!document.getElementById("latest-title")`)
		bob.follow(t, `#all-channels a[href*="cake"]`)
		bob.wantRows(t, "one lump")
		bob.visit(t, s.URL+"/channels")
		bob.see(t, `[aria-labelledby="latest-title"]`, "茶 & cake/50%?")
		bob.see(t, `[aria-labelledby="latest-title"]`, "The latest channel you accessed")
	})
}

func TestMissingChannel(t *testing.T) {
	t.Parallel()
	withAndWithoutScript(t, func(t *testing.T, options ...option) {
		s := quick(t)
		ann := newUser(t, s, "Ann", options...)
		ann.expect("status of 404")
		ann.visit(t, s.channelURL("attic"))
		ann.see(t, "main", "There is no channel “attic”.")
		ann.follow(t, "main button.primary")
		ann.see(t, "#flash .success", "#attic created.")
		ann.see(t, ".head", "You are now in channel [attic].")
		ann.visit(t, s.URL+"/nothing/here")
		ann.see(t, "h1", "Not found")
	})
}
