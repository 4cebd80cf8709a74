"""The examples in the docstrings of the Python API run, as they stand, against a real town."""

from __future__ import annotations

import doctest
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from runtime_parts import made, project, user

import tinytown
from tinytown import AgentHandle, Channel, IllegalTransition, Town
from tinytown.runtime.operations.agents import Kill, kill
from tinytown.runtime.operations.events import Events, follow
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.times import now
from tinytown.transport.placement import RuntimeCard, new_runtime_id

__all__ = ("made", "project", "user")


def documented() -> Iterator[tuple[str, str]]:
    """Every docstring of the public API with an example, by name."""
    places: list[tuple[str, object]] = [("tinytown", tinytown)]
    for kind in (Town, AgentHandle, Channel):
        places.append((kind.__name__, kind))
        places += [(f"{kind.__name__}.{name}", each) for name, each in vars(kind).items() if not name.startswith("_")]
    for name, each in places:
        text = inspect.getdoc(each) or ""
        if ">>>" in text:
            yield name, text


EXAMPLES = list(documented())


def test_there_are_examples_for_what_a_program_does_first() -> None:
    names = {name for name, _ in EXAMPLES}
    assert {
        "tinytown",
        "Town",
        "Town.spawn_agent",
        "AgentHandle",
        "AgentHandle.assign",
        "AgentHandle.send",
        "AgentHandle.wait",
        "Channel",
        "Channel.receive",
        "Channel.set_task",
    } <= names


def main_of(text: str) -> Callable[..., Awaitable[object]]:
    """The function `main` of an example, which sees the public names and trio."""
    source = "".join(example.source for example in doctest.DocTestParser().get_examples(text))
    names: dict[str, Any] = {name: getattr(tinytown, name) for name in tinytown.__all__} | {"trio": trio}
    exec(compile(source, "example", "exec"), names)
    main: Callable[..., Awaitable[object]] = names["main"]
    return main


async def pretend_to_work(town: Town, *, end_agents: bool = True) -> None:
    """End what is assigned, and then its agent, so that examples which wait for either come to their end."""
    async with aclosing(follow(town, Events(type="task.assigned"), "0")) as happening:
        async for event in happening:
            if event.agent and event.task:
                await complete_task(town, TaskEnd(event.task, "done"))
                if end_agents:
                    with suppress(IllegalTransition):
                        await kill(town, Kill(event.agent))


@asynccontextmanager
async def as_runtime(root: Path) -> AsyncIterator[Town]:
    """The town, for which this process stands as the runtime, so that none is started."""
    async with Town.connect(root) as town:
        card = RuntimeCard(new_runtime_id(), town.ground.host, os.getpid(), now())
        await town.placement.begin(card, lease=60)
        with town.ground.state.hold_runtime():
            yield town


async def test_the_program_of_the_readme_ends_when_its_task_has(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    program, _, _ = text.partition("```python\n")[2].partition("trio.run(main)")
    names: dict[str, Any] = {}
    exec(compile(program, "README.md", "exec"), names)
    monkeypatch.chdir(made)

    with trio.fail_after(10):
        async with as_runtime(made) as town, trio.open_nursery() as nursery:
            nursery.start_soon(partial(pretend_to_work, town, end_agents=False))
            await names["main"]()
            nursery.cancel_scope.cancel()

    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
async def test_the_example_runs(name: str, text: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    main = main_of(text)
    wanted = list(inspect.signature(main).parameters)
    with trio.fail_after(10):
        async with as_runtime(made) as town, trio.open_nursery() as nursery:
            given: dict[str, object] = {"town": town, "channel": town.channel}
            if wanted:
                worker = await town.spawn_agent("worker-1", cli="claude")
                given |= {"worker": worker, "agent_id": worker.id, "task_id": await worker.assign("dig")}
            if not {"channel", "agent_id"} & set(wanted):
                nursery.start_soon(pretend_to_work, town)
            await main(*(given[each] for each in wanted))
            nursery.cancel_scope.cancel()
