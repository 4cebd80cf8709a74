"""What waits in the mailboxes, counted by what it asks for, without taking it and mostly without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The four heaps in which people see messages."""

    TASK = "task"
    QUERY = "query"
    INFORMATIONAL = "informational"
    CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each."""

    tasks: int = 0
    queries: int = 0
    informational: int = 0
    confirmations: int = 0

    @property
    def actionable(self) -> int:
        """Those that ask for work."""
        return self.tasks + self.queries
