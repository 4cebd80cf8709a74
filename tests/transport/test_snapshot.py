"""Save and restore of a whole town, on a real server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import run

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import RunningServer, server_binary
from towns import Parts, snapshot, strays, texts, work

from tinytown.config import Limits
from tinytown.errors import BadSnapshot, Conflict, LeaseLost, RedisFull
from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import LANES, Informational, Message
from tinytown.records import Agent, Event, Task
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.delivery import Ack, ControlKind, DeadLetter, Outcome, Quarantine, Retry, Return, Snooze
from tinytown.transport.keys import CATALOGUE, LANE_KEYS, STATES, Keys
from tinytown.transport.snapshot import Restored, describe, dump, load, parse, take
from tinytown.transport.snapshot_content import LEFT_OUT, SAVED
from tinytown.transport.snapshot_rules import FORMS, NAMED

OUTCOMES: tuple[Outcome, ...] = (
    Ack(),
    Return(),
    Retry(0.0, 3),
    Retry(600.0),
    Snooze(900.0),
    DeadLetter("it failed ❌ \x00"),
    Quarantine("it kills"),
)

TASK_ENDS = (
    lambda task: task,
    lambda task: task.assign(AgentId(SUPERVISOR_ID)),
    lambda task: task.assign(AgentId(SUPERVISOR_ID)).start(),
    lambda task: task.assign(AgentId(SUPERVISOR_ID)).start().complete("done ✓"),
    lambda task: task.cancel("no\r\n$3\r\nmore"),
)


@pytest.fixture
async def filled(real_town: Parts) -> Parts:
    """A town with some of everything; nothing in it is at work."""
    await fill(real_town)
    return real_town


async def fill(town: Parts) -> None:
    await town.store.commit(town.store.change().create_supervisor())
    await town.ask("SET", town.keys("schema"), "1")
    await town.ask("SET", town.keys("roster"), "a roster")
    ada, ada_fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, "first", "second", "third", "fourth", "fifth")
    await town.send(bob, "for bob", priority=LANES[0])
    await town.ask("RPUSH", town.keys("inbox", bob.id), b"\xff\x00 by hand\r\n")
    claim = await town.claim(ada_fence, count=4)
    ends = (Retry(0.0, 2), Snooze(900.0), DeadLetter("no"), Quarantine("worse"))
    for delivery, end in zip(claim.deliveries, ends, strict=True):
        await town.mailbox.settle(ada_fence, [(delivery, end)])
    await town.placement.unplace(ada_fence, wanted=False)
    assert town.runtime is not None
    await town.placement.end(town.runtime)
    town.runtime = None
    for number, end_of in enumerate(TASK_ENDS):
        await town.store.commit(town.store.change().create_task(end_of(Task(f"task {number} ünïcode \u2028"))))
    (pending,) = await town.store.tasks(TaskState.PENDING)
    await town.ask("RPUSH", town.keys("backlog"), pending.id)
    await town.mission(1, 2)
    await town.journal.append(Event("town.initialized", detail="a town"))


async def clear(town: Parts) -> None:
    await town.ask("FLUSHDB")


def elsewhere(town: Parts, name: str) -> Parts:
    """Another town over the same connection."""
    return Parts(town.connection, town.limits, keys=Keys(name))


async def restore(town: Parts, data: bytes, *, force: bool = False, rename: bool = False) -> Restored:
    return await load(town.connection, town.keys, parse(data, town.keys, rename=rename), force=force)


def test_every_key_of_the_catalogue_is_saved_in_a_known_form_or_left_out_for_a_reason() -> None:
    assert set(LEFT_OUT) <= {key.name for key in CATALOGUE}
    for key in SAVED:
        assert key.per in ("", "agent", "task", "mission", *STATES), f"how are all keys of {key.name} found?"
        assert key.name in (NAMED if key.type == "stream" else FORMS), f"what may stand in {key.name}?"


async def test_what_is_saved_and_restored_is_the_same_town_and_the_same_bytes(filled: Parts) -> None:
    before = await dump(filled.connection, filled.keys)
    data = await take(filled.connection, filled.keys)
    await clear(filled)

    counts = await restore(filled, data)

    assert await dump(filled.connection, filled.keys) == before
    assert await take(filled.connection, filled.keys) == data
    assert counts == Restored(
        agents=2, tasks=5, missions=1, messages=5, dead_letters=2, events=len(before["events"][0])
    )  # type: ignore[index]


async def test_a_restored_town_works(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await restore(filled, data)
    ada = await filled.store.find_agent("ada")
    await filled.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.RESTART))
    fence = await filled.fence(ada)

    claim = await filled.claim(fence)

    assert texts(claim) == ["first", "fifth"]
    assert [delivery.failures for delivery in claim.deliveries] == [1, 0]
    await filled.send(ada, "something new")
    await filled.mailbox.settle(fence, [(delivery, Ack()) for delivery in claim.deliveries])
    assert await filled.journal.latest(1)


async def test_a_message_that_was_accepted_before_the_save_is_not_accepted_again(filled: Parts) -> None:
    message = work(await filled.store.find_agent("bob"), "once")
    await filled.mailbox.send(message)
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await restore(filled, data)

    assert not await filled.mailbox.send(message)


async def test_saving_changes_nothing(filled: Parts) -> None:
    before = await snapshot(filled.connection)

    await take(filled.connection, filled.keys)
    await dump(filled.connection, filled.keys)

    assert await snapshot(filled.connection) == before


async def test_an_empty_town_can_be_saved_and_restored(real_town: Parts) -> None:
    data = await take(real_town.connection, real_town.keys)

    assert await restore(real_town, data) == Restored(0, 0, 0, 0, 0, 0)
    assert await dump(real_town.connection, real_town.keys) == {}


async def test_a_small_change_of_the_town_is_a_small_change_of_the_file(filled: Parts) -> None:
    before = (await take(filled.connection, filled.keys)).split(b"\r\n*")

    await filled.store.commit(filled.store.change().create_task(Task("one more")))

    after = (await take(filled.connection, filled.keys)).split(b"\r\n*")
    assert len(after) == len(before) + 3
    assert set(before) < set(after)


async def test_no_secret_and_no_process_is_in_a_save(filled: Parts) -> None:
    ada = await filled.store.find_agent("ada")
    await filled.ask("HSET", filled.keys("tokens"), ada.id, "the digest of a credential")
    await filled.ask("SET", filled.keys("town_id"), "an id")
    runtime = await filled.begin()
    await filled.place(ada, runtime=runtime)

    data = await take(filled.connection, filled.keys)

    assert b"digest" not in data
    assert b"an id" not in data
    assert runtime.encode() not in data


async def test_what_was_at_work_is_saved_at_rest(filled: Parts) -> None:
    agent, fence = await filled.someone("eve")
    await filled.send(agent, "one", "two", "three", "four")
    task = Task("long").assign(agent.id).start()
    await filled.store.commit(filled.store.change().create_task(task))
    at_work = replace(agent.after(AgentEvent.READY).after(AgentEvent.BEGIN), in_round=True, current_task=task.id)
    await filled.store.update_agent(agent.id, lambda _: at_work, fence=fence)
    await filled.claim(fence, count=2)
    await filled.tell(agent, ControlKind.STOP)
    before = await dump(filled.connection, filled.keys)
    data = await take(filled.connection, filled.keys)
    await clear(filled)

    await restore(filled, data)

    assert await dump(filled.connection, filled.keys) == before
    restored = await filled.store.agent(agent.id)
    assert restored == replace(at_work, state=AgentState.STOPPED, in_round=False, current_task=None)
    assert await filled.store.task(task.id) == replace(task, state=TaskState.ASSIGNED)
    assert [each.id for each in await filled.store.tasks(TaskState.ASSIGNED)][-1] == task.id
    lane = [Message.decode(raw) for raw in await filled.lane(agent)]
    assert texts(lane) == ["one", "two", "three", "four"]
    assert await filled.placement.unplaced() == []


async def test_fields_that_this_version_does_not_know_stay_in_the_records(filled: Parts) -> None:
    agent = await filled.agent("eve")
    raw = agent.encode()[:-1] + b',"mood":"fine"}'
    await filled.ask("SET", filled.keys("agent", agent.id), raw)

    data = await take(filled.connection, filled.keys)

    assert b'"mood":"fine"' in data
    assert b'"state":"starting"' not in data


async def test_a_restore_needs_force_where_something_is(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    before = await snapshot(filled.connection)

    with pytest.raises(Conflict, match="agents: 2, tasks: 5, missions: 1, messages: 3") as refusal:
        await restore(filled, data)

    assert "--force" in refusal.value.hint
    assert await snapshot(filled.connection) == before


async def test_a_restore_needs_force_while_a_runtime_lives(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await filled.begin()
    before = await snapshot(filled.connection)

    with pytest.raises(Conflict, match="runtimes alive: 1"):
        await restore(filled, data)

    assert await snapshot(filled.connection) == before
    await restore(filled, data, force=True)


async def test_the_lease_of_a_dead_runtime_stands_in_nobodys_way(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await filled.begin(lease=-1.0)

    await restore(filled, data)


async def test_with_force_everything_old_goes_and_only_the_runtimes_and_the_name_stay(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    saved = await dump(filled.connection, filled.keys)
    mallory, _ = await filled.someone("mallory")
    await filled.send(mallory, "old news")
    await filled.tell(mallory, ControlKind.WAKE)
    await filled.ask("SET", filled.keys("town_id"), "me")
    await filled.ask("SET", filled.keys("incarnation"), "mark")
    await filled.ask("HSET", filled.keys("tokens"), mallory.id, "x")
    roster = await filled.ask("GET", filled.keys("roster"))

    await restore(filled, data, force=True)

    now = await dump(filled.connection, filled.keys)
    assert now | {"epochs": None} == saved | {"epochs": None, "tags": now["tags"]}
    found = await snapshot(filled.connection)
    assert not [key for key in found if mallory.id in key]
    assert filled.keys("placed") not in found
    assert filled.keys("tokens") not in found
    assert found[filled.keys("town_id")] == ("string", b"me")
    assert found[filled.keys("incarnation")] == ("string", b"mark")
    assert len(await filled.placement.runtimes()) == 1
    assert await filled.ask("GET", filled.keys("roster")) not in (None, roster)


async def test_a_runtime_that_goes_on_after_a_restore_is_fenced(filled: Parts) -> None:
    ada = await filled.store.find_agent("ada")
    old = await filled.fence(ada)
    data = await take(filled.connection, filled.keys)

    await restore(filled, data, force=True)

    with pytest.raises(LeaseLost):
        await filled.claim(old)
    for _ in range(3):
        await filled.placement.unplace(await filled.fence(ada), wanted=False)
    newest = int(await filled.ask("HGET", filled.keys("epochs"), ada.id))
    await restore(filled, data, force=True)
    assert int(await filled.ask("HGET", filled.keys("epochs"), ada.id)) == newest


async def test_who_is_cut_off_from_an_agent_that_the_save_does_not_know_stays_cut_off(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    _, fence = await filled.someone("eve")

    await restore(filled, data, force=True)

    with pytest.raises(LeaseLost):
        await filled.claim(fence)


async def test_the_supervisors_mailbox_is_there_even_if_the_save_has_none(real_town: Parts) -> None:
    data = await take(real_town.connection, real_town.keys)
    await fill(real_town)

    await restore(real_town, data, force=True)

    assert (await real_town.store.agent(SUPERVISOR_ID)).name == "supervisor"
    assert await real_town.store.agents() == []


async def test_a_save_of_another_layout_is_refused(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await filled.ask("SET", filled.keys("schema"), "2")
    before = await snapshot(filled.connection)

    with pytest.raises(Conflict, match="layout 2"):
        await restore(filled, data, force=True)

    assert await snapshot(filled.connection) == before


async def test_a_server_without_memory_refuses_a_restore_and_keeps_what_it_has(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    before = await snapshot(filled.connection)
    await filled.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(RedisFull):
            await restore(filled, data, force=True)
        assert await take(filled.connection, filled.keys) == data
    finally:
        await filled.ask("CONFIG", "SET", "maxmemory", 0)

    assert await snapshot(filled.connection) == before


async def test_towns_whose_names_begin_alike_do_not_touch_each_other(blocking: BlockingConnection) -> None:
    towns = [Parts(blocking, keys=Keys(name)) for name in ("a", "a:b", "a%3Ab", "ab")]
    for town in towns:
        await fill(town)
    files = [await take(blocking, town.keys) for town in towns]
    others = [await dump(blocking, town.keys) for town in towns[1:]]

    await restore(towns[0], files[0], force=True)

    assert [await dump(blocking, town.keys) for town in towns[1:]] == others
    for town, data in zip(towns, files, strict=True):
        assert all(other.keys.prefix.encode() not in data for other in towns if other is not town)
    assert [key for key in await snapshot(blocking) if not key.startswith(tuple(t.keys.prefix for t in towns))] == []


async def test_a_save_of_another_town_is_taken_under_this_name_only_when_asked(filled: Parts) -> None:
    data = await take(filled.connection, filled.keys)
    other = elsewhere(filled, "the other: ❤")

    with pytest.raises(BadSnapshot, match=r"of town 'a town: \[tests\] \*\?'"):
        parse(data, other.keys)
    await restore(other, data, rename=True)

    assert await dump(other.connection, other.keys) == await dump(filled.connection, filled.keys)
    renamed = await take(other.connection, other.keys)
    assert filled.keys.prefix.encode() not in renamed
    await clear(filled)


async def test_a_description_tells_what_would_come(filled: Parts) -> None:
    agent = Agent(name="eve", cli="claude", workdir="/somewhere\x1b[31m")
    await filled.store.commit(filled.store.change().create_agent(agent))

    lines = describe(parse(await take(filled.connection, filled.keys), filled.keys))

    assert lines[0] == "Town 'a town: [tests] *?'"
    assert lines[1] == "Agents: 3"
    assert "  eve: claude, stopped, 0 messages, works in /somewhere\\x1b[31m" in lines
    assert "  ada: any, stopped, 3 messages" in lines
    assert "Tasks: 5 (1 pending, 2 assigned, 1 completed, 1 cancelled)" in lines
    assert "Messages: 5 (1 snoozed), 2 set aside" in lines


async def test_damaged_data_is_not_saved_as_if_it_were_whole(filled: Parts) -> None:
    ada = await filled.store.find_agent("ada")
    await filled.ask("SET", filled.keys("agent", ada.id), "{")

    with pytest.raises(BadSnapshot, match=f"agent:{ada.id}: not readable as JSON") as refusal:
        await take(filled.connection, filled.keys)

    assert "tt doctor" in refusal.value.hint


@contextmanager
def server_with(data: bytes) -> Iterator[RunningServer]:
    """A bare server that finds the save where it looks for its own data."""
    directory = Path(tempfile.mkdtemp(prefix="tt"))
    try:
        (directory / "redis.aof").write_bytes(data)
        server = RunningServer(directory, "appendfilename redis.aof")
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory)


async def test_a_bare_server_that_loads_the_file_as_its_own_has_the_same_town(filled: Parts) -> None:
    before = await dump(filled.connection, filled.keys)
    data = await take(filled.connection, filled.keys)

    with server_with(data) as server, BlockingConnection(server.address) as connection:
        assert await dump(connection, filled.keys) == before
        assert await take(connection, filled.keys) == data
        assert strays(await snapshot(connection), filled.keys) == []


async def test_the_check_of_the_server_finds_nothing_wrong_with_the_file(filled: Parts, tmp_path: Path) -> None:
    (tmp_path / "redis.aof").write_bytes(await take(filled.connection, filled.keys))
    (tmp_path / "valkey-check-aof").symlink_to(server_binary())

    checked = run([tmp_path / "valkey-check-aof", tmp_path / "redis.aof"], capture_output=True, check=False)

    assert checked.returncode == 0, checked.stdout
    assert b"is valid" in checked.stdout


TEXTS = st.text(max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2), TEXTS, st.sampled_from(LANES)),
        st.tuples(st.just("note"), st.integers(0, 2), TEXTS, st.sampled_from(LANES)),
        st.tuples(st.just("push"), st.integers(0, 2), st.binary(min_size=1, max_size=40), st.sampled_from(LANES)),
        st.tuples(st.just("claim"), st.integers(0, 1), st.integers(1, 3), st.lists(st.sampled_from(OUTCOMES))),
        st.tuples(st.just("place"), st.integers(0, 1), st.booleans(), st.none()),
        st.tuples(st.just("task"), st.sampled_from(TASK_ENDS), TEXTS, st.booleans()),
        st.tuples(st.just("move"), st.integers(0, 1), st.sampled_from(AgentEvent), st.none()),
        st.tuples(st.just("drop"), st.just(0), st.none(), st.none()),
        st.tuples(st.just("tell"), st.just(0), TEXTS, st.none()),
    ),
    max_size=20,
)
LANE_NAMES: dict[object, str] = dict(zip(LANES, LANE_KEYS, strict=True))


class Builder:
    """A town made by any steps."""

    def __init__(self, town: Parts) -> None:
        self.town = town

    async def begin(self) -> None:
        await self.town.store.commit(self.town.store.change().create_supervisor())
        self.agents = [await self.town.agent("ada"), await self.town.agent("bob")]
        self.fences = [await self.town.fence(agent) for agent in self.agents]
        self.agents.append(await self.town.store.agent(SUPERVISOR_ID))

    async def send(self, agent: int, text: str, priority: object) -> None:
        await self.town.send(self.agents[agent], text.encode("utf-8", "replace").decode(), priority=priority)  # type: ignore[arg-type]

    async def note(self, agent: int, text: str, priority: object) -> None:
        body = Informational(text.encode("utf-8", "replace").decode())
        await self.town.mailbox.send(Message(SUPERVISOR_ID, self.agents[agent].id, body, priority=priority))  # type: ignore[arg-type]

    async def push(self, agent: int, raw: bytes, priority: object) -> None:
        await self.town.ask("RPUSH", self.town.keys(LANE_NAMES[priority], self.agents[agent].id), raw)  # type: ignore[index]

    async def claim(self, agent: int, count: int, outcomes: list[Outcome]) -> None:
        with suppress(LeaseLost):
            claim = await self.town.claim(self.fences[agent], count=count)
            for delivery, outcome in zip(claim.deliveries, outcomes, strict=False):
                await self.town.mailbox.settle(self.fences[agent], [(delivery, outcome)])

    async def place(self, agent: int, again: object, _: object) -> None:
        await self.town.placement.unplace(self.fences[agent], wanted=bool(again))
        if again:
            self.fences[agent] = await self.town.fence(self.agents[agent])

    async def task(self, end: object, text: str, backlog: object) -> None:
        task = end(Task(text.encode("utf-8", "replace").decode()))  # type: ignore[operator]
        await self.town.store.commit(self.town.store.change().create_task(task))
        if backlog:
            await self.town.ask("RPUSH", self.town.keys("backlog"), task.id)

    async def move(self, agent: int, event: AgentEvent, _: object) -> None:
        with suppress(Conflict):
            await self.town.store.update_agent(self.agents[agent].id, lambda found: found.after(event))

    async def drop(self, *_: object) -> None:
        for name in ("dlq", "quarantine"):
            for entry, _fields in await self.town.ask("XRANGE", self.town.keys(name), "-", "+", "COUNT", 1):
                await self.town.ask("XDEL", self.town.keys(name), entry)

    async def tell(self, _: int, text: str, __: object) -> None:
        await self.town.journal.append(Event("town.said", detail=text.encode("utf-8", "replace").decode()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_town_comes_back_as_it_was(server: RunningServer, steps: list[tuple[object, ...]]) -> None:
    server.flush()
    with BlockingConnection(server.address) as connection:
        run_sync(any_town(Parts(connection, Limits(max_recoveries=2)), steps))


async def any_town(town: Parts, steps: list[tuple[object, ...]]) -> None:
    builder = Builder(town)
    await builder.begin()
    for name, *words in steps:
        await getattr(builder, str(name))(*words)
    whole = await snapshot(town.connection)
    data = await take(town.connection, town.keys)
    before = await dump(town.connection, town.keys)
    assert await snapshot(town.connection) == whole

    await clear(town)
    await restore(town, data)

    assert await dump(town.connection, town.keys) == before
    assert await take(town.connection, town.keys) == data
    found = await snapshot(town.connection)
    assert strays(found, town.keys) == []
    lasting = set(found) - {town.keys("roster")}
    assert lasting <= set(whole) | {town.keys("held")} | {
        town.keys(name, part) for name, part in _moved(town, builder.agents)
    }
    assert all(agent.state.is_terminal for agent in await town.store.agents())


def _moved(town: Parts, agents: list[Agent]) -> list[tuple[str, str]]:
    """Keys that a save may have although the town had not: what was at work is at rest in them."""
    lanes = [(lane, agent.id) for lane in LANE_NAMES.values() for agent in agents]
    return [*lanes, ("tasks_in", TaskState.ASSIGNED), *(("agents_in", state) for state in AgentState)]


async def many_records(town: Parts, count: int) -> None:
    keys, agents = town.keys, [Agent(name=f"agent-{number}", cli="any") for number in range(count // 10)]
    commands: list[tuple[str | int | bytes, ...]] = []
    for agent in agents:
        commands += [
            ("SET", keys("agent", agent.id), agent.encode()),
            ("HSET", keys("names"), agent.name, agent.id),
            ("RPUSH", keys("inbox", agent.id), work(agent).encode()),
        ]
    for number in range(count - len(agents)):
        task = Task(f"Do what has to be done, part {number}").assign(agents[number % len(agents)].id)
        commands += [
            ("SET", keys("task", task.id), task.encode()),
            ("ZADD", keys("tasks"), number, task.id),
            ("SADD", keys("tasks_in", task.state), task.id),
        ]
    await town.connection.pipeline(commands)


async def test_ten_thousand_records_come_back(real_town: Parts) -> None:
    await many_records(real_town, 10_000)

    data = await take(real_town.connection, real_town.keys)
    counts = await restore(real_town, data, force=True)

    assert (counts.agents, counts.tasks, counts.messages) == (1000, 9000, 1000)
    assert await take(real_town.connection, real_town.keys) == data


async def test_new_ids_of_streams_come_after_those_of_the_save(filled: Parts) -> None:
    future = "4000000000000-7"
    await filled.ask("XADD", filled.keys("events"), future, "type", "town.said", "ms", 1)
    await filled.ask("XDEL", filled.keys("events"), future)
    data = await take(filled.connection, filled.keys)
    await clear(filled)
    await restore(filled, data)

    position = await filled.ask("XADD", filled.keys("events"), "*", "type", "town.said", "ms", 1)

    assert position == b"4000000000000-8"


async def test_ids_of_messages_that_are_nowhere_do_not_fill_the_restored_town(filled: Parts) -> None:
    await filled.ask("SADD", filled.keys("live"), *(new_id() for _ in range(100)))
    live = await filled.ask("SCARD", filled.keys("live"))
    data = await take(filled.connection, filled.keys)

    await restore(filled, data, force=True)

    assert await filled.ask("SCARD", filled.keys("live")) == live - 100
