-- Maintenance of the file: erase what is old.

-- find_erasable: those of some runs that have ended and have no open child, with their records, [[id, records], ...]
SELECT json_group_array(json_array(run.id, run.records))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1 AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- get_labels: the labels of those of some runs that have any, ["[label, ...]", ...]
SELECT json_group_array(run.labels)
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value WHERE run.labels IS NOT NULL;

-- release_labels: subtract from the numbers of runs with labels, [[text, number], ...]
UPDATE label SET runs = runs - json_extract(new.value, '$[1]')
FROM json_each(?) AS new WHERE label.text = json_extract(new.value, '$[0]')
RETURNING label.id, label.runs;

-- drop_labels: delete labels without runs
DELETE FROM label WHERE id IN (SELECT value FROM json_each(?)) RETURNING text;

-- erase_steps: delete the completed steps of runs
DELETE FROM step WHERE origin IN (SELECT value FROM json_each(?));

-- erase_records: delete the records of runs
DELETE FROM record WHERE run IN (SELECT value FROM json_each(?));

-- erase_runs: delete runs
DELETE FROM run WHERE id IN (SELECT value FROM json_each(?));

-- thin_records: delete the last records of a run, except its first ones
DELETE FROM record WHERE run = :run AND seq IN (
    SELECT seq FROM record WHERE run = :run AND seq > :kept ORDER BY seq DESC LIMIT :most
);

-- trim_records: delete the oldest records of a run that are older than a time, except its first ones
DELETE FROM record WHERE run = :run AND seq > :kept AND at < :before
    AND seq < (SELECT seq FROM record WHERE run = :run AND seq > :kept ORDER BY seq LIMIT 1) + :most;

-- count_erased: add to the number of erased runs
INSERT INTO erased (id, runs, at) VALUES (1, :runs, :at)
ON CONFLICT (id) DO UPDATE SET runs = runs + excluded.runs, at = excluded.at;

-- get_erased: the number of erased runs, and when the last one was erased
SELECT runs, at FROM erased WHERE id = 1;

-- forget_once: delete old idempotency keys
DELETE FROM once WHERE key IN (SELECT key FROM once WHERE at < :before ORDER BY at LIMIT :most);

-- forget_nodes: delete processes that have been gone for long
DELETE FROM node WHERE gone < :before;

-- find_ended: those of some runs that may be erased and have no rule for their operation or labels, in their order
SELECT run.id, run.state, coalesce(run.ended, run.started), run.records
FROM json_each(:runs) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1
    AND run.operation NOT IN (SELECT value FROM json_each(:operations))
    AND NOT EXISTS (
        SELECT 1 FROM json_each(run.labels) AS found WHERE found.value IN (SELECT value FROM json_each(:labels))
    )
    AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- count_all: number of runs: in the tally, waiting for it, and open
SELECT (SELECT coalesce(sum(runs), 0) FROM tally WHERE hours = 24)
    + (SELECT count(*) FROM unindexed)
    + (SELECT count(*) FROM run WHERE state IN (0, 1) AND state < 2);

-- oldest_run: when the oldest run was started
SELECT started FROM run WHERE id = (SELECT min(id) FROM run);

-- long_runs: open runs with many records
SELECT id FROM run WHERE state = 1 AND state < 2 AND records > :records;
