"""What we remember of a worktree, in a file beside git's own notes on it; git removes both together.

An agent can write it, as it can write everything in its worktree. So it is believed only in what harms nobody but
the agent itself, and the paths in it are used like any that came from elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from tinytown.errors import Forbidden
from tinytown.transport.disk import atomic_write, read_inside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME = "tinytown.json"
_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class WorktreeRecord:
    """One worktree."""

    ready: bool = False
    """Its setup command has succeeded."""
    port: int = 0
    """The first port of its block; 0 when it has none."""
    port_base: int = 0
    """The `port_base` that the block was chosen under."""
    brought: Mapping[str, str] = field(default_factory=dict)
    """Files we have brought: path below the top, SHA-256 of what we wrote."""

    @classmethod
    def read(cls, admin: Path) -> WorktreeRecord | None:
        """The record in git's directory of a worktree; None if there is none that can be read."""
        try:
            value = json.loads(read_inside(admin, [_NAME], limit=_LIMIT) or b"")
            return cls(
                ready=value["ready"] is True,
                port=int(value["port"]),
                port_base=int(value["port_base"]),
                brought={
                    str(path): str(digest)
                    for path, digest in value["brought"].items()
                    if not {"", ".", ".."} & set(path.split("/"))
                },
            )
        except (OSError, Forbidden, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, admin: Path) -> None:
        """Keep it."""
        atomic_write(admin / _NAME, json.dumps(asdict(self), sort_keys=True).encode())


def ports_in_use(common: Path) -> list[int]:
    """The first ports of the blocks of all worktrees of a repository."""
    records = (WorktreeRecord.read(admin) for admin in (common / "worktrees").glob("*"))
    return [record.port for record in records if record is not None and record.port]
