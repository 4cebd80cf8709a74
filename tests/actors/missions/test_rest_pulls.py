"""Pull requests where there is no GraphQL: the same as with it, for nothing while nothing changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from github_server import FakeGitHub, Reply

from tinytown.actors.missions.github import pulls, reading, rest_pulls
from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed, GitHubLimited
from tinytown.actors.missions.github.finding import find_pull
from tinytown.actors.missions.github.looks import Looks, look
from tinytown.actors.missions.github.pulls import Pull as SeenPull
from tinytown.actors.missions.references import Reference, Repository, reference_of
from tinytown.ids import MissionId
from tinytown.mission_records import WorkItem
from tinytown.runtime.demo.forge import Pull, documents

HOME = Repository("github.com", "o", "r")
ONE = Reference(HOME, 1)


def at_work(hub: FakeGitHub, key: str) -> Pull:
    """A pull request with everything that there is."""
    pull = hub.pull(key, body="Fixes #9")
    for name, conclusion in (("lint", "SUCCESS"), ("test", "FAILURE"), ("e2e", "CANCELLED"), ("docs", None)):
        pull.check(name, conclusion)
    pull.check("ci/old", "SUCCESS", legacy=True)
    pull.review("bob", "CHANGES_REQUESTED")
    pull.review("bob", "COMMENTED")
    pull.review("eve", "APPROVED", association="NONE")
    pull.comment("helper", "hi", bot=True)
    pull.thread("cursor", "bug", bot=True)
    pull.thread("bob", "old").outdated = True
    return pull


def comparable(pull: SeenPull | None) -> SeenPull:
    """Without the ids of threads, which the two interfaces call by different names."""
    assert pull is not None
    return replace(pull, threads=tuple(replace(each, id="") for each in pull.threads))


async def test_both_interfaces_tell_the_same(hub: FakeGitHub, github: GitHub) -> None:
    at_work(hub, "o/r#1")
    hub.pull("o/r#2", foreign=True, draft=True).review("ann")
    hub.pull("o/r#3").conflicting = True
    hub.pull("o/r#4").behind = True
    merged, closed = hub.pull("o/r#5"), hub.pull("o/r#6")
    merged.merge()
    closed.close()
    wanted = [Reference(HOME, number) for number in range(1, 8)]

    over_graphql = await pulls.details(github, wanted)
    over_rest = await rest_pulls.details(github, wanted)

    assert list(over_rest) == wanted
    assert over_rest[wanted[6]] is over_graphql[wanted[6]] is None
    for reference in wanted[:6]:
        assert comparable(over_rest[reference]) == comparable(over_graphql[reference])
    glances = await rest_pulls.glances(github, wanted)
    assert glances == await pulls.glances(github, wanted)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda pull: pull.push(), "head"),
        (lambda pull: pull.check("ci", "FAILURE"), "rollup"),
        (lambda pull: pull.review("ann"), "review_decision"),
        (lambda pull: setattr(pull, "conflicting", True), "mergeable"),
        (lambda pull: pull.close(), "state"),
        (lambda pull: setattr(pull, "draft", True), "draft"),
    ],
    ids=["head", "checks", "reviews", "conflict", "closed", "draft"],
)
async def test_a_change_changes_the_fingerprint(hub: FakeGitHub, github: GitHub, change: object, name: str) -> None:
    pull = hub.pull("o/r#1")
    before = (await rest_pulls.glances(github, [ONE]))[ONE]
    change(pull)  # type: ignore[operator]
    after = (await rest_pulls.glances(github, [ONE]))[ONE]

    assert before is not None
    assert after is not None
    assert before.fingerprint != after.fingerprint
    assert getattr(before, name) != getattr(after, name)


async def test_what_does_not_change_costs_nothing_and_a_look_asks_for_nothing_twice(
    hub: FakeGitHub, github: GitHub
) -> None:
    hub.graphql_refusal = Reply(404, {})
    for number in range(1, 11):
        at_work(hub, f"o/r#{number}")
    references = [Reference(HOME, number) for number in range(1, 11)]
    looks = Looks()

    async def spent(now: float) -> tuple[int, int]:
        requests, charged = len(hub.calls), hub.remaining["core"]
        await look(github, references, looks, now)
        hub.now += 180
        return len(hub.calls) - requests, charged - hub.remaining["core"]

    assert await spent(0.0) == (61, 60)
    assert await spent(180.0) == (40, 0)
    hub.repo("o/r").pulls[3].push()
    # Its new head has two lists of checks that were never read.
    assert await spent(360.0) == (42, 4)
    assert await spent(900.0) == (58, 0)
    assert hub.most_inflight <= 8


async def test_a_look_and_a_search_go_over_rest_where_a_query_is_refused(hub: FakeGitHub, github: GitHub) -> None:
    hub.graphql_refusal = Reply(403, {"message": "not for this kind of token"})
    pull = hub.pull("o/r#1", "tt/abc/1-x")
    item = WorkItem(MissionId("m"), "One", "implement", key="o/r#9", branch="tt/abc/1-x")

    assert [each.branch for each in (await look(github, [ONE], Looks(), 0.0)).values()] == ["tt/abc/1-x"]
    found = await find_pull(github, item, "done", HOME)

    assert found is not None
    assert found.glance.head == pull.head
    assert (await reading.glances(github, [reference_of("o/r#7")])) == {reference_of("o/r#7"): None}


async def test_a_thread_is_open_until_another_has_the_last_word(hub: FakeGitHub, github: GitHub) -> None:
    pull = hub.pull("o/r#1")
    threads = [pull.thread("bob", f"why {number}") for number in range(3)]
    pull.reply(threads[1], "worker", "because")
    pull.reply(threads[2], "worker", "because")
    pull.reply(threads[2], "bob", "no")

    seen = (await rest_pulls.details(github, [ONE]))[ONE]

    assert seen is not None
    assert [(each.body, each.open) for each in seen.threads] == [("why 0", True), ("why 1", False), ("why 2", True)]


async def test_github_is_given_time_to_find_out_whether_it_can_be_merged(hub: FakeGitHub, github: GitHub) -> None:
    computing = {**documents.whole_pull(hub.pull("o/r#1")), "mergeable": None, "mergeable_state": "unknown"}
    hub.faults = [Reply(200, computing)]
    assert (await rest_pulls.glances(github, [ONE]))[ONE].mergeable == "MERGEABLE"  # type: ignore[union-attr]
    assert hub.slept == [rest_pulls.COMPUTING]

    hub.faults = [Reply(200, computing)] * 3
    assert (await rest_pulls.glances(github, [ONE]))[ONE].mergeable == "UNKNOWN"  # type: ignore[union-attr]


async def test_many_checks_are_read_to_the_last_page(hub: FakeGitHub, github: GitHub) -> None:
    pull = hub.pull("o/r#1")
    for number in range(150):
        pull.check(f"job {number}")
    pull.check("last", "FAILURE")

    glance = (await rest_pulls.glances(github, [ONE]))[ONE]

    assert glance is not None
    assert glance.rollup == "FAILURE"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ([Reply(502, {})] * 4, GitHubFailed),
        ([Reply(200, [])], GitHubFailed),
        ([Reply(401, {})], GitHubDenied),
        ([Reply(429, {}, {"Retry-After": "60"})], GitHubLimited),
    ],
)
async def test_a_pull_request_that_cannot_be_read_now_is_not_taken_for_gone(
    hub: FakeGitHub, github: GitHub, fault: list[Reply], error: type[Exception]
) -> None:
    hub.pull("o/r#1")
    hub.faults = fault

    with pytest.raises(error):
        await rest_pulls.glances(github, [ONE])


async def test_checks_that_may_not_be_read_are_not_taken_for_none(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(200, documents.whole_pull(hub.pull("o/r#1"))), Reply(403, {"message": "not accessible"})]

    with pytest.raises(GitHubDenied):
        await rest_pulls.glances(github, [ONE])
