"""Bad input for every tool, made from its schema: each is refused in a known form, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_parts import envelope, snapshot
from runtime_parts import add

from tinytown.errors import TownError
from tinytown.runtime.caller import EVERYTHING
from tinytown.runtime.opening import open_async, open_blocking
from tinytown.web import refusals
from tinytown.web.mcp.changes import Changes
from tinytown.web.mcp.desk import LocalDesk, limited
from tinytown.web.mcp.server import TownServer
from tinytown.web.mcp.toolset import make_tools

SHORT, LONG = 50, 1000
"""Bad inputs for each tool."""

ODD = (
    "", " ", "\0", "\x1b[31m", "../../etc/passwd", "ada\n", "{{7*7}}", "$(id)", "null", "-1", "\u202e", "é" * 70,
    "\U0001f3db", "*", "ffffffff", "a" * 5000, "'; DROP", "00000000-0000-0000-0000-000000000000", "\ufeff", "%00",
)  # fmt: skip
"""Names of nothing."""

REFERENCES = ("agent", "task_id", "to", "subject", "from", "parent", "id", "run_id", "mission_id", "key")
ENVELOPE = {"success", "data", "error", "code", "hint", "errors"}


def codes(cls: type[TownError]) -> Iterator[str]:
    """The codes of an error and of all below it."""
    yield cls.code
    for each in cls.__subclasses__():
        yield from codes(each)


KNOWN = set(codes(TownError)) - {TownError.code, refusals.Overdue.code}


def wrong_value(schema: dict[str, Any], dice: Random) -> Any:
    """A value that the schema does not allow."""
    kinds = {each.get("type", "enum") for each in schema.get("anyOf", [schema])}
    choices: list[Any] = [{}, {"a": [1]}, [[]], [{"x": 1}], 1.5, -0.1, True, 12345678901234567890, "☃"]
    if "number" in kinds:
        choices = [{}, [], "1", True]
    if "integer" in kinds:
        choices = [{}, [], "1", True, 1.5]
    if "boolean" in kinds:
        choices = [{}, [], "true", 0, 1, 1.5]
    if "string" in kinds and "enum" not in str(schema) and "$ref" not in str(schema):
        choices = [{}, [], ["a"], 1, 1.5, True, 0]
    if "array" in kinds:
        choices = [{}, "a", 1, True, [1], [{}], [None]]
    if "null" not in kinds:
        choices.append(None)
    return dice.choice(choices)


def plausible(schema: dict[str, Any]) -> dict[str, Any]:
    """What the tool needs, of the right types: names of nothing."""
    found: dict[str, Any] = {}
    for name in schema.get("required", []):
        kind = schema["properties"][name].get("type")
        found[name] = {"integer": 1, "number": 1, "boolean": True, "array": []}.get(kind or "", "nobody")
    return found


def drop(arguments: dict[str, Any], schema: dict[str, Any], dice: Random) -> bool:
    required = [name for name in schema.get("required", []) if name in arguments]
    if required:
        del arguments[dice.choice(required)]
    return bool(required)


def strange(arguments: dict[str, Any], schema: dict[str, Any], dice: Random) -> bool:
    name = dice.choice(("x", "__proto__", "Agent", "", "agent ", "task-id", "🦑", "a" * 300))
    arguments[name] = dice.choice((None, 1, "x", [], {}))
    return True


def misfit(arguments: dict[str, Any], schema: dict[str, Any], dice: Random) -> bool:
    if schema["properties"]:
        name = dice.choice(sorted(schema["properties"]))
        arguments[name] = wrong_value(schema["properties"][name], dice)
    return bool(schema["properties"])


def unknown(arguments: dict[str, Any], schema: dict[str, Any], dice: Random) -> bool:
    names = [name for name in schema.get("required", []) if name in REFERENCES]
    if names:
        arguments[dice.choice(names)] = dice.choice(ODD)
    return bool(names)


WAYS: tuple[Callable[[dict[str, Any], dict[str, Any], Random], bool], ...] = (drop, strange, misfit, unknown)


def bad_inputs(schema: dict[str, Any], count: int, dice: Random) -> Iterator[dict[str, Any]]:
    """So many inputs, each wrong in one way or more."""
    while count:
        arguments = plausible(schema)
        ways = dice.sample(WAYS, dice.choice((1, 1, 2)))
        if sum(way(arguments, schema, dice) for way in ways):
            count -= 1
            yield arguments


async def fuzz(root: Path, name: str, count: int) -> None:
    tool = make_tools()[name]
    dice = Random(name)
    async with open_async(root, environ=os.environ) as opened:
        town = limited(opened, EVERYTHING)
        assert town.nursery is not None
        server = TownServer(LocalDesk(town), Changes(town, town.nursery))
        before = await snapshot(town)
        async with Client(server.sdk, cache=None) as client:
            for arguments in bad_inputs(tool.definition.input_schema, count, dice):
                try:
                    found = envelope(await client.call_tool(name, arguments))
                except MCPError as error:
                    assert error.error.code == -32602, (arguments, error.error)  # noqa: PT017
                    continue
                assert not found["success"], (arguments, found)
                assert found.keys() <= ENVELOPE, found
                assert found["code"] in KNOWN, (arguments, found)
        assert await snapshot(town) == before


@pytest.fixture
def populated(made: Path) -> Path:
    with open_blocking(made, environ=os.environ) as town:
        add(town, "ada")
    return made


async def test_bad_input_is_refused_in_a_known_form_and_changes_nothing(populated: Path) -> None:
    for name in make_tools():
        await fuzz(populated, name, SHORT)


@pytest.mark.long
@pytest.mark.parametrize("name", make_tools())
async def test_a_thousand_bad_inputs_are_refused(populated: Path, name: str) -> None:
    await fuzz(populated, name, LONG)
