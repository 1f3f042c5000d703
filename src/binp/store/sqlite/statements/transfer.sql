-- What is taken in from elsewhere.

-- find_revisions: those of runs that are here, [[id, rev, state], ...]
SELECT json_group_array(json_array(run.id, run.rev, run.state))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- find_missing_records: the runs of those of records, [[run, seq], ...], that are not here, [run, ...]
SELECT json_group_array(json_extract(wanted.value, '$[0]'))
FROM json_each(?) AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM record
    WHERE record.run = json_extract(wanted.value, '$[0]') AND record.seq = json_extract(wanted.value, '$[1]')
);
