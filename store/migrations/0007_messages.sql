ALTER TABLE messages ADD COLUMN flags         INTEGER NOT NULL DEFAULT 0; -- which of what follows there is for it: see details.go
ALTER TABLE messages ADD COLUMN body_revision INTEGER NOT NULL DEFAULT 0; -- of its latest edit, 0 for none
ALTER TABLE messages ADD COLUMN edited_at     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN reply_to      INTEGER NOT NULL DEFAULT 0; -- the message that it answers, 0 for none
ALTER TABLE messages ADD COLUMN root          INTEGER NOT NULL DEFAULT 0; -- the message that began the thread, 0 where it answers none
ALTER TABLE messages ADD COLUMN replies       INTEGER NOT NULL DEFAULT 0; -- how many there are to it, or in the thread that it began
ALTER TABLE messages ADD COLUMN replied_at    INTEGER NOT NULL DEFAULT 0; -- when the last of them was posted
CREATE INDEX messages_reply ON messages (channel_id, reply_to, id) WHERE reply_to <> 0;
CREATE INDEX messages_root ON messages (channel_id, root, id) WHERE root <> 0;

-- What edited messages said before.
CREATE TABLE versions (
	channel_id INTEGER NOT NULL REFERENCES channels,
	message_id INTEGER NOT NULL,
	revision   INTEGER NOT NULL, -- with which it began to say so
	body       TEXT    NOT NULL,
	written_at INTEGER NOT NULL,
	PRIMARY KEY (channel_id, message_id, revision)
);

CREATE TABLE reactions (
	channel_id INTEGER NOT NULL REFERENCES channels,
	message_id INTEGER NOT NULL,
	emoji      TEXT    NOT NULL,
	user_id    INTEGER NOT NULL REFERENCES users,
	revision   INTEGER NOT NULL, -- with which it was added
	PRIMARY KEY (channel_id, message_id, emoji, user_id)
);

CREATE TABLE mentions (
	channel_id INTEGER NOT NULL REFERENCES channels,
	message_id INTEGER NOT NULL,
	typed      TEXT    NOT NULL, -- the name as it stands in the body
	user_id    INTEGER NOT NULL REFERENCES users,
	PRIMARY KEY (channel_id, message_id, typed)
);
CREATE INDEX mentions_user ON mentions (user_id, channel_id, message_id);

-- What a channel keeps in view.
CREATE TABLE pins (
	channel_id INTEGER NOT NULL REFERENCES channels,
	message_id INTEGER NOT NULL,
	user_id    INTEGER NOT NULL REFERENCES users, -- who pinned it
	pinned_at  INTEGER NOT NULL,
	PRIMARY KEY (channel_id, message_id)
);

-- What a user keeps for themselves.
CREATE TABLE saved (
	user_id    INTEGER NOT NULL REFERENCES users,
	channel_id INTEGER NOT NULL REFERENCES channels,
	message_id INTEGER NOT NULL,
	saved_at   INTEGER NOT NULL,
	remind_at  INTEGER NOT NULL, -- 0 for never
	PRIMARY KEY (user_id, channel_id, message_id)
);
