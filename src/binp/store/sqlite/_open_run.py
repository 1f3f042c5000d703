"""A run as the writer knows it from one batch to the next, as long as it is open."""

from __future__ import annotations

from dataclasses import dataclass

from binp.store.contract import BeginRun, EndRun, State, StoreDamaged, TakeRun

__all__ = ["CODES", "STATES", "OpenRun", "state_of"]

#: states by the number that stands for them in the file
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

#: those below are open, the others ended
_ENDED = CODES[State.SUCCEEDED]


@dataclass(slots=True)
class OpenRun:
    """What decides on writes to a run, and what the batch at hand made of it."""

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
    #: process that holds it, or queued it
    node: str
    slot: str | None
    #: it is running in its slot as far as the file knows
    has_place: bool = False
    #: the batch changed it
    changed: bool = False
    #: it is not in the file yet
    begun: BeginRun | None = None
    taken: TakeRun | None = None
    ended: EndRun | None = None
    #: value, total, message
    moved: tuple[float | None, float | None, str | None] | None = None
    #: somebody asked for it to be cancelled: who, as far as is known
    cancelled: tuple[str | None] | None = None

    @property
    def is_finished(self) -> bool:
        """It has ended, in the file or in this batch."""
        return self.state >= _ENDED

    @property
    def is_running(self) -> bool:
        """It is held by a process."""
        return self.state == 1

    def settle(self) -> None:
        """What the batch made of it is in the file."""
        self.has_place = self.slot is not None and self.state == 1
        self.changed = False
        self.begun = self.taken = self.ended = self.moved = self.cancelled = None


def state_of(code: int) -> State:
    """The state that *code* stands for in the file.

    Raises:
        StoreDamaged: it stands for none.
    """
    state = _STATES.get(code)
    if state is None:
        raise StoreDamaged(
            f"the database is damaged ({code} is not a state of a run)", fix="look at it with `binp check`"
        )
    return state
