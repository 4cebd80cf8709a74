"""How much may still be asked of GitHub. No I/O.

GitHub counts per resource (`core`, `graphql`) and says in every answer what is left. Below a tenth only what a
person has called for goes out, and merges; what runs by itself waits for the next hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

RESERVE = 0.1
"""The part of a bucket that is kept for a person's calls and for merges."""

LONGEST_LIMIT = 3_700.0
"""Seconds that a limit holds at most, whatever an answer says: GitHub counts by the hour."""

SET_BACK = 2 * LONGEST_LIMIT
"""Seconds: the end of a wait that is further off than this was noted before our clock was set back."""

_RESET = "x-ratelimit-reset"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One resource: `remaining` of `limit` until `reset` (seconds since 1970)."""

    limit: int
    remaining: int
    reset: float


class Budget:
    """The buckets of one token."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def __getitem__(self, resource: str) -> Bucket | None:
        return self._buckets.get(resource)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says; one that says nothing changes nothing."""
        numbers = [headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
        if all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
            limit, remaining, reset = map(int, numbers)
            self._buckets[headers.get("x-ratelimit-resource", "core")] = Bucket(limit, remaining, float(reset))

    def reserved_until(self, resource: str, now: float) -> float | None:
        """Until when only the reserve of a resource is left; None while there is more."""
        bucket = self._buckets.get(resource)
        if bucket is None or bucket.remaining >= bucket.limit * RESERVE:
            return None
        return bucket.reset if now < bucket.reset <= now + SET_BACK else None


def to_our_clock(headers: MutableMapping[str, str], now: float) -> None:
    """Put the end of a limit, which an answer gives by GitHub's clock, on ours; `now` is in seconds since 1970.

    A clock that is ahead of GitHub's would not wait at all otherwise, and one that is behind far too long.
    """
    reset = headers.get(_RESET, "")
    if not (reset.isascii() and reset.isdigit()):
        return
    try:
        theirs = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        theirs = now
    left = min(max(0.0, float(reset) - theirs), LONGEST_LIMIT)
    headers[_RESET] = str(round(now + left))
