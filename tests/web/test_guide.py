"""What `docs/townhall.md` shows is done as it stands there: its commands by a shell, its Python by Python."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from tinytown.config import parse_settings
from tinytown.runtime.halt import end_runtime
from tinytown.runtime.opening import open_blocking
from tinytown.web.safety import check_safety
from tinytown.web.settings import TownhallSettings, townhall_settings

GUIDE = (Path(__file__).parents[2] / "docs" / "townhall.md").read_text(encoding="utf-8")
FAKE_CLI = Path(__file__).parents[1] / "fake_cli.py"
SHOWN = "http://127.0.0.1:8787"
SOCKET = ".tt/townhall.sock"
LONG = 60.0

CURL = f"""#!{sys.executable}
# As much of curl as the guide uses; of a stream it reads the beginning.
import sys

import httpx2

words, headers, more, body = sys.argv[1:], {{}}, {{}}, None
while words:
    word = words.pop(0)
    if word == "-H":
        name, _, text = words.pop(0).partition(": ")
        headers[name] = text
    elif word == "-d":
        body = words.pop(0)
    elif word == "--unix-socket":
        more["transport"] = httpx2.HTTPTransport(uds=words.pop(0))
    elif word != "-N":
        url = word
method = "POST" if body else "GET"
with httpx2.Client(**more) as client, client.stream(method, url, headers=headers, content=body) as said:
    print(said.status_code)
    for line in said.iter_lines():
        print(line)
        if line.startswith("retry:"):
            break
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def lines(*programs: str) -> list[str]:
    """The commands of these programs, in the order of the page."""
    found = [line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in found if line.startswith(programs)]


@pytest.fixture
def home(user: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the town. Ports are free ones, `curl` is there, and the agents' program says "done"."""
    programs = user / "programs"
    programs.mkdir()
    (programs / "curl").write_text(CURL)
    (programs / "curl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.delenv("KEY", raising=False)
    configure(f'socket = "{SOCKET}"\n')
    return made


def configure(more: str = "") -> None:
    """The user's settings: a port that is free."""
    config = Path(os.environ["HOME"]) / ".tt" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    cli = f"[agent_clis.claude]\ncommand = \"'{sys.executable}' '{FAKE_CLI}' say=done\"\n"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config.write_text(f"{cli}[townhall]\nrest_port = {port}\n{more}")


def run(line: str, town: Path, **more: str) -> str:
    """What a command says."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=town,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def served(line: str, town: Path) -> Iterator[str]:
    """A command that serves until it is told to end; gives where."""
    process = subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=town, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield next(url for said in process.stdout for url in re.findall(r"http://\S+:\d+", said))
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0, line


def test_every_command_and_the_program_do_what_the_page_says(home: Path) -> None:
    first, *others = lines("townhall")
    foreground, background = lines("tt start")
    with ExitStack() as stack:
        url = stack.enter_context(served(first, home))
        for line in (*others, foreground):
            configure()
            other = served(line.replace("--port 9000", "--port 0").replace("/path/to/town", str(home)), home)
            assert httpx2.get(f"{stack.enter_context(other)}/healthz").status_code == 200
        use(home, url)
    configure()
    try:
        run(background, home)
        assert "Townhall serves 'demo'" in (home / ".tt" / "logs" / "runtime.log").read_text()
    finally:
        with open_blocking(home, environ=os.environ) as town:
            end_runtime(town)


def use(town: Path, url: str) -> None:
    """Log in and call townhall, as the page does."""
    made = run("tt auth gen-key --name all --scopes town.read,town.write,agent.manage --json", town)
    key = re.findall(r'"api_key": *"([^"]+)"', made)[0]
    statuses = []
    for line in lines("tt auth", "tt audit", "curl"):
        said = run(line.replace(SHOWN, url), town, KEY=key)
        if line.startswith("curl"):
            statuses.append(said.split()[0])
    assert statuses == ["200", "201", "201", "200", "200", "200"]
    assert '"phone"' not in run("tt auth list --json", town)

    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program.replace(SHOWN, url)],
        cwd=town,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.stdout.splitlines()[1:] == ["['ada']", "task.assigned"], done.stderr


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
