-- Care of the file: what is old goes.

-- find_erasable: those of runs that have ended and have no child that has not, with their records, [[id, records], ...]
SELECT json_group_array(json_array(run.id, run.records))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1 AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- get_labels: the labels of those of runs that have any, ["[label, ...]", ...]
SELECT json_group_array(run.labels)
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value WHERE run.labels IS NOT NULL;

-- release_labels: so many runs less have labels, [[text, number], ...]
UPDATE label SET runs = runs - json_extract(new.value, '$[1]')
FROM json_each(?) AS new WHERE label.text = json_extract(new.value, '$[0]')
RETURNING label.id, label.runs;

-- drop_labels: labels that no run has any more
DELETE FROM label WHERE id IN (SELECT value FROM json_each(?)) RETURNING text;

-- erase_steps: what is remembered for further attempts of runs
DELETE FROM step WHERE origin IN (SELECT value FROM json_each(?));

-- erase_records: the records of runs
DELETE FROM record WHERE run IN (SELECT value FROM json_each(?));

-- erase_runs: runs
DELETE FROM run WHERE id IN (SELECT value FROM json_each(?));

-- thin_records: records of a run behind the first ones, the last ones of them
DELETE FROM record WHERE run = :run AND seq IN (
    SELECT seq FROM record WHERE run = :run AND seq > :kept ORDER BY seq DESC LIMIT :most
);

-- trim_records: records of a run behind the first ones, the first ones of them, that are older than a moment
DELETE FROM record WHERE run = :run AND seq > :kept AND at < :before
    AND seq < (SELECT seq FROM record WHERE run = :run AND seq > :kept ORDER BY seq LIMIT 1) + :most;

-- count_erased: so many runs were erased
INSERT INTO erased (id, runs, at) VALUES (1, :runs, :at)
ON CONFLICT (id) DO UPDATE SET runs = runs + excluded.runs, at = excluded.at;

-- get_erased: how many runs were erased so far, and when the last one was
SELECT runs, at FROM erased WHERE id = 1;

-- forget_once: what happened only once, a long time ago
DELETE FROM once WHERE key IN (SELECT key FROM once WHERE at < :before ORDER BY at LIMIT :most);

-- forget_nodes: processes that have been gone for a long time
DELETE FROM node WHERE gone < :before;

-- find_ended: those of runs that could be erased and are under no rule of these operations and labels, in their order
SELECT run.id, run.state, coalesce(run.ended, run.started), run.records
FROM json_each(:runs) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1
    AND run.operation NOT IN (SELECT value FROM json_each(:operations))
    AND NOT EXISTS (
        SELECT 1 FROM json_each(run.labels) AS found WHERE found.value IN (SELECT value FROM json_each(:labels))
    )
    AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- count_all: number of runs: those that are counted, those that wait for it, and those that go on
SELECT (SELECT coalesce(sum(runs), 0) FROM tally WHERE hours = 24)
    + (SELECT count(*) FROM unindexed)
    + (SELECT count(*) FROM run WHERE state IN (0, 1) AND state < 2);

-- oldest_run: when the oldest run began
SELECT started FROM run WHERE id = (SELECT min(id) FROM run);

-- long_runs: runs that go on and have many records
SELECT id FROM run WHERE state = 1 AND state < 2 AND records > :records;
