"""Tinytown: several AI coding agents on one project, on durable mailboxes, under one roof.

The Python API, under trio. Everything named here is public; nothing else of the package is.

>>> import tinytown
>>> async def main():
...     async with tinytown.Town.connect(".") as town:
...         worker = await town.spawn_agent("worker-1", cli="claude")
...         task_id = await worker.assign("Write the tests of the parser")
...         task = await worker.wait_task(task_id)
...         print(task.state, task.result)

Names are loaded when they are first used, so that `tt`, which imports this package too, starts quickly. Not even
`typing` is imported, which takes longer than Python itself.
"""

from tinytown.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tinytown.config import Settings
    from tinytown.errors import (
        AgentExists,
        AgentNotFound,
        AlreadyInitialized,
        AmbiguousId,
        BadMessage,
        Conflict,
        Forbidden,
        Full,
        IllegalTransition,
        Interrupted,
        Invalid,
        InvalidConfig,
        InvalidName,
        LeaseLost,
        MailboxFull,
        NotFound,
        NotInitialized,
        RedisFull,
        RedisNotInstalled,
        RedisRefused,
        RedisStartFailed,
        RedisUnreachable,
        RedisVersionTooOld,
        RuntimeFailed,
        RuntimeRunning,
        TaskNotFound,
        Timeout,
        TooLarge,
        TooManyAgents,
        TownDataLost,
        TownError,
        TownFull,
        TownNameTaken,
        Unavailable,
        UnknownCli,
        Untrusted,
    )
    from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, TaskId
    from tinytown.lifecycle import AgentState, TaskState
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
    from tinytown.records import Agent, AgentType, Event, Task
    from tinytown.runtime.channel import Channel
    from tinytown.runtime.handle import AgentHandle
    from tinytown.runtime.seat import Received
    from tinytown.runtime.town import Town

_HOMES = {
    "tinytown.config": ("Settings",),
    "tinytown.errors": (
        "AgentExists",
        "AgentNotFound",
        "AlreadyInitialized",
        "AmbiguousId",
        "BadMessage",
        "Conflict",
        "Forbidden",
        "Full",
        "IllegalTransition",
        "Interrupted",
        "Invalid",
        "InvalidConfig",
        "InvalidName",
        "LeaseLost",
        "MailboxFull",
        "NotFound",
        "NotInitialized",
        "RedisFull",
        "RedisNotInstalled",
        "RedisRefused",
        "RedisStartFailed",
        "RedisUnreachable",
        "RedisVersionTooOld",
        "RuntimeFailed",
        "RuntimeRunning",
        "TaskNotFound",
        "Timeout",
        "TooLarge",
        "TooManyAgents",
        "TownDataLost",
        "TownError",
        "TownFull",
        "TownNameTaken",
        "Unavailable",
        "UnknownCli",
        "Untrusted",
    ),
    "tinytown.ids": ("SUPERVISOR_ID", "AgentId", "MessageId", "TaskId"),
    "tinytown.lifecycle": ("AgentState", "TaskState"),
    "tinytown.messages": (
        "AckType",
        "Body",
        "Confirmation",
        "Custom",
        "Informational",
        "Message",
        "Ping",
        "Pong",
        "Priority",
        "Query",
        "Shutdown",
        "StatusRequest",
        "StatusResponse",
        "TaskAssign",
        "TaskDone",
        "TaskFailed",
        "Work",
    ),
    "tinytown.records": ("Agent", "AgentType", "Event", "Task"),
    "tinytown.runtime.channel": ("Channel",),
    "tinytown.runtime.handle": ("AgentHandle",),
    "tinytown.runtime.seat": ("Received",),
    "tinytown.runtime.town": ("Town",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = (
    "SUPERVISOR_ID",
    "AckType",
    "Agent",
    "AgentExists",
    "AgentHandle",
    "AgentId",
    "AgentNotFound",
    "AgentState",
    "AgentType",
    "AlreadyInitialized",
    "AmbiguousId",
    "BadMessage",
    "Body",
    "Channel",
    "Confirmation",
    "Conflict",
    "Custom",
    "Event",
    "Forbidden",
    "Full",
    "IllegalTransition",
    "Informational",
    "Interrupted",
    "Invalid",
    "InvalidConfig",
    "InvalidName",
    "LeaseLost",
    "MailboxFull",
    "Message",
    "MessageId",
    "NotFound",
    "NotInitialized",
    "Ping",
    "Pong",
    "Priority",
    "Query",
    "Received",
    "RedisFull",
    "RedisNotInstalled",
    "RedisRefused",
    "RedisStartFailed",
    "RedisUnreachable",
    "RedisVersionTooOld",
    "RuntimeFailed",
    "RuntimeRunning",
    "Settings",
    "Shutdown",
    "StatusRequest",
    "StatusResponse",
    "Task",
    "TaskAssign",
    "TaskDone",
    "TaskFailed",
    "TaskId",
    "TaskNotFound",
    "TaskState",
    "Timeout",
    "TooLarge",
    "TooManyAgents",
    "Town",
    "TownDataLost",
    "TownError",
    "TownFull",
    "TownNameTaken",
    "Unavailable",
    "UnknownCli",
    "Untrusted",
    "Work",
    "__version__",
)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'tinytown' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
