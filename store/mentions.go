package store

import (
	"context"
	"strconv"
	"strings"
	"unicode"
)

// MaxMentions is how many names of a message are kept as mentions. Further ones
// are text.
const MaxMentions = 100

// Mention is a name in a message that stands for a user.
type Mention struct {
	UserID int64
	Name   string // the user's name as it is now; not needed in a draft
	Typed  string // the name as it stands in the body
}

// insertMentions adds whom a message mentions and returns the flag that it has
// for that.
func insertMentions(ctx context.Context, t *tx, channelID, id int64, mentions []Mention) (flags, error) {
	if len(mentions) == 0 {
		return 0, nil
	}
	for _, m := range mentions[:min(len(mentions), MaxMentions)] {
		_, err := t.ExecContext(ctx, `
			INSERT INTO mentions (channel_id, message_id, typed, user_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (channel_id, message_id, typed) DO NOTHING`, channelID, id, m.Typed, m.UserID)
		if err != nil {
			return 0, err
		}
	}
	return hasMentions, nil
}

// addMentions adds to messages whom they mention.
func addMentions(ctx context.Context, from querier, byID map[int64]*Message, list string, args []any) error {
	rows, err := from.QueryContext(ctx, `
		SELECT n.message_id, n.user_id, u.name, n.typed FROM mentions n JOIN users u ON u.id = n.user_id
		WHERE n.channel_id = $1 AND n.message_id IN (`+list+`) ORDER BY n.user_id, n.typed`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var messageID int64
		var m Mention
		if err := rows.Scan(&messageID, &m.UserID, &m.Name, &m.Typed); err != nil {
			return err
		}
		byID[messageID].Mentions = append(byID[messageID].Mentions, m)
	}
	return rows.Err()
}

// UsersByPrefix returns users whose names begin with what was typed, in whatever
// case and width, n at most, in the order of their names. It is for completion: a
// user who joins meanwhile may be missing.
func (s *Store) UsersByPrefix(ctx context.Context, typed string, n int) ([]Mention, error) {
	rows, err := s.readers.QueryContext(ctx, `
		SELECT id, name FROM users WHERE name_key LIKE $1 ESCAPE '!' ORDER BY name_key LIMIT $2`,
		strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(nameKey(strings.TrimLeft(typed, " ")))+"%", n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var users []Mention
	for rows.Next() {
		var m Mention
		if err := rows.Scan(&m.UserID, &m.Name); err != nil {
			return nil, err
		}
		m.Typed = m.Name
		users = append(users, m)
	}
	return users, rows.Err()
}

// ResolveMention returns the user whose name begins a text, in whatever case and
// width: of several, the one with the longest name. A name ends where a word
// does; in scripts without spaces, anywhere. Typed is what of the text is the
// name. It fails with ErrNotFound.
func (s *Store) ResolveMention(ctx context.Context, text string) (Mention, error) {
	typed := map[string]string{} // the longest piece of text by its key
	args := make([]any, MaxUserName)
	rs := []rune(text[:min(len(text), 16*MaxUserName)])
	if len(rs) == 0 || unicode.IsSpace(rs[0]) {
		return Mention{}, ErrNotFound
	}
	n := 0
	for end := 1; end <= len(rs) && n < len(args); end++ {
		if unicode.IsSpace(rs[end-1]) || end < len(rs) && sameWord(rs[end-1], rs[end]) {
			continue
		}
		name, err := UserName(string(rs[:end]))
		if err != nil || typed[name.Key] != "" {
			continue
		}
		typed[name.Key] = string(rs[:end])
		args[n] = name.Key
		n++
	}
	for i := range args[n:] {
		args[n+i] = ""
	}
	var placeholders []string
	for i := range args {
		placeholders = append(placeholders, "$"+strconv.Itoa(i+1))
	}
	rows, err := s.readers.QueryContext(ctx, `
		SELECT id, name, name_key FROM users WHERE name_key IN (`+strings.Join(placeholders, ", ")+`)`, args...)
	if err != nil {
		return Mention{}, err
	}
	defer rows.Close()
	var longest Mention
	for rows.Next() {
		var m Mention
		var key string
		if err := rows.Scan(&m.UserID, &m.Name, &key); err != nil {
			return Mention{}, err
		}
		if m.Typed = typed[key]; len(m.Typed) > len(longest.Typed) {
			longest = m
		}
	}
	if longest.UserID == 0 && rows.Err() == nil {
		return Mention{}, ErrNotFound
	}
	return longest, rows.Err()
}

// sameWord reports whether a word goes on from one character to the next.
func sameWord(last, next rune) bool {
	if last == zwnj || last == zwj || next == zwnj || next == zwj || unicode.IsMark(next) {
		return true
	}
	isWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }
	return isWord(last) && isWord(next) && !spaceless(last) && !spaceless(next)
}

// spaceless reports whether a character's script is written without spaces
// between words.
func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
