"""Every revision of the protocol over every transport, word by word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from mcp_parts import mcp_townhall
from mcp_transcripts import CASES, DIRECTORY, record, wired, written
from serving import LONG


async def test_sessions_go_as_they_went_before(made: Path) -> None:
    found: dict[Path, str] = {}
    async with mcp_townhall(made) as opened, trio.open_nursery() as nursery:
        # Processes take their time to start: all at once.
        async def hold(transport: str, revision: str) -> None:
            async with wired(transport, revision, opened) as wire:
                found[DIRECTORY / f"{transport}-{revision}.txt"] = written(await record(wire, revision))

        with trio.fail_after(LONG):
            for case in CASES:
                nursery.start_soon(hold, *case)
    if os.environ.get("RECORD_TRANSCRIPTS"):
        DIRECTORY.mkdir(exist_ok=True)
        for path, text in found.items():
            path.write_text(text)

    assert {path for path in DIRECTORY.iterdir() if path.suffix == ".txt"} == set(found)
    for path, text in sorted(found.items()):
        assert text == path.read_text(), path.name


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.txt")), ids=lambda path: path.stem)
def test_a_recorded_session_has_an_answer_to_everything(path: Path) -> None:
    sides = [line.partition(":")[0] for line in path.read_text().splitlines()]

    assert sides == ["client", "server"] * (len(sides) // 2)
