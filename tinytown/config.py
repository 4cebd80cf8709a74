"""The settings of a town, read once and never changed.

`tinytown.toml` goes before `~/.tt/config.toml`, which goes before the built-in defaults; `REDIS_URL` and
`TINYTOWN_REDIS_PASSWORD` of the environment go before both. Two rules keep a repository from harming who clones
it: what names a program or an address in a project's file applies only when it is trusted
(`tinytown.config_trust`); and what belongs together comes from one file as a whole, so that no password or
environment of the user's own file ever meets an address or a command of the project's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from tinytown.config_file import keep_private, read_file, read_toml
from tinytown.config_sections import (
    DEFAULT_CLI,
    DEFAULT_MAX_AGENTS,
    PROJECT_KEYS,
    USER_KEYS,
    AgentCli,
    AgentSettings,
    BacklogSettings,
    Limits,
    MissionSettings,
    RedisSettings,
    RestartSettings,
    RuntimeSettings,
    VerifyCommand,
)
from tinytown.config_server import read_redis
from tinytown.config_toml import default_toml
from tinytown.config_trust import HIDDEN, executable_part, is_trusted, mask, names, split_table
from tinytown.errors import InvalidConfig, InvalidName
from tinytown.ids import town_name
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tinytown.config_rules import ConfigValue, Table

__all__ = (
    "PROJECT_FILE",
    "USER_FILE",
    "AgentCli",
    "AgentSettings",
    "BacklogSettings",
    "Limits",
    "MissionSettings",
    "RedisSettings",
    "RestartSettings",
    "RuntimeSettings",
    "Settings",
    "Sources",
    "VerifyCommand",
    "default_toml",
    "keep_private",
    "load",
    "parse_settings",
    "redacted",
)

PROJECT_FILE = "tinytown.toml"
USER_FILE = "config.toml"

_FALLBACK_NAME = "town"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one town.

    `executable` is the part of the project's file that needs trust, in canonical form, empty when nothing does
    (`tinytown.config_trust.show` makes it readable). `withheld` names what of it is not applied. `notices` are
    lines that a person should see.
    """

    name: str
    default_cli: str = DEFAULT_CLI
    max_agents: int = DEFAULT_MAX_AGENTS
    conductor_cli: str = DEFAULT_CLI
    redis: RedisSettings = field(default_factory=RedisSettings)
    limits: Limits = field(default_factory=Limits)
    restart: RestartSettings = field(default_factory=RestartSettings)
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    backlog: BacklogSettings = field(default_factory=BacklogSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    mission: MissionSettings = field(default_factory=MissionSettings)
    verify: tuple[VerifyCommand, ...] = ()
    agent_clis: Mapping[str, AgentCli] = field(default_factory=dict)
    townhall: Mapping[str, ConfigValue] = field(default_factory=dict, repr=False)
    executable: str = field(default="", repr=False)
    withheld: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class Sources(NamedTuple):
    """What the two files are called in messages, and what the town is called when its file does not say."""

    project: str = PROJECT_FILE
    user: str = "~/.tt/config.toml"
    fallback_name: str = _FALLBACK_NAME


def load(root: Path, *, environ: Mapping[str, str], home: Path) -> Settings:
    """The settings of the town in `root`, for the user whose home is `home`. A file that is absent says nothing.

    Raises `InvalidConfig` for what cannot be used, and `Forbidden` when others can write the trust file. A file
    that holds a password and that others may read is closed to them (mode 0600), with a notice.
    """
    project, user = root / PROJECT_FILE, home / ".tt" / USER_FILE
    sources = Sources(str(project), str(user), root.resolve().name or _FALLBACK_NAME)
    texts = read_file(project), read_file(user)

    def trusted(part: str) -> bool:
        return is_trusted(part, root, home=home)

    settings, secret = _combine(*texts, environ, sources, trusted)
    closed = [keep_private(path) for path, holds in zip((project, user), secret, strict=True) if holds]
    notices = (*settings.notices, *(line for line in closed if line))
    return _with_notices(settings, notices)


def parse_settings(
    project_text: str,
    user_text: str,
    environ: Mapping[str, str],
    *,
    sources: Sources | None = None,
    trusted: Callable[[str], bool] = lambda part: not part,
) -> Settings:
    """The settings that two texts and an environment make; touches no disk.

    `trusted` is asked whether the project's executable part, in canonical form, may apply; by default it may not.
    """
    return _combine(project_text, user_text, environ, sources or Sources(), trusted)[0]


def redacted(settings: Settings) -> Table:
    """The settings as a JSON object for people and logs: no password, no key, no value of an environment."""
    return cast("Table", _plain(settings, ""))


def _combine(
    project_text: str,
    user_text: str,
    environ: Mapping[str, str],
    sources: Sources,
    trusted: Callable[[str], bool],
) -> tuple[Settings, tuple[bool, bool]]:
    project_source = term_safe(sources.project, lines=False)
    user_source = term_safe(sources.user, lines=False)
    project = read_toml(project_text, project_source, PROJECT_KEYS)
    user = read_toml(user_text, user_source, USER_KEYS)
    secret = (_holds_password(project), _holds_password(user))
    part = executable_part(project)
    withheld: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    if part and not trusted(part):
        project, withheld = split_table(project)[1], names(part)
        notices = (_withheld_notice(project_source, withheld),)
    top = {**user, **project}
    default_cli = cast("str", top.get("default_cli", DEFAULT_CLI))
    settings = Settings(
        name=_name(project, project_source, sources.fallback_name),
        default_cli=default_cli,
        max_agents=cast("int", top.get("max_agents", DEFAULT_MAX_AGENTS)),
        conductor_cli=cast("str", top.get("conductor_cli", default_cli)),
        redis=read_redis((project_source, _sub(project, "redis")), (user_source, _sub(user, "redis")), environ),
        limits=_section(Limits, "limits", project, user),
        restart=_section(RestartSettings, "restart", project, user),
        runtime=_section(RuntimeSettings, "runtime", project, user),
        backlog=_section(BacklogSettings, "backlog", project, user),
        agent=_section(AgentSettings, "agent", project, user),
        mission=_section(MissionSettings, "mission", project, user),
        verify=_verify(top.get("verify", [])),
        agent_clis={
            **_agent_clis(_sub(user, "agent_clis"), user_source),
            **_agent_clis(_sub(project, "agent_clis"), project_source),
        },
        townhall={**_sub(user, "townhall"), **_sub(project, "townhall")},
        executable=part,
        withheld=withheld,
        notices=notices,
    )
    _check_times(settings, project_source if "runtime" in project or "restart" in project else user_source)
    return settings, secret


def _withheld_notice(source: str, withheld: tuple[str, ...]) -> str:
    listed = ", ".join(withheld[:6]) + (f" and {len(withheld) - 6} more" if len(withheld) > 6 else "")
    return (
        f"Not applied from {source}, because you have not accepted it: {listed}. "
        "Built-in settings are used. Read it with 'tt trust', accept it with 'tt trust accept'."
    )


def _name(project: Table, source: str, fallback: str) -> str:
    found = project.get("name")
    if found is None:
        try:
            return town_name(fallback)
        except InvalidName:
            return _FALLBACK_NAME
    try:
        return town_name(cast("str", found))
    except InvalidName as error:
        raise InvalidConfig(f"{source}: name: {error.message}", hint=error.hint) from None


def _sub(table: Table, key: str) -> Table:
    return cast("Table", table.get(key, {}))


_S = TypeVar("_S", Limits, RestartSettings, RuntimeSettings, BacklogSettings, AgentSettings, MissionSettings)


def _section(kind: type[_S], key: str, project: Table, user: Table) -> _S:
    given = {**_sub(user, key), **_sub(project, key)}
    return kind(**{name: tuple(item) if isinstance(item, list) else item for name, item in given.items()})  # type: ignore[arg-type]


def _verify(found: ConfigValue) -> tuple[VerifyCommand, ...]:
    entries = cast("list[Table]", found)
    return tuple(VerifyCommand(**{"name": entry["command"], **entry}) for entry in entries)  # type: ignore[arg-type]


def _agent_clis(table: Table, source: str) -> dict[str, AgentCli]:
    out: dict[str, AgentCli] = {}
    for key, value in table.items():
        entry = cast("Table", value)
        if entry.get("name", key) != key:
            raise InvalidConfig(
                f'{source}: agent_clis.{key}.name is "{entry["name"]}"; expected "{key}", the name of its table',
                hint="The name can be left out.",
            )
        out[key] = AgentCli(
            name=key,
            command=cast("str | None", entry.get("command")),
            interactive=cast("str | None", entry.get("interactive")),
            workdir=cast("str | None", entry.get("workdir")),
            env=cast("dict[str, str]", entry.get("env", {})),
            env_pass=tuple(cast("list[str]", entry.get("env_pass", []))),
            source=source,
        )
    return out


def _check_times(settings: Settings, source: str) -> None:
    """Renewals lie at most half a lease apart: with less room, one late renewal loses what a living holder has."""
    runtime, restart = settings.runtime, settings.restart
    for small, big, factor in (
        ("runtime.placement_renew", "runtime.placement_lease", 2),
        ("runtime.message_renew", "runtime.message_lease", 2),
        ("runtime.round_backoff", "runtime.round_backoff_cap", 1),
        ("restart.backoff", "restart.backoff_cap", 1),
    ):
        section = runtime if small.startswith("runtime") else restart
        low = getattr(section, small.partition(".")[2])
        high = getattr(section, big.partition(".")[2])
        if low * factor > high:
            most = f"half of {big}" if factor > 1 else big
            raise InvalidConfig(f"{source}: {small} is {low:g} s; expected at most {most}, which is {high:g} s")


def _holds_password(table: Table) -> bool:
    redis = _sub(table, "redis")
    url = redis.get("url")
    return "password" in redis or (isinstance(url, str) and mask(url) != term_safe(url, lines=False))


def _with_notices(settings: Settings, notices: tuple[str, ...]) -> Settings:
    return replace(settings, notices=notices) if notices != settings.notices else settings


_HIDDEN = ("password", "api_key_hash")


def _plain(value: object, key: str) -> ConfigValue:
    if is_dataclass(value):
        return {
            item.name: _plain(getattr(value, item.name), item.name)
            for item in fields(value)
            if item.name != "executable"
        }
    if isinstance(value, dict):
        return {name: HIDDEN if key == "env" else _plain(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, str) and key == "url":
        return mask(value) if value else value
    if value is not None and key in _HIDDEN:
        return HIDDEN
    return cast("ConfigValue", value)
