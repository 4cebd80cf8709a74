"""Many issues at once: in queries, or one by one where there are few or no queries."""

from __future__ import annotations

import pytest
from github_server import FakeGitHub, Reply

from tinytown.actors.missions.compiler import Issue
from tinytown.actors.missions.github.client import TRIES, GitHub
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed, GitHubMissing
from tinytown.actors.missions.github.issues import FEW, load_issues
from tinytown.actors.missions.references import Reference, Repository, reference_of
from tinytown.errors import TownError
from tinytown.runtime.demo.forge import documents

HOME = Repository("github.com", "o", "r")
MANY = [Reference(HOME, number) for number in range(1, FEW + 11)]


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    for reference in MANY:
        hub.issue(reference.key, f"Title {reference.number}", f"Body {reference.number}", labels=["test", "big"])
    hub.issue("a/b#5", "Away", association="NONE").close()
    hub.issue("o/r#3", "Three", blocked_by=["o/r#1", "a/b#5"])
    hub.issue("o/r#4", "Four", author="stranger", association="NONE").close("not_planned")
    hub.pull("o/r#90", title="A pull request")
    return hub


def issue(found: dict[Reference, Issue | TownError], key: str) -> Issue:
    got = found[reference_of(key)]
    assert isinstance(got, Issue)
    return got


async def test_a_query_and_single_requests_tell_the_same(hub: FakeGitHub, github: GitHub) -> None:
    wanted = [*MANY, reference_of("a/b#5"), reference_of("o/r#90")]

    by_query = await load_issues(github, [*wanted, *wanted])
    assert [call.path for call in hub.calls] == ["/graphql"]
    hub.graphql_refusal = Reply(404, {})
    one_by_one = await load_issues(github, wanted)

    assert list(by_query) == list(one_by_one) == wanted
    assert hub.most_inflight <= 8
    for reference in wanted:
        if reference.number != 90:
            assert by_query[reference] == one_by_one[reference]
    assert issue(by_query, "o/r#3").blocked_by == (reference_of("o/r#1"), reference_of("a/b#5"))
    assert issue(by_query, "o/r#4") == Issue(
        reference_of("o/r#4"), "Four", closed=True, author="stranger", association="NONE"
    )
    assert issue(by_query, "o/r#90").is_pull
    assert issue(one_by_one, "o/r#90").is_pull


async def test_a_thousand_issues_cost_twenty_points(hub: FakeGitHub, github: GitHub) -> None:
    for number in range(100, 1100):
        hub.issue(f"o/r#{number}", body="x" * 1000)

    found = await load_issues(github, [Reference(HOME, number) for number in range(100, 1100)])

    assert len(found) == 1000
    assert (len(hub.calls), hub.points) == (10, 20)


async def test_a_few_are_read_one_by_one_and_the_next_time_for_nothing(hub: FakeGitHub, github: GitHub) -> None:
    for _ in range(2):
        await load_issues(github, MANY[:FEW])

    assert hub.remaining == {"core": 5000 - FEW - 1, "graphql": 5000}


@pytest.mark.parametrize("more", [[], MANY])
async def test_each_that_cannot_be_read_says_why_and_the_others_are_there(
    hub: FakeGitHub, github: GitHub, more: list[Reference]
) -> None:
    hub.moved["/repos/o/r/issues/77"] = "/repos/a/b/issues/5"
    moved, missing, away = reference_of("o/r#77"), reference_of("o/r#78"), reference_of("no/such#1")

    found = await load_issues(github, [moved, missing, away, MANY[0], *more])

    assert isinstance(found[missing], GitHubMissing)
    assert isinstance(found[away], GitHubMissing)
    assert "/repos/o/r/issues/78" in str(found[missing])
    assert issue(found, "o/r#77").reference.key == "a/b#5"
    assert issue(found, "o/r#1").title == "Title 1"


async def test_a_dependency_that_is_hidden_is_no_freedom(hub: FakeGitHub, github: GitHub) -> None:
    three = hub.repo("o/r").issues[3]
    three.raw = {"issue_dependencies_summary": {"total_blocked_by": 3}}
    assert isinstance((await load_issues(github, [MANY[2]]))[MANY[2]], GitHubDenied)

    for hidden in ({"totalCount": 2, "nodes": [None]}, None):
        node = {"__typename": "Issue", "title": "Three", "url": documents.issue(three)["html_url"], "blockedBy": hidden}
        hub.faults = [Reply(200, {"data": {"r2": {"found": node}}})]
        assert isinstance((await load_issues(github, MANY))[MANY[2]], GitHubDenied)


async def test_a_github_without_dependencies_of_its_own_is_asked_over_rest(hub: FakeGitHub, github: GitHub) -> None:
    hub.without = frozenset({"blockedBy"})
    hub.repo("o/r").issues[3].raw = {"issue_dependencies_summary": None}

    assert issue(await load_issues(github, MANY), "o/r#3").blocked_by == ()


async def test_a_github_that_answers_no_query_is_not_hammered_with_single_requests(
    hub: FakeGitHub, github: GitHub
) -> None:
    hub.faults = [Reply(502, {})] * 99

    with pytest.raises(GitHubFailed):
        await load_issues(github, MANY)
    assert len(hub.calls) == 2 * TRIES


async def test_a_long_and_hostile_body_arrives_as_it_is(hub: FakeGitHub, github: GitHub) -> None:
    body = "\u202e\x1b]0;x\x07 ```\n<!-- Depends on #1 --> \U0001f600\u200b" * 1500
    hub.issue("o/r#1", body=body)

    for wanted in (MANY[:1], MANY):
        assert issue(await load_issues(github, wanted), "o/r#1").body == body
