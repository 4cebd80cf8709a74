"""Look for what is wrong, and say what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Verdict(StrEnum):
    """How it looks."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` says what to do, empty when all is well."""

    name: str
    verdict: Verdict
    finding: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All checks, in order."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Nothing failed; warnings may be there."""
        return all(check.verdict is not Verdict.FAIL for check in self.checks)


def checkup(start: Path, *, environ: Mapping[str, str]) -> Checkup:
    """Examine this machine and the town that `start` is in. Never raises for what it finds. Blocks."""
    raise NotImplementedError
