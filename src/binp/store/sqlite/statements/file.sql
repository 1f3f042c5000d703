-- What every part of the file needs: which migrations were applied, texts that are kept once, what may happen once.
-- In this folder each statement begins with a line "-- name: what it does"; a test explains each of them. Bulk
-- statements take one JSON array of rows, or a row that is repeated for as many as there are: a statement for a whole
-- batch holds the interpreter's lock only once.

-- make_migrations: where it is kept which migrations were applied
CREATE TABLE IF NOT EXISTS migration (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied INTEGER NOT NULL
) STRICT;

-- list_migrations: the migrations that were applied
SELECT version, name, sha256 FROM migration ORDER BY version;

-- add_migration: one was applied
INSERT INTO migration (version, name, sha256, applied) VALUES (?, ?, ?, ?);

-- find_names: ids of those texts that are known, [[id, text], ...]
SELECT json_group_array(json_array(name.id, name.text))
FROM json_each(?) AS wanted CROSS JOIN name ON name.text = wanted.value;

-- add_names: keep texts once
INSERT INTO name (text) SELECT value FROM json_each(?) WHERE true ON CONFLICT (text) DO NOTHING;

-- find_labels: ids of those labels that are known, [[id, text], ...]
SELECT json_group_array(json_array(label.id, label.text))
FROM json_each(?) AS wanted CROSS JOIN label ON label.text = wanted.value;

-- add_labels: keep labels once
INSERT INTO label (text) SELECT value FROM json_each(?) WHERE true ON CONFLICT (text) DO NOTHING;

-- once: only the first inserts
INSERT INTO once (key, at, run) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING;

-- get_once: when a key was used, and the run that was begun with it
SELECT at, run FROM once WHERE key = ?;

-- find_name: the id of a text
SELECT id FROM name WHERE text = ?;

-- find_label: the id of a label, and how many runs have it
SELECT id, runs FROM label WHERE text = ?;
