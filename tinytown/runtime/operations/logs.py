"""Which logs an agent has. Reading them is the face's part: they may be large, and grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import AgentNotFound, Invalid, InvalidName, NotFound
from tinytown.ids import agent_name
from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.runtime.town import Town

_ROUNDS_NAMED = 20
"""Rounds that an error lists."""


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs of an agent; with `round` the output of this round alone."""

    agent: str
    round: int | None = None


@dataclass(frozen=True, slots=True)
class AgentLogs:
    """`files` are the agent's own log and the output of its latest round, or that of the round asked for.

    Those of them that there are; `rounds` are all that have left an output, in rising order. The files are on the
    host of the runtime that ran the agent.
    """

    agent_name: str
    files: tuple[Path, ...]
    rounds: tuple[int, ...]


@operation("agent.logs", Scope.READ)
async def find_logs(town: Town, request: Logs) -> AgentLogs:
    """Find the logs of an agent.

    Those of an agent that is gone are found by its name. Raises `AgentNotFound`, `Invalid`, and `NotFound` for a
    round without an output.
    """
    name = await _name(town, request.agent)
    rounds = tuple(sorted(town.files.round_numbers(name)))
    if request.round is None:
        outputs = [town.files.round_log(name, number) for number in rounds]
        # Each life of an agent counts its rounds anew, so the highest number may be one of long ago.
        latest = sorted(outputs, key=_written)[-1:]
        return AgentLogs(name, tuple(path for path in (town.files.agent_log(name), *latest) if path.exists()), rounds)
    if request.round < 1:
        raise Invalid(f"The round is {request.round}; rounds are counted from 1")
    if request.round not in rounds:
        there = ", ".join(map(str, rounds[-_ROUNDS_NAMED:])) or "none"
        raise NotFound(
            f"Agent '{name}' has left no output of round {request.round}",
            hint=f"There are those of these rounds: {there}.",
        )
    return AgentLogs(name, (town.files.round_log(name, request.round),), rounds)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


async def _name(town: Town, wanted: str) -> str:
    try:
        return (await town.store.find_agent(wanted)).name
    except AgentNotFound:
        try:
            name = agent_name(wanted)
        except InvalidName:
            name = ""
        if name and town.files.agent_log(name).exists():
            return name
        raise
