"""The ends of an agent's logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tinytown.runtime.operations.logs import Logs, find_logs
from tinytown.transport.disk import open_inside
from tinytown.web.routes.call import json_answer, misfit

if TYPE_CHECKING:
    from pathlib import Path

    from tinytown.messages import JsonObject
    from tinytown.web.routes.call import Answer, Call

DEFAULT_BYTES = 16 << 10
MOST_BYTES = 256 << 10
"""Bytes from the end of a file."""

MOST_ROUNDS = 1_000_000


async def agent_logs(call: Call) -> Answer:
    """The end of the agent's own log and of its latest round, or of the round that was asked for."""
    asked = call.parameters("round", "bytes")
    number = _number("round", asked.get("round"), MOST_ROUNDS)
    size = _number("bytes", asked.get("bytes"), MOST_BYTES) or DEFAULT_BYTES
    town = call.town
    found = await find_logs(town, Logs(call.path["agent"], number))
    ends = await town.aside(lambda: [_end(town.root, path, size) for path in found.files])
    return json_answer({"agent_name": found.agent_name, "rounds": list(found.rounds), "files": [*ends]})


def _number(name: str, text: str | None, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
        raise misfit(name, f"expected 1 to {most}")
    return int(text)


def _end(root: Path, path: Path, size: int) -> JsonObject:
    """The end of a file below the project; no link is followed on the way."""
    inside = path.relative_to(root)
    with os.fdopen(open_inside(root, inside.parts, os.O_RDONLY), "rb") as file:
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(0, whole - size))
        text = file.read(size).decode("utf-8", "replace")
    return {"file": str(inside), "size": whole, "text": text}
