"""Save and restore: a town as one file that git can keep.

The file is never given to a server to replay: replaying runs what it says. It is read, checked against a whitelist
and put in place in one step (`tinytown.transport.snapshot`).

A file may come with a repository, and its tasks may carry commands that would run later, to verify them. Those are
taken only from the very file that was saved here last, or when whoever restores says that he has read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import BadSnapshot, Invalid, NotFound, Untrusted
from tinytown.records import Event
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.text import term_safe
from tinytown.transport import snapshot
from tinytown.transport.disk import read_inside
from tinytown.transport.files import atomic_write, update_attributes

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.runtime.town import Town

MOST_BYTES = 512 << 20
"""The largest file that is read: far above a full town, far below what would exhaust a machine."""

_OURS = "saved"
"""In the state directory, where no repository reaches: the SHA-256 of the file that was saved here last."""


@dataclass(frozen=True, slots=True)
class Save:
    """Write the town to its save file."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Where it was written, and how large it is in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Put the save file in the place of what the town holds.

    `dry_run` only says what it would bring. `force` also replaces a town that runs or is not empty. `allow_verify`:
    whoever asks has read the commands in it and lets them run. `without_verify` leaves them out.
    """

    dry_run: bool = False
    force: bool = False
    allow_verify: bool = False
    without_verify: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """`lines` describe what the file holds; the counts are of what was brought, all 0 after a dry run.

    `commands` are those by which its tasks would be verified, each once. `unread` of them: nobody here has accepted
    them. `left_out` says that the tasks were brought without them.
    """

    path: str
    lines: tuple[str, ...]
    dry_run: bool
    commands: tuple[str, ...] = ()
    unread: bool = False
    left_out: bool = False
    agents: int = 0
    tasks: int = 0
    missions: int = 0
    messages: int = 0


@operation("town.save", Scope.MANAGE)
async def save(town: Town, request: Save) -> Saved:
    """Save the town's state to a file for version control.

    The same state gives the same bytes; nothing secret is in it. Raises `BadSnapshot` for damaged data, `TooLarge`.
    """
    del request
    data = await snapshot.take(town.connection, town.keys)
    path = save_file(town)
    await town.aside(lambda: atomic_write(path, data, mode=0o644))
    await town.aside(lambda: atomic_write(town.ground.state.directory / _OURS, _digest(data)))
    # Git may rewrite line ends, which would break the framing of the file.
    await town.aside(lambda: update_attributes(town.root, path.relative_to(town.root)))
    return Saved(str(path), len(data))


@operation("town.restore", Scope.ADMIN)
async def restore(town: Town, request: Restore) -> Restored:
    """Restore the town's state from its save file.

    Raises `NotFound` without a file, `BadSnapshot` for one that cannot be used, `Untrusted` for commands in it that
    nobody has accepted, and `Conflict` for a town that runs or holds something, unless forced. Then nothing was
    changed.
    """
    if request.allow_verify and request.without_verify:
        raise Invalid("--allow-verify and --without-verify exclude each other")
    path = save_file(town)
    data = await town.aside(lambda: _read(path))
    found = snapshot.parse(data, town.keys)
    lines = tuple(snapshot.describe(found))
    commands = tuple(dict.fromkeys(command for task in found.tasks() for command in task.verify))
    unread = bool(commands) and not request.allow_verify and not await town.aside(lambda: _is_ours(town, data))
    if request.dry_run:
        return Restored(str(path), lines, dry_run=True, commands=commands, unread=unread)
    if request.without_verify:
        found.drop_commands()
    elif unread:
        raise _unread(commands)
    counts = await snapshot.load(town.connection, town.keys, found, force=request.force)
    held = f"{counts.agents} agents, {counts.tasks} tasks, {counts.missions} missions, {counts.messages} messages"
    detail = f"{held}, by {town.caller.name}"
    await town.journal.append(Event("town.restored", detail=detail))
    return Restored(
        str(path),
        lines,
        dry_run=False,
        commands=commands,
        unread=unread,
        left_out=bool(commands) and request.without_verify,
        agents=counts.agents,
        tasks=counts.tasks,
        missions=counts.missions,
        messages=counts.messages,
    )


def save_file(town: Town) -> Path:
    """Where `tt save` writes, and `tt restore` reads."""
    return town.root / town.settings.redis.aof_path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"There is no save file at {path}", hint="Write one with: tt save") from None
    except OSError as error:
        raise BadSnapshot(f"The save file {path} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise BadSnapshot(f"The save file {path} has more than {MOST_BYTES:,} bytes")
    return data


def _unread(commands: tuple[str, ...]) -> Untrusted:
    # A command is shown whole: what is cut off would be what it does.
    listed = "\n".join(f"  {term_safe(command, lines=False)}" for command in commands)
    return Untrusted(
        f"The save file has commands that would run on this machine to verify tasks:\n{listed}",
        hint="Nothing was changed. When you have read them: tt restore --allow-verify"
        " (or leave them out: tt restore --without-verify)",
    )


def _digest(data: bytes) -> bytes:
    from hashlib import sha256

    return sha256(data).hexdigest().encode()


def _is_ours(town: Town, data: bytes) -> bool:
    """Whether this is, byte for byte, what was saved here last: the town had accepted all that is in it."""
    return read_inside(town.ground.state.directory, [_OURS], limit=100) == _digest(data)
