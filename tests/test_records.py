"""Records: their JSON, what is refused, and that every change keeps to the state machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from enum import EnumType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown import lifecycle, records
from tinytown.errors import BadMessage, IllegalTransition
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, is_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.mission_records import Mission, Watch, WorkItem
from tinytown.records import Agent, AgentType, Event, Record, Task, TaskSource

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
RECORDS: dict[type[Record], Record] = {
    Agent: Agent(name="a", cli="claude"),
    Task: Task(description="x"),
    Mission: Mission(),
    WorkItem: WorkItem(mission_id="m", title="t", item_kind="test"),  # type: ignore[arg-type]
    Watch: Watch(mission_id="m", work_item_id="w", watch_kind="pr_checks", target="1"),  # type: ignore[arg-type]
    Event: Event(type="agent.spawned"),
}
EVERY = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: type(record).__name__)


def a_value_of(annotation: str, data: st.DataObject) -> object:
    base, _, optional = annotation.partition(" | ")
    if optional and data.draw(st.booleans()):
        return None
    if base.startswith("tuple[JsonObject"):
        return tuple(data.draw(st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=3)))
    if base.startswith("tuple"):
        return tuple(data.draw(st.lists(TEXT, max_size=3)))
    if base == "int":
        return data.draw(st.integers(0, 2**53))
    if base == "bool":
        return data.draw(st.booleans())
    enum = getattr(lifecycle, base, None) or getattr(records, base, None)
    if isinstance(enum, EnumType):
        return data.draw(st.sampled_from(list(enum)))
    return data.draw(TEXT)


@EVERY
@UNTIMED
@given(st.data())
def test_every_record_comes_back_from_its_bytes(record: Record, data: st.DataObject) -> None:
    changed = replace(
        record,  # type: ignore[type-var]
        **{item.name: a_value_of(str(item.type), data) for item in fields(record)},  # type: ignore[arg-type]
    )
    assert type(record).decode(changed.encode()) == changed


@EVERY
def test_absent_and_null_are_the_same_and_unknown_fields_are_left_out(record: Record) -> None:
    value = record.to_json()
    assert None not in value.values()
    everything = {item.name: None for item in fields(record)}  # type: ignore[arg-type]
    assert type(record).from_json({**everything, **value, "of_a_later_version": [1, {"x": 2}]}) == record


@EVERY
@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_what_is_no_object_is_no_record(record: Record, value: list[str] | str | int | None) -> None:
    with pytest.raises(BadMessage, match="is a JSON object"):
        type(record).from_json(value)  # type: ignore[arg-type]


@EVERY
@UNTIMED
@given(st.data())
def test_a_field_of_a_wrong_type_is_named(record: Record, data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(fields(record)))  # type: ignore[arg-type]
    wrong: object = "text" if str(item.type).startswith(("int", "bool", "tuple")) else 5
    for value in (wrong, {"a": "b"}, [1], 1.5):
        with pytest.raises(BadMessage, match=f"'{item.name}'"):
            type(record).from_json({**record.to_json(), item.name: value})  # type: ignore[dict-item]


def test_a_missing_field_is_told() -> None:
    with pytest.raises(BadMessage, match="lacks a field"):
        Agent.from_json({"name": "a"})


def test_the_reason_of_a_refusal_stays_short() -> None:
    with pytest.raises(BadMessage) as caught:
        Task.from_json({"description": "x", "state": ["x" * 10_000]})
    assert len(str(caught.value)) < 200


def test_true_is_no_number_and_one_is_not_true() -> None:
    with pytest.raises(BadMessage, match="'max_rounds' must be a whole number"):
        Agent.from_json({"name": "a", "cli": "b", "max_rounds": True})
    with pytest.raises(BadMessage, match="'auto_merge' must be true or false"):
        Mission.from_json({"auto_merge": 1})


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"description": "\\ud800"}', b"[" * 100_000])
def test_bytes_that_are_no_json_are_no_record(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        Task.decode(raw)


AGENT_FIELDS = """id name nickname role agent_type state cli current_task created_at last_heartbeat last_active_at
    tasks_completed rounds_completed max_rounds incarnation parent_agent_id workdir"""
TASK_FIELDS = """id description state assigned_to created_at updated_at started_at completed_at result parent_id
    depends_on tags source attempts"""


def test_the_fields_are_those_decided() -> None:
    assert set(AGENT_FIELDS.split()) <= {item.name for item in fields(Agent)}
    assert set(TASK_FIELDS.split()) <= {item.name for item in fields(Task)}


def test_the_json_of_a_fresh_agent_is_as_decided() -> None:
    value = json.loads(Agent(name="worker-1", cli="claude").encode())
    assert is_id(value["id"])
    assert (value["agent_type"], value["state"], value["max_rounds"]) == ("worker", "starting", 10)
    assert (value["rounds_completed"], value["tasks_completed"], value["incarnation"]) == (0, 0, 1)


def test_the_supervisor_has_the_well_known_id() -> None:
    assert Agent.supervisor().id == SUPERVISOR_ID
    assert Agent.supervisor("conductor").agent_type is AgentType.SUPERVISOR


def test_the_role_is_the_name_where_none_was_set() -> None:
    assert Agent(name="backend", cli="x").effective_role == "backend"
    assert Agent(name="backend", cli="x", role="reviewer").effective_role == "reviewer"


def test_an_agent_moves_by_the_table_and_the_error_names_it() -> None:
    agent = Agent(name="a", cli="x")
    assert agent.after(AgentEvent.READY).state is AgentState.IDLE
    assert agent.state is AgentState.STARTING
    with pytest.raises(IllegalTransition, match=r"Agent 'a' is starting: 'finish' is not possible now"):
        agent.after(AgentEvent.FINISH)


def test_a_task_lives_from_pending_to_completed() -> None:
    task = Task(description="x", source=TaskSource.ASSIGN)
    assigned = task.assign(AgentId("a"))
    assert (assigned.state, assigned.assigned_to) == (TaskState.ASSIGNED, "a")
    running = assigned.start()
    assert (running.state, running.attempts) == (TaskState.RUNNING, 1)
    assert running.started_at is not None
    again = running.returned().start()
    assert (again.state, again.attempts, again.assigned_to) == (TaskState.RUNNING, 2, "a")
    done = again.complete("answer")
    assert (done.state, done.result) == (TaskState.COMPLETED, "answer")
    assert done.completed_at is not None
    assert done.updated_at >= task.updated_at
    assert task.state is TaskState.PENDING


def test_a_released_task_is_in_nobodys_hands() -> None:
    released = Task(description="x").assign(AgentId("a")).release()
    assert (released.state, released.assigned_to) == (TaskState.PENDING, None)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_a_task_that_has_ended_stays_ended(end: str) -> None:
    ended: Task = getattr(Task(description="x").assign(AgentId("a")), end)("because")
    assert ended.state.is_terminal
    assert ended.result == "because"
    changes: list[Callable[[], Task]] = [
        lambda: ended.assign(AgentId("b")),
        ended.start,
        ended.returned,
        ended.release,
        lambda: ended.complete("x"),
        lambda: ended.fail("x"),
        ended.cancel,
    ]
    for change in changes:
        with pytest.raises(IllegalTransition, match=f"Task {ended.id} is "):
            change()


def test_tags_and_parents_are_set_on_a_copy() -> None:
    task = Task(description="x")
    assert task.with_tags(["a", "b"]).tags == ("a", "b")
    assert task.with_parent(TaskId("p")).parent_id == "p"
    assert (task.tags, task.parent_id) == ((), None)


def test_an_event_is_told_in_names_and_values_without_its_position() -> None:
    event = Event(type="task.completed", at="2026-01-01T00:00:00.000Z", id="1-0", task="t", detail="done")  # type: ignore[arg-type]
    assert event.to_fields() == [
        "type", "task.completed", "at", "2026-01-01T00:00:00.000Z", "task", "t", "detail", "done",
    ]  # fmt: skip


@EVERY
def test_records_cannot_be_changed(record: Record) -> None:
    with pytest.raises(AttributeError):
        setattr(record, fields(record)[0].name, "x")  # type: ignore[arg-type]
