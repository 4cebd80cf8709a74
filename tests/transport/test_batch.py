"""Grouping: what the tasks of one scheduler pass ask for becomes one run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from tinytown.errors import MailboxFull, RedisUnreachable
from tinytown.transport.batch import Grouped, one_by_one


class Doubler:
    """Doubles numbers and remembers in which groups they came; waits at `gate` while it is shut."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = trio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        await self.gate.wait()
        if 13 in items:
            raise MailboxFull("thirteen")
        return [2 * item for item in items]


async def test_one_by_one_runs_each_item_by_itself() -> None:
    run = Doubler()
    submit = one_by_one(run)

    assert [await submit(1), await submit(2)] == [2, 4]
    assert run.groups == [[1], [2]]


async def test_what_is_submitted_in_one_pass_is_one_group_and_everybody_gets_its_own_result() -> None:
    run = Doubler()
    results: dict[int, int] = {}

    async def ask(number: int) -> None:
        results[number] = await submit(number)

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        async with trio.open_nursery() as askers:
            for number in range(10):
                askers.start_soon(ask, number)

    assert results == {number: 2 * number for number in range(10)}
    assert len(run.groups) == 1
    assert sorted(run.groups[0]) == list(range(10))


async def test_a_group_is_never_larger_than_it_may_be() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery, most=4)(run)
        async with trio.open_nursery() as askers:
            for number in range(10):
                askers.start_soon(submit, number)

    assert [len(group) for group in run.groups] == [4, 4, 2]


async def test_what_comes_while_a_group_is_under_way_does_not_wait_for_it() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        run.gate = trio.Event()
        nursery.start_soon(submit, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(submit, 2)
        await trio.testing.wait_all_tasks_blocked()

        assert run.groups == [[1], [2]]
        run.gate.set()


async def test_an_item_whose_caller_was_cancelled_before_the_run_is_taken_back() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        with trio.CancelScope() as scope:
            scope.cancel()
            await submit(1)
        await trio.testing.wait_all_tasks_blocked()

    assert run.groups == []


async def test_a_caller_cancelled_during_the_run_leaves_the_others_their_results() -> None:
    run = Doubler()
    results: list[int] = []

    async def ask(number: int, scope: trio.CancelScope) -> None:
        with scope:
            results.append(await submit(number))

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        run.gate = trio.Event()
        scopes = [trio.CancelScope() for _ in range(3)]
        for number, scope in enumerate(scopes):
            nursery.start_soon(ask, number, scope)
        await trio.testing.wait_all_tasks_blocked()
        scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert sorted(results) == [0, 4]


async def test_an_error_reaches_everybody_in_the_group_and_nobody_else() -> None:
    run = Doubler()
    failed: list[int] = []

    async def ask(number: int) -> None:
        try:
            await submit(number)
        except MailboxFull:
            failed.append(number)

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        async with trio.open_nursery() as askers:
            for number in (12, 13, 14):
                askers.start_soon(ask, number)

        assert sorted(failed) == [12, 13, 14]
        assert await submit(15) == 30


async def test_nobody_waits_for_ever_when_the_flushing_nursery_is_cancelled() -> None:
    run = Doubler()
    refused: list[int] = []

    async def ask(number: int) -> None:
        with pytest.raises(RedisUnreachable):
            await submit(number)
        refused.append(number)

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as inner:
            submit = Grouped(inner, most=2)(run)
            run.gate = trio.Event()
            for number in range(3):
                outer.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
            inner.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(refused) == [0, 1, 2]

        await ask(3)

    assert refused[-1] == 3
