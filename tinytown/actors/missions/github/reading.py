"""Pull requests over GraphQL, or over REST where a host or a token does not have that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.missions.github import pulls, rest_pulls
from tinytown.actors.missions.github.failures import GitHubUnsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.github.pulls import Glance, Pull
    from tinytown.actors.missions.references import Reference


async def glances(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Glance | None]:
    """Each pull request in short; None for one that is not there or may not be read.

    One that GitHub could not tell of this time is left out. Raises what `GitHub.get` raises.
    """
    try:
        return await pulls.glances(github, wanted)
    except GitHubUnsupported:
        return await rest_pulls.glances(github, wanted)


async def details(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Pull | None]:
    """Each pull request with everything; otherwise as `glances`."""
    try:
        return await pulls.details(github, wanted)
    except GitHubUnsupported:
        return await rest_pulls.details(github, wanted)
