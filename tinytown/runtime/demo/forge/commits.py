"""Commits as the forge knows them: a name, and what checks say of it. No I/O.

What must be true: the rollup of a commit is that of GitHub: nothing without any check, a failure as soon as one has
failed, pending while one runs, and a success only when all have ended well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_GOOD = frozenset({"SUCCESS", "NEUTRAL", "SKIPPED"})


@dataclass(slots=True)
class Check:
    """A check run, or with `legacy` a commit status, whose `conclusion` is its state.

    Words are those of GraphQL; REST says the same in lower case. `run` is the workflow run that it is a job of, 0 when
    it is of none.
    """

    name: str
    conclusion: str | None = "SUCCESS"
    status: str = "COMPLETED"
    run: int = 0
    legacy: bool = False

    @property
    def pending(self) -> bool:
        """It has not ended."""
        return self.status != "COMPLETED" or self.conclusion in (None, "PENDING", "EXPECTED")

    @property
    def good(self) -> bool:
        """It has ended, and nothing is wrong."""
        return not self.pending and self.conclusion in _GOOD


@dataclass(slots=True)
class Commit:
    """A commit. `suites` is how many suites of checks there are, also those that have no run yet."""

    sha: str
    message: str = ""
    suites: int = 0
    _checks: dict[str, Check] = field(default_factory=dict)

    @property
    def checks(self) -> list[Check]:
        """The last check of each name."""
        return list(self._checks.values())

    @property
    def rollup(self) -> str | None:
        """SUCCESS, PENDING or FAILURE; None without any check."""
        if not self._checks:
            return None
        if any(not check.pending and not check.good for check in self.checks):
            return "FAILURE"
        return "PENDING" if any(check.pending for check in self.checks) else "SUCCESS"

    def note(self, check: Check) -> Check:
        """Take over a check, in place of one of the same name."""
        self._checks[check.name] = check
        self.suites = max(1, self.suites)
        return check

    def again(self, run: int) -> bool:
        """Queue what did not end well in this workflow run; False when there is nothing like that."""
        found = [check for check in self.checks if check.run == run and not check.good]
        for check in found:
            check.status, check.conclusion = "QUEUED", None
        return bool(found)
