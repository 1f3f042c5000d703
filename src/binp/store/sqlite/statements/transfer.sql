-- What is taken in from elsewhere.

-- find_revisions: those of runs that are here, [[id, rev, state], ...]
SELECT json_group_array(json_array(run.id, run.rev, run.state))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;
