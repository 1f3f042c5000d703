"""What answers, over HTTP."""

from __future__ import annotations

import platform

import binp


async def test_the_version_is_told(served):
    """The version of the platform is told, and that of Python."""
    answer = await served.http.get("/internal/about")

    assert answer.json() == {"version": binp.__version__, "python": platform.python_version()}
