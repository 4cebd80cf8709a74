"""The multiplexed connection beside redis-py and redis-benchmark, on one server, in turns.

    python bench/connection.py [--rounds 5] [--seconds 1.0] [--tasks 100]

Each stack runs in a process of its own, since importing one changes what the other costs. Every task sets and gets
a key of its own with 300 bytes in it. Absolute figures move with the machine; the ratios, taken within a round and
then the median of all rounds, are what counts: at least 6 of redis-py, at least 1 of redis-benchmark.

redis-py is measured with a connection per task and with its blocking pool of 50, and the better one counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
BODY = "x" * 300
WARM_UP = 0.2
Ask = Callable[..., Awaitable[object]]


async def converse(ask: Ask, number: int, until: float, laps: list[float]) -> int:
    """Set and get until the time is over; one lap is one round trip."""
    clock, key, count = time.perf_counter, f"key{number}", 0
    began = clock()
    while began < until:
        await ask("SET", key, BODY)
        await ask("GET", key)
        count += 2
        now = clock()
        laps.append((now - began) / 2)
        began = now
    return count


def summary(count: int, seconds: float, cpu: float, laps: list[float]) -> dict[str, float]:
    return {
        "rate": count / seconds,
        "cpu_us": 1e6 * cpu / count,
        "p50_us": 1e6 * median(laps),
    }


def measure_ours(socket: str, tasks: int, seconds: float) -> dict[str, float]:
    import trio

    from tinytown.transport.address import Address
    from tinytown.transport.multiplexed import MultiplexedConnection

    async def run() -> dict[str, float]:
        laps: list[float] = []
        counts: list[int] = []

        async def talk(number: int, until: float) -> None:
            counts.append(await converse(connection.execute, number, until, laps))

        async with MultiplexedConnection.open(Address.unix(socket)) as connection:
            for duration in (WARM_UP, seconds):
                laps.clear()
                counts.clear()
                cpu, began = time.process_time(), time.perf_counter()
                async with trio.open_nursery() as nursery:
                    for number in range(tasks):
                        nursery.start_soon(talk, number, began + duration)
            return summary(sum(counts), time.perf_counter() - began, time.process_time() - cpu, laps)

    return trio.run(run)


def measure_redis_py(socket: str, tasks: int, seconds: float, *, blocking_pool: bool) -> dict[str, float]:
    import asyncio

    import redis.asyncio as redis

    async def run() -> dict[str, float]:
        path = {"connection_class": redis.UnixDomainSocketConnection, "path": socket}
        pool = (
            redis.BlockingConnectionPool(max_connections=50, timeout=None, **path)
            if blocking_pool
            else redis.ConnectionPool(max_connections=tasks + 1, **path)
        )
        async with redis.Redis(connection_pool=pool) as client:
            for duration in (WARM_UP, seconds):
                laps: list[float] = []
                cpu, began = time.process_time(), time.perf_counter()
                counts = await asyncio.gather(
                    *[converse(client.execute_command, number, began + duration, laps) for number in range(tasks)]
                )
            result = summary(sum(counts), time.perf_counter() - began, time.process_time() - cpu, laps)
        await pool.disconnect()
        return result

    return asyncio.run(run())


def measure_blocking(socket: str, tasks: int, seconds: float) -> dict[str, float]:
    from tinytown.transport.address import Address
    from tinytown.transport.blocking import BlockingConnection, run_sync

    laps: list[float] = []
    with BlockingConnection(Address.unix(socket)) as connection:
        run_sync(converse(connection.execute, 0, time.perf_counter() + WARM_UP, laps))
        laps.clear()
        cpu, began = time.process_time(), time.perf_counter()
        count = run_sync(converse(connection.execute, 0, began + seconds, laps))
    return summary(count, time.perf_counter() - began, time.process_time() - cpu, laps)


def measure_redis_benchmark(socket: str, tasks: int, seconds: float) -> dict[str, float] | None:
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return None
    count = round(60_000 * seconds)
    options = f"-c {tasks} -P 1 -n {count} -d {len(BODY)} -t set,get --csv".split()
    output = subprocess.run([program, *options, "-s", socket], capture_output=True, text=True, check=True).stdout
    rows = [line.split(",") for line in output.splitlines()]
    rates = [float(row[1].strip('"')) for row in rows if row[0] in ('"SET"', '"GET"')]
    # As many of the one as of the other: the harmonic mean.
    return {"rate": len(rates) / sum(1 / rate for rate in rates), "cpu_us": 0.0, "p50_us": 0.0}


STACKS: dict[str, Callable[[str, int, float], dict[str, float] | None]] = {
    "ours": measure_ours,
    "redis-py": lambda socket, tasks, seconds: measure_redis_py(socket, tasks, seconds, blocking_pool=False),
    "redis-py pool 50": lambda socket, tasks, seconds: measure_redis_py(socket, tasks, seconds, blocking_pool=True),
    "redis-benchmark": measure_redis_benchmark,
    "blocking": measure_blocking,
}


def in_process_of_its_own(stack: str, socket: str, tasks: int, seconds: float) -> dict[str, float] | None:
    words = [sys.executable, __file__, "--stack", stack, "--socket", socket]
    words += ["--tasks", str(tasks), "--seconds", str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    result: dict[str, float] | None = json.loads(done.stdout)
    return result


Rounds = dict[str, list[dict[str, float]]]


def in_turns(stacks: list[str], socket: str, tasks: int, seconds: float, rounds: int) -> Rounds:
    results: Rounds = {stack: [] for stack in stacks}
    for _ in range(rounds):
        for stack in stacks:
            result = in_process_of_its_own(stack, socket, tasks, seconds)
            if result is not None:
                results[stack].append(result)
    return results


def show(results: Rounds) -> None:
    for stack, rounds in results.items():
        if not rounds:
            print(f"  {stack:18} skipped: not installed")
            continue
        rate, cpu, lap = (median(one[figure] for one in rounds) for figure in ("rate", "cpu_us", "p50_us"))
        of_client = f"{cpu:7.1f} us cpu {lap:8.0f} us p50" if lap else ""
        print(f"  {stack:18} {rate:9,.0f}/s {of_client}")


def ratio(results: Rounds, *others: str) -> float | None:
    """The median over the rounds of our rate to that of the best of the others."""
    if not all(results[other] for other in others):
        return None
    rounds = zip(results["ours"], *(results[other] for other in others), strict=True)
    return median(ours["rate"] / max(other["rate"] for other in rest) for ours, *rest in rounds)


def report(tasks: int, seconds: float, rounds: int) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from servers import valkey_server

    with valkey_server("appendonly no") as server:
        crowd = ["ours", "redis-py", "redis-py pool 50", "redis-benchmark"]
        print(f"{tasks} tasks, SET and GET of {len(BODY)} bytes, medians of {rounds} rounds")
        results = in_turns(crowd, server.socket_path, tasks, seconds, rounds)
        show(results)
        for target, others in ((6.0, ("redis-py", "redis-py pool 50")), (1.0, ("redis-benchmark",))):
            found = ratio(results, *others)
            if found is not None:
                print(f"  of {' / '.join(others)}: {found:.2f} x (target {target:g})")
        print("1 task")
        show(in_turns(["ours", "blocking", "redis-py", "redis-benchmark"], server.socket_path, 1, seconds, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--stack", choices=list(STACKS), help=argparse.SUPPRESS)
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.stack:
        print(json.dumps(STACKS[chosen.stack](chosen.socket, chosen.tasks, chosen.seconds)))
    else:
        report(chosen.tasks, chosen.seconds, chosen.rounds)


if __name__ == "__main__":
    main()
