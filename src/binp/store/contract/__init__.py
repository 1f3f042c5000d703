"""The contract of every store: rows, writes, reads and the change feed.

A store keeps runs with their records, key-value state, and the desired and the observed state of services. It is
written to by *writes*: frozen values that describe what is to become true. They are queued immediately, from any
thread, keep their order, and are committed in groups. The acknowledgement is resolved after the commit: acknowledged
means committed, and for decisive writes also on disk (see :class:`Write`). Changes are reported after the commit, in
commit order, and nowhere else.

All times in rows and writes are integers: microseconds since the epoch, UTC. The read models offer them as aware
datetimes. JSON is always passed as text.
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
