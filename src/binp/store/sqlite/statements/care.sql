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

-- erase_records: the records of runs
DELETE FROM record WHERE run IN (SELECT value FROM json_each(?));

-- erase_runs: runs
DELETE FROM run WHERE id IN (SELECT value FROM json_each(?));

-- thin_records: records of a run behind the first ones, the last ones of them
DELETE FROM record WHERE run = :run AND seq IN (
    SELECT seq FROM record WHERE run = :run AND seq > :kept ORDER BY seq DESC LIMIT :most
);
