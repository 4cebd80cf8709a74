"""Files in places where somebody else may have put things, and files that must be whole after a crash.

A project directory comes from a repository: a name in it may be a link to anywhere, a pipe, a device. So nothing
below it is opened by following a link, and only regular files are opened at all. A file of ours is replaced,
never changed in place: a reader sees the old content or the new one, whatever dies in between. What only we may
read lies in directories that are checked to be ours alone.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from tinytown.errors import Conflict, Forbidden
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK_ERRNOS = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR)


def sync(descriptor: int) -> None:
    """What was written to the file is on the disk when this returns."""
    import fcntl

    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        # On macOS fsync leaves the data in the cache of the drive (its manual page says so).
        try:
            fcntl.fcntl(descriptor, full)
        except OSError:
            os.fsync(descriptor)
        return
    os.fsync(descriptor)


def atomic_write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Puts a file with this content and exactly this mode in place of whatever has the name.

    After a crash at any point there is the old file or the new one. A link of this name is replaced, not followed.
    Raises `OSError` when the disk does, `IsADirectoryError` when the name is a directory.
    """
    directory = os.open(path.parent, _DIRECTORY)
    temporary = f".tt-{os.urandom(8).hex()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)
                sync(descriptor)
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(temporary, dir_fd=directory)
            raise
        sync(directory)
    finally:
        os.close(directory)


def open_inside(directory: Path, names: Sequence[str], flags: int, *, mode: int = 0o600) -> int:
    """A descriptor of the regular file that is reached from `directory` by these names, without following a link.

    `directory` itself may be reached by links. `flags` are those of `os.open`; `mode` is for a file that is made.
    Raises `Forbidden` for a link or anything that is no regular file, `OSError` as `os.open` does.
    """
    *above, name = names
    parent = _descend(directory, above)
    try:
        # Without O_NONBLOCK the opening of a planted pipe would wait for ever.
        descriptor = _open_step(parent, name, flags | os.O_NONBLOCK, mode, directory.joinpath(*names))
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _planted(directory.joinpath(*names), "is not a regular file")
    return descriptor


def make_inside(directory: Path, names: Sequence[str]) -> None:
    """Makes the directory that is reached by these names, and those above it, for us alone; no links."""
    for count, name in enumerate(names, start=1):
        _check_name(name, directory.joinpath(*names[:count]))
        parent = _descend(directory, names[: count - 1])
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
    os.close(_descend(directory, names))


def read_inside(directory: Path, names: Sequence[str], *, limit: int) -> bytes | None:
    """The first `limit` bytes of that file, None if there is none; `Forbidden` as `open_inside`."""
    try:
        descriptor = open_inside(directory, names, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def private_directory(path: Path) -> None:
    """Makes the directory for us alone, if it is absent, and makes sure that it is ours alone.

    Raises `Forbidden`, and says what to do, when it is a link, belongs to somebody else, lets others in, or lies
    where everybody may put another one in its place.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        _make(path)
        found = path.lstat()
    shown = term_safe(str(path), lines=False)
    if not stat.S_ISDIR(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "not a directory"
        raise Forbidden(f"{shown} is {what}; it must be a directory of yours", hint=f"Look at it: ls -ld '{shown}'")
    if found.st_uid != os.geteuid():
        raise Forbidden(f"{shown} belongs to another user", hint="Set XDG_STATE_HOME to a directory of yours.")
    if found.st_mode & 0o077:
        raise Forbidden(
            f"{shown} lets other users in (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"Run: chmod 700 '{shown}'",
        )
    above = path.parent.stat().st_mode
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        raise Forbidden(
            f"Everybody may replace {shown}: the directory above it is writable for all",
            hint=f"Run: chmod o-w '{term_safe(str(path.parent), lines=False)}'",
        )


def repoint(link: Path, target: Path) -> None:
    """Makes `link` a symbolic link to `target`; whoever looks meanwhile finds the old one or the new one.

    A file of this name is replaced. Raises `Conflict` when the name is a directory.
    """
    try:
        if link.readlink() == target:
            return
    except OSError:
        pass
    temporary = link.parent / f".tt-{os.urandom(8).hex()}"
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except IsADirectoryError:
        raise Conflict(f"{link} is a directory", hint="Move it away: the link to the server goes there.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _make(path: Path) -> None:
    # Path.mkdir(parents=True) gives the mode to the last one only.
    if not path.parent.exists():
        _make(path.parent)
    path.mkdir(0o700, exist_ok=True)


def _descend(directory: Path, names: Sequence[str]) -> int:
    current = os.open(directory, _DIRECTORY)
    walked = directory
    for name in names:
        walked /= name
        try:
            below = _open_step(current, name, _DIRECTORY, 0, walked)
        finally:
            os.close(current)
        current = below
    return current


def _open_step(parent: int, name: str, flags: int, mode: int, shown: Path) -> int:
    _check_name(name, shown)
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=parent)
    except OSError as error:
        if error.errno in _LINK_ERRNOS and shown.is_symlink():
            raise _planted(shown, "is a link, and links are not followed here") from None
        # A pipe without a reader, or a socket.
        if error.errno == errno.ENXIO:
            raise _planted(shown, "is not a regular file") from None
        raise


def _check_name(name: str, shown: Path) -> None:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise _planted(shown, "is not the name of one file")


def _planted(path: Path, what: str) -> Forbidden:
    return Forbidden(f"{term_safe(str(path), lines=False)} {what}", hint="Remove it; Tinytown makes its own.")
