"""Missions over HTTP and over MCP: the same operations, under the names of the original townhall."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from api import OPEN, api
from github_server import FakeGitHub, serving
from mcp_parts import envelope, mcp_townhall, over_http
from mission_parts import begun, in_review, item_of, set_item, set_watches
from runtime_parts import add

from tinytown.ids import AgentId
from tinytown.lifecycle import WorkItemState
from tinytown.mission_records import Mission, Watch
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGitHub]:
    async with serving() as fake:
        for name, value in {**fake.environ, "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        fake.issue("o/r#1", "Design auth API")
        fake.issue("o/r#2", "Implement auth endpoints", "Depends on #1.")
        yield fake


@pytest.fixture
def town(made: Path) -> Iterator[Town]:
    """A town that a runtime serves, as far as anybody can see."""
    with open_blocking(made, environ=os.environ) as town, town.ground.state.hold_runtime():
        card = RuntimeCard(new_runtime_id(), town.ground.host, os.getpid(), "2026-01-01T00:00:00.000Z")
        run_sync(town.placement.begin(card, lease=60))
        yield town


@pytest.fixture
def mission(town: Town) -> Mission:
    """A chain of three whose first waits for its review, at a pull request that has a failing check."""
    ada = add(town, "ada")
    mission = begun(town, {1: [], 2: [1], 3: [2]})
    in_review(town, mission, 1, ada.id)
    watch = Watch(mission.id, item_of(town, mission, 1).id, "pr_checks", "o/r#41", findings=("lint",))
    set_watches(town, mission, watch)
    return mission


async def test_a_mission_is_started_shown_and_steered(made: Path, town: Town, hub: FakeGitHub) -> None:
    async with api(made) as hall:
        asked = {"issues": ["o/r#1", "o/r#2"], "max_parallel": 3, "no_reviewer": True}
        planned = await hall.post("/v1/missions", {**asked, "dry_run": True}, 201)
        assert [(each["key"], each["step"], each["kind"]) for each in planned["items"]] == [
            ("o/r#1", 1, "design"),
            ("o/r#2", 2, "implement"),
        ]
        assert (await hall.get("/v1/missions"))["missions"] == []

        started = await hall.post("/v1/missions", asked, 201)
        assert (started["state"], started["max_parallel_items"], started["runtime_started"]) == ("planning", 3, False)
        mission_id = started["mission_id"]
        assert started["id"] == mission_id
        (listed,) = (await hall.get("/v1/missions", state="planning"))["missions"]
        assert (listed["id"], listed["items"], listed["done"]) == (mission_id, 2, 0)
        figures = (await hall.client.get("/metrics")).text
        assert "tinytown_missions_active 1.0\n" in figures
        assert 'tinytown_missions{state="planning"} 1.0\n' in figures
        # The runtime that lives does not have it.
        assert (await hall.get("/readyz"))["dispatcher"] == "stalled"
        (card,) = await hall.town.placement.runtimes()
        await hall.town.placement.place(card.id, [AgentId(mission_id)])
        assert (await hall.get("/readyz"))["dispatcher"] == "running"
        again = await hall.post("/v1/missions", asked, 409)
        assert "is in mission" in again["detail"]

        noted = await hall.post(f"/v1/missions/{mission_id}/note", {"message": "Use the new API"})
        assert noted["notes"] == ["Use the new API"]
        assert (await hall.post(f"/v1/missions/{mission_id[:8]}/stop"))["state"] == "stopped"
        assert (await hall.post(f"/v1/missions/{mission_id}/resume"))["state"] == "running"
        assert (await hall.post(f"/v1/missions/{mission_id}/stop", {"force": True}))["state"] == "failed"
        refused = await hall.post(f"/v1/missions/{mission_id}/resume", status=409)
        assert refused["code"] == "illegal_transition"
        assert (await hall.get("/v1/missions"))["missions"] == []
        assert len((await hall.get("/v1/missions", all="true"))["missions"]) == 1
        told = (await hall.get(f"/v1/missions/{mission_id}/events", limit=2))["events"]
        assert [each["type"] for each in told] == ["mission.resumed", "mission.failed"]
        assert (await hall.get("/v1/missions/00000000", 404))["code"] == "mission_not_found"


async def test_an_agents_work_is_judged(made: Path, town: Town, mission: Mission) -> None:
    async with api(made) as hall:
        base = f"/v1/missions/{mission.id}"
        shown = await hall.get(base)
        first, second, _ = shown["items"]
        assert (first["key"], first["title"], first["kind"], first["state"], first["pull"], first["agent_name"]) == (
            "o/r#1",
            "item 1",
            "implement",
            "blocked",
            "o/r#41",
            "ada",
        )
        assert "waits for a review of o/r#41" in first["why"]
        assert (second["depends_on"], second["fact"]) == (["o/r#1"], "dependency")
        assert (shown["watches"][0]["target"], shown["watches"][0]["findings"]) == ("o/r#41", ["lint"])
        why = await hall.get(f"{base}/why", item="2")
        assert why["sentence"] == "Issue #2 waits for Issue #1 (blocked; said by its text)."

        back = await hall.post(f"{base}/items/1/reject", {"reason": "no tests"})
        assert (back["state"], back["reason"]) == ("ready", "a person asks for changes: no tests")
        assert (await hall.post(f"{base}/items/1/approve", status=409))["code"] == "conflict"
        stopped = await hall.post(f"{base}/stop")
        assert (await hall.get("/v1/audit"))["records"][-1]["object"] == f"mission/{stopped['id']}"
    again = set_item(town, mission, 1, state=WorkItemState.BLOCKED, waits_for="review")
    async with api(made, OPEN) as hall:
        assert (await hall.post(f"{base}/items/{again.id}/approve"))["waits_for"] == "merge"
        assert (await hall.post(f"{base}/items/9/approve", status=404))["code"] == "work_item_not_found"


async def test_every_tool_of_missions_does_what_it_says(made: Path, town: Town, hub: FakeGitHub) -> None:
    used = set()
    async with mcp_townhall(made) as opened, over_http(opened) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            used.add(tool)
            found = envelope(await client.call_tool(tool, arguments))
            assert found["success"], found
            return found["data"]

        (made / "plan.md").write_text("- [ ] Write it\n")
        started = await call("mission.start", issues=["o/r#1"], docs=["plan.md"], depends=["o/r#1:o/r#2"])
        mission_id = started["mission_id"]
        assert started["gates"] == ["o/r#2"]
        assert [each["id"] for each in (await call("mission.list"))["missions"]] == [mission_id]
        shown = await call("mission.status", mission_id=mission_id[:8])
        assert [each["title"] for each in shown["items"]] == ["Write it", "Design auth API"]
        assert "o/r#2 (outside the mission" in (await call("mission.why", work_item_id="1"))["sentence"]
        assert (await call("mission.note", message="Be brief"))["notes"] == ["Be brief"]
        assert (await call("mission.stop", mission_id=mission_id))["state"] == "stopped"
        assert (await call("mission.resume", mission_id=mission_id))["state"] == "running"
        mission = Mission(id=mission_id)
        for tool, state in (("mission.reject", "ready"), ("mission.approve", "blocked")):
            in_review(town, mission, 1, AgentId("ada"))
            more = {"reason": "no"} if tool == "mission.reject" else {}
            assert (await call(tool, work_item_id="1", **more))["state"] == state
        told = [each["type"] for each in (await call("mission.events", mission_id=mission_id))["events"]]
        asked = ["mission.started", "mission.noted", "mission.stopped", "mission.resumed"]
        assert [each for each in told if not each.startswith("mission.item_")] == [
            *asked,
            "mission.rejected",
            "mission.approved",
        ]
        assert used == {tool.name for tool in (await client.list_tools()).tools if tool.name.startswith("mission.")}

        read = json.loads((await client.read_resource(f"tinytown://missions/{mission_id}")).contents[0].text)  # type: ignore[union-attr]
        assert (read["id"], len(read["items"])) == (mission_id, 2)
        all_of_them = json.loads((await client.read_resource("tinytown://missions")).contents[0].text)  # type: ignore[union-attr]
        assert all_of_them["missions"][0]["id"] == mission_id

        outside = envelope(await client.call_tool("mission.start", {"docs": ["../secret.md"]}))
        assert outside["error"] == "'../secret.md' is no file inside the project"
        missing = envelope(await client.call_tool("mission.start", {"issues": ["o/r#99"]}))
        assert missing["code"] == "github_missing"
