-- Key-value state.

-- find_versions: the present version of a key, or of several, [[place, version, keep, is there, expires], ...]
WITH wanted (place, namespace, key) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(wanted.place, kv.version, kv.keep, 1, kv.expires))
FROM wanted CROSS JOIN kv ON kv.namespace = wanted.namespace AND kv.key = wanted.key;

-- find_removed: the same of keys that were removed
WITH wanted (place, namespace, key) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(wanted.place, gone.version, gone.keep, 0, NULL))
FROM wanted CROSS JOIN kv_removed AS gone ON gone.namespace = wanted.namespace AND gone.key = wanted.key;

-- archive_keys: keep what a key is before it changes, or several, unless it is very long
WITH wanted (namespace, key, id) AS (VALUES (?, ?, ?))
INSERT INTO kv_past (id, namespace, key, version, value, module, at, run, actor, removed, past)
SELECT
    wanted.id, kv.namespace, kv.key, kv.version, CASE WHEN length(kv.value) <= 65536 THEN kv.value END, kv.module,
    kv.updated, kv.run, kv.actor, 0, kv.past
FROM wanted CROSS JOIN kv ON kv.namespace = wanted.namespace AND kv.key = wanted.key;

-- archive_removed: keep how a key was removed before it is set again, or several
WITH wanted (namespace, key, id) AS (VALUES (?, ?, ?))
INSERT INTO kv_past (id, namespace, key, version, value, module, at, run, actor, removed, past)
SELECT
    wanted.id, gone.namespace, gone.key, gone.version, NULL, NULL, gone.removed, gone.run, gone.actor,
    1 + gone.expired, gone.past
FROM wanted CROSS JOIN kv_removed AS gone ON gone.namespace = wanted.namespace AND gone.key = wanted.key;

-- add_past: keep a version that was present for less than one commit, or several
INSERT INTO kv_past (namespace, key, id, version, value, module, at, run, actor, removed, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- put_keys: the value of a key, or of several
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor, expires, keep, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor, expires = excluded.expires,
    keep = excluded.keep, past = excluded.past;

-- drop_keys: a key that was there and is removed, or several
DELETE FROM kv WHERE (namespace, key) IN (VALUES (?, ?));

-- bury_keys: remember the version of a key that is removed, and by whom it was, or of several
INSERT INTO kv_removed (namespace, key, version, removed, expired, run, epoch, actor, keep, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    version = excluded.version, removed = excluded.removed, expired = excluded.expired, run = excluded.run,
    epoch = excluded.epoch, actor = excluded.actor, keep = excluded.keep, past = excluded.past;

-- unbury_keys: a key that was removed and is there again, or several
DELETE FROM kv_removed WHERE (namespace, key) IN (VALUES (?, ?));

-- get_value: the value of one key, and from when on it is not there
SELECT value, expires FROM kv WHERE namespace = ? AND key = ?;

-- find_key: whether a key is in the file, and in which version
SELECT version FROM kv WHERE namespace = ? AND key = ?;

-- get_key: one key
SELECT namespace, key, value, module, version, updated, expires, run, actor FROM kv WHERE namespace = ? AND key = ?;

-- list_keys: keys of a namespace from one name on and before another, by name
SELECT namespace, key, value, module, version, updated, expires, run, actor FROM kv
WHERE namespace = :namespace AND key >= :start AND key < :stop AND (expires IS NULL OR expires > :now)
ORDER BY key LIMIT :limit;

-- namespaces: namespaces that have keys, each found by one step in the index
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM kv
    UNION ALL
    SELECT (SELECT min(kv.namespace) FROM kv WHERE kv.namespace > found.namespace)
    FROM found WHERE found.namespace IS NOT NULL
)
SELECT namespace FROM found WHERE namespace IS NOT NULL AND EXISTS (
    SELECT 1 FROM kv WHERE kv.namespace = found.namespace AND (kv.expires IS NULL OR kv.expires > :now)
);

-- get_history: the versions of a key behind one, the newest first, each leading to the one before it
WITH RECURSIVE found (version, value, module, at, run, actor, removed, expires, past, oldest) AS (
    SELECT version, value, module, updated, run, actor, 0, expires, past, version - keep FROM kv
    WHERE namespace = :namespace AND key = :key
    UNION ALL
    SELECT version, NULL, NULL, removed, run, actor, 1 + expired, NULL, past, version - keep FROM kv_removed
    WHERE namespace = :namespace AND key = :key
    UNION ALL
    SELECT
        kv_past.version, kv_past.value, kv_past.module, kv_past.at, kv_past.run, kv_past.actor, kv_past.removed, NULL,
        kv_past.past, found.oldest
    FROM found CROSS JOIN kv_past ON kv_past.id = found.past
    WHERE kv_past.version > found.oldest AND kv_past.version > :after
    -- an id may have been given away anew
    AND kv_past.version < found.version AND kv_past.namespace = :namespace AND kv_past.key = :key
)
SELECT version, value, module, at, run, actor, removed, expires FROM found WHERE version > :after LIMIT :limit;

-- newest_past: the largest id of a past version
SELECT max(id) FROM kv_past;

-- next_expiry: when a key expires next
SELECT min(expires) FROM kv WHERE expires IS NOT NULL;

-- expired_keys: keys that have expired, the first ones of them, [[namespace, key], ...]
SELECT json_group_array(json_array(namespace, key))
FROM (SELECT namespace, key FROM kv WHERE expires <= :now ORDER BY expires LIMIT :most) AS found;

-- get_floor: the largest version that a key had which is not remembered any more
SELECT version FROM kv_floor WHERE id = 1;

-- drop_past: of past versions between two ids those that are too many, or whose key is not remembered any more
DELETE FROM kv_past WHERE id > :after AND id <= :until
AND NOT EXISTS (
    SELECT 1 FROM kv
    WHERE kv.namespace = kv_past.namespace AND kv.key = kv_past.key AND kv.version - kv.keep < kv_past.version
)
AND NOT EXISTS (
    SELECT 1 FROM kv_removed AS gone
    WHERE gone.namespace = kv_past.namespace AND gone.key = kv_past.key AND gone.version - gone.keep < kv_past.version
);

-- find_past: the id of the past version so many behind one
SELECT id FROM kv_past WHERE id > :after ORDER BY id LIMIT 1 OFFSET :count;

-- oldest_kept: when the last key was removed before so many others
SELECT removed FROM kv_removed WHERE removed >= 0 ORDER BY removed DESC LIMIT 1 OFFSET :count;

-- forget_removed: do not remember some of the keys that were removed until then
DELETE FROM kv_removed WHERE (namespace, key) IN (
    SELECT namespace, key FROM kv_removed WHERE removed <= :until ORDER BY removed LIMIT :most
)
RETURNING version;

-- raise_floor: no key begins below this version any more
INSERT INTO kv_floor (id, version) VALUES (1, :version)
ON CONFLICT (id) DO UPDATE SET version = max(version, excluded.version);
