-- The index of runs as it is written, and what is counted together with it. "search_0" stands for any part of it.

-- waiting: runs that have ended and are not in the index, up to so many, with their records, [[id, records], ...]
SELECT json_group_array(json_array(run, records)) FROM (
    SELECT run, coalesce((SELECT records FROM run WHERE run.id = unindexed.run), 0) AS records
    FROM unindexed ORDER BY run LIMIT ?
);

-- are_waiting: those of runs that are not in the index, [id, ...]
SELECT json_group_array(run) FROM unindexed WHERE run IN (SELECT value FROM json_each(?));

-- count_waiting: how many have ended and are not in the index, up to so many
SELECT count(*) FROM (SELECT 1 FROM unindexed LIMIT ?);

-- stop_waiting: runs are in the index, or gone
DELETE FROM unindexed WHERE run IN (SELECT value FROM json_each(?));

-- tally_runs: runs are counted by the hour, and the day, in which they came into being (the id begins with the
-- milliseconds since 2024)
INSERT INTO tally (hours, hour, operation, state, runs)
SELECT found.value, (run.id / 4096 + 1704067200000) / 3600000 / found.value * found.value, run.operation, run.state, 1
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value CROSS JOIN json_each('[1, 24]') AS found WHERE true
ON CONFLICT (hours, hour, operation, state) DO UPDATE SET runs = runs + 1;

-- untally_runs: runs are not counted any more
INSERT INTO tally (hours, hour, operation, state, runs)
SELECT found.value, (run.id / 4096 + 1704067200000) / 3600000 / found.value * found.value, run.operation, run.state, -1
FROM json_each(?) AS wanted CROSS JOIN run ON run.id = wanted.value CROSS JOIN json_each('[1, 24]') AS found WHERE true
ON CONFLICT (hours, hour, operation, state) DO UPDATE SET runs = runs - 1;

-- drop_tallies: of the hours and days of runs, what nothing is left of
DELETE FROM tally
WHERE (hours, hour) IN (
    SELECT found.value, (wanted.value / 4096 + 1704067200000) / 3600000 / found.value * found.value
    FROM json_each(?) AS wanted CROSS JOIN json_each('[1, 24]') AS found
) AND runs = 0;

-- wait_again: runs are to get into the index
INSERT INTO unindexed (run) SELECT value FROM json_each(?);

-- get_parts: the parts of the index
SELECT number, first, last, documents, erased, merged FROM search_part WHERE first >= 0 ORDER BY first;

-- last_part: the largest number of a part, also of one that nobody asks any more
SELECT max(number) FROM search_part;

-- left_part: a part that nobody asks any more
SELECT number FROM search_part WHERE first < 0 ORDER BY first LIMIT 1;

-- make_part: an empty part
CREATE VIRTUAL TABLE IF NOT EXISTS search_0 USING fts5 (
    text, content = '', columnsize = 0, detail = none, tokenize = 'unicode61 remove_diacritics 2'
);

-- prepare_part: it merges only when it is told to
INSERT INTO search_0 (search_0, rank) VALUES ('automerge', 0);

-- page_part: its pages are small: whoever looks for what two lists have in common reads along a page of the longer one
-- for each member of the shorter one
INSERT INTO search_0 (search_0, rank) VALUES ('pgsz', 1000);

-- leave_part: a part is not asked any more
UPDATE search_part SET first = -1 - number WHERE number = ?;

-- hollow_part: nothing is in a part, as its record of what it consists of (10) says of a new one; what it did consist of
-- stays and belongs to nothing
UPDATE search_0_data SET block = X'00000001000000' WHERE id = 10;

-- clear_part: some pages of a part that belong to nothing are gone
DELETE FROM search_0_data WHERE id IN (SELECT id FROM search_0_data WHERE id > 10 ORDER BY id LIMIT ?);

-- drop_part: a part is not needed any more
DROP TABLE IF EXISTS search_0;

-- add_part: a part begins
INSERT INTO search_part (number, first) VALUES (?, ?);

-- fill_part: so many more got into a part
UPDATE search_part SET last = max(last, :last), documents = documents + :documents, merged = 0 WHERE number = :number;

-- empty_part: so many of a part were erased
UPDATE search_part SET erased = erased + :erased WHERE number = :number;

-- move_part: a part begins with another id
UPDATE search_part SET first = :first WHERE number = :number;

-- set_merged: how far a part is merged
UPDATE search_part SET merged = :merged WHERE number = :number;

-- forget_part: a part is gone
DELETE FROM search_part WHERE number = ?;

-- index_runs: runs get into a part of the index
INSERT INTO search_0 (rowid, text)
SELECT document.id, document.tokens || ' ' || replace(document.words, char(57345), ' ')
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- withdraw_runs: runs get out of a part of the index again, as long as they are as they were
INSERT INTO search_0 (search_0, rowid, text)
SELECT 'delete', document.id, document.tokens || ' ' || replace(document.words, char(57345), ' ')
FROM json_each(?) AS wanted CROSS JOIN document ON document.id = wanted.value;

-- merge_part: bring what is in a part together, about so many pages of it; of a negative number: all that is in it
INSERT INTO search_0 (search_0, rank) VALUES ('merge', ?);

-- last_indexed: the last runs between two ids that are in the index, with their records, [[id, records], ...]
SELECT json_group_array(json_array(id, records)) FROM (
    SELECT id, records FROM run
    WHERE id >= :first AND id < :before AND state > 1 AND NOT EXISTS (SELECT 1 FROM unindexed WHERE unindexed.run = run.id)
    ORDER BY id DESC LIMIT :most
);
