"""What every request passes before a handler sees it: the body, the time, the rate; and what is written of it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from halls import Open, Visitors, open_townhall
from serving import LONG, answer, read_to_end, request
from trio.testing import MockClock

from tinytown.errors import AgentNotFound, MailboxFull, RedisUnreachable, RuntimeFailed
from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.api_keys import MakeKey, make_key
from tinytown.runtime.operations.audit import Audit, audit
from tinytown.transport.audit import AuditRecord
from tinytown.web.asgi import AsgiScope, Receive, Send
from tinytown.web.context import note_object
from tinytown.web.doors.rates import MOST_BUCKETS, Rate
from tinytown.web.refusals import MethodNotAllowed, Unprocessable
from tinytown.web.settings import AuthSettings, RateSettings, TownhallSettings

JSON = {"content-type": "application/json"}
CANARY = "CANARY-4711"


class Failing(Visitors):
    """Raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        raise self.error


class Slow(Visitors):
    """Begins its answer at once or not at all, and never ends it."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/read":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass


async def records(town: Open) -> list[AuditRecord]:
    return list((await audit(town.hall.town, Audit())).records)


# The body.


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20])
async def test_a_body_up_to_the_limit_arrives_as_a_whole(made: Path, size: int) -> None:
    visitors = Visitors()
    body = b"x" * size
    async with open_townhall(made, visitors) as town:
        assert (await town.client.post("/write", content=body, headers=JSON)).status_code == 200
        assert (await town.client.post("/write", content=chunks(body), headers=JSON)).status_code == 200
    assert [visit.body for visit in visitors.seen] == [body, body]


async def test_a_longer_body_is_refused_by_its_length_and_by_its_chunks(made: Path) -> None:
    visitors = Visitors()
    body = b"x" * ((1 << 20) + 1)
    async with open_townhall(made, visitors) as town:
        for content in (body, chunks(body)):
            said = await town.client.post("/write", content=content, headers=JSON)
            assert said.status_code == 413
            assert said.json()["code"] == "too_large"
    assert visitors.seen == []


async def test_the_limit_of_the_body_is_that_of_the_settings(made: Path) -> None:
    settings = TownhallSettings(request_bytes=10)
    async with open_townhall(made, Visitors(), settings) as town:
        assert (await town.client.post("/write", content=b"x" * 10, headers=JSON)).status_code == 200
        assert (await town.client.post("/write", content=b"x" * 11, headers=JSON)).status_code == 413


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200), ("Application/JSON; charset=utf-8", 200), ("text/json", 415), ("text/plain", 415),
        ("application/json-patch", 415), ("multipart/form-data", 415), ("", 415),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_body_that_changes_something_is_json(made: Path, method: str, kind: str, status: int) -> None:
    async with open_townhall(made, Visitors()) as town:
        said = await town.client.request(method, "/write", content=b"{}", headers={"content-type": kind})
        bare = await town.client.request(method, "/write")
    assert (said.status_code, bare.status_code) == (status, 200)


async def test_a_body_that_does_not_end_is_not_waited_for(made: Path) -> None:
    settings = TownhallSettings(request_timeout=0.2)
    async with open_townhall(made, Visitors(), settings) as town:
        said = await town.raw("/write", f"Authorization: Bearer {town.token}", "Content-Type: application/json",
                              "Content-Length: 100", method="POST")  # fmt: skip
        assert said.status == 408
        assert said.headers["connection"] == "close"


async def test_who_goes_away_before_the_body_is_there_is_forgotten(made: Path) -> None:
    visitors = Visitors()
    async with open_townhall(made, visitors) as town:
        stream = await town.served.connect()
        await stream.send_all(request("/write", "POST", b"", f"Authorization: Bearer {town.token}",
                                      "Content-Type: application/json", "Content-Length: 9"))  # fmt: skip
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.aclose()
        await town.served.wait_quiet()
    assert visitors.seen == []


async def test_too_many_headers_are_refused(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        said = await town.raw("/public", *(f"X-{number}: y" for number in range(100)))
    assert said.status == 431


# Time.


async def test_an_answer_that_does_not_begin_in_time_is_given_up(made: Path) -> None:
    settings = TownhallSettings(request_timeout=0.2)
    async with open_townhall(made, Slow(), settings) as town:
        said = await town.client.get("/write")
        assert said.status_code == 504
        assert said.json()["code"] == "overdue"


async def test_a_stream_that_has_begun_may_take_its_time(made: Path) -> None:
    settings = TownhallSettings(request_timeout=0.1)
    async with open_townhall(made, Slow(), settings) as town:
        stream = await town.served.connect()
        await stream.send_all(request("/read", "GET", b"", f"Authorization: Bearer {town.token}"))
        while b"first" not in await stream.receive_some():
            pass
        with trio.move_on_after(0.3) as waiting:
            await stream.receive_some()
        assert waiting.cancelled_caught, "it was cut"
        await stream.aclose()


# Rates.


async def test_each_principal_has_its_own_rate_for_reading_and_for_writing(made: Path) -> None:
    visitors = Visitors()
    settings = TownhallSettings(rates=RateSettings(reads=3, writes=2))
    async with open_townhall(made, visitors, settings) as town:
        reads = [await town.client.get("/read") for _ in range(4)]
        writes = [await town.client.post("/write") for _ in range(3)]
        key = await make_key(town.hall.town, MakeKey(scopes=(Scope.READ,)))
        async with town.bearer(key.key) as client:
            other = await client.get("/read")
        public = await town.client.get("/public")

    assert [said.status_code for said in reads] == [200, 200, 200, 429]
    assert [said.headers["ratelimit-remaining"] for said in reads] == ["2", "1", "0", "0"]
    assert {said.headers["ratelimit-limit"] for said in reads} == {"3"}
    assert 1 <= int(reads[-1].headers["retry-after"]) <= 20
    assert 41 <= int(reads[-1].headers["ratelimit-reset"]) <= 60
    assert [said.status_code for said in writes] == [200, 200, 429]
    assert other.status_code == 200
    assert public.status_code == 200
    assert "ratelimit-limit" not in public.headers
    assert len(visitors.seen) == 7


async def test_a_rate_gives_back_one_at_a_time(autojump_clock: MockClock) -> None:
    rate = Rate(60)
    assert [rate.take("ada").allowed for _ in range(61)] == [True] * 60 + [False]
    assert rate.take("bob").left == 59
    await trio.sleep(rate.take("ada").retry_after)
    assert rate.take("ada").allowed
    assert not rate.take("ada").allowed
    await trio.sleep(60)
    assert rate.take("ada") == (True, 60, 59, 1, 1)


async def test_a_rate_forgets_who_has_not_asked_for_a_minute(autojump_clock: MockClock) -> None:
    rate = Rate(10)
    for number in range(MOST_BUCKETS + 500):
        rate.take(number)
    assert len(rate._full_at) == MOST_BUCKETS
    await trio.sleep(61)
    rate.take("ada")
    assert len(rate._full_at) == 1


# Problems.


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AgentNotFound("worker-99"), 404, "agent_not_found"),
        (MailboxFull("full"), 429, "mailbox_full"),
        (Unprocessable("does not fit", fields=[("/name", "is missing")]), 422, "unprocessable"),
        (MethodNotAllowed("not so", allow=["GET", "POST"]), 405, "method_not_allowed"),
        (RedisUnreachable(f"no answer at unix:///{CANARY}"), 503, "redis_unreachable"),
        (RuntimeFailed(f"the log is {CANARY}"), 500, "runtime_failed"),
        (KeyError(CANARY), 500, "internal"),
        (ExceptionGroup("many", [KeyError(CANARY), ValueError(CANARY)]), 500, "internal"),
        (ExceptionGroup("one", [AgentNotFound("worker-99")]), 404, "agent_not_found"),
    ],
)
async def test_what_goes_wrong_inside_is_a_problem_and_tells_nothing_of_this_host(
    made: Path, error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_townhall(made, Failing(error)) as town:
        said = await town.client.get("/read")
    problem = said.json()
    assert said.headers["content-type"] == "application/problem+json"
    assert (said.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"https://tinytown.dev/errors/{status}"
    assert problem["instance"] == f"urn:tinytown:request:{said.headers['x-request-id']}"
    assert CANARY not in said.text
    if status >= 500:
        assert CANARY in caplog.text
        assert said.headers["x-request-id"] in caplog.text
    if status == 405:
        assert said.headers["allow"] == "GET, POST"
    if status == 422:
        assert problem["errors"] == [{"path": "/name", "message": "is missing"}]


# The audit.


async def test_each_call_that_changes_or_is_refused_has_one_record(made: Path) -> None:
    class Naming(Visitors):
        async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
            note_object(scope, "agent/ada")
            await super().__call__(scope, receive, send)

    async with open_townhall(made, Naming()) as town:
        key = await make_key(town.hall.town, MakeKey(name="phone", scopes=(Scope.READ,)))
        async with town.bearer(key.key) as client:
            said = [
                await town.client.post(f"/write?token={CANARY}", content=json.dumps(CANARY), headers=JSON),
                await town.client.delete("/n%C3%B6%22where%0A"),
                await client.post("/write"),
                await client.get("/write"),
            ]
            await client.get("/read")
            await client.get("/public")
        denied = await town.raw("/read", "X-API-Key: " + CANARY)
        found = await records(town)

    assert [record.request_id for record in found] == [
        *(each.headers["x-request-id"] for each in said), denied.headers["x-request-id"],
    ]  # fmt: skip
    assert [(record.principal, record.method, record.path, record.result, record.status) for record in found] == [
        ("local", "POST", "/write", "success", "200"),
        ("local", "DELETE", "/n%C3%B6%22where%0A", "error", "404"),
        (key.stored.id, "POST", "/write", "denied", "403"),
        (key.stored.id, "GET", "/write", "denied", "403"),
        ("anonymous", "GET", "/read", "denied", "401"),
    ]
    assert found[0].object == "agent/ada"
    assert found[0].scopes == "admin,agent.manage,town.read,town.write"
    assert found[2].scopes == "town.read"
    assert CANARY not in str(found)


async def test_the_log_has_the_record_in_the_words_of_the_book(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    async with open_townhall(made, Visitors()) as town:
        said = await town.client.post("/write", headers={"x-note": CANARY})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "audit"]
    begin = f'operation completed request_id="{said.headers["x-request-id"]}" principal="local"'
    assert line.startswith(begin)
    assert 'method="POST" path="/write"' in line
    assert 'result="success"' in line
    assert CANARY not in caplog.text
    assert town.token not in caplog.text


async def test_a_call_whose_client_went_away_is_in_the_audit_all_the_same(made: Path) -> None:
    async with open_townhall(made, Slow()) as town:
        async with await town.served.connect() as stream:
            await stream.send_all(request("/write", "POST", b"", f"Authorization: Bearer {town.token}"))
            await trio.testing.wait_all_tasks_blocked(0.01)
        await town.served.wait_quiet()
        (record,) = await records(town)
    assert (record.result, record.status) == ("error", "499")


async def test_who_shows_nothing_cannot_wash_the_records_of_others_out(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        await town.client.post("/write")
        async with town.stranger() as client:
            for _ in range(150):
                await client.get("/read")
        assert len(await records(town)) < 100


async def test_a_store_that_is_gone_takes_no_answer_away(made: Path) -> None:
    settings = replace(TownhallSettings(), auth=AuthSettings(mode="none"))
    async with open_townhall(made, Visitors(), settings) as town:

        async def unreachable(*_: object, **__: object) -> None:
            raise RedisUnreachable("gone")

        town.hall.audit._trail._connection = type("Gone", (), {"execute": staticmethod(unreachable)})()  # type: ignore[assignment]
        with trio.fail_after(LONG):
            assert (await town.client.post("/write")).status_code == 200


async def test_a_refusal_before_the_body_closes_the_connection(made: Path) -> None:
    async with open_townhall(made, Visitors()) as town:
        stream = await town.served.connect()
        async with stream:
            await stream.send_all(request("/write", "POST", b"", "Content-Length: 5"))
            said = await answer(stream)
            assert (said.status, said.headers["connection"]) == (401, "close")
            assert await read_to_end(stream) == b""


async def chunks(body: bytes):  # type: ignore[no-untyped-def]
    for start in range(0, len(body), 60_000):
        yield body[start : start + 60_000]
