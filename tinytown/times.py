"""Points in time as they stand in records: RFC 3339, UTC, milliseconds, always 24 characters.

They are text, so that they sort as they are and `tt` needs no calendar library to start.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import NewType

Timestamp = NewType("Timestamp", str)


def timestamp(seconds: float) -> Timestamp:
    """The text of a point in time given in seconds since 1970."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return Timestamp(f"{_second(whole)}.{milliseconds:03d}Z")


@lru_cache(maxsize=16)
def _second(whole: int) -> str:
    """The text of a whole second: asked for again and again while that second lasts."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def now() -> Timestamp:
    """This moment by the clock of this machine."""
    return timestamp(time.time())


def seconds_of(stamp: str) -> float:
    """Seconds since 1970 of a text made by `timestamp`; `ValueError` for any other text."""
    from calendar import timegm

    if not stamp.endswith("Z"):
        raise ValueError(f"not a UTC time: {stamp!r}")
    whole, dot, fraction = stamp[:-1].partition(".")
    if dot and not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(f"not a UTC time: {stamp!r}")
    return timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + (float(f"0.{fraction}") if fraction else 0.0)


def span(seconds: float) -> str:
    """A duration for people: `45s`, `12m 5s`, `1h 23m`, `3d 4h`."""
    total = max(0, int(seconds))
    for unit, size, smaller, smaller_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if total >= size:
            rest = total % size // smaller_size
            return f"{total // size}{unit} {rest}{smaller}" if rest else f"{total // size}{unit}"
    return f"{total}s"
