"""How much may still be asked of GitHub. No I/O.

GitHub counts per resource (`core`, `graphql`) and says in every answer what is left. Below a tenth only what a
person has called for goes out, and merges; what runs by itself waits for the next hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RESERVE = 0.1
"""The part of a bucket that is kept for a person's calls and for merges."""


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
        if bucket is None or bucket.reset <= now or bucket.remaining >= bucket.limit * RESERVE:
            return None
        return bucket.reset
