"""Every state machine of the town, as a table.

Two rules. Everything about which move is legal stands in this file; no other file, and no script in Redis,
compares states to decide whether a move may be made. And the tables know nothing of who moves: they are data,
`{state: {event: next state}}`, turned by `move`, which either returns the next state or raises
`IllegalTransition` and has changed nothing.

A state with an empty row is terminal. The diagrams in `docs/architecture.md` are made from these tables.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from tinytown.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Mapping


class AgentState(StrEnum):
    """The life of an agent."""

    STARTING = "starting"
    IDLE = "idle"
    WORKING = "working"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    ERROR = "error"

    @property
    def is_terminal(self) -> bool:
        """No actor lives for it; only a restart leads on."""
        return self in (AgentState.STOPPED, AgentState.ERROR)

    @property
    def can_accept_work(self) -> bool:
        """A task given now starts at once."""
        return self is AgentState.IDLE


class AgentEvent(StrEnum):
    """What happens to an agent."""

    READY = "ready"
    """Its actor waits at the mailbox."""
    BEGIN = "begin"
    """A turn starts."""
    FINISH = "finish"
    """A turn has ended, well or not."""
    PAUSE = "pause"
    RESUME = "resume"
    """No turn runs; it may take one."""
    CONTINUE = "continue"
    """It was paused during a turn that still runs; nothing of it was lost."""
    DRAIN = "drain"
    """It shall end after its turn."""
    STOP = "stop"
    """It ends now."""
    FAIL = "fail"
    """It cannot go on; a person has to look."""
    ADOPT = "adopt"
    """A runtime takes it over from one that died."""
    RESTART = "restart"


class TaskState(StrEnum):
    """The life of a task."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """It has ended, and stays so."""
        return not TASK[self]


class TaskEvent(StrEnum):
    """What happens to a task."""

    ASSIGN = "assign"
    START = "start"
    RETURN = "return"
    """The turn that worked on it ended without an end of the task; it waits for the next one."""
    RELEASE = "release"
    """Nobody has it any more."""
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"


class DeliveryState(StrEnum):
    """The way of one message through a mailbox."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    SNOOZED = "snoozed"
    SETTLED = "settled"
    DEAD = "dead"
    QUARANTINED = "quarantined"


class DeliveryEvent(StrEnum):
    """What happens to a message."""

    CLAIM = "claim"
    ACK = "ack"
    RETRY = "retry"
    SNOOZE = "snooze"
    WAKE = "wake"
    """The time of a snoozed message has come."""
    RECOVER = "recover"
    """The runtime that held it is gone."""
    DEAD_LETTER = "dead_letter"
    QUARANTINE = "quarantine"
    REDELIVER = "redeliver"
    """A person sends a dead letter again."""
    DROP = "drop"


class MissionState(StrEnum):
    """The life of a mission."""

    PLANNING = "planning"
    RUNNING = "running"
    BLOCKED = "blocked"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class MissionEvent(StrEnum):
    """What happens to a mission."""

    START = "start"
    BLOCK = "block"
    UNBLOCK = "unblock"
    STOP = "stop"
    RESUME = "resume"
    COMPLETE = "complete"
    FAIL = "fail"


class WorkItemState(StrEnum):
    """The life of a work item of a mission."""

    PENDING = "pending"
    READY = "ready"
    ASSIGNED = "assigned"
    RUNNING = "running"
    BLOCKED = "blocked"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """The item is over."""
        return self in (WorkItemState.DONE, WorkItemState.FAILED)


class WorkItemEvent(StrEnum):
    """What happens to a work item."""

    UNLOCK = "unlock"
    """All it depends on is satisfied."""
    ASSIGN = "assign"
    START = "start"
    BLOCK = "block"
    UNBLOCK = "unblock"
    RELEASE = "release"
    FINISH = "finish"
    FAIL = "fail"


class WatchState(StrEnum):
    """The life of a watch on something outside."""

    ACTIVE = "active"
    SNOOZED = "snoozed"
    DONE = "done"
    FAILED = "failed"


class WatchEvent(StrEnum):
    """What happens to a watch."""

    SNOOZE = "snooze"
    WAKE = "wake"
    FINISH = "finish"
    FAIL = "fail"


_A, _AE = AgentState, AgentEvent
AGENT: Mapping[AgentState, Mapping[AgentEvent, AgentState]] = {
    _A.STARTING: {
        _AE.READY: _A.IDLE,
        _AE.PAUSE: _A.PAUSED,
        _AE.DRAIN: _A.STOPPED,
        _AE.STOP: _A.STOPPED,
        _AE.FAIL: _A.ERROR,
        _AE.ADOPT: _A.STARTING,
    },
    _A.IDLE: {
        _AE.BEGIN: _A.WORKING,
        _AE.PAUSE: _A.PAUSED,
        _AE.DRAIN: _A.STOPPED,
        _AE.STOP: _A.STOPPED,
        _AE.FAIL: _A.ERROR,
        _AE.ADOPT: _A.STARTING,
    },
    _A.WORKING: {
        _AE.FINISH: _A.IDLE,
        _AE.PAUSE: _A.PAUSED,
        _AE.DRAIN: _A.DRAINING,
        _AE.STOP: _A.STOPPED,
        _AE.FAIL: _A.ERROR,
        _AE.ADOPT: _A.STARTING,
    },
    # A pause during a turn takes effect when the turn ends; the state says at once what is wanted.
    _A.PAUSED: {
        _AE.FINISH: _A.PAUSED,
        _AE.RESUME: _A.IDLE,
        _AE.CONTINUE: _A.WORKING,
        _AE.DRAIN: _A.DRAINING,
        _AE.STOP: _A.STOPPED,
        _AE.FAIL: _A.ERROR,
        _AE.ADOPT: _A.PAUSED,
    },
    _A.DRAINING: {
        _AE.FINISH: _A.STOPPED,
        _AE.STOP: _A.STOPPED,
        _AE.FAIL: _A.ERROR,
        _AE.ADOPT: _A.STOPPED,
    },
    _A.STOPPED: {_AE.RESTART: _A.STARTING},
    _A.ERROR: {_AE.RESTART: _A.STARTING, _AE.STOP: _A.STOPPED},
}

_T, _TE = TaskState, TaskEvent
TASK: Mapping[TaskState, Mapping[TaskEvent, TaskState]] = {
    _T.PENDING: {_TE.ASSIGN: _T.ASSIGNED, _TE.CANCEL: _T.CANCELLED},
    # A task may be ended by its agent before the runtime has marked it as running.
    _T.ASSIGNED: {
        _TE.ASSIGN: _T.ASSIGNED,
        _TE.START: _T.RUNNING,
        _TE.RELEASE: _T.PENDING,
        _TE.COMPLETE: _T.COMPLETED,
        _TE.FAIL: _T.FAILED,
        _TE.CANCEL: _T.CANCELLED,
    },
    _T.RUNNING: {
        _TE.START: _T.RUNNING,
        _TE.RETURN: _T.ASSIGNED,
        _TE.RELEASE: _T.PENDING,
        _TE.COMPLETE: _T.COMPLETED,
        _TE.FAIL: _T.FAILED,
        _TE.CANCEL: _T.CANCELLED,
    },
    _T.COMPLETED: {},
    _T.FAILED: {},
    _T.CANCELLED: {},
}

_D, _DE = DeliveryState, DeliveryEvent
DELIVERY: Mapping[DeliveryState, Mapping[DeliveryEvent, DeliveryState]] = {
    _D.WAITING: {_DE.CLAIM: _D.CLAIMED, _DE.DROP: _D.SETTLED},
    _D.CLAIMED: {
        _DE.ACK: _D.SETTLED,
        _DE.RETRY: _D.WAITING,
        _DE.SNOOZE: _D.SNOOZED,
        _DE.RECOVER: _D.WAITING,
        _DE.DEAD_LETTER: _D.DEAD,
        _DE.QUARANTINE: _D.QUARANTINED,
    },
    _D.SNOOZED: {_DE.WAKE: _D.WAITING, _DE.DROP: _D.SETTLED},
    _D.DEAD: {_DE.REDELIVER: _D.WAITING, _DE.DROP: _D.SETTLED},
    _D.QUARANTINED: {_DE.REDELIVER: _D.WAITING, _DE.DROP: _D.SETTLED},
    _D.SETTLED: {},
}

_M, _ME = MissionState, MissionEvent
MISSION: Mapping[MissionState, Mapping[MissionEvent, MissionState]] = {
    _M.PLANNING: {_ME.START: _M.RUNNING, _ME.STOP: _M.STOPPED, _ME.FAIL: _M.FAILED},
    _M.RUNNING: {
        _ME.BLOCK: _M.BLOCKED,
        _ME.STOP: _M.STOPPED,
        _ME.COMPLETE: _M.COMPLETED,
        _ME.FAIL: _M.FAILED,
    },
    _M.BLOCKED: {
        _ME.UNBLOCK: _M.RUNNING,
        _ME.STOP: _M.STOPPED,
        _ME.COMPLETE: _M.COMPLETED,
        _ME.FAIL: _M.FAILED,
    },
    _M.STOPPED: {_ME.RESUME: _M.RUNNING, _ME.FAIL: _M.FAILED},
    _M.COMPLETED: {},
    _M.FAILED: {},
}

_W, _WE = WorkItemState, WorkItemEvent
WORK_ITEM: Mapping[WorkItemState, Mapping[WorkItemEvent, WorkItemState]] = {
    _W.PENDING: {_WE.UNLOCK: _W.READY, _WE.BLOCK: _W.BLOCKED, _WE.FINISH: _W.DONE, _WE.FAIL: _W.FAILED},
    _W.READY: {_WE.ASSIGN: _W.ASSIGNED, _WE.BLOCK: _W.BLOCKED, _WE.FINISH: _W.DONE, _WE.FAIL: _W.FAILED},
    _W.ASSIGNED: {
        _WE.START: _W.RUNNING,
        _WE.RELEASE: _W.READY,
        _WE.BLOCK: _W.BLOCKED,
        _WE.FINISH: _W.DONE,
        _WE.FAIL: _W.FAILED,
    },
    _W.RUNNING: {
        _WE.RELEASE: _W.READY,
        _WE.BLOCK: _W.BLOCKED,
        _WE.FINISH: _W.DONE,
        _WE.FAIL: _W.FAILED,
    },
    _W.BLOCKED: {_WE.UNBLOCK: _W.READY, _WE.FINISH: _W.DONE, _WE.FAIL: _W.FAILED},
    _W.DONE: {},
    _W.FAILED: {},
}

_H, _HE = WatchState, WatchEvent
WATCH: Mapping[WatchState, Mapping[WatchEvent, WatchState]] = {
    _H.ACTIVE: {_HE.SNOOZE: _H.SNOOZED, _HE.FINISH: _H.DONE, _HE.FAIL: _H.FAILED},
    _H.SNOOZED: {_HE.WAKE: _H.ACTIVE, _HE.FINISH: _H.DONE, _HE.FAIL: _H.FAILED},
    _H.DONE: {},
    _H.FAILED: {},
}

MACHINES: Mapping[str, Mapping[StrEnum, Mapping[StrEnum, StrEnum]]] = {
    "agent": AGENT,  # type: ignore[dict-item]
    "task": TASK,  # type: ignore[dict-item]
    "delivery": DELIVERY,  # type: ignore[dict-item]
    "mission": MISSION,  # type: ignore[dict-item]
    "work item": WORK_ITEM,  # type: ignore[dict-item]
    "watch": WATCH,  # type: ignore[dict-item]
}
"""All tables by the name of what they rule, for the diagrams and the tests."""

_S = TypeVar("_S", bound=StrEnum)
_E = TypeVar("_E", bound=StrEnum)


def move(table: Mapping[_S, Mapping[_E, _S]], state: _S, event: _E, *, what: str) -> _S:
    """The state that follows; `what` names the record in the `IllegalTransition` of a move the table lacks."""
    following = table[state].get(event)
    if following is None:
        raise IllegalTransition(what, now=state.value, event=event.value)
    return following
