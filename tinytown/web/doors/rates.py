"""How often somebody may ask: a bucket for each, that fills by itself.

No bucket is kept that is full, so the memory that this takes is bounded by the rate itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import trio

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tinytown.web.asgi import Headers

MOST_BUCKETS = 10_000
"""Of the last who asked. One who falls out begins anew: it takes that many others within a minute."""


class Standing(NamedTuple):
    """How somebody stands: `allowed` now, `left` of `limit`, all of it again after `reset` seconds."""

    allowed: bool
    limit: int
    left: int
    reset: int
    retry_after: int

    def headers(self) -> Headers:
        """The same for the answer."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.left),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]


class Rate:
    """So many a minute for each; all of them at once if need be."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._each = 60.0 / limit
        # For each, when its bucket is full again.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, who: Hashable) -> Standing:
        """Count one, if it is allowed."""
        now = trio.current_time()
        full_at = max(now, self._full_at.pop(who, now))
        if full_at + self._each <= now + 60.0 + 1e-9:
            full_at += self._each
            allowed = True
        else:
            allowed = False
        self._keep(who, full_at, now)
        return self._standing(full_at - now, allowed=allowed)

    def look(self, who: Hashable) -> Standing:
        """As `take`, and count nothing."""
        now = trio.current_time()
        missing = max(0.0, self._full_at.get(who, now) - now)
        return self._standing(missing, allowed=missing + self._each <= 60.0 + 1e-9)

    def _standing(self, missing: float, *, allowed: bool) -> Standing:
        left = max(0, int((60.0 - missing) / self._each + 1e-9))
        wait = 0 if left else math.ceil(missing + self._each - 60.0)
        return Standing(allowed, self.limit, left, math.ceil(missing), max(1, wait))

    def _keep(self, who: Hashable, full_at: float, now: float) -> None:
        self._full_at[who] = full_at
        while self._full_at:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MOST_BUCKETS:
                return
            del self._full_at[oldest]
