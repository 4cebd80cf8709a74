"""`townhall`, and `tt start --townhall`: processes that serve, and end when they are told to."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from httpx2 import Client, HTTPTransport
from person import LONG, TT, Person
from runtime_parts import credential_of

from tinytown.runtime.opening import open_blocking

TOWNHALL = TT.with_name("townhall")
SERVES = re.compile(r"at (https?://\S+)")


@contextmanager
def serving(person: Person, *command: str | Path, wait: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its URL."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=person.directory,
        env=person.environ,
        text=True,
    )
    try:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if found := SERVES.search(line):
                yield process, found[1]
                break
        else:
            raise AssertionError("".join(seen))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    """Ask it to end; gives the rest of what it says."""
    process.send_signal(number)
    rest, _ = process.communicate(timeout=LONG)
    assert process.returncode == 0, rest
    return rest


def client(person: Person, url: str, **more: Any) -> Client:
    token = person.tt("auth", "token").out.strip()
    return Client(base_url=url, headers={"authorization": f"Bearer {token}"}, **more)


def said_by(person: Person, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOWNHALL, *arguments], capture_output=True, text=True, cwd=person.directory, env=person.environ, timeout=LONG,
        check=False,
    )  # fmt: skip


def configure(person: Person, text: str) -> None:
    with (Path(person.environ["HOME"]) / ".tt/config.toml").open("a") as file:
        file.write(f"\n{text}\n")


def test_a_town_is_served_until_a_signal_on_port_and_socket(town_dir: Person) -> None:
    path = town_dir.directory / "hall.sock"
    configure(town_dir, '[townhall]\nsocket = "hall.sock"')
    with serving(town_dir, TOWNHALL, "rest", "--port", "0") as (process, url):
        with client(town_dir, url) as there:
            assert there.get("/v1/status").json()["name"] == "demo"
            made = there.post("/v1/backlog", json={"description": "over HTTP"})
            assert made.status_code == 201
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with client(town_dir, "http://localhost", transport=HTTPTransport(uds=str(path))) as local:
            assert local.get("/v1/backlog").json()["backlog"][0]["description"] == "over HTTP"
        port = url.rpartition(":")[2]
        taken = said_by(town_dir, "--port", port)
        assert taken.returncode == 1
        assert taken.stderr.startswith(f"Error: Port {port} is taken")
        assert "Traceback" not in taken.stderr
        both = said_by(town_dir, "--port", "0")
        assert "Somebody listens on" in both.stderr
        assert path.exists()
        rest = end(process)
    assert rest.endswith("👋 Closing townhall...\n")
    assert f'request_id="{made.headers["x-request-id"]}" principal="local"' in rest
    assert not path.exists()
    (record,) = town_dir.tt("audit", "--json").json
    assert (record["method"], record["path"], record["result"]) == ("POST", "/v1/backlog", "success")
    assert made.headers["x-request-id"] in town_dir.tt("audit").out


def test_a_hangup_reads_the_certificate_again(town_dir: Person, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    configure(town_dir, f'[townhall.tls]\nenabled = true\ncert_path = "{pair.cert}"\nkey_path = "{pair.key}"')
    with serving(town_dir, TOWNHALL, "--port", "0") as (process, url):
        assert url.startswith("https://")
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert "The certificate was read again" in process.stdout.readline()
        pair.key.write_text("rubbish")
        process.send_signal(signal.SIGHUP)
        assert "The certificate is not changed" in process.stdout.readline()
        end(process, signal.SIGINT)


def test_the_runtime_serves_it_beside_its_agents(town_dir: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configure(town_dir, f"[townhall]\nrest_port = {port}")
    started = town_dir.tt("start", "--detach", "--townhall")
    assert started.code == 0, started.err
    with client(town_dir, f"http://127.0.0.1:{port}") as there:
        assert len(there.get("/v1/status").json()["runtimes"]) == 1
        spawned = there.post("/v1/agents", json={"name": "ada", "cli": "fake"})
        assert spawned.status_code == 201
        assert there.post("/v1/tasks/assign", json={"agent": "ada", "task": "say done"}).status_code == 201
        task = there.get("/v1/status", params={"tasks": "true"}).json()
        assert task["agents"][0]["name"] == "ada"
    assert town_dir.tt("start", "--detach", "--townhall").err.startswith(
        "Error: A runtime of this town is alive already"
    )
    assert town_dir.tt("stop", "--redis", "--now").code == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_that_is_taken_keeps_the_runtime_from_starting_and_says_so(town_dir: Person) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configure(town_dir, f"[townhall]\nrest_port = {port}")
        said = town_dir.tt("start", "--townhall")
    assert said.code == 1
    assert said.err == (
        f"Error: Port {port} is taken: townhall cannot listen on 127.0.0.1:{port}\n"
        "Hint: Another townhall may be running. Choose a port: townhall rest --port PORT\n"
    )


def test_what_cannot_be_served_is_said_in_a_line(town_dir: Person) -> None:
    for arguments, code, text in (
        (["--bind", "0.0.0.0"], 1, "Error: Townhall would listen on 0.0.0.0 without TLS"),
        (["--port", "70000"], 2, "Error: The port is 70000; expected 0 to 65535"),
        (["--port", "x"], 2, "Error: Argument --port: invalid int value: 'x'"),
        (["serve"], 2, "Error: Argument mode: invalid choice: 'serve'"),
        (["--town", "/nowhere"], 1, "Error: Town not initialized at /nowhere"),
    ):
        said = said_by(town_dir, *arguments)
        assert said.stderr.startswith(text), said.stderr
        assert said.returncode == code
        assert "Traceback" not in said.stderr


def test_an_agent_may_not_open_one(town_dir: Person) -> None:
    agent = town_dir.agent("ada")
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        shown = credential_of(town, agent.id)
    keys = {name: shown[name] for name in ("TINYTOWN_AGENT_ID", "TINYTOWN_AGENT_TOKEN")}
    town_dir.environ.update(keys)
    try:
        said = said_by(town_dir, "--port", "0")
        token = town_dir.tt("auth", "token")
    finally:
        for name in keys:
            del town_dir.environ[name]
    assert said.stderr.startswith("Error: Agent 'ada' may not open a townhall")
    assert (token.code, token.out) == (1, "")


def test_help_and_version_need_no_town(person: Person) -> None:
    assert "--bind ADDRESS" in said_by(person, "--help").stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", said_by(person, "--version").stdout)


def test_keys_of_the_town_are_made_listed_and_revoked(town_dir: Person) -> None:
    assert town_dir.tt("auth", "list").out == "No API keys. Make one with: tt auth gen-key --name NAME\n"
    said = town_dir.tt("auth", "gen-key", "--name", "phone", "--scopes", "town.read,town.write", "--days", "90")
    key = said.out.splitlines()[3]
    assert re.fullmatch(r"tt_[A-Za-z0-9]{8}[A-Za-z0-9_-]{35}", key)
    assert said.out.count(key) == 1
    assert "Scopes: town.read, town.write" in said.out
    other = town_dir.tt("auth", "gen-key", "--name", "other", "--json").json
    assert other["scopes"] == ["town.read", "town.write", "agent.manage"]
    listed = town_dir.tt("auth", "list", "--json").json
    assert [found["name"] for found in listed] == ["phone", "other"]
    assert listed[0]["id"] == key[3:11]
    assert "argon2" not in json.dumps(listed)
    assert key[11:] not in json.dumps(listed)
    assert "🔑 phone\n   Id: " in town_dir.tt("auth", "list").out
    assert town_dir.tt("auth", "gen-key", "--name", "phone").err.startswith("Error: There is an API key called 'phone'")
    assert town_dir.tt("auth", "revoke", "phone").out == f"🔒 Revoked API key 'phone' ({key[3:11]})\n"
    assert town_dir.tt("auth", "revoke", other["id"]).code == 0
    gone = town_dir.tt("auth", "revoke", "phone")
    assert (gone.code, gone.err.splitlines()[0]) == (1, "Error: There is no API key 'phone'")
    assert town_dir.tt("auth", "list", "--json").json == []
    wrong = town_dir.tt("auth", "gen-key", "--scopes", "town.everything")
    assert (wrong.code, wrong.err.splitlines()[0]) == (2, "Error: Not all of these are scopes: town.everything")
    assert town_dir.tt("auth", "gen-key", "--days", "0").code == 2


def test_the_local_token_is_printed_for_the_user_alone(town_dir: Person) -> None:
    token = town_dir.tt("auth", "token").out.strip()
    (path,) = Path(town_dir.environ["XDG_STATE_HOME"]).rglob("townhall.token")
    assert path.read_text().strip() == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
