"""The HTTP API of the platform: the routes under /internal, and the stream of changes."""

from __future__ import annotations

from ._app import create_app
from ._models import InvokeResult, Query, ServiceControl
from ._platform import Platform
from ._reference import reference

__all__ = ["InvokeResult", "Platform", "Query", "ServiceControl", "create_app", "reference"]
