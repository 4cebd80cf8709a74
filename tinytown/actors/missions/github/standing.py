"""How issues and pull requests stand: what gates wait for, and what tells that an item's issue was closed.

What must be true: only GitHub's own answer that something is not there, or not to be read, counts as such; whatever
else goes wrong raises, and then nothing is known of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from tinytown.actors.missions.github.failures import (
    GitHubFailed,
    GitHubRefused,
    GitHubUnsupported,
    absent,
)
from tinytown.actors.missions.github.queries import Wanted, each, nodes
from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.references import Reference
    from tinytown.messages import JsonObject, JsonValue

# No connection is asked for, so a query costs one point, whatever its size.
STANDING = Wanted(
    "issueOrPullRequest",
    "IssueOrPullRequest",
    " __typename ... on Issue { state stateReason } ... on PullRequest { state merged } ",
    at_once=100,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """`reason` is why an issue was closed, as GitHub calls it: `completed`, `not_planned`, `duplicate`."""

    kind: Literal["issue", "pull"]
    state: Literal["open", "closed", "merged"]
    reason: str | None = None


async def standings(
    github: GitHub, references: Iterable[Reference], *, background: bool = True
) -> dict[Reference, Standing | None]:
    """How each of these stands; None for what is not there or may not be read.

    Hundreds cost a point for each hundred. REST is asked for what GraphQL does not have, since only that follows an
    issue that was moved. Raises what `GitHub.get` raises when it says nothing of what was asked for.
    """
    wanted = list(dict.fromkeys(references))
    try:
        asked = await nodes(github, wanted, STANDING, background=background)
    except GitHubUnsupported:
        asked = {}
    found: dict[Reference, Standing | None] = {
        reference: _of_node(node) for reference, node in asked.items() if node is not None
    }
    left = [reference for reference in wanted if reference not in found]
    for reference, got in await each(left, partial(_by_rest, github, background=background)):
        if isinstance(got, TownError):
            raise got
        found[reference] = got
    return {reference: found[reference] for reference in wanted}


async def _by_rest(github: GitHub, reference: Reference, *, background: bool) -> Standing | None:
    path = f"/repos/{reference.repository.full_name}/issues/{reference.number}"
    try:
        value = (await github.get(path, background=background)).value
    except GitHubRefused as error:
        if absent(error):
            return None
        raise
    if not isinstance(value, dict):
        raise GitHubFailed(f"GitHub gave no issue for {reference}")
    pull = value.get("pull_request")
    if isinstance(pull, dict):
        return _standing("pull", str(value.get("state")), merged=bool(pull.get("merged_at")), reason=None)
    return _standing("issue", str(value.get("state")), merged=False, reason=value.get("state_reason"))


def _of_node(node: JsonObject) -> Standing:
    pull = node.get("__typename") == "PullRequest"
    state, reason = str(node.get("state")).lower(), node.get("stateReason")
    return _standing("pull" if pull else "issue", state, merged=node.get("merged") is True, reason=reason)


def _standing(kind: Literal["issue", "pull"], state: str, *, merged: bool, reason: JsonValue) -> Standing:
    if merged or state == "merged":
        return Standing(kind, "merged")
    if state == "closed":
        return Standing(kind, "closed", str(reason).lower() if reason and kind == "issue" else None)
    return Standing(kind, "open")
