package store

import "context"

// Post names a message and its author, and nothing of what it says: enough to
// count.
type Post struct{ ID, AuthorID int64 }

// NewestPosts returns the newest messages of a channel that are not deleted, n
// at most, the newest first.
func (s *Store) NewestPosts(ctx context.Context, channelID int64, n int) ([]Post, error) {
	rows, err := s.readers.QueryContext(ctx, `
		SELECT id, author_id FROM messages WHERE channel_id = $1 AND deleted = 0 ORDER BY id DESC LIMIT $2`, channelID, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var posts []Post
	for rows.Next() {
		var p Post
		if err := rows.Scan(&p.ID, &p.AuthorID); err != nil {
			return nil, err
		}
		posts = append(posts, p)
	}
	return posts, rows.Err()
}
