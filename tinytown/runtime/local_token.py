"""The local token: what a program of this user on this machine shows to townhall.

It lies in the town's state directory, which only the user can read. It grants everything, as the terminal does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.runtime.api_key import new_key
from tinytown.transport.disk import atomic_write, read_inside

if TYPE_CHECKING:
    from pathlib import Path

TOKEN_NAME = "townhall.token"  # noqa: S105 - the name of the file, not a token

_MOST_BYTES = 1024


def read_token(state_directory: Path) -> str | None:
    """The token of the town with this state directory; None when none was made yet."""
    raw = read_inside(state_directory, [TOKEN_NAME], limit=_MOST_BYTES)
    return raw.decode("ascii", "replace").strip() or None if raw is not None else None


def ensure_token(state_directory: Path) -> str:
    """The token, made if there is none."""
    found = read_token(state_directory)
    if found is None:
        found = new_key()
        atomic_write(state_directory / TOKEN_NAME, f"{found}\n".encode())
    return found
