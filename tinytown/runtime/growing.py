"""Files that grow while somebody reads along: the logs of agents.

A log is only ever appended to, with one exception: when a round prints more than its log may hold, the log is cut
down to its first and its last part, with a line between that tells how much is missing. A reader that was in the
part that went away goes on behind what it has read, where that still stands, else at the gap.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, BinaryIO

from tinytown.transport.disk import open_inside

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 1 << 20
"""Bytes read at once."""

_BLOCK = 64 << 10
"""Bytes read at once on the way backwards, to find where the last lines begin."""

_REMEMBERED = 256
"""Bytes of what was read last, by which the place is found again in a log that was cut."""

_GAP = re.compile(rb"\n\[\d+ bytes left out here\]\n")
"""What stands where a log was cut (`actors.shim`)."""

_LONGEST_GAP = 64


class GrowingFile:
    """One file below `root`, read from `at` bytes on. Links and what is no regular file are refused."""

    def __init__(self, root: Path, path: Path, *, at: int = 0) -> None:
        self.path = path
        self._root = root
        self._at = at
        self._last = b""
        self._seen: tuple[int, int] | None = None
        self._doubted = False
        if at:
            with self._open() as file:
                file.seek(max(0, at - _REMEMBERED))
                self._last = file.read(min(at, _REMEMBERED))

    @property
    def at(self) -> int:
        """Up to which byte it was read."""
        return self._at

    def read(self) -> bytes:
        """What has come since the last call, up to 1 MiB; empty when there is nothing new. Raises `Forbidden`."""
        found = _looks(self.path)
        if found is None:
            self._at, self._last = 0, b""
            return b""
        size = found[0]
        if found == self._seen and self._at >= size:
            return b""
        with self._open() as file:
            if size < self._at:
                if not self._doubted:
                    # It may be in the middle of being cut: its end is put back in a moment.
                    self._doubted = True
                    return b""
                self._at, self._last = self._resume(file, size), b""
            elif not self._stands(file):
                self._at, self._last = self._resume(file, size), b""
            file.seek(self._at)
            chunk = file.read(_MOST)
        self._doubted = False
        self._seen = found
        self._at += len(chunk)
        self._last = (self._last + chunk)[-_REMEMBERED:]
        return chunk

    def _open(self) -> BinaryIO:
        parts = self.path.relative_to(self._root).parts
        return os.fdopen(open_inside(self._root, parts, os.O_RDONLY), "rb")

    def _stands(self, file: BinaryIO) -> bool:
        """Whether what was read last is still before the place where reading goes on."""
        file.seek(self._at - len(self._last))
        return file.read(len(self._last)) == self._last

    def _resume(self, file: BinaryIO, end: int) -> int:
        """Where to go on in a file that is not what it was: 0 for one that was begun anew."""
        known: int | None = None
        after = b""
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            block = file.read(end - begin) + after
            if known is None and self._last:
                found = block.rfind(self._last)
                known = begin + found + len(self._last) if found >= 0 else None
            gaps = list(_GAP.finditer(block))
            if gaps:
                gap = begin + gaps[-1].start()
                return known if known is not None and known > gap else gap
            after = block[: max(_REMEMBERED, _LONGEST_GAP)]
            end = begin
        return 0


def last_lines_at(root: Path, path: Path, count: int) -> int:
    """Where the last `count` lines of the file begin. Raises as `GrowingFile`, `FileNotFoundError` without one."""
    with os.fdopen(open_inside(root, path.relative_to(root).parts, os.O_RDONLY), "rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        # The end of the last line does not separate lines.
        wanted = count + 1
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            block = file.read(end - begin)
            if end == size and not block.endswith(b"\n"):
                wanted -= 1
            here = block.count(b"\n")
            if here >= wanted:
                place = len(block)
                for _ in range(wanted):
                    place = block.rindex(b"\n", 0, place)
                return begin + place + 1
            wanted -= here
            end = begin
    return 0


def _looks(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns
