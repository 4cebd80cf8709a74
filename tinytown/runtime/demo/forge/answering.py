"""The forge as a whole: its repositories, and the way in. No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown.runtime.demo.forge import graphql, rest
from tinytown.runtime.demo.forge.exchange import Answer
from tinytown.runtime.demo.forge.repository import Repo
from tinytown.runtime.demo.forge.schema import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.messages import JsonObject
    from tinytown.runtime.demo.forge.exchange import Asked
    from tinytown.runtime.demo.forge.pulls import Pull


def _nothing(_what: str, _pull: Pull) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Forge:
    """A GitHub. `clock` gives seconds since 1970.

    `told` hears of what happens to a pull request: `opened`, `pushed`, `merged`, `closed`, `rerun`. That is where
    whoever plays the rest of the world (its checks, its reviewers) comes in.
    """

    clock: Callable[[], float] = time.time
    told: Callable[[str, Pull], None] = _nothing
    repos: dict[str, Repo] = field(default_factory=dict)

    def repo(self, full_name: str) -> Repo:
        """The repository of this name, made when there is none; names are the same in any case."""
        owner, _, name = full_name.lower().partition("/")
        return self.repos.setdefault(f"{owner}/{name}", Repo(self, owner, name))

    def answer(self, asked: Asked) -> Answer:
        """What it says to a request; changes what the request changes."""
        if asked.path == "/graphql":
            return Answer(200, self.ask(str(asked.body.get("query", "")))[0])
        return rest.answer(self, asked)

    def ask(self, text: str, *, without: frozenset[str] = frozenset()) -> tuple[JsonObject, int]:
        """What a query of GraphQL gives, and the points that it costs; `without` are fields that it is too old for."""
        return graphql.ask(schema(self), text, without=without)
