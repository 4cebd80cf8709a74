"""Where a town keeps its files: `.tt/` in the project, and a directory of its own in the user's state directory.

What lies in the project may have come with a repository and is not believed. So the server's data, the sockets,
the prompts and the locks of a town are in `$XDG_STATE_HOME/tinytown/<town id>/`, which is ours alone; `.tt/town`
names the id, and the file `root` there names the project. Both have to agree: an id without a directory here is a
town of another machine, a second project with the same id is a copy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.errors import Conflict, Forbidden, NotInitialized, RuntimeRunning
from tinytown.ids import is_id, new_id
from tinytown.text import term_safe
from tinytown.times import now
from tinytown.transport import whereabouts
from tinytown.transport.disk import (
    atomic_write,
    make_inside,
    open_inside,
    private_directory,
    read_inside,
)
from tinytown.transport.locks import FileLock, is_locked, locked, try_lock
from tinytown.transport.whereabouts import CONFIG_NAME, DOT, ID_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

__all__ = (
    "FileLock",
    "TownFiles",
    "TownState",
    "atomic_write",
    "central_directory",
    "locked",
    "read_incarnation",
    "state_root",
    "try_lock",
    "update_attributes",
    "update_gitignore",
    "write_incarnation",
)

SOCKET_NAME = "redis.sock"
"""The managed server's socket, in its directory."""

_DIRECTORIES = ("agents", "logs", "tasks")
_IGNORED = ".tt/*"
_KEPT = "!.tt/redis.aof"
_ID_BYTES = 64
_PATH_BYTES = 16384
_ENDING = '"ending": true'
_GITIGNORE_BYTES = 1 << 20


def state_root(environ: Mapping[str, str] | None = None) -> Path:
    """The directory under which the towns of this user have theirs; see `whereabouts`. Nothing is made."""
    return Path(whereabouts.state_root(os.environ if environ is None else environ))


def central_directory(environ: Mapping[str, str] | None = None) -> Path:
    """The state directory of the server that all towns of this user share, made if need be."""
    root = state_root(environ)
    private_directory(root)
    private_directory(root / "central")
    return root / "central"


def write_incarnation(state_directory: Path, incarnation: str) -> None:
    """Notes which life of the town's data this host has seen; the same mark stands in Redis."""
    atomic_write(state_directory / "incarnation", f"{incarnation}\n".encode())


def read_incarnation(state_directory: Path) -> str | None:
    """The mark, None if none was ever written."""
    content = read_inside(state_directory, ["incarnation"], limit=_ID_BYTES)
    return content.decode("ascii", "replace").strip() or None if content is not None else None


@dataclass(frozen=True, slots=True)
class TownState:
    """The state directory of a town: 0700, ours, and belonging to this project."""

    town_id: str
    directory: Path

    @property
    def runtime_lock(self) -> Path:
        """Held by the one runtime of the town that is alive on this host."""
        return self.directory / "runtime.lock"

    def hold_runtime(self) -> FileLock:
        """The runtime's lock, to be kept until the runtime ends; `RuntimeRunning` when another has it.

        The file says in JSON who holds it, for people.
        """
        lock = try_lock(self.runtime_lock)
        if lock is None:
            holder = term_safe(self.runtime_note(), lines=False)
            raise RuntimeRunning(
                f"A runtime of this town is running on this host already {holder}".rstrip(),
                hint="Stop it with 'tt stop', or let it work: spawned agents are started by it.",
            )
        lock.note(f'{{"pid": {os.getpid()}, "started_at": "{now()}"}}\n')
        return lock

    def note_end(self, lock: FileLock) -> None:
        """The holder of the runtime's lock was asked to end; it holds the lock until its last turns have ended."""
        lock.note(f'{{"pid": {os.getpid()}, {_ENDING}, "since": "{now()}"}}\n')

    def runtime_ends(self) -> bool:
        """Whether the runtime that lives here has noted that it ends: to be told to people, not to decide by."""
        return _ENDING in self.runtime_note() and self.runtime_lives()

    def runtime_lives(self) -> bool:
        """Whether a runtime of the town lives on this host; one that begins or ends counts.

        Costs microseconds and asks nobody: the kernel gives the lock of a dead one back at once.
        """
        return is_locked(self.runtime_lock)

    def runtime_note(self) -> str:
        """Who held the runtime's lock last, as JSON; empty if nobody has."""
        content = read_inside(self.directory, [self.runtime_lock.name], limit=256) or b""
        return content.decode("utf-8", "replace").strip()

    def round_directory(self, agent_id: str, number: int) -> Path:
        """The directory for the prompt of one round, made for us alone; whoever runs the round removes it."""
        make_inside(self.directory, ["prompts", f"{agent_id}-{number}"])
        return self.directory / "prompts" / f"{agent_id}-{number}"


class TownFiles:
    """The paths of a town, by its root; making one touches no disk.

    `environ` is where `XDG_STATE_HOME` is looked up; the process's own environment by default.
    """

    __slots__ = ("root", "state_root")

    def __init__(self, root: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.root = root.resolve()
        self.state_root = state_root(environ)

    @classmethod
    def find(cls, start: Path, *, environ: Mapping[str, str] | None = None) -> TownFiles:
        """The town that `start` is in; see `whereabouts.find_root`. Raises `NotInitialized`."""
        root = whereabouts.find_root(os.fspath(start))
        if root is None:
            raise NotInitialized(_shown(start.resolve()))
        return cls(Path(root), environ=environ)

    @property
    def config(self) -> Path:
        """`tinytown.toml`."""
        return self.root / CONFIG_NAME

    @property
    def directory(self) -> Path:
        """`.tt`."""
        return self.root / DOT

    @property
    def agents(self) -> Path:
        """`.tt/agents`."""
        return self.directory / "agents"

    @property
    def logs(self) -> Path:
        """`.tt/logs`."""
        return self.directory / "logs"

    @property
    def tasks(self) -> Path:
        """`.tt/tasks`."""
        return self.directory / "tasks"

    @property
    def socket_link(self) -> Path:
        """`.tt/redis.sock`, a link to the server's socket, for people; we connect to the socket itself."""
        return self.directory / "redis.sock"

    @property
    def pid_link(self) -> Path:
        """`.tt/redis.pid`, a link to the server's pid file, for people."""
        return self.directory / "redis.pid"

    @property
    def snapshot(self) -> Path:
        """`.tt/redis.aof`, what `tt save` writes. No server ever reads it."""
        return self.directory / "redis.aof"

    @property
    def conductor_context(self) -> Path:
        """`.tt/conductor_context.md`."""
        return self.directory / "conductor_context.md"

    def agent_log(self, name: str) -> Path:
        """Where the log of this agent is."""
        return self.logs / f"{name}.log"

    def setup_log(self, name: str) -> Path:
        """Where the output of the command is that makes this agent's worktree ready."""
        return self.logs / f"{name}_setup.log"

    def round_log(self, name: str, number: int) -> Path:
        """Where the output of this round of the agent is."""
        return self.logs / f"{name}_round_{number}.log"

    def round_numbers(self, name: str) -> list[int]:
        """The rounds of this agent that have left an output, in no order."""
        before, after = f"{name}_round_", ".log"
        try:
            names = [path.name for path in self.logs.iterdir()]
        except FileNotFoundError:
            return []
        found = (each.removeprefix(before).removesuffix(after) for each in names if each.startswith(before))
        return [int(number) for number in found if number.isascii() and number.isdigit()]

    def open_log(self, path: Path, *, fresh: bool = False) -> BinaryIO:
        """The log at this path for writing at its end, or emptied first when `fresh`; unbuffered, for us alone.

        Raises `Forbidden` when a link or something else than a file has its name or that of a directory above it.
        """
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND)
        return os.fdopen(open_inside(self.root, path.relative_to(self.root).parts, flags), "wb", 0)

    def town_id(self) -> str | None:
        """The id in `.tt/town`; None if there is none, or none that is an id."""
        content = read_inside(self.root, [DOT, ID_NAME], limit=_ID_BYTES)
        text = (content or b"").decode("ascii", "replace").strip()
        return text if is_id(text) else None

    def state(self) -> TownState:
        """The town's state directory, checked to be ours alone and to belong to this project.

        A project that was moved takes its state directory with it. Raises `NotInitialized` when the town has none
        on this machine, `Conflict` when the project is a copy of another one, `Forbidden` when the directory is
        not ours alone.
        """
        town_id = self.town_id()
        if town_id is None or not os.path.lexists(self.state_root / town_id):
            raise NotInitialized(_shown(self.root))
        self._refuse_inside()
        private_directory(self.state_root)
        state = TownState(town_id, self.state_root / town_id)
        private_directory(state.directory)
        if self._recorded_root(state) != self.root:
            with locked(state.directory / "root.lock"):
                self._take_over(state)
        return state

    def initialise(self) -> tuple[TownState, bool]:
        """Makes the directories and gives the town an id, unless it has one; says whether this call did.

        Of several calls at once exactly one makes the town. Errors as `state`, but for `NotInitialized`.
        """
        self._refuse_inside()
        for name in _DIRECTORIES:
            make_inside(self.root, [DOT, name])
        private_directory(self.state_root)
        with locked(self.state_root / "init.lock"):
            try:
                return self.state(), False
            except NotInitialized:
                pass
            state = TownState(town_id := new_id(), self.state_root / town_id)
            private_directory(state.directory)
            self._record_root(state)
            # Last: whoever reads the id finds everything else.
            atomic_write(self.directory / ID_NAME, f"{state.town_id}\n".encode())
            return state, True

    def _refuse_inside(self) -> None:
        # Data that came with a repository would be replayed by the server, and replaying it runs code. A home
        # directory that is a project of its own is the exception: it was not cloned around its own state.
        if self.state_root.is_relative_to(self.root) and not Path.home().is_relative_to(self.root):
            raise Forbidden(
                "The state directory must not be inside the project",
                hint="Set XDG_STATE_HOME to a directory outside it, or unset it.",
            )

    def _recorded_root(self, state: TownState) -> Path | None:
        content = read_inside(state.directory, ["root"], limit=_PATH_BYTES)
        return Path(os.fsdecode(content.removesuffix(b"\n"))) if content else None

    def _record_root(self, state: TownState) -> None:
        atomic_write(state.directory / "root", os.fsencode(self.root) + b"\n")

    def _take_over(self, state: TownState) -> None:
        recorded = self._recorded_root(state)
        if recorded is not None and _is_town(recorded, state.town_id):
            if recorded.samefile(self.root):
                return
            raise Conflict(
                f"{_shown(self.root)} is a copy of the town at {_shown(recorded)}; one town has one project",
                hint=f"To make it another town: rm '{_shown(self.directory / 'town')}', then 'tt init' there.",
            )
        self._record_root(state)


def _is_town(root: Path, town_id: str) -> bool:
    try:
        return TownFiles(root).town_id() == town_id
    except (OSError, Forbidden):
        # What we cannot read is no town of ours.
        return False


def _shown(path: Path) -> str:
    return term_safe(str(path), lines=False)


def update_gitignore(root: Path) -> bool:
    """Makes `.gitignore` cover `.tt/` but for the saved state; says whether anything had to be written."""

    def missing(lines: list[str]) -> list[str]:
        wanted = [] if _IGNORED in lines else [_IGNORED]
        # The exception counts only below the rule.
        if wanted or _KEPT not in lines[lines.index(_IGNORED) :]:
            wanted.append(_KEPT)
        return wanted

    return _complete(root, ".gitignore", missing)


def update_attributes(root: Path, path: Path) -> bool:
    """Makes `.gitattributes` say that git leaves the line ends of this file alone; says whether it had to be written.

    `path` is relative to `root`.
    """
    line = f"{path.as_posix()} -text"
    return _complete(root, ".gitattributes", lambda lines: [] if line in lines else [line])


def _complete(root: Path, name: str, missing: Callable[[list[str]], list[str]]) -> bool:
    """Appends to a file of git's the lines that `missing` names, given those that are there.

    What is there stays as it is, line ends included. A file that is a link is left alone: git does not follow it
    either.
    """
    try:
        descriptor = open_inside(root, [name], os.O_RDONLY)
    except FileNotFoundError:
        before, mode = b"", 0o644
    except Forbidden:
        return False
    else:
        with os.fdopen(descriptor, "rb") as file:
            before, mode = file.read(_GITIGNORE_BYTES), os.fstat(descriptor).st_mode & 0o777
            if file.read(1):
                return False
    wanted = missing([line.rstrip() for line in before.decode("utf-8", "surrogateescape").splitlines()])
    if not wanted:
        return False
    end = b"\r\n" if b"\r\n" in before else b"\n"
    glue = b"" if not before or before.endswith(b"\n") else end
    atomic_write(root / name, before + glue + b"".join(line.encode() + end for line in wanted), mode=mode)
    return True
