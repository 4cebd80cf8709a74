"""Agents that left something behind: the ground of the tests about recovering, reclaiming, pruning and resetting."""

from __future__ import annotations

from dataclasses import replace

from runtime_parts import add, move, place
from towns import snapshot

from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentEvent
from tinytown.messages import (
    AckType,
    Body,
    Confirmation,
    Custom,
    Informational,
    Message,
    Ping,
    Pong,
    Priority,
    Query,
    Shutdown,
    StatusRequest,
    StatusResponse,
    TaskAssign,
    TaskDone,
    TaskFailed,
    Work,
)
from tinytown.records import Agent, Task
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Delivery, Fence

EVERY_KIND: tuple[Body, ...] = (
    Work("fix the login"),
    Query("which port?"),
    Informational("the tests pass"),
    Confirmation(AckType.REJECTED, "too slow"),
    TaskDone("some task", "done"),
    TaskFailed("some task", "no way"),
    StatusRequest(),
    StatusResponse("idle"),
    Ping(),
    Pong(),
    Shutdown(),
    Custom("app", "{}"),
)
"""One of each type but the assignment, which needs a task."""


def stop(town: Town, agent: Agent) -> Agent:
    """Let the agent have ended."""
    return move(town, agent, AgentEvent.STOP)


def assigned(town: Town, agent: Agent, *texts: str) -> list[Task]:
    """New tasks of the agent's."""
    return [run_sync(assign(town, Assign(agent.id, text))).task for text in texts]


def send(town: Town, agent: Agent, body: Body, priority: Priority = Priority.NORMAL) -> Message:
    """Something in the agent's mailbox."""
    message = Message(SUPERVISOR_ID, agent.id, body, priority)
    run_sync(town.mailbox.send(message))
    return message


def working(town: Town, name: str, *texts: str) -> tuple[Agent, Fence, list[Delivery]]:
    """An agent in a turn, in which it has these tasks in hand; its runtime lives."""
    agent = add(town, name)
    assigned(town, agent, *texts)
    fence = place(town, agent)
    deliveries = run_sync(town.mailbox.claim(fence, count=50, size=1 << 20, lease=60)).deliveries
    run_sync(town.mailbox.renew(fence, deliveries, lease=60, prompted=True))
    agent = move(town, agent, AgentEvent.READY, AgentEvent.BEGIN)
    agent = run_sync(town.store.update_agent(agent.id, lambda found: replace(found, in_round=True)))
    for delivery in deliveries:
        assert delivery.message is not None
        assert isinstance(delivery.message.body, TaskAssign)
        run_sync(town.store.update_task(delivery.message.body.task_id, lambda task: task.start()))  # type: ignore[arg-type]
    return agent, fence, list(deliveries)


def kill_runtime_of(town: Town, agent: Agent) -> None:
    """The lease of the runtime that holds the agent has passed."""
    holder = run_sync(town.placement.holders([agent.id]))[agent.id]
    run_sync(town.connection.execute("ZADD", town.keys("runtimes"), 1, holder))


def mail(town: Town, agent: Agent | AgentId) -> list[Message]:
    """What waits for the agent, in the order of reading."""
    return run_sync(town.mailbox.peek(agent.id if isinstance(agent, Agent) else agent))


def bodies(town: Town, agent: Agent | AgentId) -> list[Body]:
    """What it says."""
    return [message.body for message in mail(town, agent)]


def dump(town: Town) -> object:
    """All that lies in Redis."""
    return run_sync(snapshot(town.connection))


def everything_of(town: Town, agent: Agent) -> list[str]:
    """The keys, fields and members that still name the agent, but for the journal and messages elsewhere."""
    found = run_sync(snapshot(town.connection))
    kept = {town.keys("events"), town.keys("inbox", SUPERVISOR_ID), town.keys("ready")}
    return [
        key for key, (_, content) in found.items() if key not in kept and (agent.id in key or agent.id in repr(content))
    ]
