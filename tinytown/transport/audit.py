"""The audit: who called the town over HTTP to change something, or was refused. A bounded stream.

A record holds no body, no query and no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, cast

from tinytown import times

if TYPE_CHECKING:
    from tinytown.times import Timestamp
    from tinytown.transport.connection import Connection, Reply
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

    async def latest(self, most: int) -> list[AuditRecord]:
        """The last `most` records, oldest first."""
        reply = await self._connection.execute("XREVRANGE", self._key, "+", "-", "COUNT", most, repeat=True)
        return [_record_of(entry) for entry in reversed(cast("list[Reply]", reply))]


def _record_of(entry: Reply) -> AuditRecord:
    _, flat = cast("tuple[bytes, list[bytes]]", entry)
    texts = [text.decode("utf-8", "replace") for text in flat]
    given = dict(zip(texts[::2], texts[1::2], strict=True))
    known = {item.name: given.get(item.name, "") for item in fields(AuditRecord)}
    return AuditRecord(**known)  # type: ignore[arg-type]
