-- Key-value state.

-- find_versions: present versions of keys, [[place, version, keep, exists, expires], ...]
WITH wanted (place, namespace, key) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(wanted.place, kv.version, kv.keep, 1, kv.expires))
FROM wanted CROSS JOIN kv ON kv.namespace = wanted.namespace AND kv.key = wanted.key;

-- find_removed: the same for removed keys
WITH wanted (place, namespace, key) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(wanted.place, gone.version, gone.keep, 0, NULL))
FROM wanted CROSS JOIN kv_removed AS gone ON gone.namespace = wanted.namespace AND gone.key = wanted.key;

-- archive_keys: keep the present versions of keys before they change, except very long values
WITH wanted (namespace, key, id) AS (VALUES (?, ?, ?))
INSERT INTO kv_past (id, namespace, key, version, value, module, at, run, actor, removed, past)
SELECT
    wanted.id, kv.namespace, kv.key, kv.version, CASE WHEN length(kv.value) <= 65536 THEN kv.value END, kv.module,
    kv.updated, kv.run, kv.actor, 0, kv.past
FROM wanted CROSS JOIN kv ON kv.namespace = wanted.namespace AND kv.key = wanted.key;

-- archive_removed: keep how keys were removed before they are set again
WITH wanted (namespace, key, id) AS (VALUES (?, ?, ?))
INSERT INTO kv_past (id, namespace, key, version, value, module, at, run, actor, removed, past)
SELECT
    wanted.id, gone.namespace, gone.key, gone.version, NULL, NULL, gone.removed, gone.run, gone.actor,
    1 + gone.expired, gone.past
FROM wanted CROSS JOIN kv_removed AS gone ON gone.namespace = wanted.namespace AND gone.key = wanted.key;

-- add_past: add versions that were only present within one commit
INSERT INTO kv_past (namespace, key, id, version, value, module, at, run, actor, removed, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- put_keys: set the values of keys
INSERT INTO kv (namespace, key, value, module, version, updated, run, epoch, actor, expires, keep, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    value = excluded.value, module = excluded.module, version = excluded.version, updated = excluded.updated,
    run = excluded.run, epoch = excluded.epoch, actor = excluded.actor, expires = excluded.expires,
    keep = excluded.keep, past = excluded.past;

-- drop_keys: delete the values of removed keys
DELETE FROM kv WHERE (namespace, key) IN (VALUES (?, ?));

-- bury_keys: remember the versions of removed keys, and who removed them
INSERT INTO kv_removed (namespace, key, version, removed, expired, run, epoch, actor, keep, past)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET
    version = excluded.version, removed = excluded.removed, expired = excluded.expired, run = excluded.run,
    epoch = excluded.epoch, actor = excluded.actor, keep = excluded.keep, past = excluded.past;

-- unbury_keys: forget the removal of keys that are set again
DELETE FROM kv_removed WHERE (namespace, key) IN (VALUES (?, ?));

-- get_value: value and expiry of one key
SELECT value, expires FROM kv WHERE namespace = ? AND key = ?;

-- find_key: whether a key is in the file, and its version
SELECT version FROM kv WHERE namespace = ? AND key = ?;

-- get_key: one key
SELECT namespace, key, value, module, version, updated, expires, run, actor FROM kv WHERE namespace = ? AND key = ?;

-- list_keys: keys of a namespace, from one name (inclusive) to another (exclusive), by name
SELECT namespace, key, value, module, version, updated, expires, run, actor FROM kv
WHERE namespace = :namespace AND key >= :start AND key < :stop AND (expires IS NULL OR expires > :now)
ORDER BY key LIMIT :limit;

-- namespaces: namespaces with keys, found by one step in the index each
WITH RECURSIVE found (namespace) AS (
    SELECT min(namespace) FROM kv
    UNION ALL
    SELECT (SELECT min(kv.namespace) FROM kv WHERE kv.namespace > found.namespace)
    FROM found WHERE found.namespace IS NOT NULL
)
SELECT namespace FROM found WHERE namespace IS NOT NULL AND EXISTS (
    SELECT 1 FROM kv WHERE kv.namespace = found.namespace AND (kv.expires IS NULL OR kv.expires > :now)
);

-- get_history: versions of a key after a version, newest first, each linked to the one before
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
    -- an id may have been reused
    AND kv_past.version < found.version AND kv_past.namespace = :namespace AND kv_past.key = :key
)
SELECT version, value, module, at, run, actor, removed, expires FROM found WHERE version > :after LIMIT :limit;

-- newest_past: the largest id of a past version
SELECT max(id) FROM kv_past;

-- next_expiry: the next expiry of a key
SELECT min(expires) FROM kv WHERE expires IS NOT NULL;

-- expired_keys: the first expired keys, [[namespace, key], ...]
SELECT json_group_array(json_array(namespace, key))
FROM (SELECT namespace, key FROM kv WHERE expires <= :now ORDER BY expires LIMIT :most) AS found;

-- get_floor: the largest version of all forgotten keys
SELECT version FROM kv_floor WHERE id = 1;

-- drop_past: delete, between two ids, the past versions that exceed the limit or belong to forgotten keys
DELETE FROM kv_past WHERE id > :after AND id <= :until
AND NOT EXISTS (
    SELECT 1 FROM kv
    WHERE kv.namespace = kv_past.namespace AND kv.key = kv_past.key AND kv.version - kv.keep < kv_past.version
)
AND NOT EXISTS (
    SELECT 1 FROM kv_removed AS gone
    WHERE gone.namespace = kv_past.namespace AND gone.key = kv_past.key AND gone.version - gone.keep < kv_past.version
);

-- find_past: the id of the past version a number of rows after an id
SELECT id FROM kv_past WHERE id > :after ORDER BY id LIMIT 1 OFFSET :count;

-- oldest_kept: when the oldest of the removed keys to be remembered was removed
SELECT removed FROM kv_removed WHERE removed >= 0 ORDER BY removed DESC LIMIT 1 OFFSET :count;

-- forget_removed: forget some of the keys removed until then
DELETE FROM kv_removed WHERE (namespace, key) IN (
    SELECT namespace, key FROM kv_removed WHERE removed <= :until ORDER BY removed LIMIT :most
)
RETURNING version;

-- raise_floor: new keys start above this version
INSERT INTO kv_floor (id, version) VALUES (1, :version)
ON CONFLICT (id) DO UPDATE SET version = max(version, excluded.version);
