"""One record for every call that changes something or was refused: to the log, and to the town's own trail.

A record is written before the answer goes out, so whoever has the answer can find it. The town's trail is best
effort: a store that is down must not take the answer away, and the log has the record all the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import trio

from tinytown.errors import TownError
from tinytown.text import one_line
from tinytown.transport.audit import AuditRecord, AuditTrail
from tinytown.web.context import ANONYMOUS
from tinytown.web.doors.rates import Rate

if TYPE_CHECKING:
    from tinytown.web.asgi import AsgiScope
    from tinytown.web.context import Asked

log = logging.getLogger("audit")

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED = frozenset({401, 403, 429})

PATIENCE = 2.0
"""Seconds that an answer waits for its record."""

NAMELESS = 60
"""Records a minute of one address in the town's trail while it shows no credential: it must not wash the others out."""

_MOST = 256


class AuditLog:
    """Writes the records of one town."""

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail
        self._nameless = Rate(NAMELESS)

    def wants(self, scope: AsgiScope, status: int) -> bool:
        """The call is one that has a record: it changes something, or it was refused for who asked."""
        return scope["method"] not in HARMLESS or status in (401, 403)

    async def write(self, scope: AsgiScope, asked: Asked, status: int) -> None:
        """Write the record of one call. Raises nothing."""
        client = scope.get("client")
        record = AuditRecord(
            request_id=asked.request_id,
            principal=one_line(asked.principal.id, _MOST),
            scopes=",".join(sorted(asked.principal.scopes)),
            method=one_line(scope["method"], 20),
            # What a path may hold beyond ASCII deceives nobody in its escaped form.
            path=quote(scope["path"], safe="/:@-._~")[:_MOST],
            result=result_of(status),
            status=str(status),
            address=str(client[0]) if client else "local",
            object=one_line(asked.object or "", _MOST),
        )
        _tell(record)
        if asked.principal is ANONYMOUS and not self._nameless.take(record.address).allowed:
            return
        with trio.move_on_after(PATIENCE, shield=True) as patience:
            try:
                await self._trail.append(record)
            except TownError as error:
                log.warning("the audit of request_id=%s is in this log only: %s", record.request_id, error)
        if patience.cancelled_caught:
            log.warning("the audit of request_id=%s may be in this log only: the store is slow", record.request_id)


def result_of(status: int) -> str:
    """A status in one word."""
    if status in REFUSED:
        return "denied"
    return "success" if status < 400 else "error"


def _tell(record: AuditRecord) -> None:
    level, what = (logging.WARNING, record.result) if record.result != "success" else (logging.INFO, "completed")
    log.log(
        level,
        'operation %s request_id="%s" principal="%s" scopes="%s" method="%s" path="%s" object="%s" result="%s" '
        'status=%s address="%s"',
        "failed" if what == "error" else what,
        record.request_id,
        record.principal,
        record.scopes,
        record.method,
        record.path,
        record.object,
        record.result,
        record.status,
        record.address,
    )
