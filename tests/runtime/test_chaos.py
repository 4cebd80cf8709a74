"""Whatever dies, nothing is lost: runtimes and servers are killed in the middle of the work of real processes."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from living import LivingTown, RuntimeProcess, wait_until

RUNTIME_KILLS = 20
SERVER_KILLS = 3
BETWEEN = 60
"""Messages that are handled between two kills."""
AHEAD = 250
"""So many messages the producer is in front of the agents at most."""
AFTER = 300
"""Messages that are sent after the last kill."""


@pytest.fixture
def living(user: Path) -> Iterator[LivingTown]:
    """A town with a server of its own whose rounds are small, so that there are many.

    The lease of a runtime is longer than any test waits: whoever takes over has not waited for it.
    """
    town = LivingTown(user, config="[limits]\nprompt_messages = 10\n[runtime]\nplacement_lease = 600\n")
    try:
        town.spawn("ada", "bob", "cid", "dan")
        yield town
    finally:
        town.close()


class Producer(threading.Thread):
    """Sends messages as fast as the agents can nearly follow, through all the kills and for some time after them."""

    def __init__(self, town: LivingTown) -> None:
        super().__init__(daemon=True)
        self._town = town
        self._may_go_on = threading.Condition()
        self._handled = 0
        self._most = math.inf
        self.sent = 0
        self.failure: BaseException | None = None

    def follow(self, handled: int) -> None:
        """So many have been handled by now."""
        with self._may_go_on:
            self._handled = handled
            self._may_go_on.notify()

    def finish(self) -> None:
        """Send the last ones."""
        with self._may_go_on:
            self._most = self.sent + AFTER

    def run(self) -> None:
        try:
            while self.sent < self._most:
                with self._may_go_on:
                    self._may_go_on.wait_for(lambda: self.sent - self._handled < AHEAD)
                self._town.send(self.sent)
                self.sent += 1
        except BaseException as error:
            self.failure = error


class Chaos:
    """Kills by progress, never by the clock, and notes what was in flight at each kill."""

    def __init__(self, town: LivingTown) -> None:
        self.town = town
        self.producer = Producer(town)
        self.in_flight: set[str] = set()
        self.runtime = town.start().wait_ready()
        self.producer.start()

    def progress(self, count: int) -> None:
        """Wait until so many more messages were handled."""
        goal = len(self.town.handled()) + count
        self._wait(lambda handled: handled >= goal, f"{goal} to be handled")

    def finish(self) -> None:
        """Wait until all that is sent was handled and settled."""
        self.producer.finish()
        self._wait(
            lambda handled: not self.producer.is_alive() and handled == self.producer.sent and not self.town.left(),
            "all to be handled and settled",
        )

    def _wait(self, enough: Callable[[int], bool], what: str) -> None:
        def reached() -> bool:
            assert self.producer.failure is None, self.producer.failure
            assert self.runtime.process.poll() is None, self.runtime.log.read_text()[-3000:]
            handled = len(self.town.handled())
            self.producer.follow(handled)
            return enough(handled)

        try:
            wait_until(reached, what=what)
        except AssertionError as error:
            error.add_note(f"{self.producer.sent} sent, {len(self.town.handled())} handled\n{self.town.story()}")
            raise

    def kill_runtime(self) -> None:
        (card,) = self.town.cards()
        self.runtime.kill()
        self.in_flight |= self.town.in_flight()
        # What a child of the dead one may still write comes before the next one serves.
        self.runtime = self.town.start().wait_ready()
        self.progress(1)
        (successor,) = self.town.cards()
        assert successor.id != card.id
        assert set(self.town.holders().values()) == {successor.id}

    def kill_server(self) -> None:
        # The runtime stands still while its claims are read, so that what is read is what the kill meets.
        with self.runtime.frozen():
            self.in_flight |= self.town.in_flight()
            info = self.town.redis("INFO", "server").decode()
            os.kill(int(info.partition("process_id:")[2].split()[0]), signal.SIGKILL)


def test_nothing_is_lost_and_only_what_was_in_flight_is_repeated_over_23_kills(living: LivingTown) -> None:
    chaos = Chaos(living)
    kills = ["runtime"] * RUNTIME_KILLS
    for number in range(SERVER_KILLS):
        kills.insert(4 + 7 * number, "server")
    for kill in kills:
        # Every kill is in the middle: some more are handled while one is seen coming.
        chaos.progress(BETWEEN)
        if kill == "runtime":
            chaos.kill_runtime()
        else:
            chaos.kill_server()
    chaos.finish()

    handled = living.handled()
    repeated = {identifier for identifier, count in handled.items() if count > 1}
    assert set(handled) == {f"id-{number:04d}" for number in range(chaos.producer.sent)}
    assert repeated <= chaos.in_flight
    assert living.aside() == {"dlq": 0, "quarantine": 0}

    chaos.runtime.signal(signal.SIGTERM)
    assert chaos.runtime.wait() == 0
    assert living.cards() == []
    wait_until(lambda: not living.children(), what="all children to be gone", within=5)


# Two hosts: two state directories, so two locks, and one Redis.


class Hosts:
    """One town on one external server, served from two hosts."""

    def __init__(self, user: Path, town: LivingTown) -> None:
        self.town = town
        self._state = {"one": Path(os.environ["XDG_STATE_HOME"]), "two": user / "state2"}
        own = town.ground.state.directory
        other = self._state["two"] / own.relative_to(self._state["one"])
        for directory in (self._state["two"], other.parent, other):
            directory.mkdir(mode=0o700)
        for name in ("root", "incarnation"):
            if (own / name).exists():
                (other / name).write_bytes((own / name).read_bytes())

    def start(self, host: str) -> RuntimeProcess:
        """The runtime of a host."""
        return self.town.start(XDG_STATE_HOME=str(self._state[host])).wait_ready()

    def id_of(self, runtime: RuntimeProcess) -> str:
        """What a runtime is called in Redis."""
        (card,) = [card for card in self.town.cards() if card.pid == runtime.pid]
        return card.id


@pytest.fixture
def hosts(project: Path, user: Path) -> Iterator[Hosts]:
    """A town on an external server with a short lease, in which a round takes as long as a test needs."""
    config = """
    [runtime]
    placement_lease = 1.5
    placement_renew = 0.3
    lifeline_interval = 0.3
    """
    town = LivingTown(user, config=config, works_for=1.0)
    try:
        town.spawn("ada")
        yield Hosts(user, town)
    finally:
        town.close()


def test_a_runtime_on_another_host_takes_over_when_the_lease_of_a_killed_one_is_over(hosts: Hosts) -> None:
    town = hosts.town
    first = hosts.start("one")
    second = hosts.start("two")
    (ada,) = town.agents
    assert town.holders() == {ada.id: hosts.id_of(first)}
    successor = hosts.id_of(second)

    town.send(1)
    wait_until(lambda: town.handled(), what="the first round to begin")
    first.kill()
    wait_until(lambda: town.handled()["id-0001"] == 2 and not town.left(), what="the other to take over")

    assert town.holders() == {ada.id: successor}
    assert [card.id for card in town.cards()] == [successor]
    assert town.aside() == {"dlq": 0, "quarantine": 0}
    second.signal(signal.SIGTERM)
    assert second.wait() == 0


def test_a_runtime_that_slept_through_its_lease_changes_nothing_and_serves_again(hosts: Hosts) -> None:
    town = hosts.town
    first = hosts.start("one")
    second = hosts.start("two")
    (ada,) = town.agents
    successor = hosts.id_of(second)
    town.send(1)
    wait_until(lambda: town.handled(), what="the first round to begin")
    with first.frozen():
        wait_until(lambda: town.holders() == {ada.id: successor}, what="the other to take over")
        wait_until(lambda: town.handled()["id-0001"] == 2 and not town.left(), what="the other to finish")
        town.send(2)
        wait_until(lambda: town.in_flight() == {"id-0002"}, what="the other to claim")
        epoch = town.redis("HGET", town.ground.keys("epochs"), ada.id)
        rounds = town.redis("GET", town.ground.keys("agent", ada.id))
    # It wakes up with a round that has ended long ago, and would settle, commit and let go.
    wait_until(lambda: len(town.cards()) == 2, what="the sleeper to register again")
    wait_until(lambda: not town.left(), what="the second message")

    assert town.redis("HGET", town.ground.keys("epochs"), ada.id) == epoch
    assert b'"rounds_completed":1' in rounds
    assert b'"rounds_completed":2' in town.redis("GET", town.ground.keys("agent", ada.id))
    assert town.handled() == {"id-0001": 2, "id-0002": 1}
    assert town.holders() == {ada.id: successor}
    for runtime in (first, second):
        runtime.signal(signal.SIGTERM)
        assert runtime.wait() == 0


# Signals.


IMPATIENT = """
[runtime]
stop_grace = 0.1
interrupt_grace = 0.1
terminate_grace = 0.1
[limits]
prompt_messages = 3
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_signals_at_any_moment_end_a_runtime_and_lose_nothing(project: Path, user: Path, seed: int) -> None:
    dice = random.Random(seed)
    town = LivingTown(user, config=IMPATIENT, works_for=0.05)
    try:
        town.spawn("ada", "bob")
        sent = 0
        for _ in range(15):
            runtime = town.start()
            for _ in range(8):
                town.send(sent)
                sent += 1
            was_ready = runtime.is_ready(dice.random())
            numbers = [dice.choice((signal.SIGINT, signal.SIGTERM)) for _ in range(dice.choice((1, 1, 2)))]
            for number in numbers:
                runtime.signal(number)
            code = runtime.wait()
            # Python itself and the signals' default actions come before we do.
            assert code in ((0,) if was_ready else (0, 130, -signal.SIGINT, -signal.SIGTERM)), code
            wait_until(lambda: not town.children(), what="all children to be gone", within=5)
        runtime = town.start().wait_ready()
        wait_until(lambda: len(town.handled()) == sent and not town.left(), what="all to be handled")

        assert town.aside() == {"dlq": 0, "quarantine": 0}
        assert "Traceback" not in runtime.log.read_text()
        runtime.signal(signal.SIGTERM)
        assert runtime.wait() == 0
    finally:
        town.close()
