-- How far each user has read in each channel they have been in.
CREATE TABLE positions (
	user_id    INTEGER NOT NULL REFERENCES users,
	channel_id INTEGER NOT NULL REFERENCES channels,
	revision   INTEGER NOT NULL, -- all up to it has been read
	visited_at INTEGER NOT NULL,
	PRIMARY KEY (user_id, channel_id)
);

-- Of the visits before, only the last one is known.
INSERT INTO positions (user_id, channel_id, revision, visited_at)
SELECT u.id, c.id, c.revision, u.created_at FROM users u JOIN channels c ON c.id = u.last_channel;
