"""The stand-in GitHub of the demonstration: our own client finds what it expects, and what GitHub would refuse is."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubMissing, GitHubRefused
from tinytown.actors.missions.github.issues import load_issue
from tinytown.actors.missions.github.pulls import DETAIL, SLIM, details, glances
from tinytown.actors.missions.github.queries import Wanted, query
from tinytown.actors.missions.github.tokens import Token
from tinytown.actors.missions.references import Endpoints, Reference, reference_of
from tinytown.runtime.demo.forge import Asked, Forge
from tinytown.runtime.demo.forge.serving import serving

PULL = reference_of("o/r#3")


@pytest.fixture
def forge() -> Forge:
    forge = Forge()
    repo = forge.repo("o/r")
    repo.issue(1, "One", "First")
    repo.issue(2, "Two", "After #1", labels=["test"], blocked_by=["o/r#1"])
    return forge


@pytest.fixture
def url(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(forge) as url:
        yield url


@pytest.fixture
async def github(url: str) -> AsyncIterator[GitHub]:
    async with GitHub.open(Endpoints(url, f"{url}/graphql"), Token("of-the-tests", "GH_TOKEN")) as github:
        yield github


def put(forge: Forge, method: str, path: str, **body: Any) -> int:
    return forge.answer(Asked(method, path, body=body)).status


async def test_an_issue_is_read_with_what_it_waits_for(github: GitHub) -> None:
    issue = await load_issue(github, reference_of("o/r#2"))

    assert (issue.title, issue.body, issue.labels, issue.association) == ("Two", "After #1", ("test",), "MEMBER")
    assert issue.blocked_by == (reference_of("o/r#1"),)
    with pytest.raises(GitHubMissing):
        await load_issue(github, reference_of("o/r#9"))


async def test_a_pull_request_lives_from_a_push_to_its_merge(forge: Forge, github: GitHub) -> None:
    happened: list[str] = []
    forge.told = lambda what, pull: happened.append(f"{what} {pull.head}")
    await github.change("POST", "/repos/o/r/git/refs", {"ref": "refs/heads/tt/x", "sha": "aa"})
    made = await github.change("POST", "/repos/o/r/pulls", {"title": "T", "head": "tt/x", "body": "Closes #1"})
    assert isinstance(made, dict)
    await github.change("POST", "/repos/o/r/statuses/aa", {"context": "ci", "state": "failure"})
    failing = (await glances(github, [PULL]))[PULL]
    await github.change("PATCH", "/repos/o/r/git/refs/heads/tt/x", {"sha": "bb"})
    pull = forge.repo("o/r").pulls[3]
    pull.check("ci")
    pull.review("bob")
    pull.thread("cursor", "look here", bot=True)
    passing = (await details(github, [PULL]))[PULL]

    assert made["number"] == 3
    assert failing is not None
    assert passing is not None
    assert (failing.rollup, failing.merge_state, failing.head) == ("FAILURE", "UNSTABLE", "aa")
    assert (passing.glance.rollup, passing.glance.merge_state) == ("SUCCESS", "CLEAN")
    assert (passing.branch, passing.checks, passing.foreign) == ("tt/x", (("ci", "passed"),), False)
    assert [(each.author, each.by_bot, each.open) for each in passing.threads] == [("cursor", True, True)]
    with pytest.raises(GitHubRefused, match="Head branch was modified") as moved:
        await github.change("PUT", "/repos/o/r/pulls/3/merge", {"sha": "aa"})
    assert moved.value.status == 409
    await github.change("PUT", "/repos/o/r/pulls/3/merge", {"sha": "bb", "merge_method": "squash"})

    merged = (await glances(github, [PULL]))[PULL]
    assert merged is not None
    assert merged.state == "MERGED"
    assert (await load_issue(github, reference_of("o/r#1"))).closed
    assert happened == ["opened aa", "pushed bb", "merged bb"]


def test_what_github_would_refuse_is_refused(forge: Forge) -> None:
    repo = forge.repo("o/r")
    pull = repo.pull("x")

    assert put(forge, "POST", "/repos/o/r/pulls", head="x") == 422
    assert put(forge, "POST", "/repos/o/r/pulls", head="nowhere") == 422
    assert put(forge, "POST", "/repos/o/r/pulls/3/reviews", event="APPROVE") == 422
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge", sha="other") == 409
    repo.methods = {"merge"}
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge", merge_method="squash") == 405
    pull.conflicting = True
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge") == 405
    pull.push()
    repo.approvals = 1
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge") == 405
    pull.review("bob")
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge") == 200
    assert put(forge, "PUT", "/repos/o/r/pulls/3/merge") == 405
    repo.private = True
    assert forge.answer(Asked("GET", "/repos/o/r/issues/1", login="")).status == 404


def test_a_push_of_the_same_commit_changes_nothing(forge: Forge) -> None:
    pull = forge.repo("o/r").pull("x", head="aa")
    pull.review("bob")
    happened: list[str] = []
    forge.told = lambda what, pull: happened.append(what)

    forge.repo("o/r").pushed("x", "aa")
    forge.repo("o/r").pushed("x", "bb")

    assert happened == ["pushed"]
    assert pull.head == "bb"


def test_what_broke_off_can_be_run_again(forge: Forge) -> None:
    pull = forge.repo("o/r").pull("x")
    pull.check("fine", run=7)
    pull.check("broke", "TIMED_OUT", run=7)

    assert put(forge, "POST", "/repos/o/r/actions/runs/8/rerun-failed-jobs") == 404
    assert put(forge, "POST", "/repos/o/r/actions/runs/7/rerun-failed-jobs") == 201

    assert [(check.name, check.status) for check in pull.checks] == [("fine", "COMPLETED"), ("broke", "QUEUED")]
    assert pull.commit.rollup == "PENDING"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('{ repository(owner: "o", name: "r") { nonsense } }', "Field 'nonsense' doesn't exist on type 'Repository'"),
        ('query { repository(owner: "o", name: "r") }', "must have selections"),
        ("query { ...Missing }", "was used, but not defined"),
        ("query { rateLimit { cost }", "Parse error: unexpected end"),
        ("query { rateLimit { cost } } ?", "Parse error: unexpected character"),
        ("mutation { x }", "Parse error: expected a query"),
        ('{ repository(owner: "o", name: "r") { issue(number: 1) { labels { nodes { name } } } } }', "`first` or"),
    ],
)
def test_a_wrong_query_answers_nothing(forge: Forge, query: str, told: str) -> None:
    answer, _ = forge.ask(query)

    assert "data" not in answer
    assert told in json.dumps(answer["errors"])


@pytest.mark.parametrize(("fields", "count", "points"), [(SLIM, 100, 1), (DETAIL, 25, 14), (DETAIL, 1, 1)])
def test_a_query_costs_what_githubs_rule_says(forge: Forge, fields: Wanted, count: int, points: int) -> None:
    for number in range(1, count + 1):
        forge.repo("o/r").pull(f"b{number}", number=number)
    wanted = [Reference(PULL.repository, number) for number in range(1, count + 1)]

    answer, cost = forge.ask(query(wanted, fields))

    assert cost == answer["data"]["rateLimit"]["cost"] == points  # type: ignore[call-overload, index]
    assert len(answer["data"]) == count + 1  # type: ignore[arg-type]


def test_what_is_not_there_spoils_nothing_else(forge: Forge) -> None:
    answer, _ = forge.ask(
        """query Both {
             a: repository(owner: "o", name: "r") {
               one: issue(number: 1) { ...Short }   # a comment, too
               none: issue(number: 9) { title }
               both: issueOrPullRequest(number: 2) { ...Either }
             }
             b: repository(owner: "o", name: "x") { nameWithOwner }
           }
           fragment Short on Issue { title, state }
           fragment Either on IssueOrPullRequest { __typename ... on Issue { title } ... on PullRequest { merged } }"""
    )

    assert answer["data"] == {
        "a": {
            "one": {"title": "One", "state": "OPEN"},
            "none": None,
            "both": {"__typename": "Issue", "title": "Two"},
        },
        "b": None,
    }
    assert [error["path"] for error in answer["errors"]] == [["a", "none"], ["b"]]  # type: ignore[call-overload, index, union-attr]


def test_a_list_goes_on_where_its_link_says(forge: Forge) -> None:
    for number in range(40):
        forge.repo("o/r").pull(f"branch-{number}")

    first = forge.answer(Asked.of("GET", "/repos/o/r/pulls?state=all", base="http://x"))
    second = forge.answer(Asked.of("GET", first.headers["Link"].partition(">")[0].removeprefix("<http://x")))

    assert isinstance(first.value, list)
    assert isinstance(second.value, list)
    assert (len(first.value), len(second.value), second.headers) == (30, 10, {})


def test_nothing_of_it_is_left_when_its_block_ends(forge: Forge) -> None:
    with serving(forge) as url:
        kept = urllib.request.urlopen(f"{url}/repos/o/r")
        assert json.load(kept)["full_name"] == "o/r"
        assert _threads()

    assert not _threads()
    kept.close()


def _threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name == "forge" or "process_request" in name]
