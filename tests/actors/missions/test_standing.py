"""How issues and pull requests stand, asked in one query, or one by one where there is none."""

from __future__ import annotations

import pytest
from github_server import FakeGitHub, Reply

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed, GitHubLimited
from tinytown.actors.missions.github.standing import Standing, standings
from tinytown.actors.missions.references import Endpoints, Reference, Repository, reference_of

HOME = Repository("github.com", "o", "r")
KEYS = ["o/r#1", "o/r#2", "o/r#3", "o/r#4", "o/r#5", "o/r#6", "a/b#9", "no/such#1"]
EXPECTED = [
    Standing("issue", "open"),
    Standing("issue", "closed", "completed"),
    Standing("issue", "closed", "not_planned"),
    Standing("pull", "open"),
    Standing("pull", "closed"),
    Standing("pull", "merged"),
    Standing("issue", "closed", "completed"),
    None,
]


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1")
    hub.issue("o/r#2").close()
    hub.issue("o/r#3").close("not_planned")
    hub.pull("o/r#4")
    hub.pull("o/r#5").close()
    hub.pull("o/r#6").merge()
    hub.issue("a/b#9").close()
    return hub


def refs(keys: list[str]) -> list[Reference]:
    return [reference_of(key) for key in keys]


async def test_a_query_tells_how_all_stand_over_repositories(hub: FakeGitHub, github: GitHub) -> None:
    found = await standings(github, [*refs(KEYS), *refs(KEYS)])

    assert list(found.values()) == EXPECTED
    assert list(found) == refs(KEYS)
    assert [call.path for call in hub.calls] == ["/graphql", "/repos/no/such/issues/1"]


async def test_three_hundred_cost_three_points(hub: FakeGitHub, github: GitHub) -> None:
    for number in range(100, 400):
        hub.issue(f"o/r#{number}")

    found = await standings(github, [Reference(HOME, number) for number in range(100, 400)])

    assert set(found.values()) == {Standing("issue", "open")}
    assert (len(hub.calls), hub.points) == (3, 3)


@pytest.mark.parametrize("status", [403, 404, 406])
async def test_where_graphql_is_refused_rest_tells_the_same(hub: FakeGitHub, github: GitHub, status: int) -> None:
    hub.graphql_refusal = Reply(status, {"message": "not for this token"})

    assert list((await standings(github, refs(KEYS))).values()) == EXPECTED
    assert list((await standings(github, refs(KEYS))).values()) == EXPECTED

    assert sum(call.path == "/graphql" for call in hub.calls) == 1
    # The second round is free but for what is not there: that has no ETag.
    assert hub.remaining["core"] == 5000 - len(KEYS) - 1
    hub.now += 3601
    hub.graphql_refusal = None
    await standings(github, refs(KEYS[:1]))
    assert hub.calls[-1].path == "/graphql"


async def test_a_token_without_any_scope_reads_over_rest_what_is_public(hub: FakeGitHub, github: GitHub) -> None:
    hub.faults = [Reply(200, {"errors": [{"type": "INSUFFICIENT_SCOPES", "message": "Your token has not ..."}]})]

    assert list((await standings(github, refs(KEYS))).values()) == EXPECTED


async def test_without_a_token_rest_is_asked_at_once(hub: FakeGitHub) -> None:
    async with GitHub.open(Endpoints(hub.url, f"{hub.url}/graphql"), None) as github:
        assert list((await standings(github, refs(KEYS))).values()) == EXPECTED

    assert "/graphql" not in [call.path for call in hub.calls]


async def test_an_issue_that_moved_is_followed(hub: FakeGitHub, github: GitHub) -> None:
    hub.moved["/repos/o/r/issues/8"] = "/repos/a/b/issues/9"

    assert await standings(github, refs(["o/r#8"])) == {reference_of("o/r#8"): Standing("issue", "closed", "completed")}


async def test_what_a_query_could_not_tell_is_asked_for_by_itself_and_never_taken_for_missing(
    hub: FakeGitHub, github: GitHub
) -> None:
    ill = {"errors": [{"message": "Something went wrong", "path": ["r0", "found"]}], "data": {"r0": {"found": None}}}
    hub.faults = [Reply(200, ill)]

    assert list((await standings(github, refs(["o/r#2"]))).values()) == [EXPECTED[1]]

    hub.faults = [Reply(200, ill), *[Reply(502, {})] * 4]
    with pytest.raises(GitHubFailed):
        await standings(github, refs(["o/r#2"]))


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ([Reply(401, {"message": "Bad credentials"})], GitHubDenied),
        ([Reply(200, {"errors": [{"message": "x"}], "data": {"r0": None}})] * 2, GitHubFailed),
        ([Reply(429, {}, {"Retry-After": "60"})], GitHubLimited),
        ([Reply(404, {}), Reply(401, {"message": "Bad credentials"})], GitHubDenied),
        ([Reply(404, {}), Reply(200, [])], GitHubFailed),
    ],
)
async def test_a_look_that_fails_says_nothing_of_any(
    hub: FakeGitHub, github: GitHub, faults: list[Reply], error: type[Exception]
) -> None:
    hub.faults = faults

    with pytest.raises(error):
        await standings(github, refs(KEYS))


async def test_what_may_not_be_read_is_known_as_such(hub: FakeGitHub, github: GitHub) -> None:
    forbidden = {"errors": [{"type": "FORBIDDEN", "message": "SAML", "path": ["r0"]}], "data": {"r0": None}}
    hub.faults = [Reply(200, forbidden), Reply(403, {"message": "Resource protected by organization SAML enforcement"})]

    assert await standings(github, refs(["o/r#1"])) == {reference_of("o/r#1"): None}


async def test_a_github_without_a_field_is_asked_over_rest(hub: FakeGitHub, github: GitHub) -> None:
    hub.without = frozenset({"stateReason"})

    assert list((await standings(github, refs(KEYS))).values()) == EXPECTED
