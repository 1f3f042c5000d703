"""Normalise texts so that SQLite stores them completely."""

from __future__ import annotations

import functools
import math

__all__ = ["clean", "clean_name", "clean_text", "finite"]


def clean(text: str) -> str:
    """*text* made encodable: a lone surrogate is replaced by its escape, which JSON decodes to the same character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def clean_text(text: str) -> str:
    """The same, with NUL characters, which are never intended in these texts, replaced by the symbol ``␀``."""
    return clean(text).replace("\0", "␀")


#: the same, cached, for texts that recur
clean_name = functools.lru_cache(4096)(clean_text)


def finite(number: float | None) -> float | None:
    """*number*, or None for NaN and infinity, which neither JSON nor a progress bar can express."""
    if number is None:
        return None
    number = float(number)
    return number if math.isfinite(number) else None
