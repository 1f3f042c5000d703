"""Find a running instance by its database, and talk to it over HTTP."""

from __future__ import annotations

from ._client import Client, connect, path_part
from ._errors import Answer, NotServed
from ._instance import Instance, find, publish, publish_waiting, withdraw

__all__ = [
    "Answer",
    "Client",
    "Instance",
    "NotServed",
    "connect",
    "find",
    "path_part",
    "publish",
    "publish_waiting",
    "withdraw",
]
