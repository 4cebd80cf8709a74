"""The growing logs of one agent, read along line by line: what it does, and the output of its rounds.

What a CLI prints may hold anything; every line is made safe for a terminal, and a line is only made safe whole, so
that no escape sequence slips through in two halves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown.text import term_safe

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.transport.files import TownFiles

_MOST = 1 << 20
"""Bytes read of one file at a look."""

_LONGEST_LINE = 64 << 10
"""Bytes after which a line without end is shown as it is."""


@dataclass(slots=True)
class _Source:
    """One file, read up to `at`; `left` is the beginning of a line; `seen` is how it looked.

    `stale`: it is of an earlier life, and will be emptied before it grows.
    """

    at: int = 0
    left: bytes = field(default=b"", repr=False)
    seen: tuple[int, int] | None = None
    stale: bool = False


class LogTail:
    """The logs of an agent from now on. Make it before the agent starts: what is there already is old.

    A round's log is emptied when a round of this number begins, the agent's own log only grows.
    """

    def __init__(self, files: TownFiles, name: str) -> None:
        self._log = files.agent_log(name)
        self._prefix = files.round_log(name, 0).name.removesuffix("0.log")
        self._sources: dict[Path, _Source] = {}
        for path in self._paths():
            found = _looks(path)
            if found is not None:
                self._sources[path] = _Source(found[0], seen=found, stale=path != self._log)

    def lines(self) -> list[str]:
        """The whole lines that have come since the last look."""
        out: list[str] = []
        for path in self._paths():
            source = self._sources.setdefault(path, _Source())
            if self._forward(path, source):
                *whole, source.left = source.left.split(b"\n")
                if len(source.left) > _LONGEST_LINE:
                    whole.append(source.left)
                    source.left = b""
                out += [_safe(line) for line in whole]
        return out

    def rest(self) -> list[str]:
        """The lines without an end, when nothing more will come."""
        return [_safe(source.left) for source in self._sources.values() if source.left]

    def _paths(self) -> list[Path]:
        """The agent's log first, then its rounds in their order."""
        rounds: list[tuple[int, Path]] = []
        try:
            paths = list(self._log.parent.iterdir())
        except FileNotFoundError:
            return []
        for path in paths:
            number = path.name.removeprefix(self._prefix).removesuffix(".log")
            if path.name.startswith(self._prefix) and number.isdecimal():
                rounds.append((int(number), path))
        return [self._log, *(path for _, path in sorted(rounds))]

    def _forward(self, path: Path, source: _Source) -> bool:
        """Read on; says whether there was something."""
        found = _looks(path)
        if found is None or (found == source.seen and source.at >= found[0]):
            return False
        if source.stale or found[0] < source.at:
            source.at, source.left, source.stale = 0, b"", False
        with path.open("rb") as file:
            file.seek(source.at)
            chunk = file.read(_MOST)
        source.at += len(chunk)
        source.left += chunk
        source.seen = found
        return bool(chunk)


def _looks(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _safe(line: bytes) -> str:
    return term_safe(line.decode("utf-8", "replace").rstrip("\r"), lines=False)
