"""Pull requests, many in one query: first what can be told at little cost, then all of those that have changed.

Points of GitHub's budget (5,000 an hour), by its published rule: the small query costs 1 for 100 pull requests, the
large one 14 for 25.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinytown.actors.missions.compiler import TRUSTED
from tinytown.actors.missions.github.answers import object_of, objects, text_of
from tinytown.actors.missions.github.queries import Wanted, nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.references import Reference
    from tinytown.messages import JsonObject

_SLIM = """
  id number state isDraft merged updatedAt headRefOid baseRefName mergeable mergeStateStatus reviewDecision
  rollup: commits(last: 1) { nodes { commit { oid statusCheckRollup { state } } } }
"""
# A rollup beside which contexts are selected counts superseded runs as well, so those stand under an alias.
_DETAIL = (
    _SLIM
    + """
  url headRefName isCrossRepository body author { login }
  checks: commits(last: 1) { nodes { commit { statusCheckRollup { contexts(first: 100) { totalCount nodes {
    __typename
    ... on CheckRun { name status conclusion }
    ... on StatusContext { context state }
  } } } } } }
  latestOpinionatedReviews(first: 20, writersOnly: true) { nodes {
    id state submittedAt author { login __typename } commit { oid } } }
  reviewThreads(last: 50) { totalCount nodes { id isResolved isOutdated path line
    comments(first: 1) { nodes { author { login __typename } authorAssociation body url createdAt } } } }
  comments(last: 30) { totalCount nodes { id author { login __typename } body createdAt url } }
"""
)

SLIM = Wanted("pullRequest", "PullRequest", _SLIM, at_once=100)
DETAIL = Wanted("pullRequest", "PullRequest", _DETAIL, at_once=25)


@dataclass(frozen=True, slots=True)
class Glance:
    """A pull request in short. `rollup` is None without any check; `state` is OPEN, CLOSED or MERGED."""

    reference: Reference
    state: str
    head: str
    draft: bool
    mergeable: str
    merge_state: str
    review_decision: str | None
    rollup: str | None
    updated_at: str
    base: str
    """The branch that it is to be merged into."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever something did. `updatedAt` alone does not move when checks end."""
        parts = (
            self.state,
            self.head,
            self.draft,
            self.mergeable,
            self.merge_state,
            self.review_decision,
            self.rollup,
            self.updated_at,
            self.base,
        )
        return json.dumps(parts)


@dataclass(frozen=True, slots=True)
class Said:
    """A thread of a review, or a comment. `author` is without the `[bot]` that one of GitHub's interfaces adds.

    `trusted`: he belongs to the repository. What anybody else writes is nothing to work by.
    """

    id: str
    author: str
    by_bot: bool
    body: str
    at: str
    open: bool = True
    path: str | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reviewer with the right to write thinks of a commit."""

    author: str
    state: str
    commit: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request with all that watches look at. `checks` are names with their state, see `check_state`.

    `foreign`: its branch is in somebody's fork. `unread` tells of which of its lists there is more than was read.
    """

    glance: Glance
    branch: str
    foreign: bool
    body: str
    author: str
    checks: tuple[tuple[str, str], ...]
    opinions: tuple[Opinion, ...]
    threads: tuple[Said, ...]
    comments: tuple[Said, ...]
    unread: frozenset[Literal["checks", "threads"]] = frozenset()


_STATES = frozenset({"OPEN", "CLOSED", "MERGED"})
_PASSED = frozenset({"SUCCESS", "NEUTRAL", "SKIPPED"})
_FAILED = frozenset({"FAILURE", "ERROR", "ACTION_REQUIRED"})
_AGAIN = frozenset({"CANCELLED", "TIMED_OUT", "STARTUP_FAILURE", "STALE"})


def check_state(status: str | None, outcome: str | None) -> str:
    """`passed`, `failed`, `again` (it broke off, and may be run again) or `pending`, of a check run or a status.

    What is not known is pending, never passed. The outcome of a run that has not ended says nothing.
    """
    if status is not None and status != "COMPLETED":
        return "pending"
    if outcome in _PASSED:
        return "passed"
    if outcome in _FAILED:
        return "failed"
    return "again" if outcome in _AGAIN else "pending"


async def glances(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Glance | None]:
    """Each pull request in short; None for one that is not there or may not be read.

    One that GitHub could not tell of this time is left out.
    """
    asked = await nodes(github, wanted, SLIM, background=True)
    return {of: None if node is None else _glance(of, node) for of, node in asked.items() if _is_told(node)}


async def details(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Pull | None]:
    """Each pull request with everything; None and left out as in `glances`."""
    asked = await nodes(github, wanted, DETAIL, background=True)
    return {of: None if node is None else _pull(of, node) for of, node in asked.items() if _is_told(node)}


def _is_told(node: JsonObject | None) -> bool:
    """Without its state and its head nothing can be said of it: not that somebody has pushed, either."""
    return node is None or (text_of(node.get("state")) in _STATES and text_of(node.get("headRefOid")) is not None)


def _glance(reference: Reference, node: JsonObject) -> Glance:
    return Glance(
        reference,
        state="MERGED" if node.get("merged") is True else str(node.get("state")),
        head=str(node.get("headRefOid")),
        draft=node.get("isDraft") is True,
        mergeable=str(node.get("mergeable") or "UNKNOWN"),
        merge_state=str(node.get("mergeStateStatus") or "UNKNOWN"),
        review_decision=text_of(node.get("reviewDecision")),
        rollup=next((text_of(rollup.get("state")) for rollup in _rollups(node, "rollup")), None),
        updated_at=str(node.get("updatedAt")),
        base=str(node.get("baseRefName")),
    )


def _pull(reference: Reference, node: JsonObject) -> Pull:
    rollups = list(_rollups(node, "checks"))
    contexts = [context for rollup in rollups for context in _entries(rollup, "contexts")]
    unread: set[Literal["checks", "threads"]] = set()
    if any(_has_more(rollup, "contexts") for rollup in rollups):
        unread.add("checks")
    if _has_more(node, "reviewThreads"):
        unread.add("threads")
    return Pull(
        _glance(reference, node),
        branch=str(node.get("headRefName")),
        foreign=node.get("isCrossRepository") is not False,
        body=str(node.get("body") or ""),
        author=_login(node)[0],
        checks=tuple(_check(context) for context in contexts),
        opinions=tuple(
            Opinion(_login(review)[0], str(review.get("state")), str(object_of(review, "commit").get("oid")))
            for review in _entries(node, "latestOpinionatedReviews")
        ),
        threads=tuple(_thread(thread) for thread in _entries(node, "reviewThreads")),
        comments=tuple(_said(comment, str(comment.get("id"))) for comment in _entries(node, "comments")),
        unread=frozenset(unread),
    )


def _check(context: JsonObject) -> tuple[str, str]:
    if context.get("__typename") == "StatusContext":
        return str(context.get("context")), check_state(None, text_of(context.get("state")))
    return str(context.get("name")), check_state(str(context.get("status")), text_of(context.get("conclusion")))


def _thread(thread: JsonObject) -> Said:
    first = next(iter(_entries(thread, "comments")), {})
    still = thread.get("isResolved") is not True and thread.get("isOutdated") is not True
    return _said(first, str(thread.get("id")), still_open=still, path=text_of(thread.get("path")))


def _said(node: JsonObject, identity: str, *, still_open: bool = True, path: str | None = None) -> Said:
    author, by_bot = _login(node)
    body, at = str(node.get("body") or ""), str(node.get("createdAt"))
    trusted = text_of(node.get("authorAssociation")) in TRUSTED
    return Said(identity, author, by_bot, body, at, still_open, path, trusted)


def _login(node: JsonObject) -> tuple[str, bool]:
    return login_of(object_of(node, "author"))


def login_of(actor: JsonObject) -> tuple[str, bool]:
    """The name of somebody, without the `[bot]` that one interface adds, and whether it is a bot."""
    login = str(actor.get("login") or "")
    is_bot = "Bot" in (actor.get("__typename"), actor.get("type")) or login.endswith("[bot]")
    return login.removesuffix("[bot]"), is_bot


def _rollups(node: JsonObject, alias: str) -> Iterator[JsonObject]:
    for commit in _entries(node, alias):
        rollup = object_of(commit, "commit").get("statusCheckRollup")
        if isinstance(rollup, dict):
            yield rollup


def _has_more(node: JsonObject, name: str) -> bool:
    total = object_of(node, name).get("totalCount")
    return isinstance(total, int) and total > len(_entries(node, name))


def _entries(node: JsonObject, name: str) -> list[JsonObject]:
    return objects(object_of(node, name).get("nodes"))
