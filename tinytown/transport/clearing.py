"""Deleting: one agent's keys, one task, or all that a town has.

What must be true: keys are named by the catalogue and found through the town's own indexes, never by asking for all
keys that look like the town's. So a town called `a` cannot touch one called `a:b`, whatever lies in the same Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID
from tinytown.records import Agent
from tinytown.transport import agent_index, scripts, task_index
from tinytown.transport.keys import CATALOGUE, STATES

if TYPE_CHECKING:
    from tinytown.ids import AgentId
    from tinytown.records import Event, Task
    from tinytown.transport.connection import Connection, Value
    from tinytown.transport.keys import Keys
    from tinytown.transport.store import Change, Seen

KEPT = frozenset(
    {"town_id", "incarnation", "schema", "runtimes", "runtime", "api_keys", "api_key_uses", "audit"},
)
"""What makes it this town, who is on duty (a runtime goes on, without agents, until new ones are spawned), who may
call it over HTTP, and who did. Neither a reset nor a restore touches it."""

FOUND_BY = frozenset({"", "agent", "task", "mission", "runtime", *STATES})
"""The kinds of keys that can be listed from an index. A test holds the catalogue to them."""


def agent_keys(keys: Keys, agent_id: AgentId) -> list[str]:
    """The keys that an agent has for itself."""
    return [keys(key.name, agent_id) for key in CATALOGUE if key.per == "agent"]


def delete_agent(change: Change, keys: Keys, seen: Seen[Agent]) -> Change:
    """Delete an agent, unless its record has changed; its mailbox must be empty or be moved by the same change.

    Whoever holds it is fenced: without an epoch every fence is outdated.
    """
    agent = seen.record
    change.checks.append((keys("agent", agent.id), "=", seen.raw))
    change.write("DEL", *agent_keys(keys, agent.id))
    change.write("HDEL", keys("names"), agent.name)
    for name in ("tokens", "placed", "epochs"):
        change.write("HDEL", keys(name), agent.id)
    for name in ("held", "unplaced"):
        change.write("SREM", keys(name), agent.id)
    change.writes += agent_index.index_writes(keys, agent, None)
    # No bell of the change: that would note the agent among those with something to read.
    return change.write("PUBLISH", keys("bell"), agent.id)


def delete_task(change: Change, keys: Keys, seen: Seen[Task]) -> Change:
    """Delete a task, unless its record has changed."""
    task = seen.record
    change.checks.append((keys("task", task.id), "=", seen.raw))
    change.write("DEL", keys("task", task.id))
    change.writes += task_index.index_writes(keys, task, None)
    return change.write("LREM", keys("backlog"), 0, task.id)


async def clear_town(connection: Connection, keys: Keys, event: Event, *, events: int) -> int:
    """Delete all agents, tasks, missions and messages in one step; gives how many keys that were.

    The supervisor stays, with an empty mailbox and no conductor in its place. `event` is the first of the new
    journal, which keeps `events`.
    """
    whole = [keys(key.name) for key in CATALOGUE if not key.per and key.type != "channel" and key.name not in KEPT]
    whole += [keys(key.name, state) for key in CATALOGUE for state in STATES.get(key.per, ())]
    groups = [event.to_fields(), whole]
    groups += [
        [word for key in CATALOGUE if key.per == kind for word in (keys.prefix + key.suffix, key.tail)]
        for kind in ("agent", "task", "mission")
    ]
    arguments: list[Value] = [events, SUPERVISOR_ID, await _vacated(connection, keys)]
    for group in groups:
        arguments += (len(group), *group)
    return cast("int", await scripts.CLEAR.run(connection, keys.prefix, arguments))


async def _vacated(connection: Connection, keys: Keys) -> bytes:
    raw = await connection.execute("GET", keys("agent", SUPERVISOR_ID), repeat=True)
    try:
        return Agent.decode(cast("bytes", raw or b"")).vacated().encode()
    except BadMessage:
        return Agent.supervisor().encode()
