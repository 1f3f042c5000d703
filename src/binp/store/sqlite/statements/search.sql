-- Which runs: the walks name the newest first; read with ASC in place of DESC they go the other way.
-- Open runs (state < 2) are few and have one index, ended ones (state > 1) have the others: a condition says it in the
-- words of the index, or it is not used.

-- walk_all: ids of runs
SELECT id FROM run WHERE id < :before AND id > :after ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_states: ids of runs in any of up to seven states (NULL for one that is not wanted)
SELECT id FROM run WHERE state = :s0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s2 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s3 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s4 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s5 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = :s6 AND state > 1 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_journaled: ids of journaled runs in any of up to seven states
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s2 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s3 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s4 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s5 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal IS NOT NULL AND state = :s6 AND state > 1 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_journal: ids of runs journaled under a name, in any of up to seven states
SELECT id FROM run WHERE journal = :journal AND state = :s0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s2 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s3 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s4 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s5 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE journal = :journal AND state = :s6 AND state > 1 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_operation: ids of runs of an operation, in any of up to seven states
SELECT id FROM run WHERE operation = :operation AND state = :s0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s2 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s3 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s4 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s5 AND state > 1 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s6 AND state > 1 AND id < :before AND id > :after
ORDER BY id DESC LIMIT :limit OFFSET :offset;

-- walk_operation_journal: like walk_operation, of those that are journaled (under a name, if one is given)
SELECT id FROM run WHERE operation = :operation AND state = :s0 AND state < 2 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s1 AND state < 2 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s2 AND state > 1 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s3 AND state > 1 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s4 AND state > 1 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s5 AND state > 1 AND id < :before AND id > :after
    AND coalesce(journal = :journal, journal IS NOT NULL AND :journal IS NULL) UNION ALL
SELECT id FROM run WHERE operation = :operation AND state = :s6 AND state > 1 AND id < :before AND id > :after
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
