"""Who changed something over HTTP, or was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.bounds import whole
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.audit import LENGTH, AuditRecord, AuditTrail

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Audit:
    """The last `count` calls."""

    count: int = whole("number of records", 1, LENGTH, default=50)


@dataclass(frozen=True, slots=True)
class AuditList:
    """Oldest first."""

    records: tuple[AuditRecord, ...]


@operation("audit.list", Scope.ADMIN)
async def audit(town: Town, request: Audit) -> AuditList:
    """Show the calls over HTTP that changed something or were refused. Raises `Invalid`."""
    return AuditList(tuple(await AuditTrail(town.connection, town.keys).latest(request.count)))
