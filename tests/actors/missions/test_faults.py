"""What a network can do to a client: nothing it does changes what is known, and nothing goes where it should not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
from github_server import SECRET, Call, FakeGitHub, Reply, serving
from trio.testing import MockClock, wait_all_tasks_blocked

from tinytown.actors.missions.github.changes import MergeOutcome, merge, update_branch
from tinytown.actors.missions.github.client import LONGEST, TRIES, GitHub
from tinytown.actors.missions.github.failures import GitHubFailed
from tinytown.actors.missions.github.finding import find_pull
from tinytown.actors.missions.github.issues import load_issues
from tinytown.actors.missions.github.looks import Looks, look
from tinytown.actors.missions.github.memory import MOST_BYTES
from tinytown.actors.missions.github.reading import details
from tinytown.actors.missions.github.standing import standings
from tinytown.actors.missions.references import Endpoints, Reference, Repository
from tinytown.errors import TownError
from tinytown.ids import MissionId
from tinytown.mission_records import WorkItem

HOME = Repository("github.com", "o", "r")
ONE, TWO = Reference(HOME, 1), Reference(HOME, 2)
ISSUE = "/repos/o/r/issues/1"
ITEM = WorkItem(MissionId("m"), "One", "implement", key="o/r#1", branch="tt/abc/1-one", source_ref="o/r#1")


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1", "One")
    hub.pull("o/r#2", "tt/abc/1-one")
    return hub


async def test_an_answer_that_never_comes_is_given_up_and_asked_for_again(
    mock_clock: MockClock, hub: FakeGitHub, github: GitHub
) -> None:
    hub.faults = [Reply(hang=True)]
    titles: list[object] = []

    async def read() -> None:
        titles.append((await github.get(ISSUE)).value["title"])  # type: ignore[call-overload, index]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await hub.hanging.wait()
        await wait_all_tasks_blocked()
        mock_clock.jump(LONGEST + 1)

    assert titles == ["One"]
    assert len(hub.calls) == 2


async def test_an_answer_that_comes_a_byte_at_a_time_holds_no_place_for_ever(mock_clock: MockClock) -> None:
    wanted, more = trio.open_memory_channel[None](0)
    begun: list[trio.SocketStream] = []

    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        begun.append(stream)
        await stream.send_all(b"HTTP/1.1 200 x\r\nContent-Length: 1000000\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            async for _ in more:
                await stream.send_all(b" ")

    async def ask() -> None:
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with GitHub.open(Endpoints(url, f"{url}/graphql"), None) as github:
            with pytest.raises(GitHubFailed, match="it took too long"):
                await github.change("POST", "/repos/o/r/issues/1/comments", {})
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, drip, 0, host="127.0.0.1"))
        nursery.start_soon(ask)
        while not nursery.cancel_scope.cancel_called:
            await wait_all_tasks_blocked(0.01)
            if begun:
                mock_clock.jump(LONGEST / 4)
                with trio.move_on_after(1):
                    await wanted.send(None)


async def test_what_is_kept_of_what_was_read_has_an_end(hub: FakeGitHub, github: GitHub) -> None:
    for number in range(11, 15):
        hub.issue(f"o/r#{number}", body="x" * (MOST_BYTES // 3))
        await github.get(f"/repos/o/r/issues/{number}")
    charged = hub.remaining["core"]
    for number in range(14, 10, -1):
        await github.get(f"/repos/o/r/issues/{number}")

    # The last two are still there.
    assert charged - hub.remaining["core"] == 2


FAULTS = {
    "ill": [Reply(502, {})] * TRIES,
    "cut": [Reply(200, {"data": {"title": "x" * 99}}, cut=True)] * TRIES,
    "no json": [Reply(200, raw=b"<html>sorry</html>")] * TRIES,
    "empty": [Reply(200, raw=b"")],
    "another shape": [Reply(200, "text")],
    "limited": [Reply(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "60"})],
    "used up": [Reply(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000900"})],
    "limited query": [Reply(200, {"errors": [{"type": "RATE_LIMITED", "message": "x"}]})],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_a_look_that_fails_says_so_and_the_next_one_sees_what_there_is(
    hub: FakeGitHub, github: GitHub, faults: list[Reply]
) -> None:
    looks = Looks()
    for ask in (
        lambda: look(github, [TWO], looks, 0.0),
        lambda: standings(github, [ONE, TWO]),
        lambda: find_pull(github, ITEM, "done", HOME),
    ):
        # What fails is asked for in parts as well.
        hub.faults = faults * 3
        with pytest.raises(GitHubFailed):
            await ask()
        hub.faults = []
        hub.now += 901

        assert await ask()
    assert not [wait for wait in hub.slept if wait > 10], "nobody waits for a limit in the background"


async def test_a_repository_that_was_renamed_is_followed_by_what_is_changed_as_well(
    hub: FakeGitHub, github: GitHub
) -> None:
    hub.issue("new/home#1", "One")
    pull = hub.pull("new/home#2")
    for path in ("", "/issues/1", "/pulls/2", "/pulls/2/merge", "/pulls/2/update-branch"):
        hub.moved[f"/repos/o/r{path}"] = f"/repos/new/home{path}"

    assert await update_branch(github, TWO, pull.head) is None
    assert await merge(github, TWO, pull.head) == MergeOutcome("merged")
    found = await load_issues(github, [ONE])

    assert pull.merged
    assert found[ONE].reference.key == "new/home#1"  # type: ignore[union-attr]


async def test_a_token_does_not_follow_to_another_host(hub: FakeGitHub, github: GitHub) -> None:
    async with serving() as other:
        other.issue("o/r#1", "Elsewhere")
        hub.faults = [Reply(302, {}, {"Location": f"http://localhost:{other.port}{ISSUE}"})]
        await github.get(ISSUE)

    assert hub.calls[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in other.calls[0].headers


async def test_a_head_that_is_pushed_over_during_a_review_is_not_merged(hub: FakeGitHub, github: GitHub) -> None:
    pull = hub.repo("o/r").pulls[2]
    reviewed = pull.head
    pull.review("bob")
    pull.push()

    assert (await merge(github, TWO, reviewed)).result == "moved"
    seen = (await look(github, [TWO], Looks(), 0.0))[TWO]
    assert {opinion.commit for opinion in seen.opinions} == {reviewed} != {seen.glance.head}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value inside."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


def spoiled(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    if not at:
        return by
    after = value.copy()
    after[at[0]] = spoiled(value[at[0]], at[1:], by)
    return after


@pytest.mark.parametrize("by", [{}, [], None, "\x00"], ids=repr)
@pytest.mark.parametrize("graphql", [True, False], ids=["graphql", "rest"])
async def test_whatever_is_spoiled_in_an_answer_breaks_nothing(hub: FakeGitHub, by: Any, graphql: bool) -> None:
    """Each value in turn; what comes of it is a pull request, or one of our own errors."""
    pull = hub.pull("o/r#7")
    pull.check("test", "TIMED_OUT", run=3)
    pull.check("old", legacy=True)
    pull.review("carla", "CHANGES_REQUESTED")
    pull.reply(pull.thread("carla", "x"), "ann", "y")
    pull.comment("cursor", "z", bot=True)
    hub.graphql_refusal = None if graphql else Reply(404, {})
    answer, seen = hub.answer, list[Reply]()
    spot: tuple[int, tuple[Any, ...]] = (-1, ())

    def spoiling(call: Call) -> Reply:
        reply = answer(call)
        reply.headers.pop("ETag", None)
        if reply.status == 200:
            reply.value = spoiled(reply.value, spot[1], by) if len(seen) == spot[0] else reply.value
            seen.append(reply)
        return reply

    hub.answer = spoiling  # type: ignore[method-assign]
    async with hub.client() as github:
        assert (await details(github, [Reference(HOME, 7)]))[Reference(HOME, 7)]
        whole = [(number, at) for number, reply in enumerate(seen) for at in places(reply.value)]
        assert len(whole) > 50
        for each in whole:
            spot = each
            seen.clear()
            with suppress(TownError):
                await details(github, [Reference(HOME, 7)])
