"""Live events over a real socket, and what Prometheus and a load balancer are told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from api import Api, api

from tinytown.records import Event
from tinytown.runtime.operations.ending import Kill, kill
from tinytown.web import events as live

LONG = 20.0


class Stream:
    """The frames that one client gets."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def frame(self) -> dict[str, str]:
        """The next frame with data; comments and bare ids are passed over."""
        found: dict[str, str] = {}
        with trio.fail_after(LONG):
            async for line in self._lines:
                if line:
                    name, _, text = line.partition(": ")
                    found[name] = text
                elif "data" in found:
                    return found
                else:
                    found = {}
        raise EOFError

    async def event(self) -> Any:
        return json.loads((await self.frame())["data"])


@asynccontextmanager
async def following(town: Api, last: str = "", **query: str) -> AsyncIterator[Stream]:
    headers = {"last-event-id": last} if last else {}
    async with town.client.stream("GET", "/v1/events", params=query, headers=headers, timeout=LONG) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer.aiter_lines())


async def until_clients(town: Api, count: int) -> None:
    with trio.fail_after(LONG):
        while len(town.router.hub.clients) != count:
            await trio.sleep(0.005)


async def until_read(town: Api) -> None:
    """Until townhall has read all that the journal has by now: a client that comes later gets what comes later."""
    last = await town.town.journal.position()
    with trio.fail_after(LONG):
        while town.router.hub.position != last:
            await trio.sleep(0.005)


async def test_what_happens_reaches_a_client_and_only_what_it_asked_for(made: Path) -> None:
    async with api(made) as town:
        ada = await town.add("ada")
        await until_read(town)
        async with following(town) as everything, following(town, agent="ada", type="agent") as hers:
            await until_clients(town, 2)
            bob = await town.add("bob")
            await kill(town.town, Kill("ada"))
            assert (await everything.event())["agent"] == bob.id
            seen = await hers.event()
            assert (seen["agent"], seen["type"].split(".")[0]) == (ada.id, "agent")
        await until_clients(town, 0)


async def test_a_client_that_comes_back_gets_what_it_missed(made: Path) -> None:
    async with api(made) as town:
        async with following(town) as stream:
            await until_clients(town, 1)
            await town.add("ada")
            last = (await stream.frame())["id"]
        await until_clients(town, 0)
        bob, eve = await town.add("bob"), await town.add("eve")
        async with following(town, last) as stream:
            assert [(await stream.event())["agent"] for _ in range(2)] == [bob.id, eve.id]
        async with following(town, after="0") as stream:
            assert (await stream.event())["type"] == "town.initialized"


async def test_a_client_that_was_away_too_long_is_told_to_look_anew(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        async with following(town, "1-1") as stream:
            assert (await stream.frame())["event"] == "reset"
            assert (await stream.event())["type"] == "town.initialized"


@pytest.mark.parametrize("query", [{"agent": "eve"}, {"task": "12345678"}, {"nonsense": "1"}, {"after": "yesterday"}])
async def test_a_stream_of_nothing_is_refused(made: Path, query: dict[str, str]) -> None:
    async with api(made) as town:
        assert (await town.client.get("/v1/events", params=query)).status_code in (404, 422)


async def test_a_client_that_does_not_keep_up_is_cut_and_the_others_are_not(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = live.Client(live.Filter(type="agent")), live.Client(live.Filter(type="task"))
    frame = live.frame_of(Event("agent.spawned", id="1-1", detail="x"))
    monkeypatch.setattr(live, "MOST_FRAMES", 3)

    assert [slow.offer(frame) for _ in range(4)] == [True, True, True, False]
    assert slow.is_cut
    assert slow.take() == frame * 3
    assert not quick.filter.wants(Event("agent.spawned"))


def test_a_frame_cannot_be_broken_by_what_an_event_says() -> None:
    frame = live.frame_of(Event("agent\nevil", id="1-1", detail="line\n\ndata: {}\r\n"))

    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n") == 4
    assert b"event: unknown\n" in frame


async def test_streams_end_when_townhall_stops(made: Path) -> None:
    async with api(made) as town, following(town) as stream:
        await until_clients(town, 1)
        town.hall.stopping.set()
        with pytest.raises(EOFError):
            await stream.frame()


async def test_figures_and_health(made: Path) -> None:
    async with api(made) as town:
        ada = await town.add("ada")
        await town.town.store.update_agent(ada.id, lambda agent: replace(agent, tokens_used=12_345))
        await town.post("/v1/backlog", {"description": "dig"}, 201)
        bare = town.client.headers.pop("authorization")
        assert (await town.get("/healthz"))["status"] == "ok"
        ready = await town.get("/readyz")
        assert (ready["status"], ready["redis"], ready["dispatcher"]) == ("ready", "connected", "idle")
        assert "demo" not in json.dumps(ready)
        assert (await town.client.get("/metrics")).status_code == 401
        town.client.headers["authorization"] = bare
        page = (await town.client.get("/metrics")).text
        assert 'tinytown_agents_total{state="starting"} 1.0' in page
        assert "tinytown_backlog_tasks 1.0" in page
        assert f'tinytown_tokens_total{{cli="{ada.cli}"}} 12345.0' in page
        assert "tinytown_up 1.0" in page
        assert 'tinytown_http_requests_total{method="POST",route="/v1/backlog",status="201"} 1.0' in page
        advice = await town.get("/api/scaling")
        assert (advice["pending_tasks"], advice["desired_agents"], advice["active_agents"]) == (1, 1, 1)
        assert advice["scaling_recommendation"] == "steady"
