"""What a tool is, as far as its operation does not say it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinytown.web.schemas.requests import Wire


@dataclass(frozen=True, slots=True)
class Row:
    """One tool. `destructive`: it may end or take away something. `idempotent`: a second call changes nothing more.

    `workers`: it is among the tools of an agent that shows its own credential. `own` is the field that has to name
    this agent then, and does when it is left out.
    """

    name: str
    operation: str
    title: str
    description: str
    destructive: bool = False
    idempotent: bool = False
    workers: bool = False
    own: str = ""
    wire: Wire = field(default_factory=Wire)
