package components

import (
	"strings"
	"testing"
)

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{
		"":                     "",
		"ada":                  "A",
		"Ada Lovelace":         "AL",
		"Ada King of Lovelace": "AL",
		"王小明":                  "王",
		"(bob)":                "B",
		"<script>":             "S",
		"e\u0301mile":          "E\u0301",
		"🦀":                    "🦀",
		"🦀 9lives":             "🦀9",
	} {
		if got := initials(name); got != want {
			t.Errorf("initials(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestAvatarClassIsStable(t *testing.T) {
	if avatarClass("ada") != avatarClass(strings.ToLower("Ada")) || avatarClass("ada") == avatarClass("bob") {
		t.Error("the colour does not come from the name")
	}
}
