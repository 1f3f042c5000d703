-- Which runs: the walks name the newest first; read with ASC in place of DESC they go the other way. What has ended is
-- found in the index, what is not in there is looked at one by one. Runs that have not ended (state < 2) are few and have
-- an index of their own: a condition says it in the words of that index, or it is not used.

-- walk_all: ids of runs
SELECT id FROM run WHERE id < :before AND id > :after ORDER BY id DESC LIMIT :limit;

-- walk_parent: ids of the runs that were started inside a run
SELECT id FROM run WHERE parent = :parent AND id < :before AND id > :after ORDER BY id DESC LIMIT :limit;

-- walk_fresh: ids of runs that have not ended, or are not in the index yet
SELECT id FROM run WHERE state = 0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = 1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT run FROM unindexed WHERE run < :before AND run > :after
ORDER BY 1 DESC LIMIT :limit;

-- walk_index: ids of runs in a part of the index that fit an expression, and are still there
SELECT search_0.rowid FROM search_0
WHERE search_0 MATCH :expression AND search_0.rowid < :before AND search_0.rowid > :after
    AND EXISTS (SELECT 1 FROM run WHERE run.id = search_0.rowid)
ORDER BY search_0.rowid DESC LIMIT :limit;

-- list_parts: the parts of the index
SELECT number, first FROM search_part WHERE first >= 0 ORDER BY first;

-- labels_of: the labels of runs
SELECT run.id, run.labels FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- get_tokens: the properties of runs as they are searched by
SELECT document.id, CAST(document.tokens AS BLOB)
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- get_documents: the properties and texts of runs as they are searched by
SELECT document.id, CAST(document.tokens || ' ' || replace(document.words, char(57345), ' ' || char(57345) || ' ') AS BLOB)
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- get_kinds: operation and state of runs
SELECT run.id, run.operation, run.state FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- get_names: texts that are kept once
SELECT id, text FROM name WHERE id IN (SELECT value FROM json_each(?));

-- oldest_id: the smallest id of a run
SELECT min(id) FROM run;

-- walk_tally: how many runs there are of hours or days, operations and states, the last of these first
SELECT hour, operation, state, runs FROM tally
WHERE hours = :hours AND (hour, operation, state) < (:hour, :operation, :state) AND hour >= :first
ORDER BY hour DESC, operation DESC, state DESC LIMIT :limit;

-- The rest is asked of an index in memory, which also keeps where the words stand.

-- scratch_make: the index
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (
    text, content = '', columnsize = 0, detail = full, tokenize = 'unicode61 remove_diacritics 2'
);

-- scratch_make_words: its words
CREATE VIRTUAL TABLE IF NOT EXISTS search_word USING fts5vocab (search, instance);

-- scratch_insert: a text gets into it
INSERT INTO search (rowid, text) VALUES (?, CAST(? AS TEXT));

-- scratch_words: the words of a text, and where they stand
SELECT offset, term FROM search_word;

-- scratch_match: what fits an expression
SELECT rowid FROM search WHERE search MATCH ?;

-- scratch_clear: all of it goes
INSERT INTO search (search) VALUES ('delete-all');
