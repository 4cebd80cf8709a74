"""What the kernel lets a process do: so that nobody gets more by asking a server than by doing it.

A coding CLI may keep its commands in a sandbox: namespaces, a seccomp filter, Landlock (which needs `NoNewPrivs`),
fewer capabilities. A command that a server did for it would be outside. So a server serves only those that stand as it
does.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

Standing: TypeAlias = tuple[object, ...]

_NAMESPACES = ("mnt", "user", "pid", "net", "ipc", "uts")
_LINES = (b"Uid:", b"Gid:", b"Groups:", b"Cap", b"NoNewPrivs:", b"Seccomp")


def standing_of(pid: int) -> Standing:
    """What a process of this host may do, to be compared with that of another one (Linux).

    Raises `OSError` when there is no such process, or we may not look at it.
    """
    place = Path("/proc", str(pid))
    root = (place / "root").stat()
    spaces = [(place / "ns" / name).stat().st_ino for name in _NAMESPACES]
    lines = [line for line in (place / "status").read_bytes().splitlines() if line.startswith(_LINES)]
    label = b""
    # Without a security module there is no label, and reading it is an error.
    with suppress(OSError):
        label = (place / "attr" / "current").read_bytes()
    return (root.st_dev, root.st_ino, *spaces, *lines, label)


def nice_of(pid: int) -> int:
    """How far it stands back for others; 0 when that cannot be known."""
    with suppress(OSError):
        return os.getpriority(os.PRIO_PROCESS, pid)
    return 0
