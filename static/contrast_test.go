package static

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
)

// token is a colour of the style sheet in the light and in the dark scheme.
var token = regexp.MustCompile(`(?m)^\s*--([\w-]+): (?:light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)|(#[0-9a-f]{6}));`)

// TestContrast computes the contrast of every pair of colours that the style
// sheets put on each other, by WCAG 2: at least 4.5 for text, and 3 for the
// edges of controls and for lines that carry a meaning.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("app.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string][2]string{}
	for _, m := range token.FindAllStringSubmatch(string(css), -1) {
		if m[4] != "" {
			m[2], m[3] = m[4], m[4]
		}
		colours[m[1]] = [2]string{m[2], m[3]}
	}
	const text, line = 4.5, 3
	for _, pair := range []struct {
		over, under string
		least       float64
	}{
		{"text", "bg", text}, {"text", "rail", text}, {"text", "rail-hover", text}, {"text", "raised", text}, {"text", "hover", text},
		{"text", "own-tint", text}, {"text", "mention", text}, {"text", "code", text},
		{"dim", "bg", text}, {"dim", "rail", text}, {"dim", "raised", text}, {"dim", "hover", text},
		{"dim", "own-tint", text}, {"dim", "mention", text}, {"dim", "code", text},
		{"link", "bg", text}, {"link", "raised", text}, {"link", "hover", text}, {"link", "own-tint", text}, {"link", "mention", text},
		{"sel-text", "sel", text}, {"code-text", "code", text}, {"on-accent", "accent", text}, {"on-danger", "danger", text},
		{"danger", "bg", text}, {"danger", "raised", text}, {"danger", "hover", text}, {"danger", "own-tint", text},
		{"success", "raised", text}, {"warning", "raised", text}, {"warning", "warn-tint", text},
		{"edge", "raised", line}, {"edge", "bg", line}, {"own", "bg", line}, {"link", "rail", line},
	} {
		for i, scheme := range []string{"light", "dark"} {
			over, under := colours[pair.over][i], colours[pair.under][i]
			if over == "" || under == "" {
				t.Fatalf("the style sheet has no --%s or no --%s", pair.over, pair.under)
			}
			if got := contrast(over, under); got < pair.least {
				t.Errorf("--%s on --%s has a contrast of %.2f in the %s scheme, want %v", pair.over, pair.under, got, scheme, pair.least)
			}
		}
	}
}

// hue is the background of an avatar.
var hue = regexp.MustCompile(`\.(c\d+) \{ --hue: (\d+)(?:; --sat: (\d+)%)?(?:; --lum: (\d+)%)? \}`)

// TestAvatarContrast computes the contrast of the white letters in avatars.
func TestAvatarContrast(t *testing.T) {
	css, err := files.ReadFile("app.css")
	if err != nil {
		t.Fatal(err)
	}
	found := hue.FindAllStringSubmatch(string(css), -1)
	if len(found) != 12 {
		t.Fatalf("the style sheet has %d colours for avatars, want 12", len(found))
	}
	for _, m := range found {
		part := func(i int, otherwise float64) float64 {
			if n, err := strconv.ParseFloat(m[i], 64); err == nil {
				return n
			}
			return otherwise
		}
		if got := contrast("#ffffff", hsl(part(2, 0), part(3, 45)/100, part(4, 38)/100)); got < 4.5 {
			t.Errorf("white on %s has a contrast of %.2f, want 4.5", m[1], got)
		}
	}
}

// hsl returns a colour as #rrggbb.
func hsl(h, s, l float64) string {
	channel := func(n float64) int {
		k := math.Mod(n+h/30, 12)
		return int(math.Round(255 * (l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1)))))
	}
	return fmt.Sprintf("#%02x%02x%02x", channel(0), channel(8), channel(4))
}

// contrast returns the contrast ratio of two colours.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// luminance returns the relative luminance of a colour.
func luminance(colour string) float64 {
	var sum float64
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			panic(err) // the pattern lets nothing else through
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
