"""Which pull request is found for an item, whatever its agent says."""

from __future__ import annotations

import pytest
from github_server import FakeGitHub, Reply

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.failures import GitHubFailed, GitHubLimited
from tinytown.actors.missions.github.finding import find_pull
from tinytown.actors.missions.references import Repository
from tinytown.ids import MissionId, WorkItemId
from tinytown.mission_records import WorkItem

HOME = Repository("github.com", "o", "r")
BRANCH = "tt/abc12345/1-one"
ITEM = WorkItem(
    MissionId("m"), "One", "implement", id=WorkItemId("item-1"), key="o/r#1", branch=BRANCH, source_ref="o/r#1"
)
TRAILER = "Tinytown-Work-Item: item-1"


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1")
    return hub


async def found(github: GitHub, result: str) -> int | None:
    pull = await find_pull(github, ITEM, result, HOME)
    return None if pull is None else pull.glance.reference.number


@pytest.mark.parametrize(
    "result", ["https://github.com/o/r/pull/2", "opened o/r#2 for o/r#1", "see PR #2", "all done, it works", ""]
)
async def test_it_is_found_whether_the_agent_names_it_or_not(hub: FakeGitHub, github: GitHub, result: str) -> None:
    hub.pull("o/r#2", BRANCH)

    assert await found(github, result) == 2


async def test_an_agent_that_opened_none_has_none(hub: FakeGitHub, github: GitHub) -> None:
    hub.pull("o/r#2", "other-work")
    hub.issue("o/r#3")
    hub.pull("a/b#4", BRANCH, body=TRAILER)

    for result in ("done", "https://github.com/o/r/pull/2", "see o/r#3, o/r#1 and PR 99", "a/b#4 is it"):
        assert await found(github, result) is None


async def test_a_trailer_makes_it_its_own_under_any_branch(hub: FakeGitHub, github: GitHub) -> None:
    hub.pull("o/r#2", "my-branch", body=f"Text\n\n{TRAILER}\n", foreign=True)

    assert await found(github, "PR #2") == 2


async def test_a_fork_with_a_branch_of_that_name_is_not_its_own(hub: FakeGitHub, github: GitHub) -> None:
    hub.pull("o/r#2", BRANCH, foreign=True)

    assert await found(github, "PR #2") is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["closed", "open"], 3),
        (["closed", "closed"], 3),
        (["merged", "closed"], 2),
        (["merged", "open"], 3),
        (["closed"], 2),
    ],
)
async def test_of_several_the_newest_that_is_open_or_merged_is_taken(
    hub: FakeGitHub, github: GitHub, states: list[str], expected: int
) -> None:
    for number, state in enumerate(states, 2):
        pull = hub.pull(f"o/r#{number}", BRANCH)
        if state != "open":
            pull.merge() if state == "merged" else pull.close()

    assert await found(github, "PR #2") == expected
    assert await found(github, "") == expected


async def test_its_own_branch_goes_before_a_fork_that_copied_the_trailer(hub: FakeGitHub, github: GitHub) -> None:
    hub.pull("o/r#2", BRANCH, body=TRAILER)
    hub.pull("o/r#3", "evil", body=TRAILER, foreign=True)

    assert await found(github, "https://github.com/o/r/pull/3") == 2


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ([Reply(502, {})] * 4, GitHubFailed),
        ([Reply(429, {}, {"Retry-After": "60"})], GitHubLimited),
        ([Reply(200, []), *[Reply(502, {})] * 4], GitHubFailed),
        (
            [
                Reply(200, []),
                Reply(200, {"data": {"r0": None}, "errors": [{"message": "ill", "path": ["r0", "found"]}]}),
            ],
            GitHubFailed,
        ),
    ],
)
async def test_a_github_that_cannot_be_asked_is_not_taken_for_none(
    hub: FakeGitHub, github: GitHub, faults: list[Reply], error: type[Exception]
) -> None:
    hub.pull("o/r#2", BRANCH)
    hub.faults = faults

    with pytest.raises(error):
        await found(github, "PR #2")


async def test_asking_again_is_free_while_nothing_changes(hub: FakeGitHub, github: GitHub) -> None:
    await found(github, "")
    await found(github, "")

    assert hub.remaining["core"] == 4999
