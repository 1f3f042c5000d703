"""Services: list them, start and stop them."""

from __future__ import annotations

from fastapi import APIRouter

from binp.operations import UnknownOperation
from binp.service import Info

from ._models import ServiceControl
from ._platform import By, Here, Opened

__all__ = ["router"]

router = APIRouter(tags=["services"])


@router.get("/services/", operation_id="listServices")
async def list_services(platform: Here) -> list[Info]:
    """List the services, in the order of their definition."""
    return await platform.service.snapshot()


@router.put("/service/{name:path}", operation_id="manageService")
async def manage_service(platform: Here, home: Opened, by: By, name: str, control: ServiceControl) -> None:
    """Start or stop a service. Responds when the command was given, without waiting for its effect."""
    known = [info.name for info in platform.service.services]
    if name not in known:
        raise UnknownOperation("service", name, known)
    if control.running:
        platform.service.start(name, actor=by.actor)
    else:
        platform.service.stop(name, actor=by.actor)
    await platform.service.obeyed(name)
