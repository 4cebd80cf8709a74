"""Every error a user of Tinytown can meet.

Each class says whose fault it was and carries what every face needs: a stable `code` for programs, the HTTP
status, the exit status of `tt`, and a `hint`, the next thing to do. An error that leaves this package is one of:

    TownError
    ├── NotFound              404, exit 1   what was named does not exist
    │   ├── AgentNotFound
    │   ├── TaskNotFound
    │   ├── MissionNotFound
    │   ├── WorkItemNotFound
    │   └── NotInitialized                 no town in this directory
    ├── Invalid               422, exit 2   what was said cannot be meant
    │   ├── InvalidName
    │   ├── InvalidConfig     500, exit 1   a configuration file is wrong
    │   ├── UnknownCli        422, exit 1
    │   ├── BadMessage        422, exit 1   bytes that are no message
    │   ├── BadSnapshot       422, exit 1   a save file that cannot be used
    │   └── TooLarge          413, exit 1
    ├── Conflict              409, exit 1   right in itself, wrong now
    │   ├── IllegalTransition
    │   ├── AmbiguousId
    │   ├── AgentExists
    │   ├── AlreadyInitialized
    │   ├── TownNameTaken
    │   ├── RuntimeRunning
    │   ├── LeaseLost                      somebody else holds it by now
    │   └── TownDataLost                   the data of the town has vanished
    ├── Forbidden             403, exit 1   known, and not allowed
    │   └── Untrusted
    ├── Full                  429, exit 1   a limit of the configuration is reached
    │   ├── MailboxFull
    │   ├── TownFull
    │   └── TooManyAgents
    ├── Unavailable           503, exit 3   the store does not serve
    │   ├── RedisUnreachable
    │   ├── RedisNotInstalled
    │   ├── RedisVersionTooOld
    │   ├── RedisRefused                   it answers, and will not have us, or cannot be trusted with data
    │   ├── RedisStartFailed
    │   └── RedisFull                      out of memory or out of disk
    ├── RuntimeFailed         500, exit 1   a process of ours could not be started or went wrong
    ├── Timeout               504, exit 4
    └── Interrupted           499, exit 130
"""

from __future__ import annotations

from typing import ClassVar


class TownError(Exception):
    """The root of the tree.

    `message` is one sentence for a person. `hint` says what to do; the class default holds unless one is given.
    """

    code: ClassVar[str] = "town_error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return self.message


class NotFound(TownError):
    """What was named does not exist."""

    code = "not_found"
    http_status = 404


class AgentNotFound(NotFound):
    """No agent has this name or id."""

    code = "agent_not_found"
    default_hint = "See who is there with: tt list"

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"Agent not found: {name}", hint=hint)
        self.name = name


class TaskNotFound(NotFound):
    """No task has this id."""

    code = "task_not_found"
    default_hint = "See what is there with: tt task list"

    def __init__(self, task_id: str, *, hint: str | None = None) -> None:
        super().__init__(f"Task not found: {task_id}", hint=hint)
        self.task_id = task_id


class MissionNotFound(NotFound):
    """No mission has this id."""

    code = "mission_not_found"
    default_hint = "See what is there with: tt mission list --all"

    def __init__(self, mission_id: str, *, hint: str | None = None) -> None:
        super().__init__(f"Mission not found: {mission_id}", hint=hint)
        self.mission_id = mission_id


class WorkItemNotFound(NotFound):
    """The mission has no such work item."""

    code = "work_item_not_found"
    default_hint = "See what it has with: tt mission status --work"

    def __init__(self, item: str, *, hint: str | None = None) -> None:
        super().__init__(f"Work item not found: {item}", hint=hint)
        self.item = item


class NotInitialized(NotFound):
    """There is no town in this directory."""

    code = "not_initialized"

    def __init__(self, path: str, *, hint: str | None = None) -> None:
        super().__init__(f"Town not initialized at {path}. Run 'tt init' first.", hint=hint)
        self.path = path


class Invalid(TownError):
    """What was said cannot be meant: the caller has to say something else."""

    code = "invalid"
    http_status = 422
    exit_code = 2


class InvalidName(Invalid):
    """A name that no agent or town can have."""

    code = "invalid_name"


class InvalidConfig(Invalid):
    """A configuration file has a key or a value that cannot be used; the message names file and key."""

    code = "invalid_config"
    http_status = 500
    exit_code = 1


class UnknownCli(Invalid):
    """No agent CLI of this name is configured."""

    code = "unknown_cli"
    exit_code = 1


class BadMessage(Invalid):
    """Bytes that are not a message of ours."""

    code = "bad_message"
    exit_code = 1


class BadSnapshot(Invalid):
    """A save file that cannot be used, or a town whose save could not be; the message says what and where."""

    code = "bad_snapshot"
    exit_code = 1


class TooLarge(Invalid):
    """Bigger than the configured limit; nothing was stored."""

    code = "too_large"
    http_status = 413
    exit_code = 1


class Conflict(TownError):
    """Right in itself, but not in the present state of things."""

    code = "conflict"
    http_status = 409


class IllegalTransition(Conflict):
    """The state machine has no such move from the state the record is in. Nothing was changed.

    `now` is that state, `event` the move that was asked for.
    """

    code = "illegal_transition"

    def __init__(self, what: str, *, now: str, event: str, hint: str | None = None) -> None:
        super().__init__(f"{what} is {now}: '{event}' is not possible now", hint=hint)
        self.what = what
        self.now = now
        self.event = event


class AmbiguousId(Conflict):
    """A prefix that fits several ids; the message lists them."""

    code = "ambiguous_id"
    default_hint = "Give more characters of the id."


class AgentExists(Conflict):
    """An agent of this name is alive."""

    code = "agent_exists"


class AlreadyInitialized(Conflict):
    """There is a town in this directory already."""

    code = "already_initialized"


class TownNameTaken(Conflict):
    """Another town on the same Redis has this name."""

    code = "town_name_taken"


class RuntimeRunning(Conflict):
    """A runtime of this town is alive on this host already."""

    code = "runtime_running"


class LeaseLost(Conflict):
    """Somebody else owns it by now; whatever was tried changed nothing."""

    code = "lease_lost"


class TownDataLost(Conflict):
    """Redis answers, but the data of this town is not the data it should hold."""

    code = "town_data_lost"


class Forbidden(TownError):
    """Known, and not allowed."""

    code = "forbidden"
    http_status = 403


class Untrusted(Forbidden):
    """The project's configuration names programs or addresses that nobody has accepted yet."""

    code = "untrusted"
    default_hint = "Read it with 'tt trust', accept it with 'tt trust accept'."


class Full(TownError):
    """A limit of the configuration is reached. Nothing was stored."""

    code = "full"
    http_status = 429


class MailboxFull(Full):
    """The mailbox of the recipient, `agent_id`, holds as many messages as it may."""

    code = "mailbox_full"

    def __init__(self, message: str, *, agent_id: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.agent_id = agent_id


class TownFull(Full):
    """The town holds as many undelivered messages as it may."""

    code = "town_full"


class TooManyAgents(Full):
    """`max_agents` agents are alive already."""

    code = "too_many_agents"


class Unavailable(TownError):
    """The store does not serve."""

    code = "unavailable"
    http_status = 503
    exit_code = 3


class RedisUnreachable(Unavailable):
    """No answer from Redis. What was sent may or may not have been done."""

    code = "redis_unreachable"


class RedisNotInstalled(Unavailable):
    """No usable server program was found."""

    code = "redis_not_installed"

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(
            message
            or "Redis not found. Please install Redis 8.0+ and ensure 'redis-server' is on your PATH.\n"
            "See: https://redis.io/downloads/",
            hint=hint,
        )


class RedisVersionTooOld(Unavailable):
    """The server is older than we can work with."""

    code = "redis_version_too_old"

    def __init__(self, version: str, *, required: str = "8.0", hint: str | None = None) -> None:
        super().__init__(
            f"Redis version {version} is too old. Tinytown requires Redis {required} or later.\n"
            "See: https://redis.io/downloads/",
            hint=hint,
        )
        self.version = version


class RedisRefused(Unavailable):
    """The server answers, but refuses us, or must not be trusted with data (it evicts)."""

    code = "redis_refused"


class RedisStartFailed(Unavailable):
    """Our own server did not come up; the message ends with what its log says."""

    code = "redis_start_failed"


class RedisFull(Unavailable):
    """The server has no memory or no disk left. Nothing was stored; reading and finishing work still go on."""

    code = "redis_full"


class RuntimeFailed(TownError):
    """A process of ours could not be started, or ended in a way it must not."""

    code = "runtime_failed"


class Timeout(TownError):
    """The wait was over before what was waited for."""

    code = "timeout"
    http_status = 504
    exit_code = 4


class Interrupted(TownError):
    """A person stopped it."""

    code = "interrupted"
    http_status = 499
    exit_code = 130


def first_cause(error: BaseException) -> BaseException:
    """The first real error inside groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
