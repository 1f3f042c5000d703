-- The desired and the observed state of services.

-- want_service: set the desired state of a service
INSERT INTO service (name, desired, desired_by, desired_at, wish, updated, rev)
VALUES (:name, :running, :actor, :at, :wish, :at, 1)
ON CONFLICT (name) DO UPDATE SET
    desired = excluded.desired, desired_by = excluded.desired_by, desired_at = excluded.desired_at,
    wish = excluded.wish, before = iif(:obeyed, NULL, iif(desired IS excluded.desired, before, wish)),
    updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- see_service: set the observed state of a service
INSERT INTO service (name, status, obeyed, node, updated, rev) VALUES (?, ?, ?, ?, ?, 1)
ON CONFLICT (name) DO UPDATE SET
    status = excluded.status, obeyed = excluded.obeyed, node = excluded.node, updated = excluded.updated, rev = rev + 1
RETURNING rev;

-- get_services: all services by name
SELECT name, desired, desired_at, wish, before, status, obeyed, node, updated FROM service ORDER BY name;
