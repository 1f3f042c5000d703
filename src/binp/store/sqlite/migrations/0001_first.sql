-- Runs with their records and labels, key-value state, services, and the processes that hold them.
-- Times are microseconds since the epoch. The columns "name" of other tables point here as plain integers.

-- Every text that repeats is kept once: names of operations, descriptions, levels, nodes, people. These stay.
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- Labels may be of any number, so one that no run has any more goes. "runs" is how many have it.
CREATE TABLE label (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    runs INTEGER NOT NULL DEFAULT 0
) STRICT;

-- state: 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled, 5 interrupted, 6 skipped
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    operation INTEGER NOT NULL,
    journal INTEGER,
    description INTEGER NOT NULL,
    state INTEGER NOT NULL,
    trigger INTEGER NOT NULL,
    actor INTEGER,
    parent INTEGER,
    attempt INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    node INTEGER NOT NULL,
    version INTEGER,
    due INTEGER,
    origin INTEGER,
    slot TEXT,
    started INTEGER NOT NULL,
    ended INTEGER,
    duration INTEGER,
    records INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    cancelled_at INTEGER,
    cancelled_by INTEGER,
    progress REAL,
    progress_total REAL,
    progress_message TEXT,
    labels TEXT,
    error_type TEXT,
    error TEXT,
    arguments TEXT,
    result TEXT,
    traceback TEXT
) STRICT;

-- The id is the last column of every index, so each is a walk in order of time. Runs that have ended are found by the
-- index of all their properties below; those that have not are few.
CREATE INDEX run_open ON run (state) WHERE state < 2;
CREATE INDEX run_parent ON run (parent) WHERE parent IS NOT NULL;
CREATE INDEX run_slot ON run (slot, state) WHERE slot IS NOT NULL AND state < 2;
CREATE INDEX run_origin ON run (origin) WHERE origin IS NOT NULL;

CREATE TABLE record (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    level INTEGER NOT NULL,
    source INTEGER NOT NULL,
    message TEXT NOT NULL,
    fields TEXT,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- What runs are searched by: their texts, and a token for each of their properties, written some time after a run has
-- ended. The index is made of parts, "search_0", "search_1" and so on, which are made and dropped while the file is used;
-- it merges what is in them in small steps, between the commits of others.
CREATE VIRTUAL TABLE search_0 USING fts5 (
    text, content = '', columnsize = 0, detail = none, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO search_0 (search_0, rank) VALUES ('automerge', 0);
INSERT INTO search_0 (search_0, rank) VALUES ('pgsz', 1000);

-- A part holds runs from the id "first" on, up to the next part. Of the "documents" that got into it some are stale: runs
-- that were erased since (so many, as far as is known), and those beyond its end, which the next part holds now. "merged":
-- 0 not at all, 1 begun, 2 done. A part whose "first" is negative is not asked any more: its pages go, a few at a time.
CREATE TABLE search_part (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL UNIQUE,
    last INTEGER NOT NULL DEFAULT 0,
    documents INTEGER NOT NULL DEFAULT 0,
    erased INTEGER NOT NULL DEFAULT 0,
    merged INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO search_part (number, first) VALUES (0, 0);

-- The runs that have ended and are not in the index yet.
CREATE TABLE unindexed (
    run INTEGER PRIMARY KEY
) STRICT;
CREATE TRIGGER run_begins_ended AFTER INSERT ON run WHEN new.state > 1
BEGIN
    INSERT OR IGNORE INTO unindexed (run) VALUES (new.id);
END;
CREATE TRIGGER run_ends AFTER UPDATE OF state ON run WHEN new.state > 1 AND old.state < 2
BEGIN
    INSERT INTO unindexed (run) VALUES (new.id);
END;

-- How many runs there are that came into being in an hour and have ended, and how many in a day ("hours" is 1 or 24).
-- Counted together with the index: what is not in there yet is not in here. "hour" is in hours since the epoch.
CREATE TABLE tally (
    hours INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    state INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (hours, hour, operation, state)
) STRICT, WITHOUT ROWID;

-- What goes into the index for a run. A token is the character U+E000, a letter and the number of what it stands for.
-- The character U+E001 stands between texts that are not one behind the other.
CREATE VIEW document AS
SELECT
    run.id AS id,
    char(57344) || 's' || run.state
        || ' ' || char(57344) || 'o' || run.operation
        || iif(run.journal IS NULL, '', ' ' || char(57344) || iif(run.journal = run.operation, 'j', 'k'))
        || iif(run.journal = run.operation, '', coalesce(' ' || char(57344) || 'i' || run.journal, ''))
        || ' ' || char(57344) || 'g' || run.trigger
        || ' ' || char(57344) || 'n' || run.node
        || coalesce(' ' || char(57344) || 'a' || run.actor, '')
        || coalesce(' ' || char(57344) || 'p' || run.parent, '')
        || coalesce((
            SELECT group_concat(' ' || char(57344) || 'l' || label.id, '')
            FROM json_each(run.labels) AS found CROSS JOIN label ON label.text = found.value
        ), '') AS tokens,
    replace(
        (SELECT text FROM name WHERE id = run.operation)
            || iif(run.journal = run.operation, '', coalesce(
                char(57345) || (SELECT text FROM name WHERE id = run.journal), ''))
            || coalesce(char(57345) || (SELECT group_concat(value, char(57345)) FROM json_each(run.labels)), '')
            || coalesce(char(57345) || run.error_type, '')
            || coalesce(char(57345) || CAST(substr(CAST(run.error AS BLOB), 1, 16384) AS TEXT), '')
            || coalesce(char(57345) || (
                SELECT group_concat(
                    iif(typeof(key) = 'text', key || ' ', '')
                    || CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE coalesce(atom, '') END,
                    char(57345)
                )
                FROM json_tree(iif(length(run.arguments) < 65536 AND json_valid(run.arguments), run.arguments, NULL))
            ), '')
            || coalesce(char(57345) || (
                SELECT group_concat(
                    CAST(substr(CAST(message AS BLOB), 1, 16384) AS TEXT)
                    || coalesce(char(57345) || (
                        SELECT group_concat(
                            iif(typeof(key) = 'text', key || ' ', '')
                            || CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE coalesce(atom, '') END,
                            char(57345)
                        )
                        FROM json_tree(iif(length(fields) < 65536 AND json_valid(fields), fields, NULL))
                    ), ''),
                    char(57345)
                )
                FROM (SELECT message, fields FROM record WHERE record.run = run.id AND seq <= 1000 ORDER BY seq)
            ), ''),
        char(57344), ' '
    ) AS words
FROM run;

CREATE TABLE kv (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    module TEXT,
    version INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    run INTEGER,
    epoch INTEGER,
    actor TEXT,
    expires INTEGER,
    keep INTEGER NOT NULL DEFAULT 100,
    past INTEGER,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expires ON kv (expires) WHERE expires IS NOT NULL;

-- Where the version of a removed key goes on from. The oldest are forgotten; no version goes back for that, because a
-- key that is not remembered begins above "kv_floor".
CREATE TABLE kv_removed (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    expired INTEGER NOT NULL DEFAULT 0,
    run INTEGER,
    epoch INTEGER,
    actor TEXT,
    keep INTEGER NOT NULL DEFAULT 100,
    past INTEGER,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_removed_at ON kv_removed (removed);

CREATE TABLE kv_floor (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

-- What keys were before: each leads to the version before it ("past"), as the key does to the last of them. Rows are
-- only added at the end, which costs little, and are read over again and again to find those that are too many.
-- removed: 0 it had a value, 1 it was removed, 2 it expired
CREATE TABLE kv_past (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    value TEXT,
    module TEXT,
    at INTEGER NOT NULL,
    run INTEGER,
    actor TEXT,
    removed INTEGER NOT NULL,
    past INTEGER
) STRICT;

-- "wish" tells one command apart from all others: two may be given in the same microsecond, and clocks are set back.
-- "before" is that of the last command of the other kind: who reads only the last one learns of a restart from it.
-- "obeyed" is the one of the last command that had been obeyed when the service was seen to be what "status" says.
CREATE TABLE service (
    name TEXT PRIMARY KEY,
    desired INTEGER,
    desired_by TEXT,
    desired_at INTEGER,
    wish TEXT,
    before TEXT,
    status TEXT,
    obeyed TEXT,
    node TEXT,
    updated INTEGER NOT NULL,
    rev INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a run and its further attempts need not do again; "origin" is the first of them.
CREATE TABLE step (
    origin INTEGER NOT NULL,
    name TEXT NOT NULL,
    result TEXT NOT NULL,
    run INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (origin, name)
) STRICT, WITHOUT ROWID;

-- "until": every tick up to then was started or left out. "paused_at" is when it was paused, or let go on.
CREATE TABLE schedule (
    name TEXT PRIMARY KEY,
    spec TEXT,
    until INTEGER,
    paused INTEGER NOT NULL DEFAULT 0,
    paused_by TEXT,
    paused_at INTEGER,
    updated INTEGER NOT NULL,
    rev INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What may happen only once; "run" is the one that was begun with the key.
CREATE TABLE once (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    run INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX once_at ON once (at);

-- How many runs were erased so far, in the one row, and when the last one was.
CREATE TABLE erased (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    runs INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- A process that wrote here. Alive if the process (boot, pid, started) is; "numbered" is the last of its numbered writes
-- that is committed, "refused" the recent ones of them that were not acknowledged with True:
-- [[number, failure, outcome], ...].
CREATE TABLE node (
    name TEXT PRIMARY KEY,
    slot INTEGER NOT NULL,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    since INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    gone INTEGER,
    numbered INTEGER NOT NULL DEFAULT 0,
    refused TEXT NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
CREATE INDEX node_here ON node (name) WHERE gone IS NULL;
