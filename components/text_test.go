package components

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"hubbub/store"
)

// TestTextLinks writes the links that it expects in ⟦⟧.
func TestTextLinks(t *testing.T) {
	tests := []struct{ about, want string }{
		{"no link", "a: b <c>"},
		{"alone", "⟦https://example.com⟧"},
		{"every part", "⟦http://example.com:8080/a/b.html?c=d&e=f#g⟧"},
		{"mixed case", "⟦HTTPS://Example.COM/⟧ ⟦MailTo:a@b.c⟧"},
		{"mail", "⟦mailto:anna@example.com?subject=Hi%20there⟧"},
		{"intranet", "⟦http://wiki/⟧ ⟦http://10.0.0.7:81⟧ ⟦http://[fe80::1]:8080/x⟧"},
		{"two lines", "⟦https://a.example⟧\n⟦https://b.example⟧"},
		{"a list", "⟦https://a.example⟧,⟦https://b.example/x⟧;⟦https://c.example⟧"},
		{"a label", "Wiki:⟦https://a.example⟧"},

		{"full stop", "See ⟦https://a.example/b⟧."},
		{"other ends", "⟦https://a.example⟧, ⟦https://a.example/b⟧! ⟦https://a.example/b⟧?! ⟦https://a.example⟧: ⟦https://a.example/b⟧..."},
		{"quotes", `"⟦https://a.example⟧" '⟦https://a.example/b⟧' “⟦https://a.example/b⟧” «⟦https://a.example⟧»`},
		{"markdown", "**⟦https://a.example/b⟧** [x](⟦https://a.example/b⟧) <⟦https://a.example/b⟧> `⟦https://a.example⟧` _⟦https://a.example⟧_"},
		{"in parentheses", "(⟦https://a.example/b⟧) (see ⟦https://a.example/b⟧.)"},
		{"with parentheses", "⟦https://a.example/b_(c)⟧ (⟦https://a.example/b_(c(d))⟧)"},
		{"with brackets", "⟦https://a.example/?b[]=c⟧ [⟦https://a.example/b⟧]"},
		{"path ends kept", "⟦https://a.example/⟧ ⟦https://a.example/b-⟧ ⟦https://a.example/?b=⟧ ⟦https://a.example/#⟧"},
		{"apostrophe inside", "⟦https://a.example/it's⟧"},

		{"Chinese around", "请看⟦https://a.example/b⟧，谢谢。（⟦https://a.example⟧）【⟦https://a.example⟧】《⟦https://a.example/b⟧》「⟦https://a.example/b⟧」！"},
		{"Chinese after the host", "⟦https://a.example⟧谢谢 ⟦http://10.0.0.7:81⟧谢谢 ⟦mailto:a@b.c⟧谢谢"},
		{"Chinese in the host", "⟦https://www.例子.中国/页面⟧"},
		{"Chinese in the path", "⟦https://a.example/维基/北京⟧、"},
		{"umlauts", "⟦https://bücher.example/größe⟧"},

		{"other schemes", "javascript:alert(1) JaVaScRiPt://%0aalert(1) data:text/html,x vbscript:x file:///etc/passwd ftp://a.example blob:x"},
		{"ends like a scheme", "xhttps://a.example git+https://a.example my-mailto:a@b.c"},
		{"character references", "javascript&colon;alert(1) &#106;avascript:alert(1) https&colon;//a.example"},
		{"white space in the scheme", "java\tscript:alert(1) htt\nps://a.example"},
		{"without a scheme", "//a.example www.a.example a@b.c"},
		{"without a host", "http:// https:///a http://? http://#a http:a http:/a http://:80 mailto: mailto:a mailto:@b mailto:a@ mailto://a@b.c"},
		{"a user", "https://a.example@evil.example http://a:b@c.example/ http://@c.example"},
		{"an at sign later", "⟦https://a.example/@b⟧ ⟦https://a.example?b@c⟧"},
		{"a backslash", `⟦https://a.example⟧\@evil.example`},
		{"not valid", "http://a%zz.example http://[::1 http://a.example:port/"},
		{"attribute breaking", `⟦https://a.example/⟧"onmouseover="x ⟦https://a.example/'onmouseover='x⟧`},
		{"bidi", "⟦https://a.example/b⟧\u202Egpj.exe ⟦https://a.example⟧\u2066x"},
		{"zero width", "⟦https://a.example⟧\u200B.evil.example"},
		{"nested", "⟦https://a.example/?u=https://b.example⟧"},
		{"one after another", "http://a@http://b@http://c"},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			body := strings.NewReplacer("⟦", "", "⟧", "").Replace(test.want)
			if got := marked(parse(t, linkify(body))); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestTextEscapes(t *testing.T) {
	var out strings.Builder
	if err := Text("<b>&amp;\"' https://a.example/?b&c='d'").Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `&lt;b&gt;&amp;amp;&#34;&#39; <a href="https://a.example/?b&amp;c=&#39;d" rel="noopener noreferrer nofollow" target="_blank">https://a.example/?b&amp;c=&#39;d</a>&#39;`
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
}

func FuzzText(f *testing.F) {
	corpus, err := os.ReadFile("../e2e/testdata/xss.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(corpus)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	for _, seed := range []string{
		"plain", "<script>xss(1)</script>", `"><img src onerror=xss(1)>`, "https://a.example/b.", "(http://a/(b))", "mailto:a@b.c,d",
		"javascript&colon;xss(1)", "http://a@b", `https://a"onclick="b`, "HTTPS://A，https://b;https://c", "http://[::1]:80/]", "]]>-->{{.}}",
		"https://a\u202Eb", "http\u017F://a", "http://a\xffb", "a\r\nb\x00c", "mailto:a@https:", "https://a谢http://b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		out := linkify(body)
		nodes := parse(t, out)
		for _, node := range nodes {
			checkTextNode(t, node)
		}
		if strings.Count(out, "<") != 2*len(links(nodes)) {
			t.Errorf("a raw < in %q", out)
		}
		// Other bodies are never rendered, and HTML parsers change them.
		if prepared, err := store.Body(body); err != nil || prepared != body {
			return
		}
		if got := strings.NewReplacer("⟦", "", "⟧", "").Replace(marked(nodes)); got != strings.NewReplacer("⟦", "", "⟧", "").Replace(body) {
			t.Errorf("shows %q\nfor   %q", got, body)
		}
	})
}

// checkTextNode allows text, and links to http, https and mailto addresses
// that contain nothing but text.
func checkTextNode(t *testing.T, node *html.Node) {
	t.Helper()
	if node.Type == html.TextNode {
		return
	}
	if node.Type != html.ElementNode || node.DataAtom != atom.A || node.FirstChild == nil || node.FirstChild != node.LastChild || node.FirstChild.Type != html.TextNode {
		t.Fatalf("an unexpected node: %v %q", node.Type, node.Data)
	}
	for _, attr := range node.Attr {
		switch attr.Key {
		case "href":
			u, err := url.Parse(attr.Val)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "mailto" {
				t.Errorf("a link to %q: %v", attr.Val, err)
			}
			if attr.Val != node.FirstChild.Data {
				t.Errorf("a link to %q is shown as %q", attr.Val, node.FirstChild.Data)
			}
		case "rel", "target":
		default:
			t.Errorf("an unexpected attribute: %s=%q", attr.Key, attr.Val)
		}
	}
}

func parse(t *testing.T, s string) []*html.Node {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(s), &html.Node{Type: html.ElementNode, Data: "p", DataAtom: atom.P})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

func links(nodes []*html.Node) (links []*html.Node) {
	for _, node := range nodes {
		if node.Type == html.ElementNode {
			links = append(links, node)
		}
	}
	return links
}

// marked returns the text of nodes, links in ⟦⟧.
func marked(nodes []*html.Node) string {
	var s strings.Builder
	for _, node := range nodes {
		if node.Type == html.TextNode {
			s.WriteString(node.Data)
		} else {
			s.WriteString("⟦" + node.FirstChild.Data + "⟧")
		}
	}
	return s.String()
}

func BenchmarkText(b *testing.B) {
	plain := strings.Repeat("An ordinary line, of words. ", 5)[:120]
	for _, bench := range []struct{ name, body string }{
		{"plain", plain},
		{"link", plain[:80] + " https://example.com/path?query=1#part"},
		{"hostile", strings.Repeat("http://a@", store.MaxBody/9)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				linkify(bench.body)
			}
		})
	}
}
