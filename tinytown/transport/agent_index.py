"""Agents by their state: written by every commit that changes one, read by whoever shows only some.

What must be true: each agent but the supervisor is in the set of its state and in no other, and among those at work
exactly while its record says that it is in a round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentState
from tinytown.times import seconds_of
from tinytown.transport.questions import Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.records import Agent
    from tinytown.transport.connection import Reply, Value
    from tinytown.transport.keys import Keys


@dataclass(frozen=True, slots=True)
class Standing:
    """How many agents are in each state and in a round, and some of them: first those in a round, then those alive."""

    by_state: Mapping[AgentState, int]
    at_work: int
    agents: tuple[AgentId, ...]

    @property
    def total(self) -> int:
        """How many agents there are."""
        return sum(self.by_state.values())


def standing(keys: Keys, most: int | None = None) -> Question[Standing]:
    """The counts, and up to `most` agents (None: all); of equal standing the oldest come first."""
    sets = [keys("at_work"), *(keys("agents_in", state) for state in AgentState)]
    commands: list[tuple[Value, ...]] = [("ZCARD", name) for name in sets]
    # The server takes the last of none for the last of all.
    if most != 0:
        commands += [("ZRANGE", name, 0, -1 if most is None else most - 1, "WITHSCORES") for name in sets]

    def meaning(replies: Sequence[Reply]) -> Standing:
        at_work, *counts = cast("list[int]", replies[: len(sets)])
        working, *others = [_scored(reply) for reply in replies[len(sets) :]] or [[]]
        by_end: dict[bool, list[tuple[float, AgentId]]] = {False: [], True: []}
        for state, found in zip(AgentState, others, strict=False):
            by_end[state.is_terminal] += found
        groups = (working, by_end[False], by_end[True])
        ids = dict.fromkeys(agent_id for group in groups for _, agent_id in sorted(group))
        return Standing(dict(zip(AgentState, counts, strict=True)), at_work, tuple(ids)[:most])

    return Question(commands, meaning)


def index_writes(keys: Keys, before: Agent | None, after: Agent | None) -> list[tuple[Value, ...]]:
    """What keeps the sets true when an agent comes (no `before`), changes, or goes (no `after`)."""
    agent = after or before
    if agent is None or agent.id == SUPERVISOR_ID:
        return []
    writes: list[tuple[Value, ...]] = []
    was, now = (None if each is None else keys("agents_in", each.state) for each in (before, after))
    if was != now:
        writes += [("ZREM", was, agent.id)] if was else []
        writes += [("ZADD", now, born(agent), agent.id)] if now else []
    worked, works = (each is not None and each.in_round for each in (before, after))
    if worked != works:
        at_work = keys("at_work")
        writes.append(("ZADD", at_work, born(agent), agent.id) if works else ("ZREM", at_work, agent.id))
    return writes


def born(agent: Agent) -> int:
    """When it was created, in milliseconds since 1970; 0 where somebody wrote there what is no time."""
    try:
        return round(seconds_of(agent.created_at) * 1000)
    except ValueError:
        return 0


def _scored(reply: object) -> list[tuple[float, AgentId]]:
    """Members with their scores: pairs in RESP3, one flat list in RESP2."""
    flat = cast("list[object]", reply)
    found = flat if not flat or isinstance(flat[0], list) else zip(flat[::2], flat[1::2], strict=True)
    return [(float(score), AgentId(member.decode())) for member, score in cast("list[tuple[bytes, float]]", found)]
