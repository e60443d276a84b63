-- Who may see a channel: 0 everybody, 1 its members, 2 those who talk in it.
ALTER TABLE channels ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;

CREATE TABLE members (
	channel_id      INTEGER NOT NULL REFERENCES channels,
	user_id         INTEGER NOT NULL REFERENCES users,
	role            INTEGER NOT NULL, -- 0 ordinary, 1 manager
	joined_at       INTEGER NOT NULL,
	joined_revision INTEGER NOT NULL, -- of the channel at that time
	PRIMARY KEY (channel_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

-- Whoever has visited a channel has joined it.
INSERT INTO members (channel_id, user_id, role, joined_at, joined_revision)
SELECT channel_id, user_id, 0, visited_at, revision FROM positions;

-- Whose the session is, 0 for nobody's and for those of versions before this.
ALTER TABLE sessions ADD COLUMN user_id INTEGER NOT NULL DEFAULT 0;

-- The one row is made when the store is opened.
CREATE TABLE installation (
	id   INTEGER PRIMARY KEY, -- 1
	name TEXT    NOT NULL     -- random: tells this installation from all others
);

-- Rows that are written and deleted at once, to see whether that works.
CREATE TABLE probes (
	id INTEGER PRIMARY KEY
);

-- The same for names that look alike across scripts, '' where it is to be
-- computed yet. name_look is now the same for names that look alike within one.
ALTER TABLE users ADD COLUMN name_skeleton TEXT NOT NULL DEFAULT '';
CREATE INDEX users_skeleton ON users (name_skeleton);
