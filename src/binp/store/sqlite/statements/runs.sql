-- Write runs with their records and labels, and read them by id.

-- newest_run: the largest id of a run
SELECT max(id) FROM run;

-- find_run: whether a run is in the file, and its revision
SELECT rev FROM run WHERE id = :id;

-- find_record: whether a record is in the file
SELECT seq FROM record WHERE run = :id AND seq = :rev;

-- load_runs: what the writer has to know about runs, [[id, state, epoch, rev, records, labels, cancelled_at, journaled,
-- started, slot, node]]
SELECT json_group_array(
    json_array(run.id, state, epoch, rev, records, labels, cancelled_at, journal IS NOT NULL, started, slot, name.text)
)
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value CROSS JOIN name ON name.id = run.node;

-- begin_runs: add new runs
INSERT INTO run (
    id, operation, journal, description, trigger, actor, node, version, state, parent, attempt, epoch, started, records,
    rev, labels, arguments, due, origin, slot
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- insert_runs: add new runs that have ended already
INSERT INTO run (
    id, operation, journal, description, trigger, actor, node, version, state, parent, attempt, epoch, started, records,
    rev, labels, arguments, due, origin, slot, ended, duration, result, error_type, error, traceback
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- touch_runs: update revision, number of records, and labels of open runs
UPDATE run SET
    rev = json_extract(new.value, '$[1]'), records = json_extract(new.value, '$[2]'),
    labels = json_extract(new.value, '$[3]')
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- cancel_runs: note requests to cancel runs
UPDATE run SET cancelled_at = json_extract(new.value, '$[1]'), cancelled_by = json_extract(new.value, '$[2]')
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- take_runs: queued runs are held by processes from now on
UPDATE run SET
    state = 1, node = json_extract(new.value, '$[1]'), started = json_extract(new.value, '$[2]'),
    epoch = json_extract(new.value, '$[3]'), rev = json_extract(new.value, '$[4]')
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- keep_step: store the result of a step; the first result is kept
INSERT INTO step (origin, name, result, run, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (origin, name) DO NOTHING;

-- get_steps: the completed steps of a run and its further attempts, by name
SELECT name, result, run, at FROM step WHERE origin = ? ORDER BY name;

-- get_orphans: queued runs whose process is gone
SELECT run.id FROM run JOIN name ON name.id = run.node LEFT JOIN node ON node.name = name.text
WHERE run.state = 0 AND run.state < 2 AND (node.name IS NULL OR node.gone IS NOT NULL) ORDER BY run.id LIMIT ?;

-- get_slot: the queued and running runs of a slot
SELECT id FROM run WHERE slot = ? AND state < 2;

-- count_slot: the number of running runs of a slot
SELECT count(*) FROM run WHERE slot = ? AND state = 1 AND state < 2;

-- move_runs: set the progress of runs
UPDATE run SET
    progress = json_extract(new.value, '$[1]'), progress_total = json_extract(new.value, '$[2]'),
    progress_message = json_extract(new.value, '$[3]')
FROM json_each(?) AS new WHERE run.id = json_extract(new.value, '$[0]');

-- end_runs: end existing runs. This is an update; for many rows at once, it takes a third of the time in this form. The
-- zeros are for columns for which the form requires a value, and are not used
INSERT INTO run (
    id, state, rev, records, labels, attempt, ended, duration, result, error_type, error, traceback, operation,
    description, trigger, epoch, node, started
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, rev = excluded.rev, records = excluded.records, labels = excluded.labels,
    attempt = coalesce(nullif(excluded.attempt, 0), attempt), ended = excluded.ended, duration = excluded.duration,
    result = excluded.result, error_type = excluded.error_type, error = excluded.error, traceback = excluded.traceback;

-- count_records: recompute the number of records of runs
UPDATE run SET records = (SELECT count(*) FROM record WHERE record.run = run.id)
WHERE id IN (SELECT value FROM json_each(?));

-- insert_records: add records; existing ones are kept
INSERT INTO record (run, seq, at, level, source, message, fields) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, seq) DO NOTHING;

-- count_labels: add to the numbers of runs with labels, [[id, number], ...]
UPDATE label SET runs = runs + json_extract(new.value, '$[1]')
FROM json_each(?) AS new WHERE label.id = json_extract(new.value, '$[0]');

-- get_runs: runs by id, in any order
SELECT
    run.id, operation.text, journal.text, description.text, run.state, trigger.text, actor.text, run.parent, run.attempt,
    run.epoch, node.text, version.text, run.arguments, run.result, run.error_type, run.error, run.traceback, run.labels,
    run.progress, run.progress_total, run.progress_message, run.cancelled_at, run.started, run.ended, run.duration,
    run.records, run.rev, run.due, run.origin, canceller.text
FROM json_each(?) AS wanted
CROSS JOIN run ON run.id = wanted.value
LEFT JOIN name AS operation ON operation.id = run.operation
LEFT JOIN name AS journal ON journal.id = run.journal
LEFT JOIN name AS description ON description.id = run.description
LEFT JOIN name AS trigger ON trigger.id = run.trigger
LEFT JOIN name AS actor ON actor.id = run.actor
LEFT JOIN name AS node ON node.id = run.node
LEFT JOIN name AS version ON version.id = run.version
LEFT JOIN name AS canceller ON canceller.id = run.cancelled_by;

-- get_records: records of a run
SELECT record.run, record.seq, record.at, level.text, source.text, record.message, record.fields
FROM record
LEFT JOIN name AS level ON level.id = record.level
LEFT JOIN name AS source ON source.id = record.source
WHERE record.run = :run AND record.seq > :after AND record.seq < :before ORDER BY record.seq DESC LIMIT :limit;
