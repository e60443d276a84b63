-- Times are microseconds since 1970, UTC.

CREATE TABLE users (
	id           INTEGER PRIMARY KEY,
	name         TEXT    NOT NULL,
	name_key     TEXT    NOT NULL UNIQUE, -- the same whatever the case and width
	name_look    TEXT    NOT NULL UNIQUE, -- the same for names that look alike
	password     TEXT    NOT NULL,        -- argon2id, '' for none
	epoch        INTEGER NOT NULL,        -- raised to end the sessions begun before
	last_channel INTEGER NOT NULL,        -- the channel last visited, 0 for none
	created_at   INTEGER NOT NULL
);

CREATE TABLE sessions (
	token      TEXT    PRIMARY KEY, -- hashed
	data       BLOB    NOT NULL,
	ended      INTEGER NOT NULL,    -- 1: kept till it expires, so that nothing revives it
	expires_at INTEGER NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE channels (
	id         INTEGER PRIMARY KEY,
	name       TEXT    NOT NULL,
	name_key   TEXT    NOT NULL UNIQUE,
	revision   INTEGER NOT NULL, -- of the latest change in it
	created_at INTEGER NOT NULL
);

CREATE TABLE messages (
	channel_id INTEGER NOT NULL REFERENCES channels,
	id         INTEGER NOT NULL, -- the revision of its posting
	revision   INTEGER NOT NULL, -- of its latest change
	author_id  INTEGER NOT NULL REFERENCES users,
	posted_at  INTEGER NOT NULL,
	deleted    INTEGER NOT NULL, -- 1: the body is gone, the row tells those who were away
	body       TEXT    NOT NULL,
	post_key   TEXT,             -- the author's name for this post, so that it is made once
	PRIMARY KEY (channel_id, id)
);
CREATE UNIQUE INDEX messages_revision ON messages (channel_id, revision);
CREATE UNIQUE INDEX messages_post_key ON messages (channel_id, author_id, post_key) WHERE post_key IS NOT NULL;
