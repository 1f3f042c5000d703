-- The progress of schedules, and which of them are paused.

-- pause_schedule: pause or resume a schedule; repeating it changes nothing
INSERT INTO schedule (name, paused, paused_by, paused_at, updated, rev) VALUES (:name, :paused, :actor, :at, :at, 1)
ON CONFLICT (name) DO UPDATE SET
    paused = excluded.paused,
    paused_by = iif(paused = excluded.paused, paused_by, excluded.paused_by),
    paused_at = iif(paused = excluded.paused, paused_at, excluded.paused_at),
    updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- move_schedule: store the progress of a schedule
INSERT INTO schedule (name, spec, until, updated, rev) VALUES (:name, :spec, :until, :at, 1)
ON CONFLICT (name) DO UPDATE SET
    spec = excluded.spec, until = excluded.until, updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- get_schedules: all schedules by name
SELECT name, spec, until, paused, paused_by, paused_at, updated FROM schedule ORDER BY name;
