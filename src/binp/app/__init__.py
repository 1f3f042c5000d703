"""BINP, the facade over all parts, and its FastAPI application."""

from __future__ import annotations

from ._binp import BINP

__all__ = ["BINP"]
