"""`tt doctor` names what is wrong and what to do, and changes nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_parts import add
from servers import RunningServer

from tinytown.lifecycle import MissionState
from tinytown.mission_records import Mission, WorkItem
from tinytown.runtime.ground import survey
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.checks import Check, Verdict
from tinytown.runtime.operations.doctor import checkup
from tinytown.runtime.operations.initialize import InitRequest, initialize
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.missions import Changed


def examine(start: Path, **environ: str) -> dict[str, Check]:
    found = checkup(start, environ={**os.environ, **environ})
    assert all(check.advice for check in found.checks if check.verdict is not Verdict.OK)
    return {check.name: check for check in found.checks}


def test_a_healthy_town_is_healthy(town: Town, user: Path) -> None:
    (user / "claude").write_text("#!/bin/sh\n")
    (user / "claude").chmod(0o755)
    path = f"{user}:{os.environ['PATH']}"
    # Without the word, claude would refuse the root user of a container.
    found = checkup(town.root, environ={**os.environ, "PATH": path, "IS_SANDBOX": "1"})
    assert found.healthy
    checks = {check.name: check.verdict for check in found.checks}
    assert set(checks.values()) == {Verdict.OK}
    assert {"python", "git", "town", "configuration", "server", "data", "runtime", "records"} <= set(checks)


def test_outside_of_a_town_it_says_how_to_make_one(project: Path) -> None:
    checks = examine(project)
    assert checks["town"].verdict is Verdict.WARN
    assert "tt init" in checks["town"].advice
    assert checks["server program"].verdict is Verdict.OK


def test_a_broken_configuration_is_named(made: Path) -> None:
    (made / "tinytown.toml").write_text("nonsense = 1\n")
    check = examine(made)["town"]
    assert check.verdict is Verdict.FAIL
    assert "nonsense" in check.finding


def test_what_nobody_accepted_is_named(made: Path) -> None:
    (made / "tinytown.toml").write_text('name = "demo"\n[agent_clis.mine]\ncommand = "mine"\n')
    check = examine(made)["configuration"]
    assert check.verdict is Verdict.WARN
    assert "agent_clis.mine" in check.finding


def test_missing_programs_are_named(town: Town, user: Path) -> None:
    run_sync(spawn(town, Spawn("ada", cli="codex", runtime=False)))
    checks = examine(town.root, PATH=str(user))
    assert checks["git"].verdict is Verdict.WARN
    assert "'codex'" in checks["cli codex"].finding
    assert "'claude'" in checks["cli claude"].finding


def test_an_agent_of_a_cli_that_is_gone_fails(town: Town) -> None:
    ada = add(town, "ada")
    run_sync(town.store.update_agent(ada.id, lambda agent: replace(agent, cli="gone")))
    assert examine(town.root)["cli gone"].verdict is Verdict.FAIL


def test_agents_without_a_runtime_are_noticed(town: Town) -> None:
    add(town, "ada")
    check = examine(town.root)["runtime"]
    assert (check.verdict, "1 agents wait" in check.finding) == (Verdict.WARN, True)


def test_lost_data_is_noticed(made: Path, server: RunningServer) -> None:
    server.flush()
    check = examine(made)["data"]
    assert (check.verdict, "deleted or lost" in check.finding) == (Verdict.FAIL, True)


def test_damaged_records_and_what_lies_aside_are_noticed(town: Town) -> None:
    ada = add(town, "ada")
    key = town.keys("agent", ada.id)
    run_sync(town.connection.execute("SET", key, b"\xff"))
    for stream in ("dlq", "quarantine"):
        run_sync(town.connection.execute("XADD", town.keys(stream), "*", "reason", "bad"))
    checks = examine(town.root)
    assert key in checks["records"].finding
    assert checks["records"].verdict is Verdict.FAIL
    assert checks["dead letters"].verdict is checks["quarantine"].verdict is Verdict.WARN


def test_a_mission_of_which_a_part_cannot_be_read_is_noticed(town: Town) -> None:
    mission = Mission()
    item = WorkItem(mission.id, "dig", "implement")
    change = town.missions.create(town.store.change(), Changed(mission, (item,), ()))
    run_sync(town.store.commit(change))
    assert examine(town.root)["records"].verdict is Verdict.OK

    key = town.keys("mission_work", mission.id)
    run_sync(town.connection.execute("HSET", key, item.id, b"\xff"))
    assert key in examine(town.root)["records"].finding


def test_the_token_of_a_mission_is_looked_for_and_never_shown(town: Town, tmp_path: Path) -> None:
    none = {"PATH": str(tmp_path), "GH_TOKEN": "", "GITHUB_TOKEN": "", "GITHUB_APP_ID": ""}
    assert not [name for name in examine(town.root, **none) if name.startswith("token")]
    for home, state in (("github.com/o/r", MissionState.RUNNING), ("old.example/o/r", MissionState.COMPLETED)):
        change = town.missions.create(town.store.change(), Changed(Mission(home=home, state=state), (), ()))
        run_sync(town.store.commit(change))

    check = examine(town.root, **none)["token for github.com"]
    assert (check.verdict, "gh auth login" in check.advice) == (Verdict.WARN, True)
    wide = examine(town.root, **none | {"GH_TOKEN": "ghp_hidden"})["token for github.com"]
    assert wide.verdict is Verdict.OK
    assert wide.finding.startswith("GH_TOKEN, of a kind that is good for all")
    assert "hidden" not in wide.finding
    fine = examine(town.root, **none | {"GITHUB_TOKEN": "github_pat_hidden"})
    assert fine["token for github.com"].finding == "GITHUB_TOKEN"
    assert "token for old.example" not in fine
    app = examine(town.root, **none | {"GITHUB_APP_ID": "12"})["token for github.com"]
    assert (app.verdict, "GITHUB_APP_PRIVATE_KEY" in app.finding) == (Verdict.FAIL, True)


def test_a_server_that_cannot_be_reached_is_named(made: Path) -> None:
    check = examine(made, REDIS_URL="redis://:hidden@127.0.0.1:1")["server"]
    assert check.verdict is Verdict.FAIL
    assert "127.0.0.1:1" in check.finding
    assert "hidden" not in check.finding


@pytest.fixture
def own(user: Path) -> Path:
    initialize(InitRequest(user / "project", "own"), environ=os.environ)
    return user / "project"


def test_our_own_server_is_examined_and_not_started(own: Path) -> None:
    server = survey(own, environ=os.environ).server
    assert server is not None
    try:
        checks = examine(own)
        assert (checks["durability"].verdict, checks["durability"].finding) == (Verdict.OK, "always")
        assert checks["eviction"].verdict is Verdict.OK
        assert "MiB free" in checks["disk"].finding
        config = own / "tinytown.toml"
        config.write_text(config.read_text().replace("[redis]", '[redis]\ndurability = "fast"', 1))
        assert "configured is 'fast'" in examine(own)["durability"].finding
    finally:
        server.stop()
    assert examine(own)["server"].verdict is Verdict.WARN
    assert server.status() is None


def test_little_space_is_noticed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinytown.runtime.operations import doctor

    server = survey(own, environ=os.environ).server
    assert server is not None
    try:
        monkeypatch.setattr(doctor, "FREE_BYTES", 1 << 60)
        assert examine(own)["disk"].verdict is Verdict.WARN
    finally:
        server.stop()
