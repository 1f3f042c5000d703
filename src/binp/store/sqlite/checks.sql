-- What must never be found in a database. Each statement names what it looks for and counts it; they read everything.

-- records_without_run: records that belong to no run
SELECT count(*) FROM record WHERE run NOT IN (SELECT id FROM run);

-- labels_not_findable: runs that cannot be found by one of their labels
SELECT count(*) FROM run CROSS JOIN json_each(run.labels) AS given
LEFT JOIN label ON label.text = given.value
WHERE label.id IS NULL;

-- labels_miscounted: labels that more or fewer runs have than is counted
SELECT count(*) FROM (
    SELECT text, runs FROM label
    EXCEPT SELECT given.value, count(*) FROM run CROSS JOIN json_each(run.labels) AS given GROUP BY given.value
);

-- runs_miscounted: hours, actions and states of which more or fewer runs are there than is counted
SELECT count(*) FROM (
    SELECT hour, operation, state, runs FROM tally WHERE hours = 1
    EXCEPT SELECT (id / 4096 + 1704067200000) / 3600000, operation, state, count(*)
    FROM run WHERE state > 1 AND id NOT IN (SELECT run FROM unindexed) GROUP BY 1, 2, 3
);

-- days_miscounted: days, actions and states of which more or fewer runs are counted than of their hours
SELECT count(*) FROM (
    SELECT hour, operation, state, runs FROM tally WHERE hours = 24
    EXCEPT SELECT hour / 24 * 24, operation, state, sum(runs) FROM tally WHERE hours = 1 GROUP BY 1, 2, 3
);

-- runs_not_counted: runs that have ended and are neither counted nor waiting for it
SELECT count(*) FROM run
WHERE state > 1 AND id NOT IN (SELECT run FROM unindexed) AND NOT EXISTS (
    SELECT 1 FROM tally
    WHERE hours = 1 AND hour = (run.id / 4096 + 1704067200000) / 3600000 AND operation = run.operation AND tally.state = run.state
);

-- waiting_without_run: runs that wait to be counted and are not there, or go on
SELECT count(*) FROM unindexed WHERE run NOT IN (SELECT id FROM run WHERE state > 1);

-- runs_without_name: runs of operations, nodes or triggers whose names are not there
SELECT count(*) FROM run
WHERE operation NOT IN (SELECT id FROM name) OR description NOT IN (SELECT id FROM name)
    OR trigger NOT IN (SELECT id FROM name) OR node NOT IN (SELECT id FROM name)
    OR coalesce(journal, operation) NOT IN (SELECT id FROM name)
    OR coalesce(actor, operation) NOT IN (SELECT id FROM name)
    OR coalesce(version, operation) NOT IN (SELECT id FROM name);

-- records_without_name: records whose level or source is not there
SELECT count(*) FROM record WHERE level NOT IN (SELECT id FROM name) OR source NOT IN (SELECT id FROM name);

-- too_few_counted: runs that have more records than they say
SELECT count(*) FROM run WHERE records < (SELECT count(*) FROM record WHERE record.run = run.id);

-- unknown_states: runs in a state that there is not
SELECT count(*) FROM run WHERE state NOT BETWEEN 0 AND 6;

-- ended_without_end: runs that have ended, and nobody knows when
SELECT count(*) FROM run WHERE state > 1 AND (ended IS NULL OR duration IS NULL);

-- open_with_end: runs that go on, and have an end
SELECT count(*) FROM run WHERE state < 2 AND ended IS NOT NULL;

-- failed_without_reason: runs that failed, and do not say why
SELECT count(*) FROM run WHERE state IN (3, 4, 5) AND coalesce(error, '') = '';

-- versions_below_one: keys of a version that there is not
SELECT count(*) FROM kv WHERE version < 1;
