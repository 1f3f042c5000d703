-- What is taken in from elsewhere.

-- find_revisions: those of runs that are here, [[id, rev, state], ...]
SELECT json_group_array(json_array(run.id, run.rev, run.state))
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- find_last_versions: the versions of keys, removed or not, [[position, version], ...]; 0 for one that never was
SELECT json_group_array(
    json_array(wanted.key, max(coalesce(kv.version, 0), coalesce(kv_removed.version, 0)))
)
FROM json_each(?) AS wanted
LEFT JOIN kv ON kv.namespace = json_extract(wanted.value, '$[0]') AND kv.key = json_extract(wanted.value, '$[1]')
LEFT JOIN kv_removed
    ON kv_removed.namespace = json_extract(wanted.value, '$[0]')
    AND kv_removed.key = json_extract(wanted.value, '$[1]');

-- drop_keys: keys are gone
DELETE FROM kv WHERE (namespace, key) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
);

-- drop_removed_keys: nothing is remembered of removed keys
DELETE FROM kv_removed WHERE (namespace, key) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
);
