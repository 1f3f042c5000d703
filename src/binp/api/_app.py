"""The application under /internal."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from starlette.routing import Route

from . import _about, _actions, _database, _journals, _kv, _runs, _schedules, _services, _sockets
from ._bounds import Bounds
from ._direct import Direct
from ._events import EventStream
from ._known import check_query
from ._platform import Platform
from ._problems import handle_problems
from ._reference import reference
from ._uploads import Uploads

__all__ = ["create_app"]


def create_app(platform: Platform) -> FastAPI:
    """The platform's application, to be mounted at ``/internal`` behind the door.

    It does not authenticate: that is the task of the door.
    """
    app = FastAPI(title="BINP", separate_input_output_schemas=False, docs_url=None, redoc_url=None)
    for path in ("/docs", "/redoc"):
        app.add_route(path, lambda request: reference(app, request), include_in_schema=False)
    app.state.platform = platform
    handle_problems(app)
    app.add_middleware(Direct, owner=app)
    app.add_middleware(Bounds, platform=platform)
    # outermost, so that nothing inside reads a file into memory
    app.add_middleware(Uploads, platform=platform)
    for module in (_actions, _journals, _services, _schedules, _runs, _kv, _database, _about, _sockets):
        app.include_router(module.router, dependencies=[Depends(check_query)])
    stream = EventStream(platform.home.ring)
    app.router.routes.append(Route("/events", stream, methods=None, name="events", include_in_schema=False))
    return app
