"""The audit: who called the town over HTTP to change something, or was refused. A bounded stream.

A record holds no body, no query and no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, cast

from tinytown import times
from tinytown.transport.journal import exclusive

if TYPE_CHECKING:
    from tinytown.times import Timestamp
    from tinytown.transport.connection import Connection
    from tinytown.transport.keys import Keys

LENGTH = 10_000
"""Records that are kept; older ones go first. The log of townhall has them all."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One call. `scopes` are names with commas between them; `result` is success, denied or error."""

    request_id: str
    principal: str
    scopes: str
    method: str
    path: str
    result: str
    status: str
    address: str = ""
    object: str = ""
    at: Timestamp = field(default_factory=times.now)


class AuditTrail:
    """The audit of one town."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._key = keys("audit")

    async def append(self, record: AuditRecord) -> None:
        """Write a record."""
        flat: list[str] = []
        for item in fields(record):
            flat += (item.name, cast("str", getattr(record, item.name)))
        # Not repeated: one call is one record.
        await self._connection.execute("XADD", self._key, "MAXLEN", "~", LENGTH, "*", *flat)

    async def latest(self, most: int, *, before: str | None = None) -> tuple[list[AuditRecord], str | None]:
        """The last `most` records of all, or of those ahead of a place, oldest first; and ahead of which others are."""
        end = "+" if before is None else exclusive(before)
        reply = await self._connection.execute("XREVRANGE", self._key, end, "-", "COUNT", most + 1, repeat=True)
        entries = cast("list[tuple[bytes, list[bytes]]]", reply)
        following = entries[most - 1][0].decode() if len(entries) > most else None
        return [_record_of(flat) for _, flat in reversed(entries[:most])], following


def _record_of(flat: list[bytes]) -> AuditRecord:
    texts = [text.decode("utf-8", "replace") for text in flat]
    given = dict(zip(texts[::2], texts[1::2], strict=True))
    known = {item.name: given.get(item.name, "") for item in fields(AuditRecord)}
    return AuditRecord(**known)  # type: ignore[arg-type]
