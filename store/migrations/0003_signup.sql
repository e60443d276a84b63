-- A digest of the key of the form that made the user, '' for none known. The
-- same form lets the same browser in again for a moment.
ALTER TABLE users ADD COLUMN form TEXT NOT NULL DEFAULT '';
