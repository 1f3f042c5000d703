"""The writer's cached state of an open run."""

from __future__ import annotations

from dataclasses import dataclass

from binp.store.contract import BeginRun, EndRun, State, StoreDamaged, TakeRun

__all__ = ["CODES", "STATES", "OpenRun", "state_of"]

#: states by their number in the file
STATES = (
    State.QUEUED,
    State.RUNNING,
    State.SUCCEEDED,
    State.FAILED,
    State.CANCELLED,
    State.INTERRUPTED,
    State.SKIPPED,
)
CODES = {state: code for code, state in enumerate(STATES)}

_STATES = dict(enumerate(STATES))

#: states below this number are open, the others final
_ENDED = CODES[State.SUCCEEDED]


@dataclass(slots=True)
class OpenRun:
    """What decides about writes to a run, and the changes of the present batch."""

    id: int
    #: number of its state
    state: int
    epoch: int
    rev: int
    records: int
    labels: list[str]
    cancelled_at: int | None
    journaled: bool
    started: int
    #: the process that holds it, or queued it
    node: str
    slot: str | None
    #: it is running in its slot according to the file
    has_place: bool = False
    #: the batch has changed it
    changed: bool = False
    #: the write that creates it, if it is not in the file yet
    begun: BeginRun | None = None
    taken: TakeRun | None = None
    ended: EndRun | None = None
    #: value, total, message
    moved: tuple[float | None, float | None, str | None] | None = None
    #: its cancellation was requested; and by whom, if known
    cancelled: tuple[str | None] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, in the file or in this batch."""
        return self.state >= _ENDED

    @property
    def is_running(self) -> bool:
        """Whether a process holds it."""
        return self.state == 1

    def settle(self) -> None:
        """The changes of the batch are in the file."""
        self.has_place = self.slot is not None and self.state == 1
        self.changed = False
        self.begun = self.taken = self.ended = self.moved = self.cancelled = None


def state_of(code: int) -> State:
    """The state with the number *code* in the file.

    Raises:
        StoreDamaged: there is none.
    """
    state = _STATES.get(code)
    if state is None:
        raise StoreDamaged(
            f"the database is damaged ({code} is not a state of a run)", fix="look at it with `binp check`"
        )
    return state
