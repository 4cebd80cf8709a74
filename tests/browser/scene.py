"""A town as a person has it: `tt` and `townhall` as processes, and agents whose CLI does what the test says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from httpx2 import Client
from living import wait_until
from person import LONG, TT, Person

from tinytown.ids import MissionId
from tinytown.lifecycle import MissionState, WorkItemState
from tinytown.mission_records import Mission, WorkItem
from tinytown.runtime.opening import open_blocking
from tinytown.transport.blocking import run_sync
from tinytown.transport.missions import Changed, SeenMission, update_mission
from tinytown.transport.store import Change

TOWNHALL = TT.with_name("townhall")

ACTOR = """\
# Keeps what it was told, then does what the test says, line by line, until the test has no more to say.
cat > "$STAGE/$TINYTOWN_AGENT.told"
rm -f "$STAGE/$TINYTOWN_AGENT.lines"
mkfifo "$STAGE/$TINYTOWN_AGENT.lines"
exec sh "$STAGE/$TINYTOWN_AGENT.lines"
"""
"""Stands for a coding CLI."""


class Lines:
    """What the running CLI of an agent does next: each line is a shell command. Leaving the block ends its round."""

    def __init__(self, stage: Path, name: str) -> None:
        self._told = stage / f"{name}.told"
        self._pipe = stage / f"{name}.lines"
        self._file = -1

    def __enter__(self) -> Self:
        # It opens once the CLI listens: then its round runs. The next round makes one of its own.
        self._file = wait_until(self._open, what=f"a round that reads {self._pipe.name}")
        self._pipe.unlink()
        os.set_blocking(self._file, True)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def _open(self) -> int | None:
        try:
            return os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return None

    def do(self, line: str) -> None:
        """One shell command."""
        os.write(self._file, f"{line}\n".encode())

    @property
    def told(self) -> str:
        """The prompt of the round."""
        return self._told.read_text()


@dataclass
class Scene:
    """A town called `demo`, with its townhall at `url`."""

    person: Person
    stage: Path
    url: str
    token: str
    client: Client
    townhall: subprocess.Popen[bytes] | None = None

    def tt(self, *arguments: str) -> str:
        """Run `tt`, which must succeed, and give what it prints."""
        said = self.person.tt(*arguments)
        assert said.code == 0, said.err
        return said.out

    def post(self, path: str, **body: Any) -> Any:
        """Ask townhall to do something, which it must, and give its answer."""
        answer = self.client.post(f"{self.url}/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def spawn(self, name: str, **wanted: str) -> None:
        """An agent that is at work as soon as it has something to do."""
        self.post("agents", name=name, cli="actor", **wanted)

    def assign(self, agent: str, task: str, *tags: str) -> None:
        """A task for an agent."""
        self.post("tasks/assign", agent=agent, task=task, tags=list(tags))

    def ask(self, agent: str, question: str) -> str:
        """A question of an agent in the person's inbox; gives its id."""
        sent = self.post("messages/send", to="conductor", message=question, kind="query", **{"from": agent})
        return str(sent["id"])

    def tell(self, agent: str, news: str) -> None:
        """News of an agent in the person's inbox."""
        self.post("messages/send", to="conductor", message=news, kind="info", **{"from": agent})

    def begin_mission(self, needs: dict[int, tuple[str, str, list[str]]]) -> MissionId:
        """A mission with an item for each number: its title, its state, the keys of what it waits for.

        It is stopped, so that nothing happens in it but what a test does.
        """
        mission = Mission(state=MissionState.STOPPED, reason="stopped by a person", home="github.com/o/r")
        items = tuple(
            WorkItem(
                mission.id,
                title,
                "implement",
                key=f"o/r#{number}",
                source_ref=f"o/r#{number}",
                number=number,
                state=WorkItemState(state),
                edges=tuple({"on": key, "source": "body"} for key in on),
            )
            for number, (title, state, on) in needs.items()
        )
        with open_blocking(self.person.directory, environ=self.person.environ) as town:
            change = town.missions.create(town.store.change(), Changed(mission, items, ()))
            run_sync(town.store.commit(town.missions.tell(change, mission.id, "mission.started", "by a test")))
        return mission.id

    def move_item(self, mission_id: MissionId, number: int, state: WorkItemState) -> None:
        """Let an item of a mission be in another state."""

        def decide(seen: SeenMission) -> Changed:
            items = (replace(item, state=state) if item.number == number else item for item in seen.items)
            return Changed(seen.mission, tuple(items), seen.watches)

        def tell(change: Change, *_: object) -> None:
            town.missions.tell(change, mission_id, f"mission.item_{state}", f"o/r#{number}")

        with open_blocking(self.person.directory, environ=self.person.environ) as town:
            run_sync(update_mission(town.store, town.missions, mission_id, decide, tell))

    def lines(self, name: str) -> Lines:
        """What the running CLI of this agent does."""
        return Lines(self.stage, name)

    def open_townhall(self) -> None:
        """Start townhall where it was before, and wait until it listens."""
        port = self.url.rpartition(":")[2]
        self.townhall = subprocess.Popen(
            [TOWNHALL, "rest", "--port", port],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.person.directory,
            env=self.person.environ,
        )
        assert self.townhall.stdout is not None
        said = self.townhall.stdout.readline()
        assert self.url.encode() in said, said

    def kill_townhall(self) -> None:
        """SIGKILL: nobody is told of it."""
        assert self.townhall is not None
        self.townhall.kill()
        self.townhall.wait(LONG)
        assert self.townhall.stdout is not None
        self.townhall.stdout.close()

    def close(self) -> None:
        """End all that runs, and forget all of it."""
        self.client.close()
        if self.townhall is not None:
            self.kill_townhall()
        self.tt("stop", "--redis", "--now")
        shutil.rmtree(self.person.directory.parent)


def open_scene() -> Scene:
    """Make a town and serve it. `close` it."""
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="tt")))
    stage = base / "stage"
    for each in ("home/.tt", "state", "town", "stage"):
        (base / each).mkdir(parents=True)
    (base / "actor.sh").write_text(ACTOR)
    (base / "home/.tt/config.toml").write_text(
        f'[agent_clis.actor]\ncommand = "sh {base / "actor.sh"}"\nenv = {{ STAGE = "{stage}" }}\n'
        # All tabs of all tests show the same token.
        "[townhall.limits]\nreads_per_minute = 10000\nwrites_per_minute = 10000\n"
    )
    own = ("TINYTOWN", "REDIS_URL", "NO_COLOR")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environ |= {
        "HOME": str(base / "home"),
        "XDG_STATE_HOME": str(base / "state"),
        "PATH": f"{TT.parent}:{os.environ['PATH']}",
    }
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    person = Person(base / "town", environ)
    assert person.tt("init", "--name", "demo").code == 0
    token = person.tt("auth", "token").out.strip()
    client = Client(headers={"authorization": f"Bearer {token}"}, timeout=LONG)
    scene = Scene(person, stage, f"http://127.0.0.1:{port}", token, client)
    scene.open_townhall()
    return scene
