"""What the start of a mission asks git and GitHub. The only part of these operations that needs trio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.git import git_or_none, line_of
from tinytown.actors.missions.github.clients import Clients
from tinytown.actors.missions.github.issues import load_issues
from tinytown.actors.missions.github.tokens import refuse_strange
from tinytown.actors.missions.references import remote
from tinytown.errors import RuntimeFailed, TownError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.actors.missions.compiler import Issue
    from tinytown.actors.missions.references import Reference, Repository
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class FoundIssues:
    """Issues by the reference that they were asked for with, and what a person should know of the reading."""

    issues: Mapping[Reference, Issue]
    warnings: tuple[str, ...] = ()


async def default_repository(town: Town) -> Repository | None:
    """The repository of the project's remote `origin`; None when there is none, or it is on no GitHub host."""
    try:
        said = await git_or_none(town.root, "remote", "get-url", "origin")
    except RuntimeFailed:
        # Without git a mission still knows issues by their full names.
        return None
    return remote(line_of(said)) if said is not None else None


def refuse_strangers(environ: Mapping[str, str], home: Repository | None, references: Iterable[Reference]) -> None:
    """Raise `Forbidden` if one of these is on a host that nobody works with here."""
    for reference in references:
        refuse_strange(reference.repository.host, None if home is None else home.host, environ)


async def read_issues(environ: Mapping[str, str], references: Sequence[Reference]) -> FoundIssues:
    """All of these issues. What keeps the first of them from being read is raised."""
    found: dict[Reference, Issue | TownError] = {}
    owners: dict[tuple[str, str], list[Reference]] = {}
    for reference in references:
        owners.setdefault((reference.repository.host, reference.repository.owner), []).append(reference)
    async with Clients.open(environ) as clients:
        warnings = [
            f"There is no token for {host}: only what is public can be read, and nothing merged"
            for host in dict.fromkeys(host for host, _ in owners)
            if await clients.token_source(host) is None
        ]
        for owner, there in owners.items():
            found |= await load_issues(await clients.of(*owner), there)
    issues: dict[Reference, Issue] = {}
    for reference in references:
        issue = found[reference]
        if isinstance(issue, TownError):
            raise issue
        issues[reference] = issue
    return FoundIssues(issues, tuple(warnings))
