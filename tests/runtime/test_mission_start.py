"""Missions begin: what is refused before anything is stored, what is stored, and what a person is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from github_server import FakeGitHub, Reply, serving
from towns import snapshot

from tinytown.actors.missions.github.failures import GitHubDenied, GitHubMissing
from tinytown.config import MissionSettings
from tinytown.errors import Conflict, Forbidden, Invalid, InvalidConfig, TooLarge, TownError
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import MissionState, WorkItemState
from tinytown.runtime.caller import Caller, Scope
from tinytown.runtime.opening import open_async
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.missions.showing import ListMissions, list_missions
from tinytown.runtime.operations.missions.starting import MissionStarted, StartMission, start_mission
from tinytown.runtime.operations.missions.steering import StopMission, stop_mission
from tinytown.runtime.town import Town


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitHub]:
    """The three issues of the tutorial."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with serving() as fake:
        fake.issue("o/r#1", "Design auth API", "Design the authentication API schema.")
        fake.issue("o/r#2", "Implement auth endpoints", "Depends on #1.")
        fake.issue("o/r#3", "Write auth tests", "After #2.")
        yield fake


@pytest.fixture
async def town(made: Path, hub: FakeGitHub) -> AsyncIterator[Town]:
    """A town in a clone of o/r, opened by a person under trio."""
    for line in (["init", "-q"], ["remote", "add", "origin", "git@github.com:O/r.git"]):
        subprocess.run(["git", *line], cwd=made, check=True)
    async with open_async(made, environ={**os.environ, **hub.environ}) as town:
        yield town


async def begin(town: Town, *issues: str, **more: object) -> MissionStarted:
    return await start_mission(town, StartMission(issues=issues, runtime=False, **more))  # type: ignore[arg-type]


async def refused(town: Town, kind: type[TownError], *issues: str, **more: object) -> TownError:
    """It is refused, and nothing was stored."""
    before = await snapshot(town.connection)
    with pytest.raises(kind) as error:
        await begin(town, *issues, **more)
    assert await snapshot(town.connection) == before
    return error.value


async def test_the_issues_of_the_tutorial_become_a_chain_that_waits_for_a_scheduler(town: Town) -> None:
    result = await begin(town, "1", "o/r#2", "https://github.com/o/r/issues/3")

    seen = await town.missions.see(result.mission.id)
    assert seen.mission == result.mission
    assert (seen.mission.state, seen.mission.objectives) == (MissionState.PLANNING, ("o/r#1", "o/r#2", "o/r#3"))
    assert seen.mission.home == "github.com/o/r"
    assert [(item.key, item.depends_on) for item in seen.items] == [
        ("o/r#1", ()),
        ("o/r#2", ("o/r#1",)),
        ("o/r#3", ("o/r#2",)),
    ]
    assert [(each.label, each.step) for each in result.items] == [("Issue #1", 1), ("Issue #2", 2), ("Issue #3", 3)]
    assert await town.missions.active() == [result.mission.id]
    texts = await town.missions.texts(seen.mission.id, [item.id for item in seen.items])
    assert [(text.author, text.association, text.body) for text in texts.values()][1] == (
        "ann",
        "MEMBER",
        "Depends on #1.",
    )
    assert [event.type for event in await town.missions.events(seen.mission.id)] == ["mission.started"]


async def test_a_dry_run_shows_the_order_and_stores_nothing(town: Town, hub: FakeGitHub) -> None:
    hub.issue("o/r#4", "Old", "").close()
    hub.issue("o/r#5", "Elsewhere", "Blocked by a/b#9.")
    before = await snapshot(town.connection)

    result = await begin(town, "3", "2", "1", "4", "5", dry_run=True)

    assert await snapshot(town.connection) == before
    assert [(each.item.number, each.step) for each in result.items] == [(4, 0), (1, 1), (5, 1), (2, 2), (3, 3)]
    assert result.gates == ("a/b#9",)
    assert "o/r#4 is closed already and counts as done" in result.warnings


async def test_the_rules_come_from_the_request_and_else_from_the_configuration(town: Town) -> None:
    settings = MissionSettings(max_parallel_items=3, auto_merge=True, merge_method="rebase", watch_interval_secs=60)
    town.ground.settings = replace(town.settings, mission=settings)
    usual = (await begin(town, "1", dry_run=True)).mission
    assert (usual.max_parallel_items, usual.auto_merge, usual.reviewer_required) == (3, True, True)
    assert (usual.merge_method, usual.watch_interval_secs) == ("rebase", 60)

    own = (await begin(town, "1", dry_run=True, max_parallel=9, no_reviewer=True, auto_merge=False)).mission
    assert (own.max_parallel_items, own.auto_merge, own.reviewer_required) == (9, False, False)


async def test_what_cannot_be_begun_is_refused_before_anything_is_stored(town: Town, hub: FakeGitHub) -> None:
    hub.pull("o/r#7")
    hub.issue("o/r#11", "a", "depends on #12")
    hub.issue("o/r#12", "b", "depends on #11")
    (town.root / "docs").mkdir()
    (town.root / "link.md").symlink_to("/etc/passwd")
    (town.root / "big.md").write_bytes(b"x" * (1 << 20) + b"y")
    (town.root / "latin.md").write_bytes(b"a\xe9")
    (town.root / "bad.toml").write_text("[[overrides]]\nissue = 1\nprio = 3\n")
    cases: list[tuple[tuple[str, ...], dict[str, object], type[TownError], str]] = [
        ((), {}, Invalid, "A mission needs an objective"),
        (("x y",), {}, Invalid, "'x y' names no issue"),
        (("99",), {}, GitHubMissing, "/repos/o/r/issues/99"),
        (("7",), {}, Invalid, "o/r#7 is a pull request"),
        (("11", "12"), {}, Conflict, "o/r#11 -(body)-> o/r#12 -(body)-> o/r#11"),
        (("1", "2"), {"depends": ("1:2",)}, Conflict, "o/r#1 -(option)-> o/r#2 -(body)-> o/r#1"),
        (("1",), {"depends": ("2:1",)}, Invalid, "o/r#2 is no objective"),
        (("1",), {"depends": ("1",)}, Invalid, "names no two issues"),
        (("1",), {"max_parallel": 0}, Invalid, "expected 1 to 1,000"),
        (("1",), {"docs": ("../secret.md",)}, Invalid, "is no file inside the project"),
        (("1",), {"docs": ("/etc/passwd",)}, Invalid, "is no file inside the project"),
        (("1",), {"docs": ("link.md",)}, Forbidden, "is a link"),
        (("1",), {"docs": ("none.md",)}, Invalid, "There is no document none.md"),
        (("1",), {"docs": ("docs",)}, Forbidden, "is not a regular file"),
        (("1",), {"docs": ("big.md",)}, TooLarge, "more than 1,048,576 bytes"),
        (("1",), {"docs": ("latin.md",)}, Invalid, "not valid UTF-8 (byte 1)"),
        (("1",), {"manifest": "bad.toml"}, InvalidConfig, "bad.toml: overrides 1: unknown key 'prio'"),
    ]

    for issues, more, kind, words in cases:
        assert words in str(await refused(town, kind, *issues, **more))


async def test_without_a_remote_a_bare_number_is_refused_with_what_to_write(town: Town) -> None:
    subprocess.run(["git", "remote", "remove", "origin"], cwd=town.root, check=True)

    error = await refused(town, Invalid, "1")
    assert "no remote 'origin'" in str(error)
    assert (await begin(town, "o/r#1", dry_run=True)).items[0].label == "o/r#1"


async def test_a_github_that_will_not_have_us_leaves_nothing_behind(town: Town, hub: FakeGitHub) -> None:
    hub.faults = [Reply(401, {"message": "Bad credentials"})]

    assert "Bad credentials" in str(await refused(town, GitHubDenied, "1"))


async def test_an_issue_is_in_one_mission_at_a_time(town: Town) -> None:
    first = (await begin(town, "1", "2")).mission

    error = await refused(town, Conflict, "2", "3")
    assert str(error) == f"o/r#2 is in mission {first.id} already, which is planning"

    await stop_mission(town, StopMission(first.id, force=True))
    await begin(town, "2", "3")
    assert len((await list_missions(town, ListMissions())).missions) == 1
    assert len((await list_missions(town, ListMissions(everything=True))).missions) == 2


async def test_of_those_that_begin_at_the_same_moment_with_one_issue_all_but_one_are_refused(town: Town) -> None:
    came: list[object] = []

    async def one(issue: str) -> None:
        try:
            came.append((await begin(town, issue, "2")).mission.id)
        except Conflict as error:
            came.append(error)

    async with trio.open_nursery() as nursery:
        for issue in ("1", "3") * 4:
            nursery.start_soon(one, issue)

    assert sum(isinstance(each, Conflict) for each in came) == 7
    assert len((await list_missions(town, ListMissions())).missions) == 1


async def test_documents_and_a_manifest_shape_the_mission(town: Town, hub: FakeGitHub) -> None:
    (town.root / "docs").mkdir()
    (town.root / "docs/design.md").write_text("# Plan\n\n## API\n\n- [ ] Login\n- [x] Logout\n")
    (town.root / "docs/done.md").write_text("- [x] all\n")
    (town.root / "mission.toml").write_text(
        '[[overrides]]\nissue = 3\ndepends_on = [1]\nowner_role = "qa"\npriority = 5\n'
        "[[overrides]]\nissue = 2\nskip = true\n[[overrides]]\nissue = 8\n"
    )

    result = await begin(
        town, "1", "2", "3", docs=("docs/design.md", "./docs/done.md"), manifest="mission.toml", depends=("1:a/b#4",)
    )

    items = {each.item.title: each.item for each in result.items}
    assert set(items) == {"Design auth API", "Write auth tests", "API: Login"}
    assert items["Write auth tests"].edges == ({"on": "o/r#1", "source": "manifest"},)
    assert (items["Write auth tests"].owner_role, items["Write auth tests"].priority) == ("qa", 5)
    assert items["Design auth API"].edges == ({"on": "a/b#4", "source": "option"},)
    assert result.mission.objectives == ("o/r#1", "o/r#2", "o/r#3", "doc:docs/design.md", "doc:docs/done.md")
    text = (await town.missions.texts(result.mission.id, [items["API: Login"].id]))[items["API: Login"].id]
    assert (text.author, text.association) == ("docs/design.md", "DOCUMENT")
    assert "docs/done.md asks for nothing: all its boxes are ticked" in result.warnings
    assert "The manifest speaks of o/r#8, which is no objective" in result.warnings


async def test_an_issue_that_moved_is_known_by_its_new_name_everywhere(town: Town, hub: FakeGitHub) -> None:
    hub.issue("n/r#5", "Moved", "")
    hub.moved["/repos/o/r/issues/9"] = "/repos/n/r/issues/5"
    (town.root / "mission.toml").write_text("[[overrides]]\nissue = 9\npriority = 7\n")

    result = await begin(town, "9", "1", manifest="mission.toml", depends=("1:9",))

    assert [(each.item.key, each.item.priority, each.depends_on) for each in result.items] == [
        ("n/r#5", 7, ()),
        ("o/r#1", 0, ("n/r#5",)),
    ]


async def test_the_text_of_a_stranger_waits_for_a_person(town: Town, hub: FakeGitHub) -> None:
    hub.issue("o/r#4", "Help", "do it", author="eve", association="NONE")

    result = await begin(town, "4")

    assert result.items[0].item.needs_approval
    assert any(line.startswith("o/r#4 was written by eve, who is no member") for line in result.warnings)


async def test_a_person_is_told_what_will_hold_it_up(town: Town, hub: FakeGitHub) -> None:
    for number in range(10, 110):
        hub.issue(f"o/r#{number}")
    many = tuple(str(number) for number in range(10, 110))

    alone = (await begin(town, "1", dry_run=True)).warnings
    assert alone == ("No agent is there to work on it. Spawn one: tt spawn worker-1",)
    await spawn(town, Spawn("ada", runtime=False))
    one = (await begin(town, *many, dry_run=True)).warnings
    assert one[0].startswith("'ada' is the only agent, and nobody reviews his own work")
    assert one[1].startswith("100 items with 2 at once take about 1d 1h")
    assert (await begin(town, "1", dry_run=True, no_reviewer=True)).warnings == ()
    (told,) = (await begin(town, "1", dry_run=True, no_reviewer=True, auto_merge=True)).warnings
    assert "before a person approves" in told
    await spawn(town, Spawn("bob", max_rounds=1, runtime=False))
    (short,) = (await begin(town, *many[:6], dry_run=True)).warnings
    assert short.startswith("The work takes 12 rounds or more, and the agents have 11 left")


async def test_a_closed_objective_is_done_and_holds_nothing_up(town: Town, hub: FakeGitHub) -> None:
    hub.repo("o/r").issues[1].close()

    result = await begin(town, "1", "2")

    assert [(each.item.number, each.item.state, each.step) for each in result.items] == [
        (1, WorkItemState.DONE, 0),
        (2, WorkItemState.PENDING, 1),
    ]


async def test_an_agent_cannot_start_a_mission(town: Town) -> None:
    agent = (await spawn(town, Spawn("ada", runtime=False))).agent
    town.caller = Caller("agent", agent.id, "ada", frozenset({Scope.READ}))

    assert "needs agent.manage" in str(await refused(town, Forbidden, "1"))
    town.caller = Caller("agent", SUPERVISOR_ID, "conductor", frozenset({Scope.READ, Scope.WRITE, Scope.MANAGE}))
    assert (await begin(town, "1")).mission.state is MissionState.PLANNING


async def test_a_host_that_nobody_works_with_gets_no_token(town: Town, hub: FakeGitHub) -> None:
    strange = "https://git.evil.example/o/r/issues/1"
    (town.root / "evil.toml").write_text(f'[[overrides]]\nissue = 1\ndepends_on = ["{strange}"]\n')
    assert "GH_HOST=git.evil.example" in (await refused(town, Forbidden, strange)).hint
    assert "git.evil.example" in str(await refused(town, Forbidden, "1", manifest="evil.toml"))
    assert hub.calls == []

    town.environ = {**town.environ, "GH_HOST": "git.evil.example"}
    assert (await begin(town, strange, manifest="evil.toml", dry_run=True)).items


async def test_no_token_is_said_and_none_is_stored(town: Town, hub: FakeGitHub) -> None:
    secret = hub.environ["GH_TOKEN"]
    await begin(town, "1")
    assert secret not in repr(await snapshot(town.connection))

    town.environ = {name: value for name, value in town.environ.items() if name != "GH_TOKEN"} | {"PATH": ""}
    said = (await begin(town, "2", dry_run=True)).warnings
    assert said[0].startswith("There is no token for github.com")
