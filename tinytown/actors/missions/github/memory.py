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

MOST_BYTES = 32 * 1024 * 1024
"""Bytes that they had on the wire together; decoded they take some times as much, and a list of pull requests is large.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, and the address of what follows."""

    value: JsonValue
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What was read with an ETag, when (seconds since 1970) it was last known to be so, and how many bytes it had."""

    etag: str
    page: Page
    at: float
    size: int = 0


class Memory:
    """The answers of one client; the oldest make room."""

    __slots__ = ("_kept", "_size")

    def __init__(self) -> None:
        self._kept: dict[tuple[Token | None, str], Kept] = {}
        self._size = 0

    def get(self, token: Token | None, address: str) -> Kept | None:
        """What a token has read at an address."""
        return self._kept.get((token, address))

    def keep(self, token: Token | None, address: str, kept: Kept) -> None:
        """Keep what it has read there."""
        self._forget((token, address))
        self._kept[token, address] = kept
        self._size += kept.size
        while len(self._kept) > MOST or self._size > MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[Token | None, str]) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= gone.size
