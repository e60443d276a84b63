package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestMentions(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		anna, zhang, c := newUser(t, s, "Anna"), newUser(t, s, "张三"), newChannel(t, s, "general")
		draft := Draft{Body: "@anna and @张三, @ANNA", Mentions: []Mention{{UserID: anna.ID, Typed: "anna"}, {UserID: zhang.ID, Typed: "张三"}, {UserID: anna.ID, Typed: "ANNA"}}}
		m := must[Message](t)(s.Post(t.Context(), own(zhang.ID), c, zhang, draft, noon))
		want := []Mention{{anna.ID, "Anna", "ANNA"}, {anna.ID, "Anna", "anna"}, {zhang.ID, "张三", "张三"}}
		if !reflect.DeepEqual(m.Mentions, want) {
			t.Errorf("posted: %+v, want %+v", m.Mentions, want)
		}
		// Whoever is renamed keeps theirs.
		_, err := s.writer.db.Exec(`UPDATE users SET name = 'Annette' WHERE id = $1`, anna.ID)
		check(t, err)
		edited := must[Message](t)(s.EditMessage(t.Context(), own(zhang.ID), c.ID, m.ID, Draft{Body: "@anna", Mentions: draft.Mentions[:1]}, m.Revision, noon))
		if want := []Mention{{anna.ID, "Annette", "anna"}}; !reflect.DeepEqual(edited.Mentions, want) {
			t.Errorf("edited: %+v, want %+v", edited.Mentions, want)
		}
		edited = must[Message](t)(s.EditMessage(t.Context(), own(zhang.ID), c.ID, m.ID, Draft{Body: "nobody"}, edited.Revision, noon))
		if edited.Mentions != nil {
			t.Errorf("of nobody: %+v", edited.Mentions)
		}
	})
}

func TestResolveMention(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		s := openStore(t, database)
		for _, name := range []string{"Ann", "Anna", "Anna Bea", "张三", "张三丰", "O'Neil", "علی\u200Cرضا"} {
			newUser(t, s, name)
		}
		for text, want := range map[string]string{
			"Anna Bea, hello": "Anna Bea", "Anna Bean": "Anna", "anna": "Anna", "ＡＮＮ!": "Ann", "Ann's": "Ann", "Annabel": "",
			"张三你好": "张三", "张三丰，你好": "张三丰", "张": "", "o'neil's": "O'Neil", "علی\u200Cرضا سلام": "علی\u200Cرضا", "": "", "  Anna": "",
			"Anna\nBea": "Anna", strings.Repeat("x", 10_000): "",
		} {
			got, err := s.ResolveMention(t.Context(), text)
			if got.Name != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, ErrNotFound) || !strings.HasPrefix(text, got.Typed) {
				t.Errorf("%.20q: got %+v, %v; want %q", text, got, err, want)
			}
		}
		for typed, want := range map[string]string{"an": "Ann Anna Anna Bea", "ANNA": "Anna Anna Bea", "张": "张三 张三丰", "x": "", "%": "", "_": ""} {
			var found []string
			for _, m := range must[[]Mention](t)(s.UsersByPrefix(t.Context(), typed, 9)) {
				found = append(found, m.Name)
			}
			if got := strings.Join(found, " "); got != want {
				t.Errorf("by %q: %q, want %q", typed, got, want)
			}
		}
		if got := must[[]Mention](t)(s.UsersByPrefix(t.Context(), "", 3)); len(got) != 3 {
			t.Errorf("by nothing: %+v", got)
		}
	})
}

// BenchmarkMentions measures finding people among 10,000.
func BenchmarkMentions(b *testing.B) {
	for engine, database := range map[string]func(testing.TB) string{"SQLite": newSQLite, "PostgreSQL": newPostgres} {
		s := openStore(b, database(b))
		check(b, s.write(b.Context(), func(ctx context.Context, t *tx) error {
			for i := range 10_000 {
				name := fmt.Sprintf("user %d", i)
				if _, err := t.ExecContext(ctx, `
					INSERT INTO users (name, name_key, name_look, name_skeleton, password, epoch, last_channel, created_at)
					VALUES ($1, $1, $1, $1, '', 1, 0, 0)`, name); err != nil {
					return err
				}
			}
			return nil
		}))
		b.Run(engine+"/prefix", func(b *testing.B) {
			for b.Loop() {
				must[[]Mention](b)(s.UsersByPrefix(b.Context(), "user 99", 10))
			}
		})
		b.Run(engine+"/resolve", func(b *testing.B) {
			for b.Loop() {
				must[Mention](b)(s.ResolveMention(b.Context(), "user 9999 has a name and says something long"))
			}
		})
	}
}
