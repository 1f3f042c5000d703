-- The processes that write, and the end of those that are gone.

-- open_runs: runs that wait or run, with their processes
SELECT run.id, name.text, run.journal IS NOT NULL, run.rev, run.state, run.slot
FROM run JOIN name ON name.id = run.node WHERE run.state < 2;

-- interrupt_runs: end the runs of processes that are gone, at their last sign of life, [[run, sign, reason], ...]
UPDATE run SET
    state = 5, rev = rev + 1, error = json_extract(dead.value, '$[2]'),
    ended = max(
        started, json_extract(dead.value, '$[1]'),
        coalesce((SELECT at FROM record WHERE record.run = run.id ORDER BY seq DESC LIMIT 1), 0)
    ),
    duration = max(
        started, json_extract(dead.value, '$[1]'),
        coalesce((SELECT at FROM record WHERE record.run = run.id ORDER BY seq DESC LIMIT 1), 0)
    ) - started
FROM json_each(?) AS dead WHERE run.id = json_extract(dead.value, '$[0]');

-- here_nodes: processes of which it is not known that they have gone
SELECT name, slot, host, boot, pid, started, seen FROM node WHERE gone IS NULL;

-- is_here: whether a process is not known to have gone
SELECT count(*) FROM node WHERE name = ? AND gone IS NULL;

-- last_seen: the last sign of life of a process
SELECT max(seen, coalesce(gone, 0)) FROM node WHERE name = ?;

-- join_node: a process comes, or comes again
INSERT INTO node (name, slot, host, boot, pid, started, since, seen) VALUES (:name, :slot, :host, :boot, :pid, :started, :now, :now)
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, gone = NULL
RETURNING slot, numbered, refused;

-- leave_node: a process has gone
UPDATE node SET gone = :now WHERE name = :name AND gone IS NULL;

-- see_node: a sign of life
UPDATE node SET seen = :now WHERE name = :name;

-- count_node: which of its numbered writes are committed
UPDATE node SET numbered = :numbered, refused = :refused, seen = :now WHERE name = :name;
