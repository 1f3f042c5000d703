"""Bring texts into what SQLite keeps whole."""

from __future__ import annotations

import functools
import math

__all__ = ["clean", "clean_name", "clean_text", "finite"]


def clean(text: str) -> str:
    """*text* as it can be encoded: half of a surrogate pair becomes its escape, which JSON reads back as the same."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def clean_text(text: str) -> str:
    """The same for texts that never hold a NUL in earnest: it becomes its picture, ``␀``."""
    return clean(text).replace("\0", "␀")


#: the same for texts that come again and again
clean_name = functools.lru_cache(4096)(clean_text)


def finite(number: float | None) -> float | None:
    """*number*, or None for what is not a number or has no end: neither JSON nor a progress bar has these."""
    if number is None:
        return None
    number = float(number)
    return number if math.isfinite(number) else None
