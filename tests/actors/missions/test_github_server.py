"""The tests' own GitHub: it does what GitHub does with a pull request, and is as strict with a query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import github_graphql
import pytest
from github_server import FakeGitHub, serving
from github_state import World

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubMissing, GitHubRefused
from tinytown.actors.missions.github.pulls import DETAIL, SLIM, glances
from tinytown.actors.missions.github.queries import Wanted, query
from tinytown.actors.missions.references import Reference, reference_of

PULL = reference_of("o/r#2")


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving() as fake:
        fake.issue("o/r#1", "One")
        yield fake


@pytest.fixture
async def github(hub: FakeGitHub) -> AsyncIterator[GitHub]:
    async with hub.client() as client:
        yield client


async def opened(github: GitHub) -> dict[str, Any]:
    await github.change("POST", "/repos/o/r/git/refs", {"ref": "refs/heads/x", "sha": "aa"})
    made = await github.change(
        "POST", "/repos/o/r/pulls", {"title": "T", "head": "x", "base": "main", "body": "Fixes #1"}
    )
    assert isinstance(made, dict)
    return made


async def test_a_pull_request_lives_from_a_push_to_its_merge(hub: FakeGitHub, github: GitHub) -> None:
    made = await opened(github)
    assert (made["number"], made["head"]["sha"]) == (2, "aa")
    pull = hub.repo("o/r").pulls[2]
    await github.change("POST", "/repos/o/r/statuses/aa", {"context": "ci", "state": "failure"})
    failing = (await glances(github, [PULL]))[PULL]
    await github.change("POST", "/repos/o/r/git/refs", {"ref": "refs/heads/x", "sha": "bb"})
    pull.check("ci")
    pull.review("ann")
    passing = (await glances(github, [PULL]))[PULL]

    assert failing is not None
    assert passing is not None
    assert (failing.rollup, failing.merge_state, failing.head) == ("FAILURE", "UNSTABLE", "aa")
    assert (passing.rollup, passing.merge_state, passing.review_decision) == ("SUCCESS", "CLEAN", "APPROVED")
    with pytest.raises(GitHubRefused, match="Head branch was modified") as moved:
        await github.change("PUT", "/repos/o/r/pulls/2/merge", {"sha": "aa"})
    assert moved.value.status == 409
    await github.change("PUT", "/repos/o/r/pulls/2/merge", {"sha": "bb", "merge_method": "squash"})

    merged = (await glances(github, [PULL]))[PULL]
    assert merged is not None
    assert merged.state == "MERGED"
    assert (await github.get("/repos/o/r/issues/1")).value["state"] == "closed"  # type: ignore[call-overload, index]


async def test_what_github_would_refuse_is_refused(hub: FakeGitHub, github: GitHub) -> None:
    await opened(github)
    pull = hub.repo("o/r").pulls[2]

    with pytest.raises(GitHubRefused, match="already exists"):
        await opened(github)
    with pytest.raises(GitHubRefused, match="approve your own"):
        await github.change("POST", "/repos/o/r/pulls/2/reviews", {"event": "APPROVE"})
    pull.conflicting = True
    with pytest.raises(GitHubRefused, match="not mergeable"):
        await github.change("PUT", "/repos/o/r/pulls/2/merge", {})
    with pytest.raises(GitHubMissing):
        await github.get("/repos/o/other/issues/1")
    hub.repo("o/r").private = True
    hub.logins = {"known": "ann"}
    with pytest.raises(GitHubRefused, match="Bad credentials"):
        await github.get("/repos/o/r/issues/1")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            'query { repository(owner: "o", name: "r") { nonsense } }',
            "Field 'nonsense' doesn't exist on type 'Repository'",
        ),
        ('query { repository(owner: "o", name: "r") }', "must have selections"),
        ("query { ...Missing }", "was used, but not defined"),
        ("query { rateLimit { cost }", "Parse error"),
        (
            'query { repository(owner: "o", name: "r") { pullRequest(number: 1) { commits { nodes { id } } } } }',
            "`first` or `last`",
        ),
    ],
)
def test_a_wrong_query_answers_nothing(query: str, told: str) -> None:
    world = World()
    world.repo("o/r").pull("x", number=1)

    answer, _ = github_graphql.ask(world, query)

    assert "data" not in answer
    assert told in answer["errors"][0]["message"]


@pytest.mark.parametrize(("fields", "count", "points"), [(SLIM, 100, 1), (DETAIL, 25, 14), (DETAIL, 1, 1)])
def test_a_query_costs_what_githubs_rule_says(fields: Wanted, count: int, points: int) -> None:
    world = World()
    for number in range(1, count + 1):
        world.repo("o/r").pull(f"b{number}", number=number)
    wanted = [Reference(PULL.repository, number) for number in range(1, count + 1)]

    answer, cost = github_graphql.ask(world, query(wanted, fields))

    assert cost == answer["data"]["rateLimit"]["cost"] == points
    assert len(answer["data"]) == count + 1
