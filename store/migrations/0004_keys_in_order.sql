-- Keys of posts begin with the time, so those of one time lie together here,
-- whoever's they are: a commit changes the last pages of this index and
-- hardly any other.
CREATE UNIQUE INDEX messages_key ON messages (post_key, channel_id, author_id) WHERE post_key IS NOT NULL;
