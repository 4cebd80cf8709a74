"""The endpoints that are more than one operation, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.records import Agent, Event, Task
from tinytown.runtime.caller import Scope
from tinytown.web import health
from tinytown.web.events import POSITION
from tinytown.web.routes import logs, waiting
from tinytown.web.routes.endpoint import Parameter, Special

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.web.asgi import Receive, Send
    from tinytown.web.routes.call import Answer, Call

    Respond = Callable[[Call], Awaitable[Answer]]
    Streams = Callable[[Call, Receive, Send], Awaitable[None]]


def specials(*, metrics: Respond, events: Streams, description: Respond) -> list[Special]:
    """All of them; those that keep something for the hall are given."""
    openapi = Special(
        "GET",
        "/openapi.json",
        "public",
        "townhall",
        "Describe the API.",
        description,
        result={"type": "object"},
        hot=True,
    )
    return [*_about_townhall(metrics), *_about_agents(), _events(events), openapi]


def _about_townhall(metrics: Respond) -> list[Special]:
    return [
        Special(
            "GET",
            "/healthz",
            "public",
            "townhall",
            "Say that townhall is alive.",
            health.healthz,
            result={"type": "object", "properties": {"status": {"type": "string"}, "uptime_secs": {"type": "integer"}}},
            hot=True,
        ),
        Special("GET", "/health", "public", "townhall", "The same.", health.healthz, hidden=True, hot=True),
        Special(
            "GET",
            "/readyz",
            "public",
            "townhall",
            "Say whether townhall can serve.",
            health.readyz,
            result={
                "type": "object",
                "properties": {
                    "status": {"type": "string", "enum": ["ready", "not_ready"]},
                    "redis": {"type": "string", "enum": ["connected", "disconnected"]},
                    "redis_latency_ms": {"type": "number"},
                    "dispatcher": {
                        "type": "string",
                        "enum": ["idle", "running", "stalled", "unknown"],
                        "description": "Whether missions get on; stalled: no runtime works on those that there are.",
                    },
                },
            },
            errors=(503,),
            hot=True,
        ),
        Special("GET", "/ready", "public", "townhall", "The same.", health.readyz, hidden=True, hot=True),
        Special(
            "GET",
            "/metrics",
            Scope.READ,
            "townhall",
            "Give the figures of the town and of townhall to Prometheus.",
            metrics,
            media_type="text/plain",
            hot=True,
        ),
        Special(
            "GET",
            "/api/scaling",
            Scope.READ,
            "townhall",
            "Say how many agents there should be.",
            health.scaling_page,
            result=_SCALING,
        ),
    ]


def _about_agents() -> list[Special]:
    seconds = Parameter(
        "seconds",
        f"How long to wait, at most; {waiting.DEFAULT_SECONDS} when it is not said.",
        {"type": "integer", "minimum": 0, "maximum": waiting.MOST_SECONDS},
    )
    ended = {"type": "boolean", "description": "False: the time is over, and the record is as it is now."}
    return [
        Special(
            "GET",
            "/v1/agents/{agent}/wait",
            Scope.READ,
            "agents",
            "Wait until an agent has ended.",
            waiting.wait_for_agent,
            operations=("town.wait",),
            parameters=(seconds,),
            result={"type": "object", "properties": {"ended": ended, "agent": Agent}, "required": ["ended", "agent"]},
        ),
        Special(
            "GET",
            "/v1/tasks/{task_id}/wait",
            Scope.READ,
            "tasks",
            "Wait until a task has ended.",
            waiting.wait_for_task,
            operations=("town.wait",),
            parameters=(seconds,),
            result={"type": "object", "properties": {"ended": ended, "task": Task}, "required": ["ended", "task"]},
        ),
        Special(
            "GET",
            "/v1/agents/{agent}/logs",
            Scope.READ,
            "agents",
            "Show the ends of an agent's logs.",
            logs.agent_logs,
            operations=("agent.logs",),
            parameters=(
                Parameter(
                    "round",
                    "Only the output of this round.",
                    {"type": "integer", "minimum": 1, "maximum": logs.MOST_ROUNDS},
                ),
                Parameter(
                    "bytes",
                    f"How much of the end of each; {logs.DEFAULT_BYTES} when it is not said.",
                    {"type": "integer", "minimum": 1, "maximum": logs.MOST_BYTES},
                ),
            ),
            result=_LOGS,
        ),
    ]


def _events(streams: Streams) -> Special:
    return Special(
        "GET",
        "/v1/events",
        Scope.READ,
        "events",
        "Follow what happens, as server-sent events.",
        streams=streams,
        operations=("event.list",),
        parameters=(
            Parameter("agent", "Only what concerns this agent (name, id or prefix)."),
            Parameter("task", "Only what concerns this task (id or prefix)."),
            Parameter("mission", "Only what concerns this mission."),
            Parameter("type", "Only events of this type (task.completed), or of this noun (task)."),
            Parameter("after", "Begin behind the event with this id; 0 is the beginning of the journal.", _POSITION),
            Parameter("Last-Event-ID", "The same, as browsers say it when they come back.", _POSITION, where="header"),
        ),
        media_type="text/event-stream",
        result=_EVENT,
    )


_POSITION = {"type": "string", "pattern": POSITION}

# Of a stream the description tells what each of its events is.
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Where to begin again, as `after` or `Last-Event-ID`."},
        "event": {
            "type": "string",
            "description": "The type of the event; `reset` where the journal does not reach that far back.",
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            # Nothing is said of a `reset`.
            "contentSchema": {"anyOf": [Event, {"type": "object", "maxProperties": 0}]},
        },
        "retry": {"type": "integer"},
    },
}

_LOGS = {
    "type": "object",
    "properties": {
        "agent_name": {"type": "string"},
        "rounds": {"type": "array", "items": {"type": "integer"}, "description": "Rounds that have left an output."},
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "file": {"type": "string"},
                    "size": {"type": "integer"},
                    "text": {"type": "string", "description": "The end of it."},
                },
                "required": ["file", "size", "text"],
            },
        },
    },
    "required": ["agent_name", "rounds", "files"],
}

_SCALING = {
    "type": "object",
    "properties": {
        "town": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
        **{
            name: {"type": "integer"}
            for name in (
                "queue_depth",
                "pending_tasks",
                "in_flight_tasks",
                "active_agents",
                "cold_agents",
                "desired_agents",
                "max_agents",
            )
        },
        "scaling_recommendation": {
            "type": "string",
            "enum": ["scale_to_zero", "scale_up", "scale_down", "steady"],
        },
    },
}
