"""What commands are asked that are more than one operation, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from tinytown.runtime.operations.conducting import Conduct
    from tinytown.runtime.operations.events import Events
    from tinytown.runtime.operations.logs import Logs
    from tinytown.runtime.operations.waiting import Wait

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """Be the runtime in this terminal, or see that one lives in the background (`detach`).

    `ready_fd` is for the runtime that the background starts: where it says that it serves. `townhall`: it serves the
    town over HTTP, too.
    """

    detach: bool = False
    ready_fd: int | None = None
    townhall: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask all agents to end; with `redis` also end the runtime of this host and our own server."""

    redis: bool = False
    now: bool = False


@dataclass(frozen=True, slots=True)
class Init:
    """A new town in the directory of the town option."""

    name: str | None = None
    join: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Demo:
    """The demonstration, of agents or of a mission, in this directory or in a temporary one."""

    directory: str | None = None
    mission: bool = False


@dataclass(frozen=True, slots=True)
class Foreground(Generic[T]):
    """Start an agent as the request says, and follow what it prints until it ends."""

    request: T


@dataclass(frozen=True, slots=True)
class ConductorAsked:
    """A conductor, and whether to leave it alone once it has begun."""

    request: Conduct
    detach: bool = False


@dataclass(frozen=True, slots=True)
class WaitFor:
    """A wait with its limit in seconds; None waits without end."""

    request: Wait
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class EventsAsked:
    """The last events, and with `follow` those to come."""

    request: Events
    follow: bool = False


@dataclass(frozen=True, slots=True)
class LogsAsked:
    """The logs of an agent, the last `lines` of each or all, and with `follow` what is still to come."""

    request: Logs
    follow: bool = False
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept what the project's configuration would run. `digest`: only if it is still this. `yes`: do not ask."""

    digest: str | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class PlanAsked:
    """Show the plan, its order with `graph`; or make an example of one with `init`."""

    init: bool = False
    graph: bool = False


@dataclass(frozen=True, slots=True)
class SyncAsked:
    """Push the plan to the town, or pull from it; `everything` and `allow_verify` as in the operations."""

    direction: Literal["push", "pull"] = "push"
    everything: bool = False
    allow_verify: bool = False


@dataclass(frozen=True, slots=True)
class MissionStatusAsked:
    """One mission, or all that are not over; `work` and `watch` say how much of each."""

    run: str | None = None
    work: bool = False
    watch: bool = False


@dataclass(frozen=True, slots=True)
class DispatchAsked:
    """Work on missions in this process, until it is ended or `once`."""

    once: bool = False


@dataclass(frozen=True, slots=True)
class MigrateAsked:
    """Bring the keys of an older version to the town, after a question unless `force`; or only say which."""

    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class BootstrapAsked:
    """Install a server of this version, by this method, or by this CLI."""

    version: str = "latest"
    method: Literal["auto", "bundled", "source", "ai"] = "auto"
    cli: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigAsked:
    """Show the configuration, one value of it, or set one: in the user's file, or with `project` the town's."""

    key: str | None = None
    value: str | None = None
    user: bool = False
    project: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """For which shell; None looks at the environment."""

    shell: Literal["bash", "zsh", "fish"] | None = None


@dataclass(frozen=True, slots=True)
class McpInstall:
    """Let a client use the town; with `show` only say how. Without a client the entry is shown as most take it."""

    client: Literal["claude", "claude-desktop", "cursor", "vscode", "codex", "gemini"] | None = None
    show: bool = False
    scopes: str | None = None
