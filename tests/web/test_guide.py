"""What `docs/townhall.md` shows is understood: its commands, and its settings, which say what the text says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tinytown.cli.app import bind
from tinytown.config import parse_settings
from tinytown.web.arguments import read_arguments
from tinytown.web.safety import check_safety
from tinytown.web.settings import TownhallSettings, townhall_settings

GUIDE = (Path(__file__).parents[2] / "docs" / "townhall.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines()])
def test_every_command_is_one(line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "tt":
        assert bind(words).command
    elif program == "townhall":
        assert read_arguments(words) is not None
    else:
        assert program == "curl"
        assert "/v1/" in words[-1]


@pytest.mark.parametrize("text", blocks("toml"))
def test_every_setting_is_one_and_safe(text: str) -> None:
    found = parse_settings(text, "", {}, trusted=lambda _: True)
    settings = townhall_settings(found.townhall, root=Path("/town"), request_bytes=found.limits.request_bytes)
    if settings.bind != "0.0.0.0":
        check_safety(settings)


def test_the_limits_it_shows_are_the_defaults() -> None:
    (text,) = [block for block in blocks("toml") if "reads_per_minute" in block]
    found = parse_settings(text, "", {}, trusted=lambda _: True)
    assert townhall_settings(found.townhall, root=Path("/"), request_bytes=found.limits.request_bytes) == (
        TownhallSettings()
    )
