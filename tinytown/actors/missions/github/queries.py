"""Many issues or pull requests in one query, and many requests at once where there is no such query.

Aliases need no ids, so one query spans repositories: `r0: repository(…) { found: issue(number: 1) { … } }`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, TypeVar

import trio

from tinytown.actors.missions.github.answers import object_of
from tinytown.actors.missions.github.failures import GitHubFailed, GitHubLimited
from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.references import Reference
    from tinytown.messages import JsonObject

PARTS = 5
"""Into so many queries one is taken apart that GitHub could not answer."""

_Asked = TypeVar("_Asked")
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of each: a field of the repository, the type of that and fields of it; `at_once` in a query."""

    root: str
    type: str
    fields: str
    at_once: int


async def nodes(
    github: GitHub, references: Iterable[Reference], wanted: Wanted, *, background: bool
) -> dict[Reference, JsonObject | None]:
    """What GraphQL has for each: None for what it does not have or does not show.

    What GitHub could not tell this time is left out. Raises what `GitHub.graphql` raises.
    """
    found: dict[Reference, JsonObject | None] = {}
    for group in _groups(list(dict.fromkeys(references)), wanted.at_once):
        try:
            found |= await _asked(github, group, wanted, background=background)
        except GitHubLimited:
            raise
        except GitHubFailed:
            if len(group) == 1:
                raise
            # A query that takes GitHub more than its ten seconds fails as a whole, however often it is sent.
            for part in _groups(group, ceil(len(group) / PARTS)):
                found |= await _asked(github, part, wanted, background=background)
    return found


async def _asked(
    github: GitHub, group: Sequence[Reference], wanted: Wanted, *, background: bool
) -> dict[Reference, JsonObject | None]:
    data = await github.graphql(query(group, wanted), background=background)
    found: dict[Reference, JsonObject | None] = {}
    for at, reference in enumerate(group):
        name = f"r{at}"
        if name in data.absent:
            found[reference] = None
        elif name not in data.failed and (node := object_of(data.value.get(name), "found")):
            found[reference] = node
    return found


def _groups(references: Sequence[Reference], size: int) -> Iterator[Sequence[Reference]]:
    return (references[start : start + size] for start in range(0, len(references), size))


def query(references: Sequence[Reference], wanted: Wanted) -> str:
    """The query for these."""
    lines = [
        f"  r{at}: repository(owner: {json.dumps(each.repository.owner)}, name: {json.dumps(each.repository.name)}) "
        f"{{ found: {wanted.root}(number: {each.number}) {{ ...Wanted }} }}"
        for at, each in enumerate(references)
    ]
    asked = "\n".join(["query {", "  rateLimit { cost remaining resetAt }", *lines, "}"])
    return f"{asked}\nfragment Wanted on {wanted.type} {{{wanted.fields}}}"


async def each(
    asked: Iterable[_Asked], ask: Callable[[_Asked], Awaitable[_Got]]
) -> list[tuple[_Asked, _Got | TownError]]:
    """What is got for each, or the error that stands for it, in the order of `asked`.

    They are asked for together; how many are in flight is for the client to say.
    """
    found: dict[int, _Got | TownError] = {}

    async def one(at: int, which: _Asked) -> None:
        try:
            found[at] = await ask(which)
        except TownError as error:
            found[at] = error

    wanted = list(asked)
    async with trio.open_nursery() as nursery:
        for at, which in enumerate(wanted):
            nursery.start_soon(one, at, which)
    return [(which, found[at]) for at, which in enumerate(wanted)]
