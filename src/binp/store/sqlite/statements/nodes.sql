-- The processes that write, and the end of the runs of dead ones.

-- open_runs: queued and running runs, with their processes
SELECT run.id, name.text, run.journal IS NOT NULL, run.rev, run.state, run.slot
FROM run JOIN name ON name.id = run.node WHERE run.state < 2;

-- interrupt_runs: end runs of dead processes, at the last heartbeat, [[run, heartbeat, reason], ...]
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

-- here_nodes: processes that are not known to be gone
SELECT name, slot, host, boot, pid, started, seen FROM node WHERE gone IS NULL;

-- is_here: whether a process is not known to be gone
SELECT count(*) FROM node WHERE name = ? AND gone IS NULL;

-- last_seen: the last heartbeat of a process
SELECT max(seen, coalesce(gone, 0)) FROM node WHERE name = ?;

-- join_node: add a process, or note that it has come again
INSERT INTO node (name, slot, host, boot, pid, started, since, seen) VALUES (:name, :slot, :host, :boot, :pid, :started, :now, :now)
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen, gone = NULL
RETURNING slot, numbered, refused;

-- leave_node: note that a process is gone
UPDATE node SET gone = :now WHERE name = :name AND gone IS NULL;

-- see_node: note a heartbeat
UPDATE node SET seen = :now WHERE name = :name;

-- count_node: note which numbered writes of a process are committed
UPDATE node SET numbered = :numbered, refused = :refused, seen = :now WHERE name = :name;
