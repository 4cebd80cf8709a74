"""The Python API: handles, and the channel with which a program can be an agent itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from relay import Relay, relay_to
from runtime_parts import added, worker
from servers import RunningServer

import tinytown
from tinytown import (
    SUPERVISOR_ID,
    Agent,
    AgentHandle,
    AgentNotFound,
    AgentState,
    AlreadyInitialized,
    Conflict,
    Forbidden,
    IllegalTransition,
    Informational,
    Invalid,
    InvalidName,
    LeaseLost,
    Message,
    NotInitialized,
    Priority,
    Query,
    Task,
    TaskAssign,
    TaskState,
    TooLarge,
    Town,
    Work,
)
from tinytown.errors import RedisUnreachable
from tinytown.ids import AgentId, TaskId, new_id
from tinytown.runtime.channel import Channel
from tinytown.runtime.operations.agents import Kill, kill
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.runtime.seat import Received
from tinytown.transport.placement import RuntimeCard, new_runtime_id


@pytest.fixture
async def opened(made: Path) -> AsyncIterator[Town]:
    """A town, opened under trio by a person."""
    async with Town.connect(made) as town:
        yield town


async def born(town: Town, name: str = "ada") -> AgentHandle:
    return AgentHandle(town, await added(town, name))


def work(to: AgentId, text: str = "dig", **more: object) -> Message:
    return Message(SUPERVISOR_ID, to, Work(text), **more)  # type: ignore[arg-type]


async def test_a_town_can_be_made_and_opened(project: Path) -> None:
    async with Town.init(project / "new", "mine") as town:
        assert (town.name, town.root, town.config.name) == ("mine", (project / "new").resolve(), "mine")
        assert await town.list_agents() == []
    with pytest.raises(AlreadyInitialized):
        async with Town.init(project / "new"):
            pass


async def test_without_a_town_it_says_so(project: Path) -> None:
    with pytest.raises(NotInitialized):
        async with Town.connect(project):
            pass


async def test_an_agent_is_found_by_its_name_and_its_id(opened: Town) -> None:
    ada = await born(opened)
    assert (await opened.agent("ada")).id == (await opened.agent(ada.id[:8])).id == ada.id
    with pytest.raises(AgentNotFound):
        await opened.agent("nobody")
    assert repr(ada) == f"<AgentHandle ada {ada.id}>"


async def test_a_handle_assigns_texts_and_records(opened: Town) -> None:
    ada = await born(opened)
    first = await ada.assign("dig")
    record = Task("fill").with_tags(["yard"]).with_parent(first)
    assert await ada.assign(record) == record.id
    stored = await opened.channel.get_task(record.id)
    assert stored is not None
    assert (stored.state, stored.assigned_to, stored.tags, stored.parent_id) == (
        TaskState.ASSIGNED,
        ada.id,
        ("yard",),
        first,
    )
    assert await ada.inbox_len() == 2
    with pytest.raises(TooLarge):
        await ada.assign(Task("x" * (1 << 20)))
    with pytest.raises(Conflict):
        await ada.assign(record)


async def test_a_handle_sends_texts_and_bodies(opened: Town) -> None:
    ada = await born(opened)
    await ada.send("hello")
    await ada.send(Query("why?"), priority=Priority.HIGH)
    found = await opened.mailbox.peek(ada.id)
    assert [message.body for message in found] == [Query("why?"), Work("hello")]
    with pytest.raises(Invalid):
        await ada.send("")
    with pytest.raises(Invalid):
        await ada.send(Work(7))  # type: ignore[arg-type]


async def test_a_handle_waits_for_its_agent_and_its_tasks(opened: Town) -> None:
    ada = await born(opened)
    task_id = await ada.assign("dig")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(complete_task, opened, TaskEnd(task_id, "a hole"))
            assert (await ada.wait_task(task_id)).result == "a hole"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ada.kill)
            assert (await ada.wait()).state is AgentState.STOPPED
    assert (await ada.state()).state is AgentState.STOPPED


async def test_a_program_can_be_an_agent(opened: Town) -> None:
    ada = await born(opened)
    task_id = await ada.assign("dig")
    channel = opened.channel
    with trio.fail_after(5):
        async with await channel.receive(ada.id) as message:
            assert message.body == TaskAssign(task_id)
            assert (await ada.state()).state is AgentState.IDLE
            assert await channel.inbox_len(ada.id) == 1
    assert await channel.inbox_len(ada.id) == 0
    assert await channel.try_receive(ada.id) is None


async def test_a_message_wakes_who_waits_for_it(opened: Town) -> None:
    ada = await born(opened)
    got: list[Message] = []

    async def take() -> None:
        async with await opened.channel.receive(ada.id) as message:
            got.append(message)

    assert await opened.channel.try_receive(ada.id) is None
    with trio.fail_after(2):  # less than the slow look, which is every 5 s
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await opened.channel.send(work(ada.id))
    assert [message.body for message in got] == [Work("dig")]


async def test_the_limit_of_a_wait_is_a_cancel_scope_and_nothing_is_lost(opened: Town) -> None:
    ada = await born(opened)
    received = 0
    for number in range(20):
        await opened.channel.send(work(ada.id, str(number)))
        with trio.move_on_after(0):
            async with await opened.channel.receive(ada.id):
                received += 1
    with trio.fail_after(5):
        while received < 20:
            async with await opened.channel.receive(ada.id):
                received += 1
    assert await ada.inbox_len() == 0


async def test_a_block_that_raises_gives_its_message_back(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.send(work(ada.id, "one"))
    await opened.channel.send(work(ada.id, "two"))
    with pytest.raises(KeyError):
        async with await opened.channel.receive(ada.id):
            raise KeyError
    async with await opened.channel.receive(ada.id) as message:
        assert message.body == Work("one")


async def test_so_does_one_that_is_cancelled(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.send(work(ada.id))
    with trio.CancelScope() as scope:
        async with await opened.channel.receive(ada.id):
            scope.cancel()
            await trio.sleep_forever()
    received = await opened.channel.try_receive(ada.id)
    assert received is not None
    assert received.delivery.attempt == 1


async def test_a_message_is_settled_once_by_hand_or_by_the_block(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.send(work(ada.id))
    async with await opened.channel.receive(ada.id):
        pass
    await opened.channel.send(work(ada.id))
    received = await opened.channel.receive(ada.id)
    async with received:
        await received.retry()
    again = await opened.channel.receive(ada.id)
    assert again.delivery.attempt == 2
    await again.give_back()
    with pytest.raises(Conflict, match="settled already"):
        await again.ack()
    last = await opened.channel.receive(ada.id)
    await last.ack()
    assert await ada.inbox_len() == 0


async def test_what_is_not_settled_goes_back_at_the_end(made: Path) -> None:
    async with Town.connect(made) as town:
        ada = await born(town)
        await town.channel.send(work(ada.id))
        await town.channel.receive(ada.id)
    async with Town.connect(made) as town:
        assert await town.placement.runtimes() == []
        with trio.fail_after(5):
            received = await town.channel.receive(ada.id)
        assert received.delivery.attempt == 1


@pytest.fixture
def relay(made: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The way to the server for whoever opens the town."""
    with relay_to(server.socket_path) as relay:
        monkeypatch.setenv("REDIS_URL", f"unix://{relay.address.path}")
        yield relay


async def test_what_was_claimed_by_a_line_that_broke_is_received_next(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        ada = await born(town)
        for text in ("held", "unheard", "last"):
            await town.channel.send(work(ada.id, text))
        held = await town.channel.receive(ada.id)
        relay.lose(b"unheard")
        with pytest.raises(RedisUnreachable):
            await town.channel.try_receive(ada.id)

        with trio.fail_after(5):
            async with await town.channel.receive(ada.id) as second, await town.channel.receive(ada.id) as third:
                assert [second.body, third.body] == [Work("unheard"), Work("last")]
        assert await ada.inbox_len() == 1
        await held.ack()
        assert await ada.inbox_len() == 0


async def test_it_goes_back_even_when_nobody_asks_again(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        ada = await born(town)
        for text in ("held", "unheard", "last"):
            await town.channel.send(work(ada.id, text))
        held = await town.channel.receive(ada.id)
        relay.lose(b"unheard")
        with pytest.raises(RedisUnreachable):
            await town.channel.try_receive(ada.id)

        with trio.fail_after(5):
            while await town.connection.execute("HLEN", town.keys("inflight", ada.id), repeat=True) != 1:
                await trio.lowlevel.checkpoint()
        waiting = await town.mailbox.peek(ada.id)
        assert [message.body for message in waiting] == [Work("held"), Work("unheard"), Work("last")]
        await held.ack()
        received = await town.channel.receive(ada.id)
        assert (received.message.body, received.delivery.attempt) == (Work("unheard"), 1)


ONE_SETTLED = b"*1\r\n:1\r\n"


async def held(town: Town, relay: Relay) -> Received:
    """A message that was received. What is said of it next is heard, but the reply does not arrive."""
    ada = await born(town)
    await town.channel.send(work(ada.id))
    received = await town.channel.receive(ada.id)
    relay.lose(ONE_SETTLED)
    return received


async def test_what_is_done_with_is_not_lost_when_only_the_reply_was(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        received = await held(town, relay)

        await received.ack()

        assert relay.lost == 1
        assert await town.mailbox.waiting(received.fence.id) == 0
        with pytest.raises(Conflict, match="settled already"):
            await received.ack()


async def test_what_goes_back_goes_back_once(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        received = await held(town, relay)

        await received.retry(0.05)

        assert relay.lost == 1
        with trio.fail_after(5):
            while not await town.mailbox.waiting(received.fence.id):
                await town.mailbox.sweep([received.fence.id])
        again = await town.channel.receive(received.fence.id)
        assert again.delivery.attempt == 2
        await again.ack()


async def test_what_is_said_again_after_an_error_is_not_lost(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        received = await held(town, relay)
        # No reply arrives: neither the first time nor when the connection asks again.
        relay.loses = lambda reply: ONE_SETTLED in reply or b"*1\r\n:0\r\n" in reply
        with pytest.raises(RedisUnreachable):
            await received.ack()
        relay.loses = lambda _: False

        with pytest.raises(Conflict, match="settled already: it is done with"):
            await received.retry()


async def test_what_went_back_is_lost(made: Path, relay: Relay) -> None:
    async with Town.connect(made) as town:
        received = await held(town, relay)
        # It was held longer than its lease.
        await town.connection.execute("ZADD", town.keys("leases", received.fence.id), "XX", 0, received.delivery.tag)
        await town.mailbox.sweep([received.fence.id])

        with pytest.raises(LeaseLost, match="went back"):
            await received.ack()
        async with await town.channel.receive(received.fence.id) as message:
            assert message.id == received.message.id


async def test_bytes_that_are_no_message_are_put_aside(opened: Town) -> None:
    ada = await born(opened)
    await opened.connection.execute("RPUSH", opened.keys("inbox", ada.id), b"\xff")
    await opened.channel.send(work(ada.id))
    async with await opened.channel.receive(ada.id) as message:
        assert message.body == Work("dig")
    assert await opened.connection.execute("XLEN", opened.keys("quarantine")) == 1


async def test_an_agent_of_a_living_runtime_is_left_to_it(opened: Town) -> None:
    ada = await born(opened)
    card = RuntimeCard(new_runtime_id(), "elsewhere", 1, "2026-01-01T00:00:00.000Z")
    await opened.placement.begin(card, lease=60)
    await opened.placement.place(card.id, [ada.id])
    for attempt in (opened.channel.receive, opened.channel.try_receive):
        with pytest.raises(Conflict, match=card.id[:8]):
            await attempt(ada.id)


async def test_two_programs_do_not_play_one_agent(made: Path) -> None:
    async with Town.connect(made) as town, Town.connect(made) as other:
        ada = await born(town)
        await town.channel.try_receive(ada.id)
        with pytest.raises(Conflict):
            await other.channel.try_receive(ada.id)


async def test_who_lost_its_place_can_settle_nothing(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.send(work(ada.id))
    received = await opened.channel.receive(ada.id)
    (mine,) = await opened.placement.runtimes()
    card = RuntimeCard(new_runtime_id(), "elsewhere", 1, "2026-01-01T00:00:00.000Z")
    await opened.placement.begin(card, lease=60, dead=[mine.id])
    await opened.placement.place(card.id, [ada.id])
    with pytest.raises(LeaseLost):
        await received.ack()
    with pytest.raises(LeaseLost):
        await opened.channel.try_receive(ada.id)


async def test_its_leases_are_renewed(made: Path) -> None:
    (made / "tinytown.toml").write_text(
        'name = "demo"\n[runtime]\nplacement_lease = 0.4\nplacement_renew = 0.1\nmessage_lease = 0.4\n'
        "message_renew = 0.1\n"
    )
    async with Town.connect(made) as town:
        ada = await born(town)
        await town.channel.send(work(ada.id))
        received = await town.channel.receive(ada.id)
        first = await town.connection.execute("ZSCORE", town.keys("leases", ada.id), received.delivery.tag)
        with trio.fail_after(5):
            while await town.connection.execute("ZSCORE", town.keys("leases", ada.id), received.delivery.tag) == first:
                pass
        assert len(await town.placement.runtimes()) == 1
        await received.ack()


@pytest.mark.parametrize("now", [False, True])
async def test_a_kill_ends_the_receiving(opened: Town, now: bool) -> None:
    ada = await born(opened)
    assert await opened.channel.try_receive(ada.id) is None
    await kill(opened, Kill("ada", now=now))
    with pytest.raises(Conflict, match=r"was ended|is stopped"):
        await opened.channel.receive(ada.id)
    with pytest.raises(Conflict, match="is stopped"):
        await opened.channel.try_receive(ada.id)


async def test_a_draining_agent_is_brought_to_its_end(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.try_receive(ada.id)
    agent = await ada.state()
    for state in (AgentState.WORKING, AgentState.DRAINING):
        agent = replace(agent, state=state)
        await opened.channel.set_agent_state(agent)
    with pytest.raises(Conflict, match="was ended"):
        await opened.channel.receive(ada.id)
    assert (await ada.state()).state is AgentState.STOPPED


async def test_a_paused_agent_receives_nothing(opened: Town) -> None:
    ada = await born(opened)
    await opened.channel.try_receive(ada.id)
    await opened.channel.set_agent_state(replace(await ada.state(), state=AgentState.PAUSED))
    await opened.channel.send(work(ada.id))
    assert await opened.channel.try_receive(ada.id) is None


async def test_a_broadcast_reaches_who_listens(opened: Town) -> None:
    message = Message(SUPERVISOR_ID, SUPERVISOR_ID, Informational("news"))
    assert await opened.channel.broadcast(message) == 0


async def test_records_are_read_and_changed(opened: Town) -> None:
    channel = opened.channel
    task = Task("dig")
    await channel.set_task(task)
    assert await channel.get_task(task.id) == task
    ada = await born(opened)
    for step in (task.assign(ada.id), task.assign(ada.id).start(), task.assign(ada.id).start().complete("a hole")):
        await channel.set_task(step)
        assert await channel.get_task(task.id) == step
    assert await channel.get_task(TaskId(new_id())) is None
    assert await channel.get_agent_state(AgentId(new_id())) is None


async def test_an_ended_task_stays_ended(opened: Town) -> None:
    task = Task("dig").cancel("rain")
    await opened.channel.set_task(task)
    with pytest.raises(IllegalTransition, match="is cancelled"):
        await opened.channel.set_task(replace(task, state=TaskState.PENDING))
    assert await opened.channel.get_task(task.id) == task


async def test_nobody_overwrites_what_he_has_not_read(made: Path, opened: Town) -> None:
    ada = await born(opened)
    task_id = await ada.assign("dig")
    mine = await opened.channel.get_task(task_id)
    assert mine is not None
    await complete_task(opened, TaskEnd(task_id, "somebody else did it"))
    with pytest.raises(Conflict, match="changed by somebody else"):
        await opened.channel.set_task(mine.start())
    agent = await opened.channel.get_agent_state(ada.id)
    assert agent is not None
    await kill(opened, Kill("ada"))
    with pytest.raises(Conflict, match="changed by somebody else"):
        await opened.channel.set_agent_state(replace(agent, role="reviewer"))
    stored = await opened.channel.get_task(task_id)
    assert stored is not None
    assert stored.result == "somebody else did it"


async def test_agents_can_be_stored_too(opened: Town) -> None:
    channel = opened.channel
    ada = Agent("ada", "my-program")
    await channel.set_agent_state(ada)
    assert await channel.get_agent_state(ada.id) == ada
    with pytest.raises(Conflict, match="changed by somebody else"):
        await channel.set_agent_state(Agent("ada", "another"))
    with pytest.raises(Conflict, match="cannot change its name"):
        await channel.set_agent_state(replace(ada, name="bob"))
    with pytest.raises(InvalidName):
        await channel.set_agent_state(Agent("a/b", "x"))
    with pytest.raises(IllegalTransition):
        await channel.set_agent_state(replace(ada, state=AgentState.DRAINING))


async def test_only_the_last_records_read_are_remembered(opened: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinytown.runtime import channel

    monkeypatch.setattr(channel, "_REMEMBERED", 1)
    first, second = Task("one"), Task("two")
    for task in (first, second):
        await opened.channel.set_task(task)
        await opened.channel.get_task(task.id)
    # Forgotten, so it is compared with what is there now.
    await opened.channel.set_task(first.cancel())


async def test_a_worker_receives_and_writes_only_as_itself(opened: Town) -> None:
    ada, bob = await born(opened), await born(opened, "bob")
    hers = Channel(worker(opened, await ada.state()))
    for forbidden in (
        hers.try_receive(bob.id),
        hers.set_task(Task("x")),
        hers.set_agent_state(await bob.state()),
        hers.send(work(bob.id)),
        hers.broadcast(work(bob.id)),
        AgentHandle(worker(opened, await ada.state()), await bob.state()).assign("dig"),
    ):
        with pytest.raises(Forbidden):
            await forbidden
    assert await hers.send(Message(ada.id, bob.id, Informational("hello")))


async def test_receiving_needs_trio(town: Town) -> None:
    async def attempt() -> None:
        agent = await added(town, "ada")
        await town.channel.try_receive(agent.id)

    with pytest.raises(RuntimeError, match="opened under trio"):
        await attempt()


def test_everything_public_is_there() -> None:
    for name in tinytown.__all__:
        assert getattr(tinytown, name) is not None
    assert dir(tinytown) == sorted(tinytown.__all__)
    with pytest.raises(AttributeError, match="nonesuch"):
        tinytown.nonesuch  # noqa: B018
