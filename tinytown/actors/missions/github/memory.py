"""What was read of GitHub before, so that it costs nothing as long as it is the same. No I/O.

What must be true: what one token has read is never given for another, which may not see it. All of it may be lost at
any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinytown.actors.missions.github.tokens import Token
    from tinytown.messages import JsonValue

MOST = 4_000
"""Answers that are kept: a mission of 600 pull requests over REST reads as many."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, and the address of what follows."""

    value: JsonValue
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What was read with an ETag, and when (seconds since 1970) it was last known to be so."""

    etag: str
    page: Page
    at: float


class Memory:
    """The answers of one client; the oldest make room."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[Token | None, str], Kept] = {}

    def get(self, token: Token | None, address: str) -> Kept | None:
        """What a token has read at an address."""
        return self._kept.get((token, address))

    def keep(self, token: Token | None, address: str, kept: Kept) -> None:
        """Keep what it has read there."""
        self._kept.pop((token, address), None)
        self._kept[token, address] = kept
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
