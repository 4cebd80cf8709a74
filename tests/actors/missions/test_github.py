"""The client against a GitHub on loopback: what it does with limits, faults, pages and tokens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from github_server import SECRET, START, FakeGitHub, Reply, serving

from tinytown.actors.missions.github.answers import Data
from tinytown.actors.missions.github.budget import Budget
from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import (
    GitHubDenied,
    GitHubFailed,
    GitHubLimited,
    GitHubMissing,
    GitHubRefused,
    Meaning,
    meaning,
    wait_of,
)
from tinytown.actors.missions.github.issues import load_issue
from tinytown.actors.missions.github.tokens import Token, find_token
from tinytown.actors.missions.references import Endpoints, Reference, Repository, reference_of
from tinytown.runtime.demo.forge import documents

HOME = Repository("github.com", "o", "r")


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1", "One", "Depends on #2")
    return hub


ISSUE = "/repos/o/r/issues/1"


async def test_a_request_carries_what_github_asks_for(hub: FakeGitHub, github: GitHub) -> None:
    await github.get(ISSUE)
    await github.graphql("query { rateLimit { cost } }")

    rest, graphql = (call.headers for call in hub.calls)
    assert rest["authorization"] == graphql["authorization"] == f"Bearer {SECRET}"
    assert rest["accept"] == "application/vnd.github+json"
    assert graphql["accept"] == "application/json"
    assert rest["x-github-api-version"] == "2022-11-28"
    assert rest["user-agent"].startswith("tinytown/")


async def test_what_was_read_before_costs_nothing(hub: FakeGitHub, github: GitHub) -> None:
    first = await github.get(ISSUE)
    again = await github.get(ISSUE)

    assert again == first
    assert (len(hub.calls), hub.remaining["core"]) == (2, 4999)
    hub.issue("o/r#1", "New title")
    assert (await github.get(ISSUE)).value["title"] == "New title"  # type: ignore[call-overload, index]


async def test_all_pages_are_read_and_read_again_from_their_etags(hub: FakeGitHub, github: GitHub) -> None:
    assert await github.pages("/list") == [1, 2, 3]
    assert await github.pages("/list") == [1, 2, 3]
    assert hub.remaining["core"] == 4997
    assert await github.pages("/list", most=2) == [1, 2]


async def test_a_page_on_another_host_is_not_followed(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(200, [1], {"Link": '<http://localhost:1/list?page=2>; rel="next"'})]

    with pytest.raises(GitHubFailed, match="not its own"):
        await github.pages("/list")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_another_host_gets_no_token_and_is_not_believed(hub: FakeGitHub, github: GitHub, status: int) -> None:
    async with serving() as other:
        other.issue("o/r#1", "Something else")
        hub.faults = [Reply(status, {}, {"Location": other.url + ISSUE})] * 4
        with pytest.raises(GitHubFailed, match="it sent us to another host"):
            await github.get(ISSUE)

    assert other.calls
    assert not any(SECRET in repr(call) for call in other.calls)


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500, {}),
        Reply(502, {}),
        Reply(503, {}),
        Reply(504, {}),
        Reply(200, {"title": "x" * 100}, cut=True),
        Reply(200, raw=b'{"title": "tr'),
        Reply(200, raw=b"[" * 200_000),
        Reply(200, raw=b"\xff\xfe"),
    ],
    ids=range(8),
)
async def test_an_illness_of_github_is_waited_out(hub: FakeGitHub, github: GitHub, fault: Reply) -> None:
    hub.faults = [fault, fault]

    assert (await github.get(ISSUE)).value["title"] == "One"  # type: ignore[call-overload, index]
    assert len(hub.slept) == 2


async def test_an_illness_that_stays_is_told_after_four_tries(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(502, {})] * 4

    with pytest.raises(GitHubFailed, match=r"did not answer GET /repos/o/r/issues/1: status 502"):
        await github.get(ISSUE)
    assert len(hub.calls) == 4


async def test_what_could_act_twice_is_sent_once(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(502, {})]
    with pytest.raises(GitHubFailed):
        await github.change("POST", "/repos/o/r/issues/1/comments", {"body": "x"})
    assert len(hub.calls) == 1

    hub.faults = [Reply(502, {}), Reply(200, {"merged": True})]
    assert await github.change("PUT", "/repos/o/r/pulls/1/merge", {"sha": "aa"}) == {"merged": True}


async def test_nobody_there_is_a_failure_and_no_traceback() -> None:
    fake = FakeGitHub(port=1)
    async with fake.client() as github:
        with pytest.raises(GitHubFailed, match="did not answer"):
            await github.get(ISSUE)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (Reply(403, {}, {"Retry-After": "7"}), 7.0),
        (Reply(429, {}, {"Retry-After": "7"}), 7.0),
        (Reply(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{START + 120:.0f}"}), 121.0),
    ],
)
async def test_a_limit_is_waited_for_as_long_as_it_says(
    hub: FakeGitHub, github: GitHub, limit: Reply, seconds: float
) -> None:
    hub.faults = [limit]

    await github.get(ISSUE)

    assert hub.slept == [seconds]


async def test_a_secondary_limit_without_a_time_is_a_minute_at_least(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(403, {"message": "You have exceeded a secondary rate limit"})]

    await github.get(ISSUE)

    assert 60 <= hub.slept[0] <= 90


async def test_a_limit_in_the_answer_of_a_query_is_a_limit(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]})]

    assert await github.graphql("query { rateLimit { cost } }") == Data({"rateLimit": {"cost": 1}})
    assert len(hub.slept) == 1


async def test_a_limit_holds_all_tasks_and_what_nobody_waits_for_is_told_until_when(
    hub: FakeGitHub, github: GitHub
) -> None:
    hub.faults = [Reply(403, {}, {"Retry-After": "50"})]
    with pytest.raises(GitHubLimited) as caught:
        await github.get(ISSUE, background=True)
    assert caught.value.until == START + 50

    with pytest.raises(GitHubLimited):
        await github.get("/list", background=True)
    assert (len(hub.calls), hub.slept) == (1, [])

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(github.get, ISSUE)
    assert len(hub.calls) == 6


async def test_a_limit_that_never_ends_is_told(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(429, {}, {"Retry-After": "1"})] * 9

    with pytest.raises(GitHubLimited):
        await github.get(ISSUE)


async def test_nobody_is_let_wait_for_the_next_hour(hub: FakeGitHub, github: GitHub) -> None:
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{START + 1800:.0f}"}
    hub.faults = [Reply(403, {}, used_up)]

    with pytest.raises(GitHubLimited, match="up to 31 min") as caught:
        await github.get(ISSUE)

    assert (caught.value.until, hub.slept) == (START + 1801, [])


async def test_the_last_tenth_is_kept_for_people(hub: FakeGitHub, github: GitHub) -> None:
    hub.remaining["core"] = 400
    await github.get(ISSUE, background=True)

    with pytest.raises(GitHubLimited) as caught:
        await github.get(ISSUE, background=True)
    assert caught.value.until == START + 3600
    await github.get(ISSUE)
    await github.graphql("query { rateLimit { cost } }", background=True)

    hub.now += 3601
    await github.get(ISSUE, background=True)


async def test_no_more_than_eight_requests_are_in_flight(hub: FakeGitHub, github: GitHub) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(github.get, ISSUE)

    assert len(hub.calls) == 60
    assert 1 <= hub.most_inflight <= 8


@pytest.mark.parametrize(
    ("reply", "error", "told"),
    [
        (Reply(401, {"message": "Bad credentials"}), GitHubDenied, "Bad credentials"),
        (Reply(403, {"message": "Resource not accessible"}), GitHubDenied, "Resource not accessible"),
        (Reply(404, {"message": "Not Found"}), GitHubMissing, "/repos/o/r/issues/1"),
        (Reply(410, {"message": "Gone"}), GitHubMissing, "or the token may not see it"),
        (Reply(422, {"message": "Invalid", "errors": [{"message": "no \x1b[31m"}]}), GitHubRefused, r"no \\x1b\[31m"),
        (Reply(409, raw=b"<html>"), GitHubRefused, "no reason given"),
    ],
)
async def test_a_refusal_is_no_limit_is_not_repeated_and_says_why(
    hub: FakeGitHub, github: GitHub, reply: Reply, error: type[GitHubRefused], told: str
) -> None:
    hub.faults = [reply]

    with pytest.raises(error, match=told) as caught:
        await github.get(ISSUE)

    assert caught.value.status == reply.status
    assert (len(hub.calls), hub.slept) == (1, [])
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.hint}"


async def test_a_moved_repository_is_followed_and_the_issue_has_its_new_name(hub: FakeGitHub, github: GitHub) -> None:
    hub.issue("new/home#7", "Moved")
    hub.moved["/repos/o/r/issues/9"] = "/repos/new/home/issues/7"

    found = await load_issue(github, Reference(HOME, 9))

    assert (found.reference.key, found.title) == ("new/home#7", "Moved")


async def test_an_issue_comes_with_the_dependencies_that_github_keeps(hub: FakeGitHub, github: GitHub) -> None:
    hub.issue("a/b#5", state="closed")
    hub.issue("o/r#4", "Four", labels=["test", "x"], association="NONE", blocked_by=["o/r#1", "a/b#5"])

    found = await load_issue(github, Reference(HOME, 4))

    assert [each.key for each in found.blocked_by] == ["o/r#1", "a/b#5"]
    assert (found.labels, found.association, found.closed) == (("test", "x"), "NONE", False)
    assert (await load_issue(github, reference_of("a/b#5"))).closed
    assert len(hub.calls) == 3


async def test_dependencies_that_cannot_be_read_are_not_taken_for_none(hub: FakeGitHub, github: GitHub) -> None:
    four = hub.issue("o/r#4", blocked_by=["o/r#1"])
    hub.faults = [Reply(200, documents.issue(four)), Reply(404, {"message": "Not Found"})]

    with pytest.raises(GitHubMissing):
        await load_issue(github, Reference(HOME, 4))


async def test_a_pull_request_is_told_from_an_issue(hub: FakeGitHub, github: GitHub) -> None:
    hub.pull("o/r#6")

    assert (await load_issue(github, Reference(HOME, 6))).is_pull


@pytest.mark.parametrize(
    ("status", "headers", "body", "meant"),
    [
        (200, {}, "", Meaning.FINE),
        (304, {}, "", Meaning.SAME),
        (403, {}, "abuse", Meaning.DENIED),
        (403, {}, "secondary RATE LIMIT", Meaning.LIMITED),
        (403, {"x-ratelimit-remaining": "1"}, "", Meaning.DENIED),
        (429, {}, "", Meaning.LIMITED),
        (501, {}, "", Meaning.REFUSED),
    ],
)
def test_every_answer_has_one_meaning(status: int, headers: dict[str, str], body: str, meant: Meaning) -> None:
    assert meaning(status, headers, body) is meant


def test_a_time_that_is_no_number_is_no_time() -> None:
    assert wait_of({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, START) is None
    assert wait_of({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "²"}, START) is None
    assert wait_of({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, START) == 1


def test_a_budget_is_known_from_whole_answers_only() -> None:
    budget = Budget()
    budget.note({"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "x", "x-ratelimit-reset": "1"})

    assert budget["core"] is None
    assert budget.reserved_until("core", START) is None


def script(folder: Path, text: str) -> str:
    program = folder / "gh"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin"


@pytest.mark.parametrize(
    ("host", "environ", "source"),
    [
        ("github.com", {"GH_TOKEN": "secret-a", "GITHUB_TOKEN": "secret-b"}, "GH_TOKEN"),
        ("acme.ghe.com", {"GH_TOKEN": " ", "GITHUB_TOKEN": "secret-b"}, "GITHUB_TOKEN"),
        ("github.com", {"GH_TOKEN": "two words", "GH_ENTERPRISE_TOKEN": "secret-c"}, "gh auth token"),
        ("git.example.org", {"GH_TOKEN": "a", "GH_ENTERPRISE_TOKEN": "secret-c"}, "GH_ENTERPRISE_TOKEN"),
        ("git.example.org", {"GH_TOKEN": "a", "GITHUB_ENTERPRISE_TOKEN": "secret-d"}, "GITHUB_ENTERPRISE_TOKEN"),
    ],
)
async def test_the_token_is_looked_for_in_the_order_of_gh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, environ: dict[str, str], source: str
) -> None:
    path = script(tmp_path, 'test "$1 $2 $3 $4" = "auth token --hostname github.com" && echo secret-gh')
    monkeypatch.setenv("PATH", path)

    token = await find_token(host, {**environ, "PATH": path})

    assert token is not None
    assert token.source == source
    assert token.secret not in f"{token} {token!r}"


async def test_without_a_token_anywhere_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", script(tmp_path, "echo no; exit 1"))
    assert await find_token("github.com", {}) is None

    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert await find_token("github.com", {}) is None


async def test_without_a_token_none_is_sent(hub: FakeGitHub) -> None:
    async with GitHub.open(Endpoints(hub.url, f"{hub.url}/graphql"), None) as github:
        await github.get(ISSUE)

    assert "authorization" not in hub.calls[0].headers
    assert Token("x", "y") != Token("z", "y")
