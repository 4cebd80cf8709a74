"""Agents begin, end, and begin again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_parts import add, controls, happened, move, place, worker

from tinytown.errors import (
    AgentExists,
    AgentNotFound,
    AmbiguousId,
    BadMessage,
    Conflict,
    Forbidden,
    IllegalTransition,
    Invalid,
    InvalidName,
    TooManyAgents,
    TownError,
    UnknownCli,
    Untrusted,
)
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.agents import (
    Kill,
    ListAgents,
    Restart,
    Spawn,
    StopTown,
    kill,
    list_agents,
    restart,
    spawn,
    stop_town,
)
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Control, ControlKind


def test_a_new_agent_is_starting_and_waits_for_a_runtime(town: Town) -> None:
    spawned = run_sync(spawn(town, Spawn("ada", cli="codex", max_rounds=3, role="reviewer", runtime=False)))
    agent = spawned.agent
    assert (agent.state, agent.cli, agent.max_rounds, agent.role) == (AgentState.STARTING, "codex", 3, "reviewer")
    assert (spawned.restarted, spawned.runtime_started, agent.incarnation) == (False, False, 1)
    assert agent.host == town.ground.host
    assert run_sync(town.placement.unplaced()) == [agent.id]
    assert run_sync(list_agents(town, ListAgents())).agents == (agent,)
    assert happened(town)[-1] == "agent.spawned"


def test_defaults_come_from_the_configuration(made: Path) -> None:
    config = made / "tinytown.toml"
    config.write_text('name = "demo"\ndefault_cli = "gemini"\n[runtime]\nmax_rounds = 7\n')
    with open_blocking(made, environ=os.environ) as town:
        agent = add(town, "ada")
        assert (agent.cli, agent.max_rounds) == ("gemini", 7)


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../x", "it's", 'a"b', "a b", "a" * 65, "a" * 200, "-x", ".x", "a\n", "ü", "a\x1b[31m", "$(rm)"],
)
def test_a_name_that_could_do_harm_is_refused(town: Town, name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        add(town, name)
    assert "\x1b" not in caught.value.message
    assert run_sync(town.store.agents()) == []


@pytest.mark.parametrize("name", ["supervisor", "conductor"])
def test_a_reserved_name_is_refused(town: Town, name: str) -> None:
    with pytest.raises(InvalidName, match="reserved"):
        add(town, name)


def test_an_unknown_cli_is_refused_with_the_known_ones(town: Town) -> None:
    with pytest.raises(UnknownCli) as caught:
        add(town, "ada", cli="nonesuch")
    assert "claude" in caught.value.hint
    assert "codex" in caught.value.hint


def test_a_cli_that_only_an_untrusted_file_defines_is_refused(made: Path) -> None:
    with (made / "tinytown.toml").open("a") as file:
        file.write('\n[agent_clis.mine]\ncommand = "mine"\n')
    with open_blocking(made, environ=os.environ) as town:
        with pytest.raises(Untrusted) as caught:
            add(town, "ada", cli="mine")
        assert "tt trust" in caught.value.hint
        assert "agent_clis.mine" in town.notices[0]


def test_a_program_that_is_not_there_is_warned_about(town: Town, user: Path) -> None:
    town.environ = {**os.environ, "PATH": str(user)}
    spawned = run_sync(spawn(town, Spawn("ada", cli="codex", runtime=False)))
    assert spawned.warning is not None
    assert "'codex'" in spawned.warning
    (user / "codex").write_text("#!/bin/sh\n")
    (user / "codex").chmod(0o755)
    assert run_sync(spawn(town, Spawn("bob", cli="codex", runtime=False))).warning is None


@pytest.mark.parametrize(
    "wanted",
    [{"max_rounds": 0}, {"max_rounds": -1}, {"role": " "}, {"nickname": "x" * 101}, {"workdir": "no/such/place"}],
)
def test_what_cannot_be_meant_is_refused(town: Town, wanted: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        add(town, "ada", **wanted)
    assert run_sync(town.store.agents()) == []


def test_a_name_that_is_alive_is_refused(town: Town) -> None:
    add(town, "ada")
    with pytest.raises(AgentExists, match="is there already") as caught:
        add(town, "ada")
    assert "tt kill ada" in caught.value.hint


def test_a_stopped_agent_begins_a_new_life_under_its_id(town: Town) -> None:
    first = add(town, "ada", cli="codex", role="reviewer", max_rounds=2)
    run_sync(kill(town, Kill("ada")))
    spawned = run_sync(spawn(town, Spawn("ada", cli="gemini", runtime=False)))
    again = spawned.agent
    assert spawned.restarted
    assert (again.id, again.incarnation, again.state) == (first.id, 2, AgentState.STARTING)
    assert (again.cli, again.role, again.max_rounds, again.rounds_completed) == ("gemini", "reviewer", 10, 0)
    assert len(run_sync(town.store.agents())) == 1
    assert happened(town)[-1] == "agent.restarted"


def test_no_more_agents_than_allowed_are_alive(made: Path) -> None:
    (made / "tinytown.toml").write_text('name = "demo"\nmax_agents = 2\n')
    with open_blocking(made, environ=os.environ) as town:
        add(town, "ada")
        add(town, "bob")
        with pytest.raises(TooManyAgents, match="2 agents are alive, and there may be 2"):
            add(town, "eve")
        run_sync(kill(town, Kill("bob")))
        add(town, "eve")
        with pytest.raises(TooManyAgents):
            run_sync(restart(town, Restart("bob", runtime=False)))


def test_many_spawns_at_once_keep_the_limit_and_the_names(made: Path) -> None:
    (made / "tinytown.toml").write_text('name = "demo"\nmax_agents = 4\n')
    code = (
        "import os, sys, json; from pathlib import Path\n"
        "from tinytown.errors import TownError\n"
        "from tinytown.runtime.opening import open_blocking\n"
        "from tinytown.runtime.operations.agents import Spawn, spawn\n"
        "from tinytown.transport.blocking import run_sync\n"
        "with open_blocking(Path('.'), environ=os.environ) as town:\n"
        "    sys.stdin.read()\n"
        "    try: print(run_sync(spawn(town, Spawn(sys.argv[1], runtime=False))).agent.name)\n"
        "    except TownError as error: print(error.code)\n"
    )
    names = ["ada", "ada", "bob", "eve", "joe", "kim", "lee", "mia"]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, name],
            cwd=made,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    said = []
    for racer in racers:
        with racer:
            assert racer.stdout is not None
            said.append(racer.stdout.read().strip())
    spawned = [word for word in said if word in names]
    assert len(spawned) == len(set(spawned)) == 4
    assert set(said) - set(names) <= {"too_many_agents", "agent_exists"}
    with open_blocking(made, environ=os.environ) as town:
        assert sorted(agent.name for agent in run_sync(town.store.agents())) == sorted(spawned)


def test_a_damaged_record_is_named_and_not_overwritten(town: Town) -> None:
    ada = add(town, "ada")
    run_sync(town.connection.execute("SET", town.keys("agent", ada.id), b"\xff{"))
    with pytest.raises(BadMessage):
        add(town, "ada")
    add(town, "bob")
    assert run_sync(town.connection.execute("GET", town.keys("agent", ada.id))) == b"\xff{"


def test_a_restart_keeps_the_cli_and_gives_fresh_rounds(town: Town) -> None:
    first = add(town, "ada", cli="codex", max_rounds=2)
    run_sync(kill(town, Kill("ada")))
    again = run_sync(restart(town, Restart(first.id[:8], rounds=20, runtime=False))).agent
    assert (again.id, again.cli, again.max_rounds, again.incarnation) == (first.id, "codex", 20, 2)


def test_a_failed_agent_begins_without_its_failures(town: Town) -> None:
    ada = add(town, "ada")
    move(town, ada, AgentEvent.FAIL)
    again = run_sync(restart(town, Restart("ada", runtime=False))).agent
    assert (again.state, again.failed_rounds, again.reason) == (AgentState.STARTING, 0, None)


def test_an_agent_that_is_alive_cannot_be_restarted(town: Town) -> None:
    move(town, add(town, "ada"), AgentEvent.READY, AgentEvent.BEGIN)
    with pytest.raises(Conflict, match=r"^Agent 'ada' is still active \(Working\)$") as caught:
        run_sync(restart(town, Restart("ada", runtime=False)))
    assert caught.value.hint == "Use 'tt kill ada' to stop it first"


def test_who_is_not_there_cannot_be_restarted_or_killed(town: Town) -> None:
    for attempt in (restart(town, Restart("nobody")), kill(town, Kill("nobody"))):
        with pytest.raises(AgentNotFound, match="nobody"):
            run_sync(attempt)


@pytest.mark.parametrize("name", ["conductor", "supervisor"])
def test_the_conductor_is_not_killed_or_restarted_this_way(town: Town, name: str) -> None:
    for attempt in (restart(town, Restart(name)), kill(town, Kill(name))):
        with pytest.raises(Conflict):
            run_sync(attempt)


def test_a_prefix_that_fits_two_agents_is_not_guessed(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    twin = f"{ada.id[:8]}{bob.id[8:]}"
    run_sync(town.connection.execute("HSET", town.keys("names"), "twin", twin))
    with pytest.raises(AmbiguousId, match=ada.id):
        run_sync(kill(town, Kill(ada.id[:8])))


def test_the_list_can_leave_out_who_has_ended(town: Town) -> None:
    add(town, "ada")
    add(town, "bob")
    run_sync(kill(town, Kill("ada")))
    shown = run_sync(list_agents(town, ListAgents(include_stopped=False))).agents
    assert [agent.name for agent in shown] == ["bob"]


@pytest.mark.parametrize(
    "events",
    [
        (),
        (AgentEvent.READY,),
        (AgentEvent.READY, AgentEvent.BEGIN),
        (AgentEvent.PAUSE,),
        (AgentEvent.READY, AgentEvent.BEGIN, AgentEvent.DRAIN),
        (AgentEvent.FAIL,),
    ],
)
@pytest.mark.parametrize("now", [False, True])
def test_an_agent_that_no_runtime_holds_ends_at_once(town: Town, events: tuple[AgentEvent, ...], now: bool) -> None:
    move(town, add(town, "ada"), *events)
    killed = run_sync(kill(town, Kill("ada", now=now)))
    assert (killed.immediate, killed.agent.state) == (True, AgentState.STOPPED)
    assert happened(town)[-2:] == ["agent.killed", "agent.stopped"]
    assert run_sync(town.placement.unplaced()) == []


def test_so_does_one_whose_runtime_is_dead(town: Town) -> None:
    ada = add(town, "ada")
    fence = place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    (holder,) = run_sync(town.placement.holders([fence.id])).values()
    run_sync(town.placement.end(holder))
    assert run_sync(kill(town, Kill("ada"))).immediate


def test_what_a_killed_agent_was_at_waits_for_its_next_life(town: Town) -> None:
    ada = add(town, "ada")
    task = run_sync(assign(town, Assign("ada", "dig"))).task
    run_sync(town.store.update_task(task.id, lambda found: found.start()))
    run_sync(kill(town, Kill("ada")))
    after = run_sync(town.store.task(task.id))
    assert (after.state, after.assigned_to) == (TaskState.ASSIGNED, ada.id)
    assert run_sync(town.mailbox.waiting(ada.id)) == 1


def test_a_working_agent_ends_after_its_turn(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    for _ in range(2):
        killed = run_sync(kill(town, Kill("ada")))
        assert (killed.immediate, killed.agent.state) == (False, AgentState.DRAINING)
    assert controls(town, ada) == [Control(ControlKind.WAKE, 1, "supervisor")] * 2
    assert "agent.stopped" not in happened(town)


@pytest.mark.parametrize("before", [(), (AgentEvent.PAUSE,), (AgentEvent.DRAIN,)])
def test_a_kill_now_reaches_the_actor(town: Town, before: tuple[AgentEvent, ...]) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN, *before)
    killed = run_sync(kill(town, Kill("ada", now=True)))
    assert (killed.immediate, killed.agent.state) == (False, AgentState.DRAINING)
    assert controls(town, ada) == [Control(ControlKind.STOP, 1, "supervisor")]


def test_an_idle_agent_ends_at_once_and_its_actor_is_told(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    assert run_sync(kill(town, Kill("ada"))).immediate
    assert controls(town, ada) == [Control(ControlKind.WAKE, 1, "supervisor")]


def test_a_stopped_agent_cannot_be_killed(town: Town) -> None:
    add(town, "ada")
    run_sync(kill(town, Kill("ada")))
    with pytest.raises(IllegalTransition, match="Agent 'ada' is stopped") as caught:
        run_sync(kill(town, Kill("ada")))
    assert "tt restart ada" in caught.value.hint


def test_a_killed_agent_claims_nothing(town: Town) -> None:
    ada = add(town, "ada")
    run_sync(assign(town, Assign("ada", "dig")))
    run_sync(kill(town, Kill("ada")))
    fence = place(town, ada)
    assert run_sync(town.mailbox.claim(fence, count=1, size=1000, lease=60)).held


def test_stop_asks_everybody_who_is_alive(town: Town) -> None:
    idle, working, gone = add(town, "ada"), add(town, "bob"), add(town, "eve")
    place(town, working)
    move(town, working, AgentEvent.READY, AgentEvent.BEGIN)
    run_sync(kill(town, Kill(gone.id)))
    stopped = run_sync(stop_town(town, StopTown()))
    assert stopped.count == 2
    assert {agent.id: agent.state for agent in stopped.agents} == {
        idle.id: AgentState.STOPPED,
        working.id: AgentState.DRAINING,
    }
    assert run_sync(stop_town(town, StopTown(now=True))).count == 1
    assert controls(town, working)[-1].kind is ControlKind.STOP


def test_a_town_without_agents_stops_nobody(town: Town) -> None:
    assert run_sync(stop_town(town, StopTown())).count == 0


def test_a_worker_may_look_but_not_manage(town: Town) -> None:
    ada = add(town, "ada")
    hers = worker(town, ada)
    assert run_sync(list_agents(hers, ListAgents())).agents == (ada,)
    for attempt in (
        spawn(hers, Spawn("bob", runtime=False)),
        restart(hers, Restart("ada", runtime=False)),
        kill(hers, Kill("ada")),
        stop_town(hers, StopTown()),
    ):
        with pytest.raises(Forbidden, match=r"Agent 'ada' may not do this: it needs agent\.manage"):
            run_sync(attempt)
    assert run_sync(town.store.agents()) == [ada]


def test_every_record_stays_readable_json(town: Town) -> None:
    ada = add(town, "ada")
    raw = run_sync(town.connection.execute("GET", town.keys("agent", ada.id)))
    assert json.loads(raw)["state"] == "starting"  # type: ignore[arg-type]


def test_errors_here_carry_a_hint(town: Town) -> None:
    add(town, "ada")
    for attempt in (spawn(town, Spawn("ada")), spawn(town, Spawn("x/y")), restart(town, Restart("ada"))):
        with pytest.raises(TownError) as caught:
            run_sync(attempt)
        assert caught.value.hint
