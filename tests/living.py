"""Real runtimes of real towns, as processes: started, signalled, killed, and looked into from outside."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tinytown.actors.processes import TOWN_MARK, all_processes, marks_of
from tinytown.errors import Unavailable
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.messages import Message, Work
from tinytown.records import Agent
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.mailbox import Mailbox, pairs
from tinytown.transport.placement import Placement, RuntimeCard
from tinytown.transport.store import Store

LONG = 60.0
"""Seconds after which a test gives up waiting; nothing takes nearly as long."""

_LOOK = 0.005

SCRIPT = """\
# Appends the ids that it finds in its prompt to a file, in one write, and ends well.
ids=$(grep -o 'id-[0-9]*')
test -n "$ids" && printf '%s\\n' "$ids" >> "$HANDLED"
sleep "${WORKS_FOR:-0}"
"""


def wait_until(true: Callable[[], Any], *, what: str = "", within: float = LONG) -> Any:
    """Look until something is true, and give it."""
    deadline = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited for {within:.0f} s: {what}"
        time.sleep(_LOOK)
    return found


def servers_of(state: Path) -> list[int]:
    """The fork servers that live, or begin to, with this state directory."""
    return [pid for pid in (process.pid for process in all_processes() if not process.zombie) if _serves(pid, state)]


def _serves(pid: int, state: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # Its children have its command line, too, and its session; it alone leads that.
    return b"tinytown.cli.forkserver" in words and os.fsencode(state) in words and os.getsid(pid) == pid


class RuntimeProcess:
    """`tt start` in a process of its own. What it prints goes to a log beside the project."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.began = time.monotonic()
        self.log = root.parent / "runtime.log"
        self._ready, tell = os.pipe()
        command = [
            sys.executable,
            "-m",
            "tinytown.cli.main",
            "start",
            "--town",
            str(root),
            "--ready-fd",
            str(tell),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environ), pass_fds=[tell]
            )
        os.close(tell)
        self.was_ready = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_ready(self, within: float = 0.0) -> bool:
        """It has said that it serves, within so many seconds from now."""
        if not self.was_ready and select.select([self._ready], [], [], within)[0]:
            self.was_ready = os.read(self._ready, 1) == b"1"
        return self.was_ready

    def wait_ready(self) -> RuntimeProcess:
        """Wait until it serves."""
        assert self.is_ready(LONG), self.log.read_text()
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, within: float = LONG) -> int:
        """Its exit status."""
        return self.process.wait(within)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ready)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still for the time of the block, as in a machine that sleeps."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class LivingTown:
    """A town with agents whose CLI notes what it was told. `user` is the fixture's directory."""

    def __init__(self, user: Path, *, config: str = "", works_for: float = 0.0, name: str = "project") -> None:
        self.root = user / name
        self.root.mkdir(exist_ok=True)
        self.handled_path = user / f"{name}.handled"
        self.handled_path.touch()
        script = user / "cli.sh"
        script.write_text(SCRIPT)
        settings = Path(os.environ["HOME"]) / ".tt" / "config.toml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(
            f"""{config}
            [agent_clis.notes]
            command = "sh {script}"
            env = {{ HANDLED = "{self.handled_path}", WORKS_FOR = "{works_for}" }}
            """
        )
        initialize(InitRequest(self.root, name), environ=os.environ)
        self.ground: Ground = survey(self.root, environ=os.environ)
        self.agents: list[Agent] = []
        self.runtimes: list[RuntimeProcess] = []

    # Doing.

    def spawn(self, *names: str, cli: str = "notes") -> None:
        """Agents that no runtime holds yet."""

        async def create(store: Store) -> None:
            for name in names:
                agent = Agent(name=name, cli=cli, max_rounds=1_000_000, host=self.ground.host)
                await store.commit(store.change().create_agent(agent).ring(agent.id))
                self.agents.append(agent)

        self.ask(lambda connection: create(Store(connection, self.ground.keys, self.ground.settings.limits)))

    def start(self, **environ: str) -> RuntimeProcess:
        """A new runtime; `wait_ready` says when it serves."""
        runtime = RuntimeProcess(self.root, {**os.environ, **environ})
        self.runtimes.append(runtime)
        return runtime

    def send(self, number: int) -> None:
        """Send message `id-NNNN` to the agent whose turn it is; again, under its id, until it was accepted."""
        agent = self.agents[number % len(self.agents)]
        message = Message(SUPERVISOR_ID, agent.id, Work(f"note id-{number:04d}"))
        limits = self.ground.settings.limits

        def accepted() -> bool:
            try:
                self.ask(lambda connection: Mailbox(connection, self.ground.keys, limits).send(message))
            except Unavailable:
                return False
            return True

        wait_until(accepted, what="the server to take a message")

    def close(self) -> None:
        """End all that runs."""
        for runtime in self.runtimes:
            runtime.close()
        wait_until(lambda: not self.children(), what="the last children to end")
        wait_until(lambda: not servers_of(self.ground.state.directory), what="the fork server to end")
        if self.ground.server is not None:
            self.ground.server.stop()

    # Looking.

    def ask(self, what: Callable[[BlockingConnection], Any]) -> Any:
        """Run an operation on a connection of its own."""
        with BlockingConnection(self.ground.address) as connection:
            return run_sync(what(connection))

    def redis(self, *command: str | int) -> Any:
        """Ask one command."""
        return self.ask(lambda connection: connection.execute(*command))

    def handled(self) -> Counter[str]:
        """How often each id was handled."""
        return Counter(self.handled_path.read_text().split())

    def in_flight(self) -> set[str]:
        """The ids that are claimed right now."""

        async def look(connection: BlockingConnection) -> set[str]:
            found = set()
            for agent in self.agents:
                for _, value in pairs(await connection.execute("HGETALL", self.ground.keys("inflight", agent.id))):
                    body = Message.decode(value.partition(b"\n")[2]).body
                    assert isinstance(body, Work)
                    found.add(body.description.removeprefix("note "))
            return found

        result: set[str] = self.ask(look)
        return result

    def left(self) -> int:
        """How many messages are in any mailbox, claimed or snoozed."""

        async def count(connection: BlockingConnection) -> int:
            mailbox = Mailbox(connection, self.ground.keys, self.ground.settings.limits)
            waiting = [await mailbox.waiting(agent.id) for agent in self.agents]
            snoozed = await connection.execute("ZCARD", self.ground.keys("snoozed"))
            assert isinstance(snoozed, int)
            return sum(waiting) + snoozed

        result: int = self.ask(count)
        return result

    def aside(self) -> dict[str, int]:
        """How many dead letters and quarantined messages there are."""
        return {name: self.redis("XLEN", self.ground.keys(name)) for name in ("dlq", "quarantine")}

    def story(self) -> str:
        """All that tells why a town stands still: for the failure of a test that waited in vain."""
        keys = self.ground.keys
        lines = [f"aside {self.aside()}, children {self.children()}, runtimes {self.cards()}"]
        lines += [f"{name}: {self.redis('SMEMBERS', keys(name))}" for name in ("ready", "unplaced", "held")]
        lines.append(f"snoozed: {self.redis('ZRANGE', keys('snoozed'), 0, -1, 'WITHSCORES')}")
        for agent in self.agents:
            claimed = [value[:40] for _, value in pairs(self.redis("HGETALL", keys("inflight", agent.id)))]
            lanes = [self.redis("LLEN", lane) for lane in keys.lanes(agent.id)]
            record = self.redis("GET", keys("agent", agent.id)).decode()
            lines.append(f"{agent.name}: lanes {lanes}, claimed {claimed}, {record}")
        lines += [str(event) for event in self.redis("XREVRANGE", keys("events"), "+", "-", "COUNT", 20)]
        return "\n".join([*lines, self.runtimes[-1].log.read_text()[-3000:]])

    def cards(self) -> list[RuntimeCard]:
        """The runtimes that are registered."""
        limits = self.ground.settings.limits
        cards: list[RuntimeCard] = self.ask(
            lambda connection: Placement(connection, self.ground.keys, limits).runtimes()
        )
        return cards

    def holders(self) -> dict[AgentId, str]:
        """The runtime that holds each agent."""
        ids = [agent.id for agent in self.agents]
        limits = self.ground.settings.limits
        held: dict[AgentId, str] = self.ask(
            lambda connection: Placement(connection, self.ground.keys, limits).holders(ids)
        )
        return held

    def children(self) -> list[int]:
        """The processes that were started for this town's agents and live."""
        town = self.ground.state.town_id
        return [
            process.pid
            for process in all_processes()
            if not process.zombie and marks_of(process.pid).get(TOWN_MARK) == town
        ]
