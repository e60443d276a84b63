package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPictures takes the README's pictures: HUBBUB_SCREENSHOTS=1 asks for them.
func TestPictures(t *testing.T) {
	if os.Getenv("HUBBUB_SCREENSHOTS") != "1" {
		t.Skip("HUBBUB_SCREENSHOTS is not 1")
	}
	t.Parallel()
	s := quick(t)
	mia, jonas, li := newVisitor(t, s, "Mia"), newVisitor(t, s, "Jonas"), newVisitor(t, s, "李娜")
	sofia, ben := newVisitor(t, s, "Sofia"), newVisitor(t, s, "Ben")
	for _, channel := range []string{"lunch", "support", "release 2.4", "设计"} {
		mia.send(t, "/channels", map[string][]string{"name": {channel}})
	}
	const channel = "support"
	const last = "Perfect. I will close the ticket."
	mia.post(t, channel, "Good morning! The new printer on the second floor is finally here.")
	jonas.post(t, channel, "Does it do A3?", "And can I print from my phone?")
	mia.post(t, channel, "Yes to both. How to set it up: https://wiki.example.com/printers/second-floor")
	li.post(t, channel, "太好了！午饭后我来试试。")
	sofia.post(t, channel, "For everyone on Linux, this is all it takes:\n\n    lpadmin -p floor2 -E -v ipp://printer2.example.com/ipp\n    lpoptions -d floor2")
	ben.post(t, channel, "The old one goes to recycling on Friday, so collect your printouts before then.")
	sofia.post(t, channel, last)
	// As if it were yesterday, from ten past nine.
	s.edit(t, `UPDATE messages SET posted_at = posted_at / 86400000000 * 86400000000 - 53400000000 + id * id * 11000000`)

	wide := []option{withHeight(800), inZone("UTC")}
	for _, picture := range []struct {
		name   string
		viewer *visitor
		typing string
		look   []option
	}{
		{"chat-light", sofia, "", wide},
		{"chat-dark", ben, "See you all at lunch?", append(wide, dark)},
		{"phone", li, "", []option{inZone("UTC"), withTouch, withWidth(390), withHeight(780), withScale(2)}},
	} {
		p := newPerson(t, newBrowser(t), picture.look...)
		p.become(t, picture.viewer)
		p.visit(t, s.URL+"/channels") // takes the greeting away
		p.open(t, s, channel)
		p.waitRow(t, last)
		if picture.typing != "" {
			p.fill(t, "#body", picture.typing)
		}
		screenshot(t, p, filepath.Join("..", "docs", picture.name+".png"))
	}
}
