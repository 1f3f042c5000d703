-- Key-value state.

-- find_versions: where the versions of keys are, [[position, version, exists], ...]
SELECT json_group_array(json_array(wanted.key, coalesce(kv.version, kv_removed.version), kv.version IS NOT NULL))
FROM json_each(?) AS wanted
LEFT JOIN kv ON kv.namespace = json_extract(wanted.value, '$[0]') AND kv.key = json_extract(wanted.value, '$[1]')
LEFT JOIN kv_removed
    ON kv_removed.namespace = json_extract(wanted.value, '$[0]')
    AND kv_removed.key = json_extract(wanted.value, '$[1]');

-- find_version: where the version of one key is
SELECT version, 1 FROM kv WHERE namespace = :namespace AND key = :key
UNION ALL SELECT version, 0 FROM kv_removed WHERE namespace = :namespace AND key = :key;

-- put_keys: values of keys
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]'), json_extract(value, '$[7]'),
    json_extract(value, '$[8]')
FROM json_each(?) WHERE true
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor;

-- put_key: the value of one key, of a name that JSON cannot carry into SQLite whole
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor;

-- bury_key: remember the version of a key that is removed, and by whom it was
INSERT INTO kv_removed (namespace, key, version, removed, run, epoch, actor) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    version = excluded.version, removed = excluded.removed, run = excluded.run, epoch = excluded.epoch,
    actor = excluded.actor;

-- drop_key: remove one key
DELETE FROM kv WHERE namespace = ? AND key = ?;

-- get_key: one key
SELECT namespace, key, value, module, version, updated FROM kv WHERE namespace = ? AND key = ?;

-- list_keys: keys of a namespace from one name on and before another, by name
SELECT namespace, key, value, module, version, updated FROM kv
WHERE namespace = :namespace AND key >= :start AND key < :stop ORDER BY key LIMIT :limit;

-- namespaces: namespaces that have keys, each found by one step in the index
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM kv
    UNION ALL
    SELECT (SELECT min(kv.namespace) FROM kv WHERE kv.namespace > found.namespace)
    FROM found WHERE found.namespace IS NOT NULL
)
SELECT namespace FROM found WHERE namespace IS NOT NULL;
