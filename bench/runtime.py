"""What a runtime costs at rest, and how soon it begins: memory an agent, CPU of many, from `assign` to the CLI.

    python bench/runtime.py [--agents 2000] [--many 10000] [--seconds 20] [--assigns 60]

Memory is what `tt start` holds more with `--agents` idle agents more. CPU is that of a runtime with
`--many` idle agents, the lifeline's walks and the heartbeat included. The delay is from the moment the assignment
is sent to the first instruction of the agent's CLI, which writes the time: once from a program that holds a
connection, once from the start of a `tt assign` process that the runtime's fork server does, once from one that does
it itself. All on a real server with the default durability.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from living import LivingTown, RuntimeProcess, wait_until  # noqa: E402

from tinytown.cli.forkclient import SOCKET_NAME  # noqa: E402
from tinytown.ids import SUPERVISOR_ID  # noqa: E402
from tinytown.messages import Message, TaskAssign  # noqa: E402
from tinytown.records import Agent, Task  # noqa: E402
from tinytown.transport.blocking import BlockingConnection, run_sync  # noqa: E402
from tinytown.transport.store import Store  # noqa: E402

AT_ONCE = 200
SETTLED = 6.0
"""Seconds: a walk of the lifeline."""

TT = Path(sys.executable).with_name("tt")

COLD = {"PYTHON_OF_ANOTHER_KIND": "1"}
"""See `startup.py`."""


@contextmanager
def a_town(config: str = "") -> Iterator[LivingTown]:
    """A town with a server of its own, for a user of its own."""
    base = Path(tempfile.mkdtemp(prefix="tt"))
    (base / "home").mkdir()
    os.environ.update(HOME=str(base / "home"), XDG_STATE_HOME=str(base / "state"))
    os.environ.pop("REDIS_URL", None)
    town = LivingTown(base, config=config)
    try:
        yield town
    finally:
        town.close()
        shutil.rmtree(base)


def populate(town: LivingTown, count: int) -> None:
    """So many agents that have nothing to do."""

    async def create(store: Store) -> None:
        for start in range(0, count, AT_ONCE):
            change = store.change()
            for number in range(start, min(count, start + AT_ONCE)):
                change.create_agent(Agent(name=f"agent{number}", cli="notes", host=town.ground.host))
            await store.commit(change)

    town.ask(lambda connection: create(store_on(town, connection)))


def store_on(town: LivingTown, connection: BlockingConnection) -> Store:
    return Store(connection, town.ground.keys, town.ground.settings.limits)


def held(town: LivingTown) -> int:
    found: int = town.redis("HLEN", town.ground.keys("placed"))
    return found


def at_rest(town: LivingTown, count: int) -> RuntimeProcess:
    """A runtime whose agents have all been adopted and wait."""
    runtime = town.start().wait_ready()
    wait_until(lambda: held(town) == count)
    wait_until(lambda: not any(b'"state":"starting"' in raw for raw in records(town)))
    time.sleep(SETTLED)
    return runtime


def records(town: LivingTown) -> list[bytes]:
    names = town.redis("HVALS", town.ground.keys("names"))
    if not names:
        return []
    found: list[bytes] = town.redis("MGET", *(town.ground.keys("agent", name.decode()) for name in names))
    return found


def resident_kib(runtime: RuntimeProcess) -> int:
    status = Path(f"/proc/{runtime.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def cpu_seconds(runtime: RuntimeProcess) -> float:
    """Of all its threads, in the scheduler's nanoseconds: a clock tick would be too coarse."""
    threads = Path(f"/proc/{runtime.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def measure_memory(count: int) -> None:
    sizes = {}
    # One without any would end by itself meanwhile.
    for agents in (1, 1 + count):
        with a_town() as town:
            populate(town, agents)
            sizes[agents] = resident_kib(at_rest(town, agents))
    each = (sizes[1 + count] - sizes[1]) / count
    print(f"memory: {sizes[1]:,} KiB with one agent, {sizes[1 + count]:,} KiB with {count:,} more")
    print(f"  an idle agent: {each:.1f} KiB (target 12)")


def measure_cpu(count: int, seconds: float) -> None:
    with a_town() as town:
        populate(town, count)
        began = time.perf_counter()
        runtime = at_rest(town, count)
        print(f"cpu: {count:,} agents adopted within {time.perf_counter() - began - SETTLED:.1f} s of the start")
        before, began = cpu_seconds(runtime), time.perf_counter()
        time.sleep(seconds)
        share = (cpu_seconds(runtime) - before) / (time.perf_counter() - began)
        print(f"  at rest: {100 * share:.2f} % of one CPU (target 0.5)")


def measure_assign(count: int) -> None:
    with a_town() as town:
        stamps = town.root.parent / "stamps"
        stamps.touch()
        script = town.root.parent / "cli.sh"
        script.write_text(f'echo "$EPOCHREALTIME" >> {stamps}\n')
        settings = Path(os.environ["HOME"]) / ".tt" / "config.toml"
        settings.write_text(f'[agent_clis.notes]\ncommand = "{shutil.which("bash")} {script}"\n')
        town.spawn("ada")
        town.start().wait_ready()
        with BlockingConnection(town.ground.address) as connection:
            store = store_on(town, connection)
            show("assign, from a program", delays(town, stamps, count, lambda: hand_out(town, store)))
        wait_until((town.ground.state.directory / SOCKET_NAME).exists)
        show("assign, from `tt assign`", delays(town, stamps, count, lambda: tt_assign(town)))
        show("assign, from a cold `tt assign`", delays(town, stamps, count, lambda: tt_assign(town, **COLD)))


def delays(town: LivingTown, stamps: Path, count: int, assign: Callable[[], None]) -> list[float]:
    """Milliseconds from the call to the first instruction of the CLI."""
    out = []
    for _ in range(count + 3):
        seen = stamps.read_text().count("\n")
        began = time.time()
        assign()
        wait_until(lambda n=seen: stamps.read_text().count("\n") > n)
        out.append(1000 * (float(stamps.read_text().splitlines()[-1]) - began))
        wait_until(lambda: not town.left())
    return out[3:]


def hand_out(town: LivingTown, store: Store) -> None:
    (ada,) = town.agents
    task = Task("do it").assign(ada.id)
    message = Message(SUPERVISOR_ID, ada.id, TaskAssign(task.id))
    run_sync(store.commit(store.change().create_task(task).send(message)))


def tt_assign(town: LivingTown, **more: str) -> None:
    environ = {**os.environ, **more}
    subprocess.run([TT, "assign", "ada", "do it"], cwd=town.root, env=environ, check=True, stdout=subprocess.DEVNULL)


def show(what: str, found: list[float]) -> None:
    p95 = quantiles(found, n=20)[-1]
    print(f"{what}, to the start of the CLI: p50 {median(found):.1f} ms, p95 {p95:.1f} ms (target p50 50)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--assigns", type=int, default=60)
    chosen = parser.parse_args()
    measure_assign(chosen.assigns)
    measure_memory(chosen.agents)
    measure_cpu(chosen.many, chosen.seconds)


if __name__ == "__main__":
    main()
