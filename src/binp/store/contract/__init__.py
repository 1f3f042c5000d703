"""What every store promises: the rows, the writes, the reads and the change feed.

A store keeps runs with their records, key-value state, and what was wanted of and seen of services. It is written to
by *writes*: frozen values that say what is to become true. They are queued at once, from any thread, keep their order,
and are committed in groups; the acknowledgement resolves after the commit, so that acknowledged means committed, and
for what decides something also on the disk (see :class:`Write`).
Changes come out after the commit, in commit order, and from nowhere else.

All times in rows and writes are integers: microseconds since the epoch, UTC. The read models offer them as aware
datetimes. Everything that is JSON travels as text.
"""

from __future__ import annotations

from ._errors import BadLine, BadStoreUrl, SchemaTooNew, StoreClosed, StoreDamaged, StoreError, StoreOwned
from ._retention import Keep, Retention, Usage
from ._rows import (
    Change,
    Health,
    KeyValue,
    KeyVersion,
    OnceRow,
    RecordRow,
    Run,
    RunBucket,
    RunCounts,
    RunPage,
    RunQuery,
    ScheduleRow,
    ServiceRow,
    StepRow,
    as_datetime,
)
from ._search import Condition, Key
from ._store import Listener, Role, Store
from ._value import value
from ._writes import (
    FINISHED,
    HISTORY,
    Ack,
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    Import,
    KeepStep,
    MoveSchedule,
    Once,
    PauseSchedule,
    PutKey,
    RemoveKeys,
    RequestCancel,
    SetDesired,
    SetKeys,
    SetObserved,
    SetProgress,
    State,
    TakeRun,
    Write,
    Written,
)

__all__ = [
    "FINISHED",
    "HISTORY",
    "Ack",
    "AddLabels",
    "AddRecord",
    "BadLine",
    "BadStoreUrl",
    "BeginRun",
    "Change",
    "Condition",
    "EndRun",
    "Health",
    "Import",
    "Keep",
    "KeepStep",
    "Key",
    "KeyValue",
    "KeyVersion",
    "Listener",
    "MoveSchedule",
    "Once",
    "OnceRow",
    "PauseSchedule",
    "PutKey",
    "RecordRow",
    "RemoveKeys",
    "RequestCancel",
    "Retention",
    "Role",
    "Run",
    "RunBucket",
    "RunCounts",
    "RunPage",
    "RunQuery",
    "ScheduleRow",
    "SchemaTooNew",
    "ServiceRow",
    "SetDesired",
    "SetKeys",
    "SetObserved",
    "SetProgress",
    "State",
    "StepRow",
    "Store",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreOwned",
    "TakeRun",
    "Usage",
    "Write",
    "Written",
    "as_datetime",
    "value",
]
