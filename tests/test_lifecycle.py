"""Every pair of a state and an event, of every machine, against what is meant in words.

The expectations below are written by event, not by state, so that they are no copy of the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest

from tinytown import lifecycle
from tinytown.errors import IllegalTransition
from tinytown.lifecycle import (
    MACHINES,
    AgentEvent,
    AgentState,
    DeliveryEvent,
    DeliveryState,
    MissionEvent,
    MissionState,
    TaskEvent,
    TaskState,
    WatchEvent,
    WatchState,
    WorkItemEvent,
    WorkItemState,
    move,
)

# event: "from, from > to; from > to"
AGENT = {
    "ready": "starting > idle",
    "begin": "idle > working",
    # Finishing never wakes what is to rest or to end.
    "finish": "working > idle; paused > paused; draining > stopped",
    "pause": "starting, idle, working > paused",
    "resume": "paused > idle",
    "continue": "paused > working",
    # Only what may be in a turn has something to drain.
    "drain": "starting, idle > stopped; working, paused > draining",
    "stop": "starting, idle, working, paused, draining, error > stopped",
    "fail": "starting, idle, working, paused, draining > error",
    # The next runtime starts it again, unless it was to rest or to end.
    "adopt": "starting, idle, working > starting; paused > paused; draining > stopped",
    "restart": "stopped, error > starting",
}
TASK = {
    "assign": "pending, assigned > assigned",
    "start": "assigned, running > running",
    "return": "running > assigned",
    "release": "assigned, running > pending",
    "complete": "assigned, running > completed",
    "fail": "assigned, running > failed",
    "cancel": "pending, assigned, running > cancelled",
}
DELIVERY = {
    "claim": "waiting > claimed",
    "ack": "claimed > settled",
    "retry": "claimed > waiting",
    "snooze": "claimed > snoozed",
    "wake": "snoozed > waiting",
    "recover": "claimed > waiting",
    "dead_letter": "claimed > dead",
    "quarantine": "claimed > quarantined",
    "redeliver": "dead, quarantined > waiting",
    # What is claimed is in somebody's hands and cannot be dropped behind his back.
    "drop": "waiting, snoozed, dead, quarantined > settled",
}
MISSION = {
    "start": "planning > running",
    "block": "running > blocked",
    "unblock": "blocked > running",
    "stop": "planning, running, blocked > stopped",
    "resume": "stopped > running",
    "complete": "running, blocked > completed",
    "fail": "planning, running, blocked, stopped > failed",
}
WORK_ITEM = {
    "unlock": "pending > ready",
    "assign": "ready > assigned",
    "start": "assigned > running",
    "block": "pending, ready, assigned, running > blocked",
    "unblock": "blocked > ready",
    "release": "assigned, running > ready",
    "finish": "pending, ready, assigned, running, blocked > done",
    "fail": "pending, ready, assigned, running, blocked > failed",
}
WATCH = {
    "snooze": "active > snoozed",
    "wake": "snoozed > active",
    "finish": "active, snoozed > done",
    "fail": "active, snoozed > failed",
}

# name: (states, events, expectation, initial state, final states)
MEANT: dict[str, tuple[type[StrEnum], type[StrEnum], dict[str, str], str, set[str]]] = {
    "agent": (AgentState, AgentEvent, AGENT, "starting", set()),
    "task": (TaskState, TaskEvent, TASK, "pending", {"completed", "failed", "cancelled"}),
    "delivery": (DeliveryState, DeliveryEvent, DELIVERY, "waiting", {"settled"}),
    "mission": (MissionState, MissionEvent, MISSION, "planning", {"completed", "failed"}),
    "work item": (WorkItemState, WorkItemEvent, WORK_ITEM, "pending", {"done", "failed"}),
    "watch": (WatchState, WatchEvent, WATCH, "active", {"done", "failed"}),
}


def moves(meant: Mapping[str, str]) -> dict[tuple[str, str], str]:
    out: dict[tuple[str, str], str] = {}
    for event, rules in meant.items():
        for rule in rules.split("; "):
            sources, _, target = rule.partition(" > ")
            for source in sources.split(", "):
                assert (source, event) not in out
                out[source, event] = target
    return out


PAIRS = [
    pytest.param(name, state, event, moves(meant).get((state.value, event.value)), id=f"{name}-{state}-{event}")
    for name, (states, events, meant, _, _) in MEANT.items()
    for state in states
    for event in events
]


@pytest.mark.parametrize(("name", "state", "event", "following"), PAIRS)
def test_every_pair_of_state_and_event_does_what_is_meant(
    name: str, state: StrEnum, event: StrEnum, following: str | None
) -> None:
    table = MACHINES[name]
    before = {row: dict(moves) for row, moves in table.items()}
    if following is None:
        with pytest.raises(IllegalTransition) as caught:
            move(table, state, event, what="Record x")
        assert (caught.value.what, caught.value.now, caught.value.event) == ("Record x", state.value, event.value)
    else:
        assert move(table, state, event, what="Record x").value == following
    assert {row: dict(moves) for row, moves in table.items()} == before


def test_every_machine_and_every_event_is_meant_here() -> None:
    assert set(MEANT) == set(MACHINES)
    for name, (states, events, meant, initial, _) in MEANT.items():
        assert set(meant) == {event.value for event in events}
        assert set(MACHINES[name]) == set(states)
        assert initial in {state.value for state in states}


@pytest.mark.parametrize("name", MEANT)
def test_only_final_states_absorb(name: str) -> None:
    final = {state.value for state, row in MACHINES[name].items() if not row}
    assert final == MEANT[name][4]


@pytest.mark.parametrize("name", MEANT)
def test_every_state_can_be_reached(name: str) -> None:
    states, _, _, initial, _ = MEANT[name]
    reached, new = set[StrEnum](), {states(initial)}
    while new:
        reached |= new
        new = {following for state in new for following in MACHINES[name][state].values()} - reached
    assert reached == set(states)


@pytest.mark.parametrize("name", MEANT)
def test_an_end_can_be_reached_from_everywhere(name: str) -> None:
    ends = {MEANT[name][0](value) for value in MEANT[name][4] or {"stopped"}}
    able = set(ends)
    while True:
        more = {state for state, row in MACHINES[name].items() if set(row.values()) & able} - able
        if not more:
            break
        able |= more
    assert able == set(MACHINES[name])


def test_the_properties_of_states_agree_with_the_tables() -> None:
    assert {state.value for state in TaskState if state.is_terminal} == {"completed", "failed", "cancelled"}
    assert {state.value for state in AgentState if state.is_terminal} == {"stopped", "error"}
    assert {state.value for state in AgentState if state.can_accept_work} == {"idle"}
    # Whatever ended, only a restart or an order to end leads on.
    for state in AgentState:
        if state.is_terminal:
            assert set(lifecycle.AGENT[state]) <= {AgentEvent.RESTART, AgentEvent.STOP}


def test_states_and_events_are_lower_case_words_as_on_the_wire() -> None:
    for states, events, *_ in MEANT.values():
        for member in (*states, *events):
            assert member.value == member.name.lower()
