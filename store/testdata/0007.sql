-- A small installation of schema 7, as that schema was then.
INSERT INTO users (id, name, name_key, name_look, password, epoch, last_channel, created_at, form) VALUES
	(1, 'Anna', 'anna', 'anna', '', 1, 2, 1795348800000000, ''),
	(2, '张伟', '张伟', '张伟', 'hash', 3, 0, 1795348800000001, 'digest');
INSERT INTO sessions (token, data, ended, expires_at, user_id) VALUES
	('open', x'01', 0, 4102444800000000, 1),
	('over', x'', 1, 4102444800000000, 0);
INSERT INTO channels (id, name, name_key, kind, revision, created_at) VALUES
	(1, 'general', 'general', 0, 4, 1795348800000000),
	(2, 'A/B', 'a/b', 0, 0, 1795348800000000);
INSERT INTO messages (channel_id, id, revision, author_id, posted_at, deleted, body, post_key) VALUES
	(1, 1, 1, 1, 1795348800000000, 0, 'hello', 'key'),
	(1, 2, 4, 2, 1795348800000001, 1, '', NULL),
	(1, 3, 3, 2, 1795348800000002, 0, '你好', NULL);
INSERT INTO positions (user_id, channel_id, revision, visited_at) VALUES
	(1, 1, 2, 1795348800000000),
	(1, 2, 0, 1795348800000001);
INSERT INTO members (channel_id, user_id, role, joined_at, joined_revision) VALUES
	(1, 1, 0, 1795348800000000, 2),
	(2, 1, 0, 1795348800000001, 0);
INSERT INTO installation (id, name) VALUES (1, 'a random name');
UPDATE messages SET flags = 60, replies = 1, replied_at = 1795348800000002 WHERE channel_id = 1 AND id = 1;
UPDATE messages SET flags = 10, reply_to = 1, root = 1 WHERE channel_id = 1 AND id = 3;
INSERT INTO versions (channel_id, message_id, revision, body, written_at) VALUES (1, 1, 1, 'hullo', 1795348800000000);
INSERT INTO reactions (channel_id, message_id, emoji, user_id, revision) VALUES (1, 1, '👍', 2, 2), (1, 3, '🎉', 1, 3);
INSERT INTO mentions (channel_id, message_id, typed, user_id) VALUES (1, 1, '张伟', 2);
INSERT INTO pins (channel_id, message_id, user_id, pinned_at) VALUES (1, 1, 2, 1795348800000002);
INSERT INTO saved (user_id, channel_id, message_id, saved_at, remind_at) VALUES (1, 1, 3, 1795348800000002, 0);
