"""Look for what is wrong, and say what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage, MissionNotFound, NotInitialized, TownDataLost, TownError, TownNameTaken
from tinytown.ids import MissionId
from tinytown.mission_records import Mission
from tinytown.records import Agent, Task
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.living import living
from tinytown.runtime.operations.checks import Check, Checkup, Verdict
from tinytown.runtime.operations.doctor_github import github_checks
from tinytown.transport.files import TownFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tinytown.runtime.town import Town
    from tinytown.transport.server import ServerStatus

_DURABILITY = {"always": "durable", "fast": "fast", "none": "none"}


FREE_BYTES = 256 << 20
"""Below this much free space on the disk of the data it is time to act."""

_PYTHON = (3, 11)


def checkup(start: Path, *, environ: Mapping[str, str]) -> Checkup:
    """Examine this machine and the town that `start` is in. Never raises for what it finds. Blocks.

    Nothing is started or changed by it.
    """
    checks = [_python(), _git(environ)]
    try:
        files = TownFiles.find(start, environ=environ)
    except NotInitialized as error:
        checks.append(_server_program(None, environ))
        checks.append(Check("town", Verdict.WARN, error.message, "Make one here: tt init"))
        return Checkup(tuple(checks))
    try:
        ground = survey(start, environ=environ)
    except TownError as error:
        checks.append(_server_program(None, environ))
        checks.append(_failed("town", error))
        return Checkup(tuple(checks))
    checks.append(Check("town", Verdict.OK, f"'{ground.settings.name}' at {files.root}"))
    checks.append(_trust(ground))
    if ground.server is not None:
        checks.append(_server_program(ground, environ))
    checks += _server(ground, environ)
    return Checkup(tuple(checks))


def _failed(name: str, error: TownError) -> Check:
    return Check(name, Verdict.FAIL, error.message, error.hint)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= _PYTHON:
        return Check("python", Verdict.OK, f"Python {version}")
    return Check("python", Verdict.FAIL, f"Python {version}", "Install Python 3.11 or newer.")


def _git(environ: Mapping[str, str]) -> Check:
    import shutil

    found = shutil.which("git", path=environ.get("PATH"))
    if found is not None:
        return Check("git", Verdict.OK, found)
    return Check("git", Verdict.WARN, "git is not on the PATH", "Install git: agents work in its repositories.")


def _server_program(ground: Ground | None, environ: Mapping[str, str]) -> Check:
    from tinytown.transport.server_binary import dotted, find_server

    configured = ground.settings.redis.server if ground is not None else None
    try:
        found = find_server(configured, Path.home(), environ.get("PATH", ""))
    except TownError as error:
        return _failed("server program", error)
    bundled = ", bundled" if found.bundled else f" at {found.path}"
    finding = f"{found.name} {dotted(found.version)}{bundled}"
    if found.passed_over:
        return Check("server program", Verdict.OK, f"{finding}; passed over: {' '.join(found.passed_over)}")
    return Check("server program", Verdict.OK, finding)


def _trust(ground: Ground) -> Check:
    if not ground.settings.withheld:
        return Check("configuration", Verdict.OK, str(ground.files.config))
    return Check(
        "configuration",
        Verdict.WARN,
        f"Not applied, because you have not accepted it: {', '.join(ground.settings.withheld)}",
        "Read it with 'tt trust', accept it with 'tt trust accept'.",
    )


def _server(ground: Ground, environ: Mapping[str, str]) -> Iterator[Check]:
    """The server, and what can be seen only while it answers."""
    try:
        if ground.server is not None:
            found = ground.server.status()
            if found is None:
                yield Check("server", Verdict.WARN, "It does not run", "It is started when it is needed: tt status")
                yield _space(ground.server.free_bytes())
                return
            yield from _managed(ground, found)
        yield from _town(ground, environ)
    except TownError as error:
        yield _failed("server", error)


def _managed(ground: Ground, found: ServerStatus) -> Iterator[Check]:
    yield Check("server", Verdict.OK, f"{found.name} {found.version}, pid {found.pid}, {ground.address.url}")
    wanted = _DURABILITY[ground.settings.redis.durability]
    if not found.writes_work:
        yield Check("durability", Verdict.FAIL, "The server cannot write to its disk", "Free space there; see its log.")
    elif found.durability != wanted:
        yield Check(
            "durability",
            Verdict.WARN,
            f"In force is '{found.durability}', configured is '{ground.settings.redis.durability}'",
            "It applies from the server's next start: tt stop --redis, then tt start",
        )
    else:
        yield Check("durability", Verdict.OK, ground.settings.redis.durability)
    yield _space(found.free_bytes)
    if found.evicted_keys:
        yield Check(
            "eviction",
            Verdict.FAIL,
            f"{found.evicted_keys} keys were thrown away",
            "Set maxmemory-policy to noeviction; look for what is missing.",
        )
    else:
        yield Check("eviction", Verdict.OK, "nothing was thrown away")


def _space(free: int) -> Check:
    finding = f"{free >> 20:,} MiB free for the data"
    if free >= FREE_BYTES:
        return Check("disk", Verdict.OK, finding)
    return Check("disk", Verdict.WARN, finding, "Free some: a full disk stops the town.")


def _town(ground: Ground, environ: Mapping[str, str]) -> Iterator[Check]:
    from tinytown.runtime.opening import open_blocking
    from tinytown.transport.blocking import run_sync

    try:
        with open_blocking(ground.root, environ=environ) as town:
            if ground.server is None:
                yield Check("server", Verdict.OK, f"{ground.address.url}, nothing is thrown away")
            yield Check("data", Verdict.OK, "they are those of this town")
            yield from run_sync(_contents(town))
            yield from github_checks(run_sync(town.missions.all()), environ)
    except (TownDataLost, TownNameTaken) as error:
        yield _failed("data", error)


async def _contents(town: Town) -> list[Check]:
    agents = await town.store.agents()
    clis = {town.settings.default_cli, *(each.cli for each in agents if not each.state.is_terminal)}
    checks = [await _runtime(town, agents), *(_cli(town, cli) for cli in sorted(clis))]
    damaged = await _damaged(town)
    if damaged:
        shown = ", ".join(damaged[:5])
        checks.append(
            Check("records", Verdict.FAIL, f"{len(damaged)} cannot be read: {shown}", "Restore them, or delete them.")
        )
    else:
        checks.append(Check("records", Verdict.OK, "all can be read"))
    lengths = await town.connection.pipeline(
        [("XLEN", town.keys("dlq")), ("XLEN", town.keys("quarantine"))], repeat=True
    )
    for name, length in zip(("dead letters", "quarantine"), cast("list[int]", lengths), strict=True):
        verdict, advice = (Verdict.WARN, "Look at them: tt dlq") if length else (Verdict.OK, "")
        checks.append(Check(name, verdict, f"{length} messages", advice))
    return checks


async def _runtime(town: Town, agents: list[Agent]) -> Check:
    here = [card for card in await living(town) if card.host == town.ground.host]
    alive = sum(not agent.state.is_terminal for agent in agents)
    if here:
        return Check("runtime", Verdict.OK, f"pid {here[0].pid}, since {here[0].started_at}")
    if alive:
        return Check(
            "runtime",
            Verdict.WARN,
            f"None is alive on this host; {alive} agents wait",
            "Start one: tt start --detach",
        )
    return Check("runtime", Verdict.OK, "none is needed")


def _cli(town: Town, cli: str) -> Check:
    from tinytown.runtime.operations.programs import cli_warning

    try:
        warning = cli_warning(town, cli)
    except TownError as error:
        return _failed(f"cli {cli}", error)
    if warning is None:
        return Check(f"cli {cli}", Verdict.OK, "its program is on the PATH")
    return Check(f"cli {cli}", Verdict.WARN, warning, f"Install it, or set its command in [agent_clis.{cli}].")


async def _damaged(town: Town) -> list[str]:
    """The keys of records that cannot be read, or are gone while an index names them."""
    names, tasks, missions = await town.connection.pipeline(
        [("HVALS", town.keys("names")), *(("ZRANGE", town.keys(index), 0, -1) for index in ("tasks", "missions"))],
        repeat=True,
    )
    kinds: list[tuple[type[Agent | Task | Mission], str]] = [
        *((Agent, town.keys("agent", raw.decode())) for raw in cast("list[bytes]", names)),
        *((Task, town.keys("task", raw.decode())) for raw in cast("list[bytes]", tasks)),
        *((Mission, town.keys("mission", raw.decode())) for raw in cast("list[bytes]", missions)),
    ]
    if not kinds:
        return []
    found = await town.connection.execute("MGET", *(key for _, key in kinds), repeat=True)
    damaged = []
    for (kind, key), raw in zip(kinds, cast("list[bytes | None]", found), strict=True):
        try:
            kind.decode(raw or b"")
        except BadMessage:
            damaged.append(key)
    return damaged + await _damaged_missions(town, cast("list[bytes]", missions))


async def _damaged_missions(town: Town, missions: list[bytes]) -> list[str]:
    """The keys of missions of which an item or a watch cannot be read: nobody can work on those."""
    damaged = []
    for raw in missions:
        mission_id = MissionId(raw.decode())
        try:
            await town.missions.see(mission_id)
        except BadMessage:
            damaged.append(town.keys("mission_work", mission_id))
        except MissionNotFound:
            continue
    return damaged
