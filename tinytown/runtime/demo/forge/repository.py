"""A repository of the forge: its issues, branches, commits and pull requests. No I/O.

What must be true: issues and pull requests share their numbers; a branch has one open pull request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge.commits import Commit
from tinytown.runtime.demo.forge.pulls import Pull, Refused, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinytown.messages import JsonObject
    from tinytown.runtime.demo.forge.answering import Forge


@dataclass(slots=True, eq=False)
class Issue:
    """An issue. `state` is `open` or `closed`. `raw` replaces fields of its REST answers."""

    repo: Repo = field(repr=False)
    number: int
    title: str = "title"
    body: str = ""
    author: str = "ann"
    association: str = "MEMBER"
    state: str = "open"
    reason: str | None = None
    labels: Sequence[str] = ()
    blocked_by: Sequence[str] = ()
    """Keys of issues, `owner/name#number`, that GitHub itself keeps as what it waits for."""
    updated: float = 0.0
    comments: list[Said] = field(default_factory=list)
    raw: JsonObject = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`owner/name#number`."""
        return f"{self.repo.full_name}#{self.number}"

    def close(self, reason: str = "completed") -> None:
        """Close it; `reason` is `completed` or `not_planned`."""
        self.state, self.reason, self.updated = "closed", reason, self.repo.forge.clock()

    def comment(self, author: str, body: str) -> Said:
        """A comment on it."""
        self.updated = self.repo.forge.clock()
        self.comments.append(Said(self.repo.number(), author, body, self.updated))
        return self.comments[-1]


@dataclass(slots=True, eq=False)
class Repo:
    """A repository. `approvals` are how many its pull requests need; `methods` the ways to merge that it allows.

    `make_merge` makes the commit of a merge, by one of the methods, and gives its name; without it a name is made up.
    """

    forge: Forge = field(repr=False)
    owner: str
    name: str
    default_branch: str = "main"
    approvals: int = 0
    methods: set[str] = field(default_factory=lambda: {"merge", "squash", "rebase"})
    private: bool = False
    make_merge: Callable[[Pull, str], str] | None = None
    issues: dict[int, Issue] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    reruns: list[int] = field(default_factory=list)
    """The workflow runs that were run again."""
    _made: int = 1000

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    def number(self) -> int:
        """A number that nothing else here has: of a comment, or a review."""
        self._made += 1
        return self._made

    def sha(self) -> str:
        """The name of a commit that is made up."""
        return sha1(f"commit {self.full_name} {self.number()}".encode(), usedforsecurity=False).hexdigest()

    def commit(self, sha: str) -> Commit:
        """The commit of this name; one that was not known is known from now on."""
        return self.commits.setdefault(sha, Commit(sha))

    def issue(
        self,
        number: int,
        title: str = "title",
        body: str = "",
        *,
        author: str = "ann",
        association: str = "MEMBER",
        state: str = "open",
        labels: Sequence[str] = (),
        blocked_by: Sequence[str] = (),
        raw: JsonObject | None = None,
    ) -> Issue:
        """A new issue."""
        issue = Issue(self, number, title, body, author, association, state, None, labels, blocked_by)
        issue.updated, issue.raw = self.forge.clock(), raw or {}
        self.issues[number] = issue
        return issue

    def pull(
        self,
        branch: str,
        *,
        number: int | None = None,
        head: str | None = None,
        title: str = "title",
        body: str = "",
        author: str = "worker",
        base: str | None = None,
        foreign: bool = False,
        draft: bool = False,
        raw: JsonObject | None = None,
    ) -> Pull:
        """A pull request of a branch, which is made when it is not there; a branch has one that is open."""
        if self.open_pull(branch) is not None and not foreign:
            raise Refused(422, f"A pull request already exists for {self.owner}:{branch}.")
        number = number or max((*self.issues, *self.pulls, 0)) + 1
        head = head or self.branches.get(branch) or self.sha()
        if not foreign:
            self.branches[branch] = head
        pull = Pull(self, number, branch, head, title, body, author, base or self.default_branch, foreign, draft)
        pull.raw = raw or {}
        self.pulls[number] = pull
        pull.touch("opened")
        return pull

    def open_pull(self, branch: str) -> Pull | None:
        """The open pull request of a branch of this repository."""
        own = (pull for pull in self.pulls.values() if pull.state == "open" and not pull.foreign)
        return next((pull for pull in own if pull.branch == branch), None)

    def pushed(self, branch: str, head: str) -> None:
        """A branch is at another commit, and with it its open pull request. The same again changes nothing."""
        self.commit(head)
        self.branches[branch] = head
        pull = self.open_pull(branch)
        if pull is not None:
            pull.push(head)

    def rerun(self, run: int) -> None:
        """The jobs of a workflow run that broke off or failed run again."""
        heads = {commit.sha for commit in self.commits.values() if commit.again(run)}
        if not heads:
            raise Refused(404, "Not Found")
        self.reruns.append(run)
        for pull in self.pulls.values():
            if pull.head in heads:
                pull.touch("rerun")
