-- Search for runs. The walks return the newest first; with ASC in place of DESC, the oldest. Ended runs are found in
-- the index; those that are not in it are checked one by one. Runs that have not ended (state < 2) are few and have
-- an index of their own, which SQLite only uses if the condition has exactly the form of that index.

-- walk_all: ids of runs
SELECT id FROM run WHERE id < :before AND id > :after ORDER BY id DESC LIMIT :limit;

-- walk_parent: ids of the runs started in a run
SELECT id FROM run WHERE parent = :parent AND id < :before AND id > :after ORDER BY id DESC LIMIT :limit;

-- walk_fresh: ids of runs that have not ended, or are not in the index yet
SELECT id FROM run WHERE state = 0 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT id FROM run WHERE state = 1 AND state < 2 AND id < :before AND id > :after UNION ALL
SELECT run FROM unindexed WHERE run < :before AND run > :after
ORDER BY 1 DESC LIMIT :limit;

-- walk_index: ids of existing runs in a part of the index that match an expression
SELECT search_0.rowid FROM search_0
WHERE search_0 MATCH :expression AND search_0.rowid < :before AND search_0.rowid > :after
    AND EXISTS (SELECT 1 FROM run WHERE run.id = search_0.rowid)
ORDER BY search_0.rowid DESC LIMIT :limit;

-- list_parts: the parts of the index
SELECT number, first FROM search_part WHERE first >= 0 ORDER BY first;

-- labels_of: the labels of runs
SELECT run.id, run.labels FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- get_tokens: the searchable properties of runs
SELECT document.id, CAST(document.tokens AS BLOB)
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- get_documents: the searchable properties and texts of runs
SELECT document.id, CAST(document.tokens || ' ' || replace(document.words, char(57345), ' ' || char(57345) || ' ') AS BLOB)
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- get_kinds: operation and state of runs
SELECT run.id, run.operation, run.state FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value;

-- get_names: interned texts
SELECT id, text FROM name WHERE id IN (SELECT value FROM json_each(?));

-- oldest_id: the smallest id of a run
SELECT min(id) FROM run;

-- walk_tally: numbers of runs per hour or day, operation and state, latest first
SELECT hour, operation, state, runs FROM tally
WHERE hours = :hours AND (hour, operation, state) < (:hour, :operation, :state) AND hour >= :first
ORDER BY hour DESC, operation DESC, state DESC LIMIT :limit;

-- The other statements are for an index in memory, which also stores the positions of words.

-- scratch_make: create the index
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (
    text, content = '', columnsize = 0, detail = full, tokenize = 'unicode61 remove_diacritics 2'
);

-- scratch_make_words: create the view of its words
CREATE VIRTUAL TABLE IF NOT EXISTS search_word USING fts5vocab (search, instance);

-- scratch_insert: add a text
INSERT INTO search (rowid, text) VALUES (?, CAST(? AS TEXT));

-- scratch_words: the words of a text, with their positions
SELECT offset, term FROM search_word;

-- scratch_match: what matches an expression
SELECT rowid FROM search WHERE search MATCH ?;

-- scratch_clear: delete everything
INSERT INTO search (search) VALUES ('delete-all');
