"""Agents pause, go on, and are let go: what the record says, and what their actors do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runtime_parts import add, controls, happened, move, place, worker
from stage import Stage, settle_down
from trio.testing import MockClock

from tinytown.errors import AgentNotFound, Conflict, Forbidden, IllegalTransition
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.runtime.operations.ending import Close, Kill, close, kill
from tinytown.runtime.operations.pausing import Interrupt, Resume, interrupt, resume
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import ControlKind


def test_an_interrupted_agent_is_paused_and_its_actor_told(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)

    found = run_sync(interrupt(town, Interrupt("ada")))

    assert (found.agent.state, found.in_turn) == (AgentState.PAUSED, False)
    assert [(each.kind, each.incarnation) for each in controls(town, ada)] == [(ControlKind.WAKE, 1)]
    assert happened(town)[-1] == "agent.paused"
    assert run_sync(town.connection.execute("SISMEMBER", town.keys("held"), ada.id)) == 1


def test_a_paused_agent_whose_turn_runs_can_still_be_cut(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    run_sync(town.store.update_agent(ada.id, lambda found: replace(found, in_round=True)))

    first = run_sync(interrupt(town, Interrupt("ada")))
    with pytest.raises(IllegalTransition, match="is paused"):
        run_sync(interrupt(town, Interrupt("ada")))
    second = run_sync(interrupt(town, Interrupt("ada", now=True)))

    assert first.in_turn
    assert second.in_turn
    assert second.agent.state is AgentState.PAUSED
    assert [each.kind for each in controls(town, ada)] == [ControlKind.WAKE, ControlKind.CUT]


def test_a_resumed_agent_is_back_where_it_was(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    run_sync(interrupt(town, Interrupt("ada")))

    found = run_sync(resume(town, Resume("ada")))

    assert (found.agent.state, found.note) == (AgentState.IDLE, None)
    assert happened(town)[-1] == "agent.resumed"


def test_an_agent_that_is_resumed_during_its_turn_goes_on_with_it(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    run_sync(town.store.update_agent(ada.id, lambda found: replace(found, in_round=True)))
    run_sync(interrupt(town, Interrupt("ada")))

    assert run_sync(resume(town, Resume("ada"))).agent.state is AgentState.WORKING


def test_without_a_runtime_the_record_alone_is_changed_and_that_is_said(town: Town) -> None:
    ada = add(town, "ada")

    paused = run_sync(interrupt(town, Interrupt("ada", now=True)))
    resumed = run_sync(resume(town, Resume("ada")))

    assert (paused.agent.state, paused.in_turn) == (AgentState.PAUSED, False)
    assert resumed.note == "No runtime is alive: it will begin after 'tt start'"
    assert controls(town, ada) == []


@pytest.mark.parametrize(
    ("events", "hint"),
    [
        ((AgentEvent.READY, AgentEvent.BEGIN, AgentEvent.DRAIN), "It ends after its turn"),
        ((AgentEvent.STOP,), "tt restart ada"),
        ((AgentEvent.FAIL,), "tt why ada"),
    ],
)
def test_what_is_ending_or_has_ended_is_neither_paused_nor_resumed(
    town: Town, events: tuple[AgentEvent, ...], hint: str
) -> None:
    ada = add(town, "ada")
    before = move(town, ada, *events)

    for operation, request in ((interrupt, Interrupt("ada")), (resume, Resume("ada"))):
        with pytest.raises(IllegalTransition) as caught:
            run_sync(operation(town, request))  # type: ignore[operator]
        assert hint in caught.value.hint
    assert run_sync(town.store.agent(ada.id)) == before


def test_an_agent_that_works_is_not_resumed(town: Town) -> None:
    add(town, "ada")

    with pytest.raises(IllegalTransition) as caught:
        run_sync(resume(town, Resume("ada")))
    assert caught.value.hint == "It is not paused."


def test_the_conductor_is_no_agent_to_pause_resume_or_close(town: Town) -> None:
    for operation, request in (
        (interrupt, Interrupt("conductor")),
        (resume, Resume("supervisor")),
        (close, Close("conductor")),
    ):
        with pytest.raises(Conflict):
            run_sync(operation(town, request))  # type: ignore[operator]
    with pytest.raises(AgentNotFound):
        run_sync(interrupt(town, Interrupt("nobody")))


def test_a_worker_pauses_nobody(town: Town) -> None:
    ada = add(town, "ada")

    for operation, request in ((interrupt, Interrupt("ada")), (resume, Resume("ada")), (close, Close("ada"))):
        with pytest.raises(Forbidden):
            run_sync(operation(worker(town, ada), request))  # type: ignore[operator]


def test_a_closed_agent_ends_after_its_turn_and_keeps_its_mail(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    run_sync(assign(town, Assign("ada", "dig")))
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)

    closed = run_sync(close(town, Close("ada")))

    assert (closed.agent.state, closed.immediate) == (AgentState.DRAINING, False)
    assert [each.kind for each in controls(town, ada)] == [ControlKind.WAKE]
    assert happened(town)[-1] == "agent.closed"
    assert run_sync(town.mailbox.waiting(ada.id)) == 1


def test_a_closed_agent_without_a_runtime_has_ended(town: Town) -> None:
    ada = add(town, "ada")

    closed = run_sync(close(town, Close(ada.id[:8])))

    assert (closed.agent.state, closed.immediate) == (AgentState.STOPPED, True)
    with pytest.raises(IllegalTransition, match="'close'"):
        run_sync(close(town, Close("ada")))
    with pytest.raises(IllegalTransition, match="'kill'"):
        run_sync(kill(town, Kill("ada")))


async def test_the_actor_takes_no_turn_while_paused_and_goes_on_when_resumed(clock: MockClock, stage: Stage) -> None:
    ada, life = await stage.started()
    await stage.change_agent(ada, lambda agent: agent.after(AgentEvent.PAUSE))
    await stage.send(ada, "dig")
    await settle_down()
    assert stage.cli.runs == []

    await stage.change_agent(ada, lambda agent: agent.resumed())
    await settle_down()

    assert stage.cli.worked == [["dig"]]
    await life.end()


async def test_a_cut_puts_the_work_back_and_it_is_done_after_the_pause(clock: MockClock, stage: Stage) -> None:
    ada, life = await stage.started()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "dig")
    await settle_down()
    stage.cli.behave = stage.cli.succeed

    await stage.change_agent(ada, lambda agent: agent.after(AgentEvent.PAUSE), wake=False)
    await stage.control(ada, ControlKind.CUT)
    await settle_down()

    assert stage.cli.runs[0].was_cut
    assert (await stage.state(ada), await stage.waiting(ada)) == (AgentState.PAUSED, ["dig"])
    await stage.change_agent(ada, lambda agent: agent.resumed())
    await settle_down()
    assert stage.cli.worked == [["dig"], ["dig"]]
    await life.end()
