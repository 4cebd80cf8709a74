"""What a GitHub of the tests holds, and how it changes. No HTTP: see `github_server`.

Heads are made up; what happens to a pull request is a method of it, so that a test, an agent that speaks HTTP and
GitHub itself (which closes the issues that a merge fixes) all go the same way.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

START = 1_800_000_000.0
BROKEN_OFF = frozenset({"CANCELLED", "TIMED_OUT", "STARTUP_FAILURE", "STALE"})

_FIXES = re.compile(r"\b(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?):?[ \t]+#(\d+)", re.IGNORECASE)


class Refused(Exception):
    """What was asked is answered with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Check:
    """A check run, or with `legacy` a commit status. `run` is the workflow run that it is a job of."""

    name: str
    conclusion: str | None = "SUCCESS"
    status: str = "COMPLETED"
    run: int = 0
    legacy: bool = False


@dataclass
class Said:
    """A thread of a review, or a comment."""

    id: int
    author: str
    body: str
    at: float
    bot: bool = False
    path: str | None = None
    resolved: bool = False
    outdated: bool = False


@dataclass
class Review:
    id: int
    author: str
    state: str
    commit: str
    at: float


@dataclass
class Issue:
    """`raw` replaces fields of the answers of REST."""

    repo: Repo
    number: int
    title: str = "title"
    body: str = ""
    author: str = "ann"
    association: str = "MEMBER"
    state: str = "open"
    reason: str | None = None
    labels: list[Any] = field(default_factory=list)
    blocked_by: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def close(self, reason: str = "completed") -> None:
        self.state, self.reason = "closed", reason


@dataclass
class Pull:
    """`raw` replaces fields of the answers of GraphQL, by the name they are answered under."""

    repo: Repo
    number: int
    branch: str
    head: str
    title: str = "title"
    body: str = ""
    author: str = "worker"
    base: str = "main"
    foreign: bool = False
    draft: bool = False
    state: str = "open"
    merged: bool = False
    conflicting: bool = False
    behind: bool = False
    merge_commit: str | None = None
    updated: float = START
    reviews: list[Review] = field(default_factory=list)
    threads: list[Said] = field(default_factory=list)
    comments: list[Said] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.repo.full_name}#{self.number}"

    @property
    def checks(self) -> list[Check]:
        """Those of its head."""
        return self.repo.checks.setdefault(self.head, [])

    @property
    def rollup(self) -> str | None:
        states = {_rolled(check) for check in self.checks}
        return next((each for each in ("FAILURE", "PENDING", "SUCCESS") if each in states), None)

    @property
    def decision(self) -> str | None:
        """What the reviews come to; None where the branch asks for none and nobody asked for changes."""
        opinions = self.opinions()
        if any(each.state == "CHANGES_REQUESTED" for each in opinions):
            return "CHANGES_REQUESTED"
        if sum(each.state == "APPROVED" for each in opinions) >= max(1, self.repo.approvals):
            return "APPROVED"
        return "REVIEW_REQUIRED" if self.repo.approvals else None

    @property
    def merge_state(self) -> str:
        if self.merged or self.state == "closed":
            return "UNKNOWN"
        if self.conflicting:
            return "DIRTY"
        if self.draft:
            return "DRAFT"
        if self.decision in ("REVIEW_REQUIRED", "CHANGES_REQUESTED") and self.repo.approvals:
            return "BLOCKED"
        if self.behind:
            return "BEHIND"
        return "CLEAN" if self.rollup in (None, "SUCCESS") else "UNSTABLE"

    def opinions(self) -> list[Review]:
        """The last of each reviewer that is not just a comment."""
        found: dict[str, Review] = {}
        for review in self.reviews:
            if review.state != "COMMENTED":
                found[review.author] = review
        return list(found.values())

    def push(self, head: str | None = None) -> str:
        """A new commit; its checks have not been asked for yet."""
        self.head = head or self.repo.world.sha()
        self.conflicting = self.behind = False
        for thread in self.threads:
            thread.outdated = True
        return self._touched(self.head)

    def check(self, name: str, conclusion: str | None = "SUCCESS", **more: Any) -> Check:
        """The outcome of a check of its head; None while it runs. It moves no `updatedAt`, as at GitHub."""
        status = "IN_PROGRESS" if conclusion is None else "COMPLETED"
        made = Check(name, conclusion, status, **more)
        self.checks[:] = [*(each for each in self.checks if each.name != name), made]
        self.repo.suites.setdefault(self.head, 1)
        if made.run:
            self.repo.runs[made.run] = self.head
        return made

    def review(self, author: str, state: str = "APPROVED", commit: str | None = None) -> Review:
        if author == self.author and state == "APPROVED":
            raise Refused(422, "Can not approve your own pull request")
        self.reviews.append(Review(self.repo.world.number(), author, state, commit or self.head, self.repo.world.now))
        return self._touched(self.reviews[-1])

    def thread(self, author: str, body: str, *, bot: bool = False, path: str = "a.py") -> Said:
        self.threads.append(Said(self.repo.world.number(), author, body, self.repo.world.now, bot, path))
        return self._touched(self.threads[-1])

    def comment(self, author: str, body: str, *, bot: bool = False) -> Said:
        self.comments.append(Said(self.repo.world.number(), author, body, self.repo.world.now, bot))
        return self._touched(self.comments[-1])

    def close(self) -> None:
        self.state = self._touched("closed")

    def merge(self, head: str | None = None, method: str = "merge") -> str:
        """The merge commit. `Refused` as GitHub refuses it."""
        if self.merged or self.state == "closed" or self.conflicting:
            raise Refused(405, "Pull Request is not mergeable")
        if self.draft:
            raise Refused(405, "Pull Request is still a draft")
        if method not in self.repo.methods:
            raise Refused(405, f"{method.title()} merges are not allowed on this repository.")
        if head is not None and head != self.head:
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        if self.merge_state == "BLOCKED":
            raise Refused(405, "At least 1 approving review is required by reviewers with write access.")
        self.state, self.merged, self.merge_commit = "closed", True, self.repo.world.sha()
        if self.base == self.repo.default_branch:
            for number in _FIXES.findall(self.body):
                if issue := self.repo.issues.get(int(number)):
                    issue.close()
        return self._touched(self.merge_commit)

    def update_branch(self, head: str | None = None) -> None:
        if head is not None and head != self.head:
            raise Refused(422, "expected head sha didn't match current head ref.")
        if self.conflicting:
            raise Refused(422, "merge conflict between base and head")
        self.push()

    def _touched(self, made: Any) -> Any:
        self.updated = self.repo.world.now
        return made


@dataclass
class Repo:
    """`approvals` are how many its default branch asks for; `methods` are the ways to merge that it allows."""

    world: World
    owner: str
    name: str
    default_branch: str = "main"
    approvals: int = 0
    methods: set[str] = field(default_factory=lambda: {"merge", "squash", "rebase"})
    private: bool = False
    issues: dict[int, Issue] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    checks: dict[str, list[Check]] = field(default_factory=dict)
    suites: dict[str, int] = field(default_factory=dict)
    """How many check suites a commit has."""
    runs: dict[int, str] = field(default_factory=dict)
    """Workflow runs, with the commit that each is for."""
    branches: dict[str, str] = field(default_factory=dict)
    reruns: list[int] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def issue(self, number: int, title: str = "title", body: str = "", **more: Any) -> Issue:
        self.issues[number] = Issue(self, number, title, body, **more)
        return self.issues[number]

    def pull(self, branch: str, *, number: int | None = None, head: str | None = None, **more: Any) -> Pull:
        """A pull request of a branch; one branch has one that is open."""
        if any(each.branch == branch and each.state == "open" for each in self.pulls.values()):
            raise Refused(422, f"A pull request already exists for {self.owner}:{branch}.")
        number = number or max((*self.issues, *self.pulls, 0)) + 1
        head = head or self.branches.get(branch) or self.world.sha()
        self.pulls[number] = Pull(self, number, branch, head, updated=self.world.now, **more)
        return self.pulls[number]

    def pushed(self, branch: str, head: str) -> None:
        """A branch is at another commit, and with it the open pull request of it."""
        self.branches[branch] = head
        for each in self.pulls.values():
            if each.branch == branch and each.state == "open" and each.head != head:
                each.push(head)

    def rerun(self, run: int) -> None:
        """The jobs of a workflow run that broke off or failed run again."""
        if run not in self.runs:
            raise Refused(404, "Not Found")
        self.reruns.append(run)
        for check in self.checks[self.runs[run]]:
            if check.run == run and check.conclusion not in ("SUCCESS", "NEUTRAL", "SKIPPED"):
                check.status, check.conclusion = "QUEUED", None


@dataclass
class World:
    """All repositories. `now` are seconds since 1970."""

    repos: dict[str, Repo] = field(default_factory=dict)
    now: float = START
    made: int = 0

    def repo(self, full_name: str) -> Repo:
        """The repository of this name, made when there is none."""
        owner, _, name = full_name.lower().partition("/")
        return self.repos.setdefault(f"{owner}/{name}", Repo(self, owner, name))

    def number(self) -> int:
        self.made += 1
        return self.made

    def sha(self) -> str:
        return hashlib.sha1(f"commit {self.number()}".encode()).hexdigest()


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rolled(check: Check) -> str:
    if check.status != "COMPLETED" or check.conclusion in (None, "EXPECTED", "PENDING"):
        return "PENDING"
    return "SUCCESS" if check.conclusion in ("SUCCESS", "NEUTRAL", "SKIPPED") else "FAILURE"
