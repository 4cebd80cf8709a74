"""Missions in all weathers: whatever agents, people and GitHub do, and however often one of two runtimes dies."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
import trio
from stage import Stage, until
from trio.testing import MockClock
from weather import Weather

from tinytown.ids import MissionId, new_id
from tinytown.lifecycle import MissionState, WorkItemState


@pytest.fixture
def under(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Weather]:
    """Makes the weather of a seed; its sky stands for the network."""

    def make(seed: int) -> Weather:
        weather = Weather(stage, seed)

        async def answer(_: object, request: httpx2.Request) -> httpx2.Response:
            return await weather.sky.answer(request)

        monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", answer)
        return weather

    return make


async def after_a_storm_it_comes_to_its_end(weather: Weather, hours: float) -> None:
    await weather.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(weather.watch)
        await weather.storm(hours)
        await weather.calm()
        nursery.cancel_scope.cancel()
    await weather.end()

    assert weather.sky.wrong == [], await weather.story()
    assert (await weather.see()).mission.state is MissionState.COMPLETED, await weather.story()


async def test_after_a_storm_a_mission_comes_to_its_end(clock: MockClock, under: Callable[[int], Weather]) -> None:
    await after_a_storm_it_comes_to_its_end(under(1), hours=1.5)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
async def test_after_any_storm_a_mission_comes_to_its_end(
    clock: MockClock, under: Callable[[int], Weather], seed: int
) -> None:
    await after_a_storm_it_comes_to_its_end(under(seed), hours=5)


async def test_while_github_cannot_be_asked_a_mission_waits_without_haste(
    clock: MockClock, stage: Stage, under: Callable[[int], Weather]
) -> None:
    weather = under(0)
    weather.sky.storms = False
    await weather.begin({1: "Do it."})
    await until(lambda: weather.crew.asked)
    weather.sky.ill = True
    began, commands = trio.current_time(), len(stage.wire.commands)
    await trio.sleep(200)
    (item,) = (await weather.see()).items

    assert item.state is WorkItemState.RUNNING
    assert trio.current_time() - began == 200
    # A tick every half a minute, and a look every minute, with what else a runtime does.
    assert len(stage.wire.commands) - commands < 1_000
    weather.sky.ill = False
    await weather.calm()
    assert await weather.is_over()
    await weather.end()


async def test_a_mission_that_is_damaged_stops_no_other(
    clock: MockClock, stage: Stage, under: Callable[[int], Weather]
) -> None:
    weather, town = under(0), stage.town
    weather.sky.storms = False
    broken = MissionId(new_id())
    await town.ask("SET", town.keys("mission", broken), "{")
    await town.ask("SADD", town.keys("mission_active"), broken)
    await weather.begin({1: "Do it."})
    # It is not given up either: somebody may mend it.
    await until(lambda: sum(broken in text for runtime in weather.runtimes for text in runtime.reports) > 2)
    await weather.calm()

    assert await weather.is_over()
    await weather.end()
