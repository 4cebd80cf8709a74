"""Issues as GitHub has them, for the compiler.

What must be true: an issue that cannot be read, or whose dependencies cannot, is an error and never one without
dependencies; and one that was moved is given under its new reference.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from tinytown.actors.missions.compiler import Issue
from tinytown.actors.missions.github.answers import object_of, objects
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed, GitHubUnsupported
from tinytown.actors.missions.github.queries import Wanted, each, nodes
from tinytown.actors.missions.references import Reference, Repository

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.errors import TownError
    from tinytown.messages import JsonObject, JsonValue

FEW = 20
"""So many issues are read one by one, which a later reading gets for nothing; more go a hundred to a query."""

# Two connections of each: a query for a hundred costs 2 points.
ISSUES = Wanted(
    "issueOrPullRequest",
    "IssueOrPullRequest",
    """
  __typename
  ... on PullRequest { title url state }
  ... on Issue { title body url state author { login } authorAssociation
    labels(first: 30) { nodes { name } }
    blockedBy(first: 50) { totalCount nodes { url } } }
""",
    at_once=100,
)

_PLACE = re.compile(r"https?://[^/]+/([^/]+)/([^/]+)/(?:issues|pull)/(\d{1,10})")


async def load_issues(
    github: GitHub, references: Iterable[Reference], *, background: bool = False
) -> dict[Reference, Issue | TownError]:
    """Each issue, or why it cannot be read; under the reference that was asked for, even if it has another by now.

    Raises `GitHubLimited` and `GitHubFailed` when GitHub answers no query at all.
    """
    wanted = list(dict.fromkeys(references))
    found: dict[Reference, Issue | TownError] = {}
    if len(wanted) > FEW:
        found |= await _by_graphql(github, wanted, background=background)
    left = [reference for reference in wanted if reference not in found]
    found |= await each(left, partial(load_issue, github, background=background))
    return {reference: found[reference] for reference in wanted}


async def load_issue(github: GitHub, reference: Reference, *, background: bool = False) -> Issue:
    """The issue with what GitHub itself keeps as its dependencies. Raises what `GitHub.get` raises."""
    path = f"/repos/{reference.repository.full_name}/issues/{reference.number}"
    found = (await github.get(path, background=background)).value
    if not isinstance(found, dict):
        raise GitHubFailed(f"GitHub gave no issue for {reference}")
    actual = _place(found.get("html_url"), reference)
    summary = found.get("issue_dependencies_summary")
    blocked_by: tuple[Reference, ...] = ()
    if isinstance(summary, dict) and (total := summary.get("total_blocked_by")):
        blocked_by = await _blocked_by(github, actual, total, background=background)
    return _issue(
        actual,
        found,
        is_pull="pull_request" in found,
        author=found.get("user"),
        association=found.get("author_association"),
        labels=found.get("labels"),
        blocked_by=blocked_by,
    )


async def _blocked_by(github: GitHub, of: Reference, total: JsonValue, *, background: bool) -> tuple[Reference, ...]:
    path = f"/repos/{of.repository.full_name}/issues/{of.number}/dependencies/blocked_by?per_page=100"
    listed = await github.pages(path, background=background)
    if isinstance(total, int) and len(listed) < total:
        raise GitHubDenied(
            f"{of} waits for {total} issues, and GitHub shows only {len(listed)} of them",
            status=403,
            hint="Give the token access to the repositories of all that it waits for.",
        )
    return tuple(_place(blocker.get("html_url"), of) for blocker in objects(listed))


async def _by_graphql(github: GitHub, wanted: Iterable[Reference], *, background: bool) -> dict[Reference, Issue]:
    """What queries tell in full. The others are for REST, which follows what was moved and says what is wrong."""
    try:
        asked = await nodes(github, wanted, ISSUES, background=background)
    except GitHubUnsupported:
        return {}
    return {
        reference: issue
        for reference, node in asked.items()
        if node is not None and (issue := _of_node(reference, node)) is not None
    }


def _of_node(reference: Reference, node: JsonObject) -> Issue | None:
    """None when it hides what it waits for."""
    is_pull = node.get("__typename") == "PullRequest"
    blocked = object_of(node, "blockedBy")
    listed = objects(blocked.get("nodes"))
    if not is_pull and len(listed) != blocked.get("totalCount"):
        return None
    return _issue(
        _place(node.get("url"), reference),
        node,
        is_pull=is_pull,
        author=node.get("author"),
        association=node.get("authorAssociation"),
        labels=object_of(node, "labels").get("nodes"),
        blocked_by=tuple(_place(blocker.get("url"), reference) for blocker in listed),
    )


def _issue(
    reference: Reference,
    found: JsonObject,
    *,
    is_pull: bool,
    author: JsonValue,
    association: JsonValue,
    labels: JsonValue,
    blocked_by: tuple[Reference, ...],
) -> Issue:
    """What both interfaces call by the same name is in `found`."""
    return Issue(
        reference,
        str(found.get("title") or ""),
        str(found.get("body") or ""),
        closed=str(found.get("state")).lower() == "closed",
        is_pull=is_pull,
        author=str(author.get("login", "")) if isinstance(author, dict) else "",
        association=str(association or "NONE"),
        labels=tuple(
            str(label.get("name", "") if isinstance(label, dict) else label)
            for label in (labels if isinstance(labels, list) else [])
        ),
        blocked_by=blocked_by,
    )


def _place(address: JsonValue, asked: Reference) -> Reference:
    """Where an issue is by its own address. The host is ours: behind a proxy addresses may have another."""
    place = _PLACE.match(str(address or ""))
    if place is not None:
        found = Reference(Repository.of(asked.repository.host, place[1], place[2]), int(place[3]))
        if found.possible:
            return found
    raise GitHubFailed(f"GitHub gave an issue without an address, for {asked}")
