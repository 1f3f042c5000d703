-- Care of the file: what is old goes.

-- find_erasable: those of runs that have ended and have no child that has not, with their records, [[id, records], ...]
SELECT json_group_array(json_array(run.id, run.records))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1 AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- erase_labels: the labels of runs; which they are stands in the runs
DELETE FROM run_label WHERE (label, run) IN (
    SELECT label.id, run.id
    FROM json_each(?) AS wanted
    CROSS JOIN run ON run.id = wanted.value
    CROSS JOIN json_each(run.labels) AS found
    CROSS JOIN label ON label.text = found.value
)
RETURNING label;

-- drop_labels: labels that no run has any more
DELETE FROM label
WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM run_label WHERE run_label.label = label.id)
RETURNING text;

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

-- page_of_all: ids of runs behind one, oldest first
SELECT id FROM run WHERE id > :after ORDER BY id LIMIT :most;

-- page_of_operation: ids of the runs of an operation that have ended, oldest first
SELECT id FROM run WHERE operation = :of AND state = 2 AND state > 1 AND id > :after AND id < :before UNION ALL
SELECT id FROM run WHERE operation = :of AND state = 3 AND state > 1 AND id > :after AND id < :before UNION ALL
SELECT id FROM run WHERE operation = :of AND state = 4 AND state > 1 AND id > :after AND id < :before UNION ALL
SELECT id FROM run WHERE operation = :of AND state = 5 AND state > 1 AND id > :after AND id < :before UNION ALL
SELECT id FROM run WHERE operation = :of AND state = 6 AND state > 1 AND id > :after AND id < :before
ORDER BY id LIMIT :most;

-- page_of_label: ids of runs that have a label, oldest first
SELECT run FROM run_label WHERE label = :of AND run > :after ORDER BY run LIMIT :most;

-- find_ended: those of runs that could be erased and are under no rule of these operations and labels, in their order
SELECT run.id, run.state, coalesce(run.ended, run.started), run.records
FROM json_each(:runs) AS wanted CROSS JOIN run ON run.id = wanted.value
WHERE run.state > 1
    AND run.operation NOT IN (SELECT value FROM json_each(:operations))
    AND NOT EXISTS (
        SELECT 1 FROM json_each(:labels) AS found
        CROSS JOIN run_label ON run_label.label = found.value AND run_label.run = run.id
    )
    AND NOT EXISTS (SELECT 1 FROM run AS child WHERE child.parent = run.id AND child.state IN (0, 1));

-- count_all: number of runs behind one; those that go on have an index of their own
SELECT (SELECT count(*) FROM run WHERE state IN (2, 3, 4, 5, 6) AND state > 1 AND id > :after)
    + (SELECT count(*) FROM run WHERE state IN (0, 1) AND state < 2 AND id > :after);

-- count_operation: number of runs of an operation behind one
SELECT
    (SELECT count(*) FROM run WHERE state IN (0, 1) AND state < 2 AND operation = :of AND id > :after)
    + (SELECT count(*) FROM run WHERE operation = :of AND state = 2 AND state > 1 AND id > :after AND id < :before)
    + (SELECT count(*) FROM run WHERE operation = :of AND state = 3 AND state > 1 AND id > :after AND id < :before)
    + (SELECT count(*) FROM run WHERE operation = :of AND state = 4 AND state > 1 AND id > :after AND id < :before)
    + (SELECT count(*) FROM run WHERE operation = :of AND state = 5 AND state > 1 AND id > :after AND id < :before)
    + (SELECT count(*) FROM run WHERE operation = :of AND state = 6 AND state > 1 AND id > :after AND id < :before);

-- count_label: number of runs behind one that have a label
SELECT count(*) FROM run_label WHERE label = :of AND run > :after;

-- oldest_run: when the oldest run began
SELECT started FROM run WHERE id = (SELECT min(id) FROM run);

-- long_runs: runs that go on and have many records
SELECT id FROM run WHERE state = 1 AND state < 2 AND records > :records;
