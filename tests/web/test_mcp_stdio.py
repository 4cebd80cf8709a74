"""`townhall mcp-stdio` as a client sees it that writes bytes into a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp_parts import TOWNHALL
from runtime_parts import add, credential_of

from tinytown.errors import Invalid
from tinytown.runtime.caller import Scope
from tinytown.runtime.opening import open_blocking
from tinytown.web.mcp.process import parse_scopes
from tinytown.web.mcp.stdio import MOST_LINE

LONG = 30.0
HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Pipe:
    """A server that was started, and both ends of it."""

    def __init__(
        self, root: Path, *arguments: str, before: Sequence[str] = (), environ: Mapping[str, str] = os.environ
    ) -> None:
        self.process = subprocess.Popen(
            [*before, TOWNHALL, "mcp-stdio", "--town", str(root), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
        )

    def write(self, *lines: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        for line in lines:
            self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert found["jsonrpc"] == "2.0"
        return found

    def end(self) -> tuple[int, bytes, bytes]:
        """Close the input, and wait: the exit status, what was still on standard output, standard error."""
        out, err = self.process.communicate(timeout=LONG)
        return self.process.returncode, out, err


@contextmanager
def pipe(root: Path, *arguments: str, **started: Any) -> Iterator[Pipe]:
    """A server that has said hello."""
    found = Pipe(root, *arguments, **started)
    try:
        found.write(HELLO)
        assert found.read()["result"]["serverInfo"]["name"] == "tinytown"
        found.write(READY)
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def call(number: int, tool: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def test_garbage_and_the_end_of_the_input_do_no_harm_even_while_a_call_waits(made: Path) -> None:
    garbage: list[bytes | dict[str, Any]] = [
        b"hello", b"{", b"[]", b"null", b'"text"', b"\xff\xfe\x00", b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
        b"x" * (MOST_LINE + 2),
    ]  # fmt: skip
    with open_blocking(made, environ=os.environ) as town:
        add(town, "ada")
    with pipe(made) as server:
        server.write(b"", b"   ", call(1, "agent.wait", agent="ada"), *garbage)
        errors = [server.read() for _ in garbage]
        server.write(call(2, "agent.list"))
        answer = server.read()
        code, out, err = server.end()

    assert {(each["error"]["code"], each["id"]) for each in errors} == {(-32700, None)}
    assert (answer["id"], answer["result"]["isError"]) == (2, False)
    assert (code, err) == (0, b"")
    for line in out.splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0"


@pytest.mark.parametrize(
    ("number", "scopes", "offered"),
    [(signal.SIGINT, "town.read", set()), (signal.SIGTERM, "town.read,agent.manage", {"agent.spawn"})],
)
def test_the_scopes_are_those_of_the_command_line_and_a_signal_ends_it(
    made: Path, number: signal.Signals, scopes: str, offered: set[str]
) -> None:
    with pipe(made, "--scopes", scopes) as server:
        server.write({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        tools = {tool["name"] for tool in server.read()["result"]["tools"]}
        server.process.send_signal(number)
        code = server.process.wait(LONG)
        err = server.process.stderr and server.process.stderr.read()

    assert "town.get_status" in tools
    assert tools & {"task.assign", "agent.spawn"} == offered
    assert (code, err) == (128 + number, b"")


def test_an_agent_does_not_become_a_person_by_a_client_that_hides_its_environment(made: Path) -> None:
    with open_blocking(made, environ=os.environ) as town:
        environ = credential_of(town, add(town, "ada").id)
    hidden = 'env -i HOME="$HOME" XDG_STATE_HOME="$XDG_STATE_HOME" REDIS_URL="$REDIS_URL" "$0" "$@"; :'
    with pipe(made, "--scopes", "admin", before=["sh", "-c", hidden], environ=environ) as server:
        server.write(call(1, "agent.spawn", name="eve"))
        said = json.loads(server.read()["result"]["content"][0]["text"])
        server.end()

    assert said["error"] == "Agent 'ada' may not use agent.spawn"


def test_what_else_prints_does_not_reach_the_client(made: Path) -> None:
    program = (
        "import os, sys; from tinytown.web.mcp.stdio import take_over; take_over();"
        "print('printed'); os.write(1, b'written'); sys.stdout.flush(); assert sys.stdin.read() == ''"
    )
    done = subprocess.run(
        [TOWNHALL.with_name("python"), "-c", program], input=b"for the server", capture_output=True, check=True
    )

    assert done.stdout == b""
    assert sorted([b"printed" in done.stderr, b"written" in done.stderr]) == [True, True]


def test_what_cannot_be_served_is_said_on_standard_error(user: Path) -> None:
    code, out, err = Pipe(user / "project").end()

    assert (code, out) == (1, b"")
    assert err.startswith(b"Error: Town not initialized")
    assert b"Traceback" not in err


def test_there_are_four_scopes() -> None:
    assert parse_scopes(" town.read, admin,") == {Scope.READ, Scope.ADMIN}
    with pytest.raises(Invalid, match="no scope 'root'"):
        parse_scopes("town.read,root")
