-- Imports.

-- find_revisions: those of some runs that exist, [[id, rev, state], ...]
SELECT json_group_array(json_array(run.id, run.rev, run.state))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- find_missing_records: the runs of those of some records, [[run, seq], ...], that do not exist, [run, ...]
SELECT json_group_array(json_extract(wanted.value, '$[0]'))
FROM json_each(?) AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM record
    WHERE record.run = json_extract(wanted.value, '$[0]') AND record.seq = json_extract(wanted.value, '$[1]')
);
