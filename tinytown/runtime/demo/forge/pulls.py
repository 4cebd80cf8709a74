"""Pull requests of the forge: what was said of them, and whether they can be merged. No I/O.

What must be true: an opinion belongs to the commit it was given for; nobody approves his own pull request; what
conflicts, is a draft, or is not approved where that is asked for, is not merged; whatever happens to a pull request
is told (`Forge.told`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge.commits import Check

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.runtime.demo.forge.commits import Commit
    from tinytown.runtime.demo.forge.repository import Repo

WRITERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""Whose opinions count."""

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?):?[ \t]+#(\d+)", re.IGNORECASE)


class Refused(Exception):
    """The forge will not. `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Said:
    """A comment, or with a `path` a thread on a line of a pull request. `at` is in seconds since 1970."""

    id: int
    author: str
    body: str
    at: float
    bot: bool = False
    path: str | None = None
    resolved: bool = False
    outdated: bool = False
    replies: list[Said] = field(default_factory=list)
    association: str = "MEMBER"

    @property
    def whole(self) -> list[Said]:
        """The thread, from its first comment on."""
        return [self, *self.replies]


@dataclass(slots=True)
class Review:
    """What a reviewer said of a commit. `state` is a word of GraphQL."""

    id: int
    author: str
    state: str
    commit: str
    at: float
    association: str = "MEMBER"


@dataclass(slots=True, eq=False)
class Pull:
    """A pull request. `foreign`: its branch is in somebody's fork. `raw` replaces fields of its GraphQL answers."""

    repo: Repo = field(repr=False)
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
    updated: float = 0.0
    reviews: list[Review] = field(default_factory=list)
    threads: list[Said] = field(default_factory=list)
    comments: list[Said] = field(default_factory=list)
    raw: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`owner/name#number`."""
        return f"{self.repo.full_name}#{self.number}"

    @property
    def commit(self) -> Commit:
        """The commit at its head."""
        return self.repo.commit(self.head)

    @property
    def checks(self) -> list[Check]:
        """Those of its head."""
        return self.commit.checks

    @property
    def opinions(self) -> list[Review]:
        """The last review of each reviewer that is not just a comment."""
        return list({review.author: review for review in self.reviews if review.state != "COMMENTED"}.values())

    @property
    def deciding(self) -> list[Review]:
        """Those opinions that are of somebody who may write."""
        return [review for review in self.opinions if review.association in WRITERS]

    @property
    def decision(self) -> str | None:
        """What the reviews come to; None where the branch asks for none and nobody said anything."""
        states = [review.state for review in self.deciding]
        if "CHANGES_REQUESTED" in states:
            return "CHANGES_REQUESTED"
        if states.count("APPROVED") >= max(1, self.repo.approvals):
            return "APPROVED"
        return "REVIEW_REQUIRED" if self.repo.approvals else None

    @property
    def merge_state(self) -> str:
        """The word that GraphQL has for what stands against a merge."""
        if self.state == "closed":
            return "UNKNOWN"
        undecided = self.repo.approvals > 0 and self.decision in ("REVIEW_REQUIRED", "CHANGES_REQUESTED")
        against = (
            (self.conflicting, "DIRTY"),
            (self.draft, "DRAFT"),
            (undecided, "BLOCKED"),
            (self.behind, "BEHIND"),
            (self.commit.rollup not in (None, "SUCCESS"), "UNSTABLE"),
        )
        return next((word for holds, word in against if holds), "CLEAN")

    def push(self, head: str | None = None) -> str:
        """A new commit, made up when none is named; its checks have not been asked for yet. Gives its name."""
        head = head or self.repo.sha()
        if head != self.head:
            self.head = head
            self.conflicting = self.behind = False
            for thread in self.threads:
                thread.outdated = True
            self.touch("pushed")
        if not self.foreign:
            self.repo.branches[self.branch] = head
        return head

    def check(self, name: str, conclusion: str | None = "SUCCESS", *, run: int = 0, legacy: bool = False) -> Check:
        """The outcome of a check of its head; None while it runs. It moves no `updatedAt`, as at GitHub."""
        status = "IN_PROGRESS" if conclusion is None and not legacy else "COMPLETED"
        return self.commit.note(Check(name, conclusion, status, run, legacy))

    def review(
        self, author: str, state: str = "APPROVED", commit: str | None = None, *, association: str = "MEMBER"
    ) -> Review:
        """Somebody's review of its head, or of `commit`; that of somebody who may not write decides nothing."""
        if author == self.author and state == "APPROVED":
            raise Refused(422, "Can not approve your own pull request")
        review = Review(self.repo.number(), author, state, commit or self.head, self.touch(), association)
        self.reviews.append(review)
        return review

    def thread(
        self, author: str, body: str, *, bot: bool = False, path: str = "a.py", association: str = "MEMBER"
    ) -> Said:
        """A conversation begun on one of its lines."""
        said = Said(self.repo.number(), author, body, self.touch(), bot, path, association=association)
        self.threads.append(said)
        return said

    def reply(self, thread: Said, author: str, body: str, *, association: str = "MEMBER") -> Said:
        """An answer in a conversation."""
        said = Said(self.repo.number(), author, body, self.touch(), path=thread.path, association=association)
        thread.replies.append(said)
        return said

    def comment(self, author: str, body: str, *, bot: bool = False) -> Said:
        """A comment on it."""
        self.comments.append(Said(self.repo.number(), author, body, self.touch(), bot))
        return self.comments[-1]

    def close(self) -> None:
        """Closed without being merged."""
        self.state = "closed"
        self.touch("closed")

    def merge(self, head: str | None = None, method: str = "merge") -> str:
        """Merge it; gives the commit, and closes the issues that it says it closes. `Refused` as GitHub refuses."""
        if self.state == "closed" or self.conflicting:
            raise Refused(405, "Pull Request is not mergeable")
        if self.draft:
            raise Refused(405, "Pull Request is still a draft")
        if method not in self.repo.methods:
            raise Refused(405, f"{method.title()} merges are not allowed on this repository.")
        if head is not None and head != self.head:
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        if self.merge_state == "BLOCKED":
            raise Refused(405, "At least 1 approving review is required by reviewers with write access.")
        made = self.repo.make_merge(self, method) if self.repo.make_merge else self.repo.sha()
        self.state, self.merged, self.merge_commit = "closed", True, made
        self.repo.branches[self.base] = made
        if self.base == self.repo.default_branch:
            for number in _CLOSES.findall(self.body):
                if (issue := self.repo.issues.get(int(number))) is not None:
                    issue.close()
        self.touch("merged")
        return made

    def update_branch(self, head: str | None = None) -> None:
        """Merge the base into it."""
        if head is not None and head != self.head:
            raise Refused(422, "expected head sha didn't match current head ref.")
        if self.conflicting:
            raise Refused(422, "merge conflict between base and head")
        self.push()

    def touch(self, what: str | None = None) -> float:
        """It has changed now, and somebody may want to know how; gives the time."""
        self.updated = self.repo.forge.clock()
        if what is not None:
            self.repo.forge.told(what, self)
        return self.updated
