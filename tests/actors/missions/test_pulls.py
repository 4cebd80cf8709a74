"""Pull requests from a GitHub on loopback: one query for many, and what is made of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from github_server import FakeGitHub, Reply

from tinytown.actors.missions.github.client import TRIES
from tinytown.actors.missions.github.failures import GitHubFailed
from tinytown.actors.missions.github.pulls import (
    DETAIL,
    SLIM,
    Opinion,
    check_state,
    details,
    glances,
)
from tinytown.actors.missions.github.queries import query
from tinytown.actors.missions.references import Reference, Repository

HOME = Repository("github.com", "o", "r")


def ref(number: int) -> Reference:
    return Reference(HOME, number)


async def test_a_hundred_are_looked_at_in_one_request_and_each_once(hub: FakeGitHub) -> None:
    for number in range(1, 151):
        hub.pull(f"o/r#{number}", head=f"head{number}")
    wanted = [ref(number) for number in range(1, 151)]

    async with hub.client() as github:
        found = await glances(github, [*wanted, *wanted])

    assert len(hub.calls) == 2 == -(-150 // SLIM.at_once)
    assert list(found) == wanted
    assert {each.head for each in found.values() if each} == {f"head{number}" for number in range(1, 151)}


async def test_details_are_asked_for_in_smaller_groups(hub: FakeGitHub) -> None:
    for number in range(1, 31):
        hub.pull(f"o/r#{number}")

    async with hub.client() as github:
        found = await details(github, [ref(number) for number in range(1, 31)])

    assert len(hub.calls) == -(-30 // DETAIL.at_once)
    assert all(found.values())


async def test_a_query_that_is_too_much_for_github_is_taken_apart(hub: FakeGitHub) -> None:
    for number in range(1, 26):
        hub.pull(f"o/r#{number}")
    hub.largest_query = 5

    async with hub.client() as github:
        found = await details(github, [ref(number) for number in range(1, 26)])

    assert [pull.glance.reference.number for pull in found.values() if pull] == list(range(1, 26))
    assert len(hub.calls) == TRIES + 5


async def test_one_that_cannot_be_read_spoils_no_other(hub: FakeGitHub) -> None:
    hub.pull("o/r#1")

    async with hub.client() as github:
        found = await glances(github, [ref(1), ref(2)])

    assert found[ref(2)] is None
    assert found[ref(1)] is not None


async def test_one_with_a_hidden_part_is_not_told_as_if_that_were_all(hub: FakeGitHub) -> None:
    hub.pull("o/r#1").check("ci", "FAILURE")
    hub.pull("o/r#2")
    answer, _ = hub.forge.ask(query([ref(1), ref(2)], SLIM))
    answer["data"]["r0"]["found"]["rollup"] = None  # type: ignore[call-overload, index]
    hidden = {"type": "FORBIDDEN", "message": "not accessible", "path": ["r0", "found", "rollup"]}
    hub.faults = [Reply(200, {**answer, "errors": [hidden]})]

    async with hub.client() as github:
        found = await glances(github, [ref(1), ref(2)])

    assert list(found) == [ref(2)]


async def test_no_data_at_all_is_a_failure_that_says_why(hub: FakeGitHub) -> None:
    hub.faults = [Reply(200, {"errors": [{"message": "Field 'x' doesn't exist"}]})]

    async with hub.client() as github:
        with pytest.raises(GitHubFailed, match="Field 'x' doesn't exist"):
            await glances(github, [ref(1)])


async def test_a_merged_one_is_merged_whatever_its_state_says(hub: FakeGitHub) -> None:
    hub.pull("o/r#1", merged=True, raw={"state": "CLOSED", "rollup": {"nodes": []}, "mergeable": None})

    async with hub.client() as github:
        found = (await glances(github, [ref(1)]))[ref(1)]

    assert found is not None
    assert (found.state, found.rollup, found.mergeable) == ("MERGED", None, "UNKNOWN")


@pytest.mark.parametrize(
    "change",
    [
        {"headRefOid": "other"},
        {"rollup": {"nodes": [{"commit": {"statusCheckRollup": {"state": "FAILURE"}}}]}},
        {"reviewDecision": "APPROVED"},
        {"mergeStateStatus": "DIRTY"},
        {"mergeable": "CONFLICTING"},
        {"isDraft": True},
        {"state": "CLOSED"},
        {"updatedAt": "2026-01-01T00:00:01Z"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_fingerprint_changes_with_all_that_matters(hub: FakeGitHub, change: dict[str, Any]) -> None:
    for number, raw in ((1, {}), (2, {}), (3, change)):
        hub.pull(f"o/r#{number}", head="head", raw=raw)

    async with hub.client() as github:
        one, same, other = (await glances(github, [ref(1), ref(2), ref(3)])).values()

    assert one is not None
    assert same is not None
    assert other is not None
    assert one.fingerprint == same.fingerprint != other.fingerprint


async def test_details_tell_checks_opinions_threads_and_who_is_a_bot(hub: FakeGitHub) -> None:
    bot = {"login": "cursor", "__typename": "Bot"}
    contexts = [
        {"__typename": "CheckRun", "name": "lint", "status": "COMPLETED", "conclusion": "FAILURE"},
        {"__typename": "CheckRun", "name": "test", "status": "IN_PROGRESS", "conclusion": ""},
        {"__typename": "StatusContext", "context": "ci/old", "state": "SUCCESS"},
    ]
    raw = {
        "checks": {"nodes": [{"commit": {"statusCheckRollup": {"contexts": {"nodes": contexts}}}}]},
        "latestOpinionatedReviews": {
            "nodes": [{"state": "APPROVED", "author": {"login": "bob"}, "commit": {"oid": "head1"}}]
        },
        "reviewThreads": {
            "nodes": [
                {"id": "t1", "path": "a.py", "comments": {"nodes": [{"author": bot, "body": "bug"}]}},
                {"id": "t2", "isResolved": True, "comments": {"nodes": [{"author": None}]}},
                {"id": "t3", "isOutdated": True, "comments": {"nodes": []}},
            ]
        },
        "comments": {"nodes": [{"id": "c1", "author": {"login": "helper[bot]"}, "body": "hi"}, None]},
    }
    hub.pull("o/r#1", "tt/abc/1-x", body="text", author="ann", raw=raw)

    async with hub.client() as github:
        pull = (await details(github, [ref(1)]))[ref(1)]

    assert pull is not None
    assert (pull.branch, pull.glance.base, pull.author, pull.foreign) == ("tt/abc/1-x", "main", "ann", False)
    assert pull.checks == (("lint", "failed"), ("test", "pending"), ("ci/old", "passed"))
    assert pull.opinions == (Opinion("bob", "APPROVED", "head1"),)
    assert [(each.id, each.open, each.author, each.by_bot) for each in pull.threads] == [
        ("t1", True, "cursor", True),
        ("t2", False, "", False),
        ("t3", False, "", False),
    ]
    assert [(each.author, each.by_bot) for each in pull.comments] == [("helper", True)]


@pytest.mark.parametrize(
    ("status", "outcome", "meant"),
    [
        ("COMPLETED", "SUCCESS", "passed"),
        ("COMPLETED", "NEUTRAL", "passed"),
        ("COMPLETED", "SKIPPED", "passed"),
        ("COMPLETED", "FAILURE", "failed"),
        ("COMPLETED", "ACTION_REQUIRED", "failed"),
        ("COMPLETED", "CANCELLED", "again"),
        ("COMPLETED", "TIMED_OUT", "again"),
        ("COMPLETED", "STARTUP_FAILURE", "again"),
        ("COMPLETED", "STALE", "again"),
        ("COMPLETED", "SOMETHING_NEW", "pending"),
        ("COMPLETED", None, "pending"),
        ("QUEUED", "SUCCESS", "pending"),
        ("WAITING", None, "pending"),
        (None, "SUCCESS", "passed"),
        (None, "ERROR", "failed"),
        (None, "FAILURE", "failed"),
        (None, "EXPECTED", "pending"),
        (None, "PENDING", "pending"),
    ],
)
def test_what_is_not_known_is_never_taken_for_passed(status: str | None, outcome: str | None, meant: str) -> None:
    assert check_state(status, outcome) == meant
