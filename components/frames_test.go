package components

import "testing"

func TestFrames(t *testing.T) {
	t.Parallel()
	join := func(begin, end []byte) string { return string(begin) + "…" + string(end) }
	for name, tt := range map[string]struct{ got, want string }{
		"a window":       {join(Replacing(9)), `<hx-partial hx-target="#messages" hx-swap="innerHTML" data-revision="9">…</hx-partial>`},
		"an altered row": {join(Altering(7, 9)), `<hx-partial hx-target="#m-7" hx-swap="outerHTML" data-revision="9">…</hx-partial>`},
		"a row gone":     {string(Removing(7, 9)), `<hx-partial hx-target="#m-7" hx-swap="delete" data-revision="9"></hx-partial>`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %s, want %s", name, tt.got, tt.want)
		}
	}
}
