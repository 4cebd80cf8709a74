"""Issues as GitHub has them, for the compiler."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.actors.missions.compiler import Issue
from tinytown.actors.missions.github.failures import GitHubFailed
from tinytown.actors.missions.references import Reference, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.messages import JsonValue

_PLACE = re.compile(r"https?://[^/]+/([^/]+)/([^/]+)/(?:issues|pull)/(\d{1,10})")


async def load_issue(github: GitHub, reference: Reference, *, background: bool = False) -> Issue:
    """The issue with what GitHub itself keeps as its dependencies.

    One that was moved is given under its new reference. Raises what `GitHub.get` raises: an issue that cannot be
    read is never taken for one without dependencies.
    """
    path = f"/repos/{reference.repository.full_name}/issues/{reference.number}"
    found = (await github.get(path, background=background)).value
    if not isinstance(found, dict):
        raise GitHubFailed(f"GitHub gave no issue for {reference}")
    actual = _place(found, reference)
    summary = found.get("issue_dependencies_summary")
    blocked_by: tuple[Reference, ...] = ()
    if isinstance(summary, dict) and summary.get("total_blocked_by"):
        blocked_by = await _blocked_by(github, actual, background=background)
    user = found.get("user")
    labels = found.get("labels")
    return Issue(
        actual,
        str(found.get("title") or ""),
        str(found.get("body") or ""),
        closed=found.get("state") == "closed",
        is_pull="pull_request" in found,
        author=str(user.get("login", "")) if isinstance(user, dict) else "",
        association=str(found.get("author_association") or "NONE"),
        labels=tuple(
            str(label.get("name", "") if isinstance(label, dict) else label)
            for label in (labels if isinstance(labels, list) else [])
        ),
        blocked_by=blocked_by,
    )


async def _blocked_by(github: GitHub, of: Reference, *, background: bool) -> tuple[Reference, ...]:
    path = f"/repos/{of.repository.full_name}/issues/{of.number}/dependencies/blocked_by?per_page=100"
    listed = await github.pages(path, background=background)
    return tuple(_place(each, of) for each in listed if isinstance(each, dict))


def _place(found: Mapping[str, JsonValue], asked: Reference) -> Reference:
    """Where an issue is by its own address. The host is ours: behind a proxy addresses may have another."""
    place = _PLACE.match(str(found.get("html_url", "")))
    if place is None:
        raise GitHubFailed(f"GitHub gave an issue without an address, for {asked}")
    return Reference(Repository.of(asked.repository.host, place[1], place[2]), int(place[3]))
