-- Write the index of runs, and the tally. "search_0" stands for any part of the index.

-- waiting: ended runs that are not in the index, up to a limit, with the number of their records, [[id, records], ...]
SELECT json_group_array(json_array(run, records)) FROM (
    SELECT run, coalesce((SELECT records FROM run WHERE run.id = unindexed.run), 0) AS records
    FROM unindexed ORDER BY run LIMIT ?
);

-- are_waiting: those of some runs that are not in the index, [id, ...]
SELECT json_group_array(run) FROM unindexed WHERE run IN (SELECT value FROM json_each(?));

-- count_waiting: number of ended runs that are not in the index, up to a limit
SELECT count(*) FROM (SELECT 1 FROM unindexed LIMIT ?);

-- stop_waiting: remove runs from the queue for the index
DELETE FROM unindexed WHERE run IN (SELECT value FROM json_each(?));

-- tally_runs: add runs to the tally, by the hour and the day of their creation (an id starts with the milliseconds
-- since 2024)
INSERT INTO tally (hours, hour, operation, state, runs)
SELECT found.value, (run.id / 4096 + 1704067200000) / 3600000 / found.value * found.value, run.operation, run.state, 1
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value CROSS JOIN json_each('[1, 24]') AS found WHERE true
ON CONFLICT (hours, hour, operation, state) DO UPDATE SET runs = runs + 1;

-- untally_runs: remove runs from the tally
INSERT INTO tally (hours, hour, operation, state, runs)
SELECT found.value, (run.id / 4096 + 1704067200000) / 3600000 / found.value * found.value, run.operation, run.state, -1
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value CROSS JOIN json_each('[1, 24]') AS found WHERE true
ON CONFLICT (hours, hour, operation, state) DO UPDATE SET runs = runs - 1;

-- drop_tallies: delete the empty rows of the tally for the hours and days of runs
DELETE FROM tally
WHERE (hours, hour) IN (
    SELECT found.value, (wanted.value / 4096 + 1704067200000) / 3600000 / found.value * found.value
    FROM json_each(?) AS wanted CROSS JOIN json_each('[1, 24]') AS found
) AND runs = 0;

-- wait_again: add runs to the queue for the index
INSERT INTO unindexed (run) SELECT value FROM json_each(?);

-- get_parts: the parts of the index
SELECT number, first, last, documents, erased, merged FROM search_part WHERE first >= 0 ORDER BY first;

-- last_part: the largest number of a part, including those that are no longer used
SELECT max(number) FROM search_part;

-- left_part: a part that is no longer used
SELECT number FROM search_part WHERE first < 0 ORDER BY first LIMIT 1;

-- make_part: create an empty part
CREATE VIRTUAL TABLE IF NOT EXISTS search_0 USING fts5 (
    text, content = '', columnsize = 0, detail = none, tokenize = 'unicode61 remove_diacritics 2'
);

-- prepare_part: switch off automatic merging
INSERT INTO search_0 (search_0, rank) VALUES ('automerge', 0);

-- page_part: use small pages: to intersect two lists, a page of the longer is read for each entry of the shorter one
INSERT INTO search_0 (search_0, rank) VALUES ('pgsz', 1000);

-- leave_part: stop using a part
UPDATE search_part SET first = -1 - number WHERE number = ?;

-- hollow_part: replace the structure record (10) of a part by that of an empty one; the rest of its content becomes
-- unreferenced
UPDATE search_0_data SET block = X'00000001000000' WHERE id = 10;

-- clear_part: delete some unreferenced pages of a part
DELETE FROM search_0_data WHERE id IN (SELECT id FROM search_0_data WHERE id > 10 ORDER BY id LIMIT ?);

-- drop_part: drop the table of a part
DROP TABLE IF EXISTS search_0;

-- add_part: register a part
INSERT INTO search_part (number, first) VALUES (?, ?);

-- fill_part: add to the number of documents in a part
UPDATE search_part SET last = max(last, :last), documents = documents + :documents, merged = 0 WHERE number = :number;

-- empty_part: add to the number of stale documents of a part
UPDATE search_part SET erased = erased + :erased WHERE number = :number;

-- move_part: change the first id of a part
UPDATE search_part SET first = :first WHERE number = :number;

-- set_merged: set how far a part is merged
UPDATE search_part SET merged = :merged WHERE number = :number;

-- forget_part: unregister a part
DELETE FROM search_part WHERE number = ?;

-- index_runs: add runs to a part
INSERT INTO search_0 (rowid, text)
SELECT document.id, document.tokens || ' ' || replace(document.words, char(57345), ' ')
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- withdraw_runs: remove runs from a part, with the content with which they were added
INSERT INTO search_0 (search_0, rowid, text)
SELECT 'delete', document.id, document.tokens || ' ' || replace(document.words, char(57345), ' ')
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- merge_part: merge about so many pages of a part; with a negative number, start to merge all of it
INSERT INTO search_0 (search_0, rank) VALUES ('merge', ?);

-- last_indexed: the last indexed runs between two ids, with the number of their records, [[id, records], ...]
SELECT json_group_array(json_array(id, records)) FROM (
    SELECT id, records FROM run
    WHERE id >= :first AND id < :before AND state > 1 AND NOT EXISTS (SELECT 1 FROM unindexed WHERE unindexed.run = run.id)
    ORDER BY id DESC LIMIT :most
);
