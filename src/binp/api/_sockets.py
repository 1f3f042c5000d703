"""WebSockets for compatible clients, based on the ring of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, WebSocket
from starlette.websockets import WebSocketDisconnect

from binp.events import Ring
from binp.service import Info
from binp.store.contract import Change, Role

from ._platform import MAX_INTEGER, Here, Opened, Platform
from ._watch import Ended, Watch

__all__ = ["router"]

router = APIRouter()

#: seconds that a client may leave data unread
PATIENCE = 30.0
#: close code: the server restarts
_RESTART = 1012


Tell = Callable[[Sequence[Change]], Awaitable[None]]


@router.websocket("/journals/updates")
async def journals_updates(websocket: WebSocket, platform: Here, home: Opened) -> None:
    """Send each journaled run, complete, when it starts, gets labels or progress, and ends."""

    async def tell(changes: Sequence[Change]) -> None:
        for change in _worth_a_frame(changes):
            await _send_journal(websocket, platform, change.id)

    await _follow(websocket, home.ring, tell)


@router.websocket("/journal/{journal_id}/updates")
async def journal_updates(
    websocket: WebSocket, platform: Here, home: Opened, journal_id: Annotated[int, Path(le=MAX_INTEGER)]
) -> None:
    """Send one journaled run, complete, whenever it changes."""

    async def tell(changes: Sequence[Change]) -> None:
        if any(change.topic in ("run", "record") and change.id == journal_id for change in changes):
            await _send_journal(websocket, platform, journal_id)

    await _follow(websocket, home.ring, tell)


@router.websocket("/services/updates")
async def services_updates(websocket: WebSocket, platform: Here, home: Opened) -> None:
    """Send a service whenever its state changes."""
    with platform.service.service_changed.subscribe() as queue:

        async def tell(changes: Sequence[Change]) -> None:
            if home.is_open and home.store.role is Role.OWNER:
                # services run in this process: send every state
                while not queue.empty():
                    await _send(websocket, queue.get_nowait().model_dump_json())
            else:
                for info in await _changed_services(platform, changes):
                    await _send(websocket, info.model_dump_json())

        await _follow(websocket, home.ring, tell)


async def _follow(websocket: WebSocket, ring: Ring[Change], tell: Tell) -> None:
    """Accept, then call *tell* with changes until the client disconnects or the server shuts down."""
    cursor = ring.last
    # a client that is gone, or does not read, is not an error
    with suppress(OSError, WebSocketDisconnect, TimeoutError):
        await websocket.accept()
        async with Watch(ring, cursor, websocket.receive) as watch:
            while True:
                news = await watch.next()
                if news is Ended.GONE:
                    return
                if isinstance(news, Ended):
                    break
                if news is not None and news.items:
                    await tell(news.items)
        async with asyncio.timeout(PATIENCE):
            await websocket.close(_RESTART, "service restart")


def _worth_a_frame(changes: Sequence[Change]) -> list[Change]:
    """The start of each journaled run, and its latest other change."""
    found: dict[tuple[int | str, bool], Change] = {}
    for change in changes:
        if change.topic == "run" and change.journal:
            found[change.id, change.rev == 1] = change
    return list(found.values())


async def _send_journal(websocket: WebSocket, platform: Platform, journal_id: int | str) -> None:
    journal = await platform.journal.get(int(journal_id))
    if journal is not None:
        await _send(websocket, journal.model_dump_json())


async def _changed_services(platform: Platform, changes: Sequence[Change]) -> list[Info]:
    names = {change.id for change in changes if change.topic == "service"}
    return [info for info in await platform.service.snapshot() if info.name in names] if names else []


async def _send(websocket: WebSocket, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        await websocket.send_text(text)
