-- What every part of the file needs: applied migrations, interned texts, idempotency keys.
-- In this folder, each statement starts with a line "-- name: what it does"; a test explains each of them. Bulk
-- statements take one JSON array of rows, or a row that is repeated for all of them: a single statement for a whole
-- batch acquires the GIL only once.

-- make_migrations: create the table of applied migrations
CREATE TABLE IF NOT EXISTS migration (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied INTEGER NOT NULL
) STRICT;

-- list_migrations: the applied migrations
SELECT version, name, sha256 FROM migration ORDER BY version;

-- add_migration: note an applied migration
INSERT INTO migration (version, name, sha256, applied) VALUES (?, ?, ?, ?);

-- find_names: ids of interned texts, [[id, text], ...]
SELECT json_group_array(json_array(name.id, name.text))
FROM json_each(?) AS wanted CROSS JOIN name ON name.text = wanted.value;

-- add_names: intern texts
INSERT INTO name (text) SELECT value FROM json_each(?) WHERE true ON CONFLICT (text) DO NOTHING;

-- find_labels: ids of known labels, [[id, text], ...]
SELECT json_group_array(json_array(label.id, label.text))
FROM json_each(?) AS wanted CROSS JOIN label ON label.text = wanted.value;

-- add_labels: intern labels
INSERT INTO label (text) SELECT value FROM json_each(?) WHERE true ON CONFLICT (text) DO NOTHING;

-- once: use an idempotency key; only the first use inserts
INSERT INTO once (key, at, run) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING;

-- get_once: when an idempotency key was used, and its run
SELECT at, run FROM once WHERE key = ?;

-- find_name: the id of an interned text
SELECT id FROM name WHERE text = ?;

-- find_label: the id of a label, and its number of runs
SELECT id, runs FROM label WHERE text = ?;
