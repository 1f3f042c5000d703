-- Every statement of the SQLite store. Each begins with a line "-- name: what it does"; a test explains each of them.
-- Bulk statements take one JSON array of rows: a statement for a whole batch holds the interpreter's lock only once.
-- The walks name the newest first; read with ASC in place of DESC they go the other way.

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

-- newest_run: the largest id of a run
SELECT max(id) FROM run;

-- load_runs: what the writer must know of runs, [[id, state, epoch, rev, records, labels, cancelled_at, journaled, started]]
SELECT json_group_array(
    json_array(run.id, state, epoch, rev, records, labels, cancelled_at, journal IS NOT NULL, started)
)
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- insert_runs: new runs
INSERT INTO run (
    id, operation, journal, description, state, trigger, actor, parent, attempt, epoch, node, version, started, records,
    rev, labels, arguments
)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'),
    json_extract(value, '$[8]'), json_extract(value, '$[9]'), json_extract(value, '$[10]'), json_extract(value, '$[11]'),
    json_extract(value, '$[12]'), json_extract(value, '$[13]'), json_extract(value, '$[14]'),
    json_extract(value, '$[15]'), json_extract(value, '$[16]')
FROM json_each(?);

-- touch_runs: revision, number of records, labels and request to cancel of runs that go on
UPDATE run SET
    rev = json_extract(new.value, '$[1]'), records = json_extract(new.value, '$[2]'),
    labels = json_extract(new.value, '$[3]'), cancelled_at = json_extract(new.value, '$[4]'),
    cancelled_by = coalesce(json_extract(new.value, '$[5]'), cancelled_by)
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- move_runs: how far runs are
UPDATE run SET
    progress = json_extract(new.value, '$[1]'), progress_total = json_extract(new.value, '$[2]'),
    progress_message = json_extract(new.value, '$[3]')
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- end_runs: the ends of runs
UPDATE run SET
    state = json_extract(new.value, '$[1]'), ended = json_extract(new.value, '$[2]'),
    duration = json_extract(new.value, '$[3]'), result = json_extract(new.value, '$[4]'),
    error_type = json_extract(new.value, '$[5]'), error = json_extract(new.value, '$[6]'),
    traceback = json_extract(new.value, '$[7]'), rev = json_extract(new.value, '$[8]'),
    records = json_extract(new.value, '$[9]'), labels = json_extract(new.value, '$[10]'),
    cancelled_at = json_extract(new.value, '$[11]'),
    cancelled_by = coalesce(json_extract(new.value, '$[12]'), cancelled_by)
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- count_records: the number of records of runs anew
UPDATE run SET records = (SELECT count(*) FROM record WHERE record.run = run.id)
WHERE id IN (SELECT value FROM json_each(?));

-- insert_records: records of any runs; what is there already stays
INSERT INTO record (run, seq, at, level, source, message, fields)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]')
FROM json_each(?) WHERE true ON CONFLICT (run, seq) DO NOTHING;

-- insert_record: one record, of a text that JSON cannot carry into SQLite whole
INSERT INTO record (run, seq, at, level, source, message, fields) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, seq) DO NOTHING;

-- insert_labels: which run has which label
INSERT INTO run_label (label, run) SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')
FROM json_each(?) WHERE true ON CONFLICT (label, run) DO NOTHING;

-- find_versions: where the versions of keys are, [[position, version, exists], ...]
SELECT json_group_array(json_array(wanted.key, coalesce(kv.version, kv_removed.version), kv.version IS NOT NULL))
FROM json_each(?) AS wanted
LEFT JOIN kv ON kv.namespace = json_extract(wanted.value, '$[0]') AND kv.key = json_extract(wanted.value, '$[1]')
LEFT JOIN kv_removed
    ON kv_removed.namespace = json_extract(wanted.value, '$[0]')
    AND kv_removed.key = json_extract(wanted.value, '$[1]');

-- find_version: where the version of one key is
SELECT version, 1 FROM kv WHERE namespace = :namespace AND key = :key
UNION ALL SELECT version, 0 FROM kv_removed WHERE namespace = :namespace AND key = :key;

-- put_keys: values of keys
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'),
    json_extract(value, '$[8]')
FROM json_each(?) WHERE true
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor;

-- put_key: the value of one key, of a name that JSON cannot carry into SQLite whole
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor;

-- bury_key: remember the version of a key that is removed, and by whom it was
INSERT INTO kv_removed (namespace, key, version, removed, run, epoch, actor) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    version = excluded.version, removed = excluded.removed, run = excluded.run, epoch = excluded.epoch,
    actor = excluded.actor;

-- drop_key: remove one key
DELETE FROM kv WHERE namespace = ? AND key = ?;

-- want_service: what is wanted of a service
INSERT INTO service (name, desired, desired_by, desired_at, updated, rev) VALUES (:name, :running, :actor, :at, :at, 1)
ON CONFLICT (name) DO UPDATE SET
    desired = excluded.desired, desired_by = excluded.desired_by, desired_at = excluded.desired_at,
    updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- see_service: what a service is seen to be
INSERT INTO service (name, status, node, updated, rev) VALUES (?, ?, ?, ?, 1)
ON CONFLICT (name) DO UPDATE SET
    status = excluded.status, node = excluded.node, updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- once: only the first inserts
INSERT INTO once (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING;

-- open_runs: runs that wait or run, with their processes
SELECT run.id, name.text, run.journal IS NOT NULL, run.rev
FROM run JOIN name ON name.id = run.node WHERE run.state IN (0, 1);

-- interrupt_runs: end the runs of processes that are gone, at their last sign of life
UPDATE run SET
    state = 5, rev = rev + 1, error = 'interrupted: its process ended',
    ended = max(
        started, json_extract(dead.value, '$[1]'),
        coalesce((SELECT at FROM record WHERE record.run = run.id ORDER BY seq DESC LIMIT 1), 0)
    ),
    duration = max(
        started, json_extract(dead.value, '$[1]'),
        coalesce((SELECT at FROM record WHERE record.run = run.id ORDER BY seq DESC LIMIT 1), 0)
    ) - started
FROM json_each(?) AS dead WHERE run.id = json_extract(dead.value, '$[0]');

-- here_nodes: processes of which it is not known that they have gone
SELECT name, slot, host, boot, pid, started, seen FROM node WHERE gone IS NULL;

-- last_seen: the last sign of life of a process
SELECT seen FROM node WHERE name = ?;

-- join_node: a process comes, or comes again
INSERT INTO node (name, slot, host, boot, pid, started, since, seen) VALUES (:name, :slot, :host, :boot, :pid, :started, :now, :now)
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, gone = NULL
RETURNING slot, numbered, refused;

-- leave_node: a process has gone
UPDATE node SET gone = :now WHERE name = :name AND gone IS NULL;

-- see_node: a sign of life
UPDATE node SET seen = :now WHERE name = :name;

-- count_node: which of its numbered writes are committed
UPDATE node SET numbered = :numbered, refused = :refused, seen = :now WHERE name = :name;

-- get_key: one key
SELECT namespace, key, value, module, version, updated FROM kv WHERE namespace = ? AND key = ?;

-- list_keys: keys of a namespace from one name on and before another, by name
SELECT namespace, key, value, module, version, updated FROM kv
WHERE namespace = :namespace AND key >= :start AND key < :stop ORDER BY key LIMIT :limit;

-- namespaces: namespaces that have keys, each found by one step in the index
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM kv
    UNION ALL
    SELECT (SELECT min(kv.namespace) FROM kv WHERE kv.namespace > found.namespace)
    FROM found WHERE found.namespace IS NOT NULL
)
SELECT namespace FROM found WHERE namespace IS NOT NULL;

-- get_runs: runs by their ids, in no order
SELECT
    run.id, operation.text, journal.text, description.text, run.state, trigger.text, actor.text, run.parent, run.attempt,
    run.epoch, node.text, version.text, run.arguments, run.result, run.error_type, run.error, run.traceback, run.labels,
    run.progress, run.progress_total, run.progress_message, run.cancelled_at, run.started, run.ended, run.duration,
    run.records, run.rev
FROM json_each(?) AS wanted
CROSS JOIN run ON run.id = wanted.value
LEFT JOIN name AS operation ON operation.id = run.operation
LEFT JOIN name AS journal ON journal.id = run.journal
LEFT JOIN name AS description ON description.id = run.description
LEFT JOIN name AS trigger ON trigger.id = run.trigger
LEFT JOIN name AS actor ON actor.id = run.actor
LEFT JOIN name AS node ON node.id = run.node
LEFT JOIN name AS version ON version.id = run.version;

-- get_records: records of a run
SELECT record.run, record.seq, record.at, level.text, source.text, record.message, record.fields
FROM record
LEFT JOIN name AS level ON level.id = record.level
LEFT JOIN name AS source ON source.id = record.source
WHERE record.run = :run AND record.seq > :after AND record.seq < :before ORDER BY record.seq DESC LIMIT :limit;

-- get_services: all services by name
SELECT name, desired, desired_at, status, node, updated FROM service ORDER BY name;

-- find_name: the id of a text
SELECT id FROM name WHERE text = ?;

-- walk_all: ids of runs
SELECT id FROM run WHERE id < :before AND id > :after ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_states: ids of runs in any of up to seven states (NULL for one that is not wanted)
SELECT id FROM run WHERE state = :s0 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s3 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s4 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s5 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s6 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_journaled: ids of journaled runs in any of up to seven states
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s0 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s3 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s4 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s5 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s6 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_journal: ids of runs journaled under a name, in any of up to seven states
SELECT id FROM run WHERE journal = :journal AND state = :s0 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s3 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s4 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s5 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s6 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_operation: ids of runs of an operation, in any of up to seven states
SELECT id FROM run WHERE operation = :operation AND state = :s0 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s3 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s4 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s5 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s6 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_operation_journal: like walk_operation, of those that are journaled (under a name, if one is given)
SELECT id FROM run WHERE operation = :operation AND state = :s0 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s1 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s2 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s3 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s4 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s5 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s6 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL)
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_parent: ids of the runs that were started inside a run, with the conditions of "fits"
SELECT id FROM run
WHERE parent = :parent AND id < :before AND id > :after
    AND :states & (1 << state) AND (:operation IS NULL OR operation = :operation)
    AND (:journal IS NULL OR journal = :journal) AND (NOT :journaled OR journal IS NOT NULL)
ORDER BY id DESC;

-- walk_label: ids of runs that have a label
SELECT run AS id FROM run_label WHERE label = :label AND run < :before AND run > :after ORDER BY run DESC;

-- walk_label_fitting: ids of runs that have a label, with conditions
SELECT run_label.run AS id FROM run_label CROSS JOIN run ON run.id = run_label.run
WHERE run_label.label = :label AND run_label.run < :before AND run_label.run > :after
    AND :states & (1 << state) AND (:operation IS NULL OR operation = :operation)
    AND (:journal IS NULL OR journal = :journal) AND (NOT :journaled OR journal IS NOT NULL)
    AND (:parent IS NULL OR parent = :parent)
ORDER BY run_label.run DESC;
