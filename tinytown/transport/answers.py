"""Answers to requests that may come again, so that what is asked twice is done once.

A request that names itself puts a mark under its name before it does anything, and its answer there afterwards. Who
comes second finds the one or the other. Both go after a day, the oldest before that when there are too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown.transport import scripts

if TYPE_CHECKING:
    from tinytown.transport.connection import Connection
    from tinytown.transport.keys import Keys

KEPT_MS = 24 * 3600 * 1000
"""How long an answer is kept."""
MOST = 5000
"""Answers that are kept."""


class Answers:
    """The answers of one town. Marks and answers are bytes that only the caller reads."""

    def __init__(self, connection: Connection, keys: Keys, *, most: int = MOST) -> None:
        self._connection = connection
        self._prefix = keys.prefix
        self._most = most

    async def open(self, name: str, mark: bytes) -> bytes | None:
        """Put the mark there; what is there already, if anything is. Marks must differ."""
        found = cast(
            "bytes | None",
            await scripts.ANSWERS.run(
                self._connection, self._prefix, ("open", name, mark, KEPT_MS, self._most), repeat=True
            ),
        )
        # The connection was lost after the first try, and this was the second.
        return None if found == mark else found

    async def close(self, name: str, mark: bytes, answer: bytes) -> None:
        """Put the answer in the place of the mark, if that is still there."""
        await scripts.ANSWERS.run(self._connection, self._prefix, ("close", name, mark, answer), repeat=True)

    async def drop(self, name: str, mark: bytes) -> None:
        """Take the mark away: nothing was done."""
        await scripts.ANSWERS.run(self._connection, self._prefix, ("drop", name, mark), repeat=True)
