package live

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"hubbub/components"
	"hubbub/locale"
	"hubbub/static"
)

// TestProbesAreForgotten answers with a first document whose probe is not asked
// for: nothing is kept of it.
func TestProbesAreForgotten(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	assets, err := static.New()
	check(t, err)
	p := &components.Page{Locale: locale.All()[0], Zone: time.UTC, Assets: assets}
	answer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check(t, n.FirstDocument(w, r, p, components.ChannelView{Channel: n.room, Read: -1}))
	}))
	defer answer.Close()
	response, err := http.Get(answer.URL)
	check(t, err)
	check(t, response.Body.Close())
	answer.Close() // waits for the end of the answer
	n.probes.mu.Lock()
	defer n.probes.mu.Unlock()
	if n := len(n.probes.waiting); n > 0 {
		t.Errorf("%d probes are still waited for", n)
	}
}
