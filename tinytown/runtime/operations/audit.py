"""Who changed something over HTTP, or was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Invalid
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.audit import LENGTH, AuditRecord, AuditTrail

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Audit:
    """The last `count` calls."""

    count: int = 50


@dataclass(frozen=True, slots=True)
class AuditList:
    """Oldest first."""

    records: tuple[AuditRecord, ...]


@operation("audit.list", Scope.ADMIN)
async def audit(town: Town, request: Audit) -> AuditList:
    """Show the calls over HTTP that changed something or were refused. Raises `Invalid`."""
    if not 1 <= request.count <= LENGTH:
        raise Invalid(f"The number of records is {request.count}; expected 1 to {LENGTH:,}")
    return AuditList(tuple(await AuditTrail(town.connection, town.keys).latest(request.count)))
