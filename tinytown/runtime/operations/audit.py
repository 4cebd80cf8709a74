"""Who changed something over HTTP, or was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.bounds import checked_place, place, whole
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.audit import LENGTH, AuditRecord, AuditTrail

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Audit:
    """The last `count` calls; with `before`, which is the `next` of another list, the last ahead of that one."""

    count: int = whole("number of records", 1, LENGTH, default=50)
    before: str | None = place()


@dataclass(frozen=True, slots=True)
class AuditList:
    """Oldest first. `next` is the `before` that goes on with what is older; None when nothing is."""

    records: tuple[AuditRecord, ...]
    next: str | None = None


@operation("audit.list", Scope.ADMIN)
async def audit(town: Town, request: Audit) -> AuditList:
    """Show the calls over HTTP that changed something or were refused. Raises `Invalid`."""
    before = checked_place(request.before, "before")
    records, following = await AuditTrail(town.connection, town.keys).latest(request.count, before=before)
    return AuditList(tuple(records), following)
