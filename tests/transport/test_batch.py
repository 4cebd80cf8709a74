"""Grouping: what is asked for while something is under way becomes one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
import trio.testing

from tinytown.errors import MailboxFull, RedisUnreachable
from tinytown.transport.batch import Grouped, one_by_one
from tinytown.transport.group import AT_ONCE


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


async def test_who_finds_nothing_under_way_asks_at_once() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)

        assert [await submit(1), await submit(2)] == [2, 4]

    assert run.groups == [[1], [2]]


async def test_what_comes_meanwhile_is_one_group_and_everybody_gets_its_own_result() -> None:
    run = Doubler()
    results: dict[int, int] = {}

    async def ask(number: int) -> None:
        results[number] = await submit(number)

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        for number in await shut(run, nursery, submit, 0):
            nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert results == {number: 2 * number for number in range(1, 10)}
    assert [sorted(group) for group in run.groups] == [[0], list(range(1, 10))]


async def test_who_was_answered_and_asks_again_at_once_is_taken_along() -> None:
    run = Doubler()

    async def ask_twice(number: int) -> None:
        await submit(number)
        await submit(number)

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        for number in await shut(run, nursery, submit, 0):
            nursery.start_soon(ask_twice, number)
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert [len(group) for group in run.groups] == [1, 9, 9]


async def test_no_more_than_so_many_groups_are_under_way() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        for number in await shut(run, nursery, submit, 0):
            nursery.start_soon(submit, number)
            await trio.testing.wait_all_tasks_blocked()
        assert run.groups == [[number] for number in range(AT_ONCE)]
        run.gate.set()

    assert [sorted(group) for group in run.groups[AT_ONCE:]] == [list(range(AT_ONCE, 10))]


async def test_a_group_is_never_larger_than_it_may_be() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery, most=4)(run)
        for number in await shut(run, nursery, submit, 0):
            nursery.start_soon(submit, number)
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert [len(group) for group in run.groups] == [1, 4, 4, 1]


async def test_an_item_whose_caller_was_cancelled_while_it_waited_is_taken_back() -> None:
    run = Doubler()
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        await shut(run, nursery, submit, 0)
        with trio.CancelScope() as scope:
            scope.cancel()
            await submit(1)
        run.gate.set()
        await trio.testing.wait_all_tasks_blocked()

    assert run.groups == [[0]]


async def test_a_caller_cancelled_during_the_run_leaves_the_others_their_results() -> None:
    run = Doubler()
    results: list[int] = []

    async def ask(number: int, scope: trio.CancelScope) -> None:
        with scope:
            results.append(await submit(number))

    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)
        await shut(run, nursery, submit, 0)
        scopes = [trio.CancelScope() for _ in range(3)]
        for number, scope in enumerate(scopes, 1):
            nursery.start_soon(ask, number, scope)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(run.groups[1]) == [1, 2, 3]
        scopes[1].cancel()
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert sorted(results) == [2, 6]


async def test_who_asked_alone_and_was_cancelled_does_not_hold_up_the_others() -> None:
    run = Doubler()
    results: list[int] = []
    async with trio.open_nursery() as nursery:
        submit = Grouped(nursery)(run)

        async def first() -> None:
            with scope:
                await submit(0)

        async def second() -> None:
            results.append(await submit(1))

        scope = trio.CancelScope()
        run.gate = trio.Event()
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert results == [2]
    assert run.groups == [[0], [1]]


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
        await shut(run, nursery, submit, 0)
        for number in (12, 13, 14):
            nursery.start_soon(ask, number)
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()
        await trio.testing.wait_all_tasks_blocked()

        assert sorted(failed) == [12, 13, 14]
        assert await submit(15) == 30
        with pytest.raises(MailboxFull):
            await submit(13)


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
            await shut(run, outer, submit, 0)
            for number in range(1, 6):
                outer.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
            assert [len(group) for group in run.groups] == [1, 2]
            inner.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert sorted(refused) == [1, 2, 3, 4, 5]


async def test_who_waits_when_the_flushing_nursery_is_closed_is_refused() -> None:
    run = Doubler()
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as inner:
            submit = Grouped(inner)(run)

        async def ask() -> None:
            with pytest.raises(RedisUnreachable):
                await submit(1)

        await shut(run, outer, submit, 0)
        outer.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        run.gate.set()

    assert run.groups == [[0]]


async def shut(run: Doubler, nursery: trio.Nursery, submit: Callable[[int], Awaitable[int]], first: int) -> range:
    """Shut the gate with one item under way; gives numbers for the next ones."""
    run.gate = trio.Event()
    nursery.start_soon(submit, first)
    await trio.testing.wait_all_tasks_blocked()
    return range(1, 10)
