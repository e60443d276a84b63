-- messages_key has taken its place. By itself: on PostgreSQL this waits for
-- those who read, and the making of the other for those who write.
DROP INDEX messages_post_key;
