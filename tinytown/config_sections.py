"""The parts of the settings: each a frozen dataclass whose fields carry their default and their rule.

A key exists because a field here has it; there is no second list of keys. Every number is a default of the project
and can be changed in a file. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeVar

from tinytown.config_rules import (
    KIB,
    MIB,
    Alias,
    Elsewhere,
    Listed,
    Named,
    Rule,
    Rules,
    choice,
    duration,
    flag,
    inside,
    matching,
    name,
    size,
    text,
    texts,
    variable,
    variables,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CLI = "claude"
DEFAULT_MAX_AGENTS = 10
DEFAULT_SOCKET = ".tt/redis.sock"
DEFAULT_AOF = ".tt/redis.aof"
LOOPBACK = "127.0.0.1"

_MINUTE = 60.0
_HOUR = 3600.0
_DAY = 86400.0
_PORT = whole(1, 65535)
_HOST = matching(r"\[?[A-Za-z0-9._:%-]{1,253}\]?", "a host name or an address")
_URL = matching(
    r"(?i:rediss?|valkeys?|unix)://\S+",
    "redis://…, rediss://…, valkey://…, valkeys://… or unix:///…",
    secret=True,
)

_T = TypeVar("_T")


def _key(default: _T, rule: Rule) -> _T:
    return field(default=default, metadata={"rule": rule})


def _rules_of(
    section: type[
        Limits | RestartSettings | RuntimeSettings | BacklogSettings | AgentSettings | MissionSettings | VerifyCommand
    ],
) -> Rules:
    return {item.name: item.metadata["rule"] for item in fields(section)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a town takes before it refuses. Refusing at the door keeps one runaway agent from filling the store."""

    message_bytes: int = _key(256 * KIB, size(KIB, 64 * MIB))
    """One message, encoded."""
    inbox_messages: int = _key(10_000, whole(1, 10_000_000))
    """Undelivered messages of one agent."""
    town_messages: int = _key(100_000, whole(1, 100_000_000))
    """Undelivered messages of all agents together."""
    prompt_bytes: int = _key(256 * KIB, size(KIB, 64 * MIB))
    """What one round is told."""
    prompt_messages: int = _key(50, whole(1, 10_000))
    """Messages that one round takes."""
    round_log_bytes: int = _key(64 * MIB, size(64 * KIB, 16 * 1024 * MIB))
    """Output kept of one round; of more than that the first and the last eighth are kept."""
    request_bytes: int = _key(MIB, size(KIB, 64 * MIB))
    """The body of one HTTP request."""
    events: int = _key(10_000, whole(100, 10_000_000))
    """What the journal remembers; older events go first."""
    max_attempts: int = _key(5, whole(1, 1000))
    """Failures of one message, while others succeeded, before it goes to the dead letters."""
    max_recoveries: int = _key(3, whole(1, 1000))
    """Deaths of a runtime with one message in the prompt before that message is quarantined."""
    max_reviews: int = _key(3, whole(0, 1000))
    """How often a reviewer sends a task back before a person is asked."""


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """How a crashed agent is started again: at once, then after a random time up to a bound that doubles."""

    backoff: float = _key(5.0, duration(0.01, _HOUR))
    """The first bound."""
    backoff_cap: float = _key(5 * _MINUTE, duration(0.01, _DAY))
    """The last bound."""
    crashes: int = _key(5, whole(0, 1000))
    """More crashes than this within the period, and the agent goes to Error."""
    period: float = _key(10 * _MINUTE, duration(1, _DAY))


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Rounds, leases, and how patient a stop is."""

    autostart: bool = _key(default=True, rule=flag())
    """Whoever gives work starts a runtime where none is alive; with false only `tt start` does."""
    max_rounds: int = _key(10, whole(1, 1_000_000))
    """Rounds of an agent when `tt spawn` does not say."""
    round_timeout: float = _key(_HOUR, duration(1, 30 * _DAY))
    """A round that runs longer is cut; silence alone is no reason."""
    max_failed_rounds: int = _key(5, whole(1, 1000))
    """Failed rounds in a row before the agent goes to Error."""
    round_backoff: float = _key(5.0, duration(0.01, _HOUR))
    """The first bound of the random pause after a failed round; it doubles."""
    round_backoff_cap: float = _key(10 * _MINUTE, duration(0.01, _DAY))
    placement_lease: float = _key(15.0, duration(0.2, _HOUR))
    """How long an agent stays with a runtime that says nothing."""
    placement_renew: float = _key(5.0, duration(0.05, _HOUR))
    message_lease: float = _key(60.0, duration(0.2, _DAY))
    """How long a claimed message stays with a turn that says nothing. Renewed four times in it."""
    message_renew: float = _key(15.0, duration(0.05, _DAY))
    lifeline_interval: float = _key(5.0, duration(0.05, _HOUR))
    """How often what a dead runtime left behind is looked for, besides the bells."""
    stop_grace: float = _key(30.0, duration(0, _DAY))
    """How long a stopping runtime lets its turns go on."""
    interrupt_grace: float = _key(5.0, duration(0, _HOUR))
    """Between the interrupt and the terminate signal to a CLI: most save their session in it."""
    terminate_grace: float = _key(10.0, duration(0, _HOUR))
    """Between the terminate and the kill signal."""


@dataclass(frozen=True, slots=True)
class BacklogSettings:
    """The backlog."""

    auto_claim: bool = _key(default=False, rule=flag())
    """An idle agent takes a matching item by itself, instead of being told of it."""
    reclaim_after: float = _key(10 * _MINUTE, duration(0, 30 * _DAY))
    """With `auto_claim`: how long an agent has ended before its work goes to the backlog by itself; 0: never."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where agents work, and what stands ready for them there."""

    isolation: Literal["none", "worktree"] = _key("none", choice("none", "worktree"))
    """`worktree`: each agent has a git worktree of its own, on the branch `tt/<name>`. `none`: all of them work in
    the project's directory."""
    include: tuple[str, ...] = _key((".env",), texts(inside("config/*.local")))
    """Files that a worktree gets though git does not track them; patterns, with `**` for any directories."""
    setup: str | None = _key(None, text("a command line"))
    """The command that makes a new worktree ready, such as `npm ci`. Split as a shell would, run without one."""
    port_base: int = _key(20_000, whole(1024, 65_526))
    """Each worktree has ten ports of its own, from here on; their first is in `TINYTOWN_PORT_BASE`."""


@dataclass(frozen=True, slots=True)
class MissionSettings:
    """How missions work, where `tt mission start` does not say otherwise."""

    tick_secs: float = _key(30.0, duration(0.05, _HOUR))
    """How often the scheduler looks at each mission, besides the bells."""
    max_parallel_items: int = _key(2, whole(1, 1000))
    """Work items of one mission that are in work at once."""
    reviewer_required: bool = _key(default=True, rule=flag())
    """What is done waits for a review."""
    auto_merge: bool = _key(default=False, rule=flag())
    """A pull request that is approved and green is merged without a person."""
    merge_method: Literal["auto", "squash", "merge", "rebase"] = _key(
        "auto", choice("auto", "squash", "merge", "rebase")
    )
    """`auto`: the first of squash, merge and rebase that the repository allows."""
    watch_interval_secs: int = _key(180, whole(1, 86_400))
    """How often a pull request is looked at."""
    bugbot_logins: tuple[str, ...] = _key(("cursor", "bugbot"), texts(text("the login of a bot, without [bot]")))
    """The bots whose findings have to be mended before a merge."""


@dataclass(frozen=True, slots=True)
class VerifyCommand:
    """One command that has to succeed before a task counts as completed."""

    name: str = _key("", text("a short text"))
    """For people; the command itself when it is left out."""
    command: str = _key("", text("a command line"))
    """Split as a shell would, run without one."""
    workdir: str | None = _key(None, inside("services/api"))
    """Relative to the directory that the agent works in."""
    timeout: float = _key(10 * _MINUTE, duration(0.1, _DAY))
    """A command that runs longer is ended, and has failed."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where the town's data are.

    `where` is `external` when there is an address to connect to: then `url` has it whole, with password and TLS
    files, and `url_source` says for people where it came from. It is `managed` when we start the server ourselves:
    on a Unix socket, and with `use_socket = false` on `bind` and `port` too.
    """

    where: Literal["managed", "external"] = "managed"
    url: str = field(default="", repr=False)
    url_source: str = ""
    use_socket: bool = True
    socket_path: str = DEFAULT_SOCKET
    host: str = LOOPBACK
    port: int = 6379
    bind: str = LOOPBACK
    password: str | None = field(default=None, repr=False)
    tls_enabled: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca_cert: str | None = None
    server: str | None = None
    """The server program to start, instead of the one we would find."""
    durability: Literal["always", "fast", "none"] = "always"
    central: bool = False
    """One managed server for all towns of the user."""
    max_memory: int = 512 * MIB
    aof_path: str = DEFAULT_AOF
    """Where `tt save` writes."""


@dataclass(frozen=True, slots=True)
class AgentCli:
    """An agent CLI as a file defines it. What is None is that of the preset of the same name."""

    name: str
    command: str | None = None
    """Split as a shell would, run without one."""
    interactive: str | None = None
    """The same for the conductor in a terminal."""
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_pass: tuple[str, ...] = ()
    """Variables of the user's environment that it may see."""
    source: str = ""
    """The file, for people."""


_SCOPES = choice("town.read", "town.write", "agent.manage", "admin")

_TOWNHALL: Rules = {
    "bind": _HOST,
    "rest_port": _PORT,
    "mcp_port": _PORT,
    "request_timeout_ms": whole(1, 3_600_000),
    "socket": text("a path"),
    "hosts": texts(_HOST),
    "origins": texts(matching(r"https?://[^\s/]+", "an origin, such as https://example.com")),
    "max_connections": whole(1, 100_000),
    "grace_seconds": duration(0, _HOUR),
    "limits": {
        "reads_per_minute": whole(1, 1_000_000),
        "writes_per_minute": whole(1, 1_000_000),
        "failed_logins_per_minute": whole(1, 1_000_000),
    },
    "auth": {
        "mode": choice("none", "token", "api_key", "oidc"),
        "api_key_hash": matching(r"\$argon2id\$\S+", "what 'tt auth gen-key' printed", secret=True),
        "api_key_scopes": texts(_SCOPES),
        "issuer": text("an https URL"),
        "audience": text(),
        "jwks_url": text("an https URL"),
        "required_scopes": texts(text()),
        "clock_skew_seconds": whole(0, 3600),
    },
    "tls": {
        "enabled": flag(),
        "cert_file": text("a path"),
        "key_file": text("a path"),
        "cert_path": Alias("cert_file"),
        "key_path": Alias("key_file"),
    },
    "mtls": {
        "enabled": flag(),
        "required": flag(),
        "ca_file": text("a path"),
        "ca_path": Alias("ca_file"),
    },
}

_REDIS: Rules = {
    "url": _URL,
    "use_socket": flag(),
    "socket_path": inside(),
    "host": _HOST,
    "port": _PORT,
    "bind": _HOST,
    "password": text("a text that is not empty", secret=True),
    "tls_enabled": flag(),
    "tls_cert": text("a path"),
    "tls_key": text("a path"),
    "tls_ca_cert": text("a path"),
    "server": text("the path of a server program"),
    "durability": choice("always", "fast", "none"),
    "persist": flag(),
    "max_memory": size(MIB, 1024 * 1024 * MIB),
    "maxmemory": Alias("max_memory"),
    "aof_path": inside(),
    "central": flag(),
}

_SHARED: Rules = {
    "default_cli": name(),
    "default_model": Alias("default_cli"),
    "conductor_cli": name(),
    "max_agents": whole(1, 100_000),
    "redis": _REDIS,
    "agent_clis": Named(
        {
            "name": name(),
            "command": text("a command line"),
            "interactive": text("a command line"),
            "workdir": text("a path"),
            "env": variables(),
            "env_pass": texts(variable()),
        },
        short="command",
    ),
    "limits": _rules_of(Limits),
    "restart": _rules_of(RestartSettings),
    "runtime": _rules_of(RuntimeSettings),
    "backlog": _rules_of(BacklogSettings),
    "agent": _rules_of(AgentSettings),
    "mission": _rules_of(MissionSettings),
    "verify": Listed(_rules_of(VerifyCommand), needed="command"),
    "townhall": _TOWNHALL,
}

PROJECT_KEYS: Rules = {
    "name": text("the name of the town"),
    **_SHARED,
    "redis": {**_REDIS, "central": Elsewhere("One server for all towns is the user's choice: ~/.tt/config.toml")},
}
"""What `tinytown.toml` may say."""

USER_KEYS: Rules = {"name": Elsewhere("A town is named in its tinytown.toml."), **_SHARED}
"""What `~/.tt/config.toml` may say."""
