"""A request with an Idempotency-Key: what is asked twice is done once."""

from __future__ import annotations

from pathlib import Path

import trio
from api import Api, api

from tinytown.transport.answers import Answers

ITEM = {"description": "dig"}


async def backlog(town: Api) -> int:
    return len((await town.get("/v1/backlog"))["backlog"])


async def test_the_second_request_gets_the_first_answer(made: Path) -> None:
    async with api(made) as town:
        first = await town.client.post("/v1/backlog", json=ITEM, headers={"idempotency-key": "k1"})
        second = await town.client.post("/v1/backlog", json=ITEM, headers={"idempotency-key": "k1"})
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"
        await town.post("/v1/backlog", ITEM, 201, idempotency_key="k2")
        await town.post("/v1/backlog", ITEM, 201)
        assert await backlog(town) == 3


async def test_a_key_belongs_to_one_request_and_to_one_principal(made: Path) -> None:
    async with api(made) as town:
        await town.post("/v1/backlog", ITEM, 201, idempotency_key="k")
        other = await town.post("/v1/backlog", {"description": "fill"}, 409, idempotency_key="k")
        assert other["code"] == "idempotency_key_used"
        assert (await town.post("/v1/recover", status=409, idempotency_key="k"))["code"] == "idempotency_key_used"
        assert await backlog(town) == 1


async def test_a_refusal_is_not_remembered(made: Path) -> None:
    async with api(made) as town:
        assigned = {"agent": "ada", "task": "dig"}
        await town.post("/v1/tasks/assign", assigned, 404, idempotency_key="k")
        await town.add("ada")
        await town.post("/v1/tasks/assign", assigned, 201, idempotency_key="k")


async def test_a_key_that_is_none_is_refused(made: Path) -> None:
    async with api(made) as town:
        for key in ("k" * 256, "", "a\tb"):
            await town.post("/v1/backlog", ITEM, 400, idempotency_key=key)
        assert await backlog(town) == 0


async def test_of_many_at_once_one_is_done(made: Path) -> None:
    async with api(made) as town:
        answers = []

        async def ask() -> None:
            answers.append(await town.client.post("/v1/backlog", json=ITEM, headers={"idempotency-key": "k"}))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        codes = {each.json().get("code", "done") for each in answers}
        assert codes <= {"done", "being_done"}
        assert await backlog(town) == 1


async def test_nobody_knows_how_the_request_of_a_dead_townhall_ended(made: Path) -> None:
    async with api(made) as town:
        # Another process put its mark there, and said no more.
        await town.post("/v1/backlog", ITEM, 201, idempotency_key="k")
        (name,) = await town.town.connection.execute("HKEYS", town.town.keys("answers"))  # type: ignore[misc]
        kept = await town.town.connection.execute("HGET", town.town.keys("answers"), name)
        assert isinstance(kept, bytes)
        request = kept.partition(b'"request": "')[2].partition(b'"')[0].decode()
        mark = f'{{"request": "{request}", "holder": "elsewhere", "too_large": false}}'
        await town.town.connection.execute("HSET", town.town.keys("answers"), name, mark)

        said = await town.post("/v1/backlog", ITEM, 409, idempotency_key="k")
        assert said["code"] == "outcome_unknown"
        assert await backlog(town) == 1


async def test_answers_are_bounded_and_go_after_their_time(made: Path) -> None:
    async with api(made) as town:
        answers = Answers(town.town.connection, town.town.keys, most=3)
        for number in range(5):
            assert await answers.open(f"r{number}", b"mark %d" % number) is None
        assert await answers.open("r4", b"mark") == b"mark 4"
        assert await answers.open("r0", b"mark again") is None
        await answers.close("r0", b"another", b"not this")
        await answers.close("r0", b"mark again", b"answer")
        assert await answers.open("r0", b"mark") == b"answer"

        until = town.town.keys("answers_until")
        for name in ("r0", "r3", "r4"):
            await town.town.connection.execute("ZADD", until, 1, name)
        assert await answers.open("r0", b"new") is None
        assert await town.town.connection.execute("HLEN", town.town.keys("answers")) == 1
        await answers.drop("r0", b"new")
        assert await town.town.connection.execute("EXISTS", town.town.keys("answers"), until) == 0
