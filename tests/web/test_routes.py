"""Every operation over HTTP: what it is called there, what it takes, what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from api import OPEN, Api, api

from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.web.routes.endpoint import Special
from tinytown.web.routes.table import ROUTES, WITHOUT_ROUTE
from tinytown.web.schemas.types import operations


async def test_every_operation_has_a_route_or_a_reason_to_have_none(made: Path) -> None:
    async with api(made) as town:
        special = [each for each in town.router.routes.endpoints if isinstance(each, Special)]
    served = {route.operation for route in ROUTES} | {name for each in special for name in each.operations}

    assert operations().keys() - served - WITHOUT_ROUTE.keys() == set()
    assert served & WITHOUT_ROUTE.keys() == set()
    assert served <= operations().keys()


async def test_a_task_from_its_assignment_to_its_end(made: Path) -> None:
    async with api(made) as town:
        agent = await town.add("ada")
        given = await town.post("/v1/tasks/assign", {"agent": "ada", "task": "dig", "tags": ["deep"]}, 201)
        assert (given["agent_id"], given["agent_name"], given["state"]) == (agent.id, "ada", "assigned")
        task_id = given["task_id"]
        assert given["id"] == task_id

        pending = await town.get("/v1/tasks/pending")
        assert [(each["id"], each["assigned_to_name"]) for each in pending["tasks"]] == [(task_id, "ada")]
        assert pending["count"] == 1

        inbox = await town.get("/v1/agents/ada/inbox")
        assert [(each["type"], each["task_id"], each["text"]) for each in inbox["messages"]] == [
            ("task_assign", task_id, "dig")
        ]
        assert inbox["messages"][0]["from_name"] == "conductor"

        done = await town.post(f"/v1/tasks/{task_id}/complete", {"result": "a hole"})
        assert (done["state"], done["result"]) == ("completed", "a hole")
        assert (await town.get(f"/v1/tasks/{task_id}"))["result"] == "a hole"
        assert (await town.get(f"/v1/tasks/{task_id[:8]}"))["id"] == task_id
        again = await town.post(f"/v1/tasks/{task_id}/complete", {"result": "x"}, 409)
        assert again["code"] == "illegal_transition"
        ended = await town.get(f"/v1/tasks/{task_id}/wait", seconds=0)
        assert ended["ended"] is True
        assert ended["task"]["id"] == task_id


async def test_an_agent_from_its_start_to_its_end(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        assert (await town.get("/v1/agents/ada"))["state"] == "starting"
        assert (await town.get("/v1/agents"))["count"] == 1
        assert (await town.get("/v1/agents", state="stopped"))["agents"] == []
        task = await town.post("/v1/tasks/assign", {"agent": "ada", "task": "dig"}, 201)
        assert (await town.post("/v1/agents/ada/kill"))["immediate"] is True
        assert [each["name"] for each in (await town.get("/v1/agents", state="stopped"))["agents"]] == ["ada"]
        assert (await town.get("/v1/agents", include_stopped="false"))["agents"] == []
        waited = await town.get("/v1/agents/ada/wait")
        assert (waited["ended"], waited["agent"]["state"]) == (True, "stopped")
        refused = await town.get(f"/v1/tasks/{task['id']}/wait", 409)
        assert refused["hint"] == "tt restart ada"
        assert (await town.post("/v1/agents/ada/kill", status=409))["hint"].startswith("It has ended already")
        assert (await town.post("/v1/agents/prune", {}))["names"] == ["ada"]
        assert (await town.get("/v1/agents/ada", 404))["code"] == "agent_not_found"


async def test_waiting_gives_up_in_time_and_hears_of_the_end(made: Path, nursery: trio.Nursery) -> None:
    async with api(made) as town:
        await town.add("ada")
        waited = await town.get("/v1/agents/ada/wait", seconds=0)
        assert (waited["ended"], waited["agent"]["name"]) == (False, "ada")

        answers: list[Any] = []

        async def wait() -> None:
            answers.append(await town.get("/v1/agents/ada/wait", seconds=20))

        async with trio.open_nursery() as waiting:
            waiting.start_soon(wait)
            await town.post("/v1/agents/ada/kill")
        assert answers[0]["ended"] is True


async def test_the_backlog(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        ids = [
            (await town.post("/v1/backlog", {"description": f"item {number}", "tags": [tag]}, 201))["task_id"]
            for number, tag in enumerate(("a", "b", "a"))
        ]
        assert [each["id"] for each in (await town.get("/v1/backlog"))["backlog"]] == ids
        assert [each["id"] for each in (await town.get("/v1/backlog", tag="a"))["backlog"]] == [ids[0], ids[2]]
        claimed = await town.post(f"/v1/backlog/{ids[0]}/claim", {"agent": "ada"})
        assert (claimed["task_id"], claimed["agent_name"]) == (ids[0], "ada")
        assert (await town.post(f"/v1/backlog/{ids[0]}/claim", {"agent": "ada"}, 409))["code"] == "conflict"
        gone = await town.client.delete(f"/v1/backlog/{ids[1]}")
        assert gone.json()["task_id"] == ids[1]
        assert (await town.client.delete(f"/v1/backlog/{ids[1]}")).status_code == 404
        assert (await town.post("/v1/backlog/assign-all", {"agent": "ada"}))["task_ids"] == [ids[2]]


async def test_messages_and_inboxes(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        await town.add("bob")
        sent = await town.post("/v1/messages/send", {"to": "ada", "message": "look here", "urgent": True}, 201)
        assert (sent["priority"], sent["to_name"], sent["message_id"]) == ("urgent", "ada", sent["id"])
        asked = {"to": "conductor", "message": "may I?", "kind": "query", "from": "bob"}
        await town.post("/v1/messages/send", asked, 201)

        mine = await town.get("/v1/inbox")
        assert [(each["from_name"], each["kind"], each["text"]) for each in mine["messages"]] == [
            ("bob", "query", "may I?")
        ]
        (question,) = mine["messages"]
        path = f"/v1/inbox/{question['id']}/answer"
        answered = await town.post(path, {"answer": "you may"}, 201)
        assert (answered["to"]["name"], answered["message"]["correlation_id"]) == ("bob", question["id"])
        assert (await town.get("/v1/inbox"))["total"] == 0
        assert (await town.get("/v1/agents/bob/inbox"))["messages"][0]["text"].startswith("you may\n")
        again = await town.post(path, {"answer": "you may not"}, 409)
        assert (again["code"], again["detail"].endswith(": you may")) == ("conflict", True)
        assert (await town.post("/v1/inbox/12345678/answer", {"answer": "x"}, 404))["code"] == "not_found"
        told = await town.post("/v1/messages/send", {**asked, "kind": "info"}, 201)
        gone = await town.post("/v1/inbox/dismiss", {"messages": [told["id"]]})
        assert [each["id"] for each in gone["messages"]] == [told["id"]]
        assert (await town.get("/v1/inbox"))["total"] == 0
        everybody = await town.get("/v1/inboxes")
        assert [(each["agent"]["name"], each["waiting"]) for each in everybody["agents"]] == [("ada", 1), ("bob", 1)]
        assert (await town.post("/v1/messages/send", {"to": "eve", "message": "x"}, 404))["code"] == "agent_not_found"


async def test_the_town_at_one_glance(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        await assign(town.town, Assign("ada", "dig"))
        here = await town.get("/v1/town")
        assert (here["name"], here["root"]) == ("demo", str(made))
        status = await town.get("/v1/status", deep="true", tasks="true")
        assert [(each["name"], each["pending"], each["inbox_len"]) for each in status["agents"]] == [("ada", 1, 1)]
        assert status["task_counts"]["assigned"] == 1
        assert [each["description"] for each in status["tasks"]] == ["dig"]
        assert (await town.get("/v1/why/ada"))["fact"]
        assert [each["what"] for each in (await town.get("/v1/history", limit=1))["entries"]] == ["agent.spawned"]
        assert (await town.get("/v1/events/latest", type="task"))["events"][-1]["type"] == "task.assigned"
        last = await town.get("/v1/events/latest", limit=2)
        older = await town.get("/v1/events/latest", limit=2, cursor=last["next"])
        newer = await town.get("/v1/events/latest", limit=2, after=older["position"])
        assert [each["type"] for each in older["events"]] == ["town.initialized", "agent.spawned"]
        assert (newer["events"], "next" in older) == (last["events"], False)
        assert (await town.get("/v1/history", limit=1, cursor="0"))["entries"] == []
        assert (await town.get("/v1/overview"))["agents"][0]["agent"]["name"] == "ada"
        assert (await town.get("/v1/dead-letters"))["dead"] == 0
        assert (await town.get("/v1/agents/ada/task"))["agent"]["name"] == "ada"
        assert (await town.get("/v1/agents/ada/history"))["complete"] is True


async def test_repair_and_the_plan(made: Path) -> None:
    plan = '[meta]\ndescription = "x"\n\n[[tasks]]\nid = "one"\ndescription = "dig"\n'
    async with api(made) as town:
        assert (await town.post("/v1/recover"))["checked"] == 0
        assert (await town.post("/v1/reclaim", {"to_backlog": True}))["moved"] == []
        assert (await town.post("/v1/reclaim/orphan-tasks", {"action": "list"}))["orphans"] == []
        assert (await town.post("/v1/plan/push", {"text": plan}))["created"] == 1
        assert 'status = "pending"' in (await town.post("/v1/plan/pull", {"text": plan}))["text"]
        assert (await town.post("/v1/town/reset"))["tasks"] == 1
        assert (await town.post("/v1/town/reset", {"force": True}))["keys"] > 0
        assert (await town.get("/v1/tasks"))["total"] == 0


async def test_a_spawn_starts_a_runtime_and_says_so_when_none_can_be(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(made) as town:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        refused = await town.post("/v1/agents", {"name": "ada", "cli": "claude"}, 503)
        assert refused["code"] == "unready"
        assert "tt start" in refused["hint"]
        # It is stored all the same, as the answer says.
        assert (await town.get("/v1/agents/ada"))["state"] == "starting"


async def test_the_end_of_a_log_is_shown_and_no_link_is_followed(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        log = town.town.files.agent_log("ada")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("x" * 100 + "the end")
        found = await town.get("/v1/agents/ada/logs", bytes=7)
        assert [(each["file"], each["size"], each["text"]) for each in found["files"]] == [
            (".tt/logs/ada.log", 107, "the end")
        ]
        log.unlink()
        log.symlink_to("/etc/passwd")
        assert (await town.get("/v1/agents/ada/logs", 403))["code"] == "forbidden"


async def test_lists_come_in_pages_that_fit_together(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        ids = [(await assign(town.town, Assign("ada", f"task {number}"))).task.id for number in range(7)]
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 3}
        while True:
            page = await town.get("/v1/tasks", **query)
            seen += [each["id"] for each in page["tasks"]]
            assert page["total"] == 7
            if "next" not in page:
                break
            query["cursor"] = page["next"]
        assert sorted(seen) == sorted(ids)
        assert len(set(seen)) == 7

        first = await town.get("/v1/tasks", limit=2)
        assert (await town.get("/v1/tasks", 422, limit=0))["errors"] == [
            {"path": "limit", "message": "expected 1 to 1000"}
        ]
        assert (await town.get("/v1/tasks", 422, cursor="nonsense"))["errors"][0]["path"] == "cursor"
        assert (await town.get("/v1/tasks", 422, state="lost"))["errors"][0]["path"] == "state"
        assert (await town.get("/v1/agents", 422, state="lost"))["errors"][0]["path"] == "state"
        assert (await town.get("/v1/tasks", 422, source="lost"))["errors"][0]["path"] == "source"
        # The last item of a page goes: the next page begins where it was.
        await town.town.store.commit(_without(town, await town.town.store.see_task(first["tasks"][-1]["id"])))
        rest = await town.get("/v1/tasks", cursor=first["next"])
        assert len(rest["tasks"]) == 5


def _without(town: Api, seen: Any) -> Any:
    from tinytown.transport.clearing import delete_task

    return delete_task(town.town.store.change(), town.town.keys, seen)


async def test_what_cannot_be_meant_is_refused_with_the_field_that_is_wrong(made: Path) -> None:
    async with api(made) as town:
        for path, query in (
            ("/v1/overview", {"events": -1}),
            ("/v1/overview", {"tasks": 1001}),
            ("/v1/history", {"limit": 0}),
            ("/v1/events", {"after": "soon"}),
        ):
            assert [(await town.get(path, 422, **query))["errors"][0]["path"]] == list(query)
        again = await town.client.get("/v1/events", params={"after": "soon"}, headers={"last-event-id": "0"})
        assert again.json()["errors"][0]["path"] == "after"
        item = (await town.post("/v1/backlog", {"description": "dig"}, 201))["task_id"]
        assert (await town.post(f"/v1/backlog/{item}/claim", {}, 422))["errors"][0]["path"] == "agent"
        far = await town.post("/v1/agents", {"name": "ada", "max_rounds": 1_000_001}, 422)
        assert far["errors"][0]["path"] == "max_rounds"


async def test_the_audit_comes_in_pages(made: Path) -> None:
    async with api(made) as town:
        for number in range(5):
            await town.post("/v1/backlog", {"description": f"item {number}"}, 201)
        whole = await town.get("/v1/audit")
        assert "next" not in whole
        last = await town.get("/v1/audit", limit=2)
        middle = await town.get("/v1/audit", limit=2, cursor=last["next"])
        first = await town.get("/v1/audit", limit=2, cursor=middle["next"])
        assert first["records"] + middle["records"] + last["records"] == whole["records"]
        assert len(first["records"]) == 1
        assert "next" not in first
        assert (await town.get("/v1/audit", 422, cursor="soon"))["code"] == "invalid"
        assert (await town.get("/v1/dead-letters", 422, cursor="0-0"))["code"] == "invalid"
        assert (await town.get("/v1/audit", cursor="00-0"))["records"] == []
        assert (await town.get("/v1/dead-letters", cursor="0-0_0"))["letters"] == []


async def test_a_path_that_is_spelled_out_is_no_name(made: Path) -> None:
    async with api(made) as town:
        refused = await town.get("/v1/tasks/assign", 405)
        assert refused["code"] == "method_not_allowed"
        assert (await town.client.options("/v1/agents/prune")).headers["allow"] == "OPTIONS, POST"


async def test_what_the_api_shows_is_what_tt_shows(made: Path) -> None:
    async with api(made) as town:
        await town.add("ada")
        await town.post("/v1/tasks/assign", {"agent": "ada", "task": "dig"}, 201)
        await town.post("/v1/backlog", {"description": "later"}, 201)
        shown = [
            (("status", "--tasks"), await town.get("/v1/status", tasks="true")),
            (("task", "list"), (await town.get("/v1/tasks"))["tasks"]),
            (("list",), (await town.get("/v1/agents"))["agents"]),
            (("inbox", "ada"), await town.get("/v1/agents/ada/inbox")),
            (("backlog", "list"), (await town.get("/v1/backlog"))["backlog"]),
            (("events", "-n", "3"), (await town.get("/v1/events/latest", limit=3))["events"]),
        ]

    for command, ours in shown:
        run = subprocess.run(
            [sys.executable, "-m", "tinytown.cli.main", *command, "--json"],
            cwd=made,
            env=os.environ,
            capture_output=True,
            check=True,
        )
        assert _within(json.loads(run.stdout), ours), (command, run.stdout, ours)


def _within(theirs: Any, ours: Any) -> bool:
    """All that they show stands in ours, with the same values."""
    if isinstance(theirs, dict):
        return all(key in ours and _within(value, ours[key]) for key, value in theirs.items())
    if isinstance(theirs, list):
        return len(theirs) == len(ours) and all(map(_within, theirs, ours))
    return bool(theirs == ours)


async def test_a_head_is_a_get_without_a_body_and_options_tell_the_methods(made: Path) -> None:
    async with api(made, OPEN) as town:
        head, get = await town.client.head("/v1/status"), await town.client.get("/v1/status")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))
        asked = await town.client.options("/v1/agents")
        assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
