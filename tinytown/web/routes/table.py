"""Every route that is the face of one operation. A test holds the operations to this table.

Names on the wire are those of the original townhall where it had them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.messages import Priority
from tinytown.web.routes.endpoint import Route
from tinytown.web.routes.paging import Page
from tinytown.web.schemas.requests import More, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_TASKS = Page("tasks", "task.id", {"tag": "task.tags", "source": "task.source"})
_ITEMS = Page("tasks", "id", {"tag": "tags"})
_PAST = Wire(names={"count": "limit", "before": "cursor"})
"""What is listed from its end; `next` of the answer is the cursor that goes on with what is older."""
_STARTED = Wire(fixed={"runtime": True})
_CHOSEN = Wire(
    names={"everything": "all"},
    rules={
        "oneOf": [
            {"required": ["ids"], "properties": {"ids": {"minItems": 1}, "all": {"const": False}}},
            {"required": ["all"], "properties": {"ids": {"maxItems": 0}, "all": {"const": True}}},
        ]
    },
)
"""Some by their ids, or all."""
_MISSION = {"mission": "mission_id"}
_ITEM = Wire(names={**_MISSION, "item": "item_id"})


def _urgent(values: dict[str, Any]) -> dict[str, Any]:
    """`urgent` is the short way to say which priority."""
    if values.pop("urgent", False):
        values["priority"] = Priority.URGENT
    return values


ROUTES: tuple[Route, ...] = (
    # The town.
    Route("GET", "/v1/town", "town.show", "town", hot=True),
    Route("GET", "/v1/status", "town.status", "town", hot=True),
    Route("GET", "/v1/overview", "town.overview", "town", hot=True),
    Route("GET", "/v1/why/{subject}", "town.why", "town"),
    Route("GET", "/v1/history", "agent.history", "town", wire=_PAST),
    Route("GET", "/v1/events/latest", "event.list", "events", wire=_PAST),
    Route("POST", "/v1/town/stop", "town.stop", "town"),
    Route("POST", "/v1/town/save", "town.save", "town"),
    Route("POST", "/v1/town/restore", "town.restore", "town", wire=Wire(exclusive=("allow_verify", "without_verify"))),
    Route("POST", "/v1/town/reset", "town.reset", "town"),
    # Agents.
    Route(
        "GET",
        "/v1/agents",
        "agent.list",
        "agents",
        page=Page("agents", "id", {"state": "state", "cli": "cli", "role": "role"}),
        hot=True,
    ),
    Route(
        "POST",
        "/v1/agents",
        "agent.spawn",
        "agents",
        status=201,
        wire=_STARTED,
        needs_runtime=True,
    ),
    Route("POST", "/v1/agents/prune", "agent.prune", "agents", wire=Wire(names={"everyone": "all"})),
    Route("GET", "/v1/agents/{agent}", "agent.show", "agents"),
    Route("POST", "/v1/agents/{agent}/kill", "agent.kill", "agents"),
    Route("POST", "/v1/agents/{agent}/close", "agent.close", "agents"),
    Route("POST", "/v1/agents/{agent}/restart", "agent.restart", "agents", wire=_STARTED, needs_runtime=True),
    Route("POST", "/v1/agents/{agent}/interrupt", "agent.interrupt", "agents"),
    Route("POST", "/v1/agents/{agent}/resume", "agent.resume", "agents"),
    Route("GET", "/v1/agents/{agent}/inbox", "inbox.show", "messages", page=Page("entries", "message.id")),
    Route("GET", "/v1/agents/{agent}/task", "task.current", "tasks"),
    Route("GET", "/v1/agents/{agent}/history", "agent.history", "agents", wire=_PAST),
    # Tasks.
    Route("GET", "/v1/tasks", "task.list", "tasks", page=_TASKS),
    Route("GET", "/v1/tasks/pending", "task.pending", "tasks", page=_TASKS),
    Route("POST", "/v1/tasks/assign", "task.assign", "tasks", status=201, wire=Wire(names={"description": "task"})),
    Route("GET", "/v1/tasks/{task_id}", "task.show", "tasks", wire=Wire(names={"task": "task_id"})),
    Route(
        "POST",
        "/v1/tasks/{task_id}/complete",
        "task.complete",
        "tasks",
        wire=Wire(names={"task": "task_id", "text": "result"}),
    ),
    Route(
        "POST", "/v1/tasks/{task_id}/fail", "task.fail", "tasks", wire=Wire(names={"task": "task_id", "text": "error"})
    ),
    Route(
        "POST",
        "/v1/tasks/{task_id}/cancel",
        "task.cancel",
        "tasks",
        wire=Wire(names={"task": "task_id", "text": "reason"}),
    ),
    # The backlog.
    Route("GET", "/v1/backlog", "backlog.list", "backlog", page=_ITEMS),
    Route("POST", "/v1/backlog", "backlog.add", "backlog", status=201),
    Route("POST", "/v1/backlog/assign-all", "backlog.assign_all", "backlog"),
    Route(
        "POST",
        "/v1/backlog/{task_id}/claim",
        "backlog.claim",
        "backlog",
        # Over HTTP it is a person who asks, and none that could have the item.
        wire=Wire(names={"task": "task_id"}, required=frozenset({"agent"})),
    ),
    Route("DELETE", "/v1/backlog/{task_id}", "backlog.remove", "backlog", wire=Wire(names={"task": "task_id"})),
    # Missions.
    Route(
        "GET",
        "/v1/missions",
        "mission.list",
        "missions",
        wire=Wire(names={"everything": "all"}),
        page=Page("missions", "mission.id", {"state": "mission.state"}),
    ),
    Route(
        "POST",
        "/v1/missions",
        "mission.start",
        "missions",
        status=201,
        wire=_STARTED,
        needs_runtime=True,
        errors=(502,),
    ),
    Route("GET", "/v1/missions/{mission_id}", "mission.status", "missions", wire=Wire(names=_MISSION)),
    Route("POST", "/v1/missions/{mission_id}/stop", "mission.stop", "missions", wire=Wire(names=_MISSION)),
    Route(
        "POST",
        "/v1/missions/{mission_id}/resume",
        "mission.resume",
        "missions",
        wire=Wire(names=_MISSION, fixed={"runtime": True}),
        needs_runtime=True,
    ),
    Route("POST", "/v1/missions/{mission_id}/note", "mission.note", "missions", wire=Wire(names=_MISSION)),
    Route("GET", "/v1/missions/{mission_id}/why", "mission.why", "missions", wire=Wire(names=_MISSION)),
    Route(
        "GET",
        "/v1/missions/{mission_id}/events",
        "mission.events",
        "missions",
        wire=Wire(names={**_MISSION, "count": "limit"}),
    ),
    Route("POST", "/v1/missions/{mission_id}/items/{item_id}/approve", "mission.approve", "missions", wire=_ITEM),
    Route("POST", "/v1/missions/{mission_id}/items/{item_id}/reject", "mission.reject", "missions", wire=_ITEM),
    # Messages.
    Route(
        "POST",
        "/v1/messages/send",
        "message.send",
        "messages",
        status=201,
        wire=Wire(
            names={"text": "message", "sender": "from"},
            more={"urgent": More(bool, False, "The same as the priority `urgent`.")},  # noqa: FBT003
            adjust=_urgent,
        ),
    ),
    Route(
        "GET",
        "/v1/inbox",
        "inbox.show",
        "messages",
        wire=Wire(fixed={"agent": None}),
        page=Page("entries", "message.id"),
    ),
    Route(
        "POST",
        "/v1/inbox/{message_id}/answer",
        "inbox.answer",
        "messages",
        status=201,
        wire=Wire(names={"message": "message_id", "text": "answer"}),
    ),
    Route("POST", "/v1/inbox/dismiss", "inbox.dismiss", "messages"),
    Route("GET", "/v1/inboxes", "inbox.list", "messages", page=Page("agents", "agent.id")),
    # What was put aside.
    Route("GET", "/v1/dead-letters", "dlq.list", "dead letters", wire=_PAST),
    Route("POST", "/v1/dead-letters/retry", "dlq.retry", "dead letters", wire=_CHOSEN),
    Route("POST", "/v1/dead-letters/drop", "dlq.drop", "dead letters", wire=_CHOSEN),
    Route("GET", "/v1/dead-letters/{id}", "dlq.show", "dead letters"),
    # Repair.
    Route("POST", "/v1/recover", "recovery.recover", "repair"),
    Route(
        "POST",
        "/v1/reclaim",
        "recovery.reclaim",
        "repair",
        wire=Wire(names={"source": "from"}, exclusive=("to", "to_backlog")),
    ),
    Route("POST", "/v1/reclaim/orphan-tasks", "recovery.orphan_tasks", "repair", wire=Wire(names={"source": "from"})),
    # Who may call, and who did.
    Route("GET", "/v1/keys", "auth.list", "access", page=Page("keys")),
    Route("DELETE", "/v1/keys/{key}", "auth.revoke", "access"),
    Route("GET", "/v1/audit", "audit.list", "access", wire=_PAST),
    # The plan.
    Route("POST", "/v1/plan/push", "plan.push", "plan"),
    Route("POST", "/v1/plan/pull", "plan.pull", "plan", wire=Wire(names={"everything": "all"})),
)

WITHOUT_ROUTE: Mapping[str, str] = {
    "conductor.start": "It spends tokens on its own account, and belongs to whoever sits at the town: tt conductor",
    "conductor.attend": "It is for a terminal: tt conductor",
    "conductor.leave": "It is for a terminal: tt conductor",
    "town.migrate": "Once, by the person who has both versions on a terminal: tt migrate",
    "auth.generate": "A key is made and shown once, on a terminal of the host: tt auth gen-key",
}
"""The operations that HTTP does not offer, and why."""
