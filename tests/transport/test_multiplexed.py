"""The connection of the runtime, on real servers that are killed, frozen and restarted, and on one that misbehaves
on cue."""

from __future__ import annotations

import os
import random
import threading
from functools import partial
from pathlib import Path

import pytest
import trio
from servers import Conversation, RunningServer, scripted_server, valkey_server
from trio.testing import wait_all_tasks_blocked

from tinytown.errors import RedisFull, RedisRefused, RedisUnreachable, TownError
from tinytown.transport.address import Address
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.connection import Connection, Misplaced, NoScript, NotReady, ReplyError
from tinytown.transport.multiplexed import MultiplexedConnection


async def test_replies_come_as_resp3_gives_them(connection: MultiplexedConnection) -> None:
    assert await connection.execute("SET", "key", b"\x00\xff") == b"OK"
    assert await connection.execute("GET", "key") == b"\x00\xff"
    assert await connection.execute("GET", "nothing") is None
    assert await connection.execute("HSET", "hash", "field", 1) == 1
    assert await connection.execute("HGETALL", "hash") == {b"field": b"1"}
    assert await connection.execute("CLIENT", "GETNAME") == b"tinytown"


async def test_a_pipeline_is_answered_in_order(connection: MultiplexedConnection) -> None:
    assert await connection.pipeline([("RPUSH", "list", n) for n in range(1000)]) == list(range(1, 1001))
    assert await connection.pipeline([]) == []


async def test_a_pipeline_raises_its_first_error_after_all_was_read(connection: MultiplexedConnection) -> None:
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        await connection.pipeline([("SET", "a", 1), ("LPUSH", "a", 1), ("NONSENSE",), ("SET", "b", 2)])

    assert await connection.execute("GET", "b") == b"2"


async def test_an_unknown_script_is_told_apart_from_other_errors(connection: MultiplexedConnection) -> None:
    with pytest.raises(NoScript):
        await connection.execute("EVALSHA", "0" * 40, 0)


async def test_a_thousand_tasks_at_once_each_get_their_own_replies(connection: MultiplexedConnection) -> None:
    async def talk(number: int) -> None:
        for turn in range(5):
            word = f"{number}:{turn}".encode()
            assert await connection.execute("ECHO", word) == word
            assert await connection.pipeline([("ECHO", word), ("STRLEN", "nothing"), ("ECHO", number)]) == [
                word,
                0,
                str(number).encode(),
            ]

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(talk, number)


async def test_a_reply_of_ten_megabytes_arrives_whole_among_small_ones(connection: MultiplexedConnection) -> None:
    body = os.urandom(10_000_000)

    async def echo(number: int) -> None:
        for _ in range(50):
            assert await connection.execute("ECHO", number) == str(number).encode()

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(echo, number)
        assert await connection.execute("SET", "big", body) == b"OK"
        assert await connection.execute("GET", "big") == body


async def test_cancelled_callers_never_shift_replies(connection: MultiplexedConnection) -> None:
    chance = random.Random(7)
    cancelled = 0

    async def talk(number: int) -> None:
        nonlocal cancelled
        for turn in range(60):
            word = f"{number}:{turn}".encode()
            with trio.CancelScope() as scope:
                nursery.start_soon(cut, scope, chance.randrange(4))
                if chance.random() < 0.5:
                    assert await connection.execute("ECHO", word) == word
                else:
                    assert await connection.pipeline([("ECHO", word)] * 3) == [word] * 3
            cancelled += scope.cancelled_caught

    async def cut(scope: trio.CancelScope, passes: int) -> None:
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(talk, number)

    assert cancelled > 300
    assert await connection.execute("ECHO", "last") == b"last"


async def test_a_command_of_a_cancelled_task_is_not_sent(connection: MultiplexedConnection) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.execute("SET", "key", "value")

    assert await connection.execute("GET", "key") is None


async def test_what_the_block_raises_leaves_it_as_it_is(server: RunningServer) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with MultiplexedConnection.open(server.address):
            raise KeyError("mine")


async def test_a_cancelled_block_is_left_as_cancelled(server: RunningServer) -> None:
    with trio.move_on_after(0.01) as scope:
        async with MultiplexedConnection.open(server.address):
            await trio.sleep_forever()

    assert scope.cancelled_caught


async def test_a_command_after_the_end_of_the_block_is_refused(server: RunningServer) -> None:
    async with MultiplexedConnection.open(server.address) as connection:
        pass

    with pytest.raises(RedisUnreachable, match="it is closed"):
        await connection.execute("PING")


async def test_a_command_under_way_at_the_end_of_the_block_is_told(server: RunningServer) -> None:
    async def wait() -> None:
        with pytest.raises(RedisUnreachable):
            await connection.execute("BLPOP", "nothing", 0)

    async with trio.open_nursery() as nursery, MultiplexedConnection.open(server.address) as connection:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()


async def test_no_server_fails_the_opening_at_once(tmp_path: Path) -> None:
    with pytest.raises(RedisUnreachable, match=r"none\.sock: No such file") as caught:
        async with MultiplexedConnection.open(Address.unix(tmp_path / "none.sock")):
            pytest.fail("there is nothing to connect to")
    assert "tt doctor" in caught.value.hint
    with pytest.raises(RedisUnreachable, match="refused"):
        async with MultiplexedConnection.open(Address(host="127.0.0.1", port=1)):
            pytest.fail("there is nothing to connect to")


async def test_a_socket_path_of_two_hundred_bytes_is_reached(server: RunningServer, tmp_path: Path) -> None:
    directory = tmp_path / ("d" * (200 - len(str(tmp_path)) - 12))
    directory.mkdir()
    (directory / "redis.sock").symlink_to(server.socket_path)
    path = str(directory / "redis.sock")
    assert len(path) == 200

    async with MultiplexedConnection.open(Address.unix(path)) as connection:
        assert await connection.execute("PING") == b"PONG"
    with BlockingConnection(Address.unix(path)) as blocking:
        assert run_sync(blocking.execute("PING")) == b"PONG"


async def test_a_password_is_needed_used_and_never_shown() -> None:
    with valkey_server(password="hunter2") as server:
        async with MultiplexedConnection.open(server.address) as connection:
            assert await connection.execute("PING") == b"PONG"
        for password, says in ((None, "NOAUTH"), ("hunter3", "WRONGPASS")):
            with pytest.raises(RedisRefused, match=says) as caught:
                async with MultiplexedConnection.open(Address.unix(server.socket_path, password=password)):
                    pytest.fail("it let us in")
            assert "hunter" not in f"{caught.value!r} {caught.value.hint}"


async def test_a_server_without_memory_refuses_writes_and_still_reads() -> None:
    with valkey_server("maxmemory 1", "maxmemory-policy noeviction") as server:
        async with MultiplexedConnection.open(server.address) as connection:
            with pytest.raises(RedisFull, match="OOM"):
                await connection.execute("SET", "key", "value")
            assert await connection.execute("GET", "key") is None


async def test_a_server_busy_with_a_script_is_waited_for() -> None:
    async def run_endless_script(connection: Connection) -> None:
        with pytest.raises(ReplyError, match="killed by user"):
            await connection.execute("EVAL", "while true do end", 0)

    with valkey_server("busy-reply-threshold 1") as server:
        async with (
            MultiplexedConnection.open(server.address) as connection,
            MultiplexedConnection.open(server.address, patience=0.05) as impatient,
            connection.dedicated() as own,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(run_endless_script, own)
            await wait_all_tasks_blocked()
            with pytest.raises(NotReady, match="BUSY"):
                await impatient.execute("GET", "key")
            nursery.start_soon(connection.execute, "SET", "key", "done")
            await wait_all_tasks_blocked()
            assert await impatient.execute("SCRIPT", "KILL") == b"OK"
        assert server.command("GET", "key") == b"done"


async def test_a_replica_is_waited_for_until_it_is_promoted() -> None:
    with valkey_server("replicaof 127.0.0.1 1") as server:
        async with MultiplexedConnection.open(server.address, patience=0.05) as impatient:
            with pytest.raises(Misplaced, match="READONLY"):
                await impatient.execute("SET", "key", "value")
        async with MultiplexedConnection.open(server.address) as connection, trio.open_nursery() as nursery:
            nursery.start_soon(connection.execute, "SET", "key", "value")
            await wait_all_tasks_blocked()
            server.command("REPLICAOF", "NO", "ONE")
        assert server.command("GET", "key") == b"value"


async def test_a_pipeline_is_asked_again_only_when_nothing_of_it_was_done() -> None:
    def refuse(conversation: Conversation) -> None:
        conversation.greet()
        for replies in (b"-LOADING x\r\n-LOADING x\r\n", b":1\r\n:2\r\n", b":1\r\n-LOADING x\r\n"):
            assert conversation.hear() == [b"INCR", b"a"]
            assert conversation.hear() == [b"INCR", b"a"]
            conversation.say(replies)
        assert conversation.hear() == [b"PING"]
        conversation.say(b"+PONG\r\n")

    with scripted_server(refuse) as address:
        async with MultiplexedConnection.open(address) as connection:
            assert await connection.pipeline([("INCR", "a")] * 2) == [1, 2]
            with pytest.raises(RedisUnreachable, match="may or may not"):
                await connection.pipeline([("INCR", "a")] * 2)
            assert await connection.execute("PING") == b"PONG"


async def test_a_server_killed_and_restarted_in_the_middle_loses_only_what_was_under_way() -> None:
    answered: set[str] = set()
    lost = 0

    with valkey_server() as server:
        async with MultiplexedConnection.open(server.address) as connection:

            async def write(number: int) -> None:
                nonlocal lost
                turn = 0
                while not done.is_set():
                    word = f"{number}:{turn}"
                    turn += 1
                    try:
                        await connection.execute("SADD", "words", word)
                    except RedisUnreachable:
                        lost += 1
                    else:
                        answered.add(word)
                        progress.unpark_all()

            async def write_more(count: int) -> None:
                enough = len(answered) + count
                while len(answered) < enough:
                    await progress.park()

            done = trio.Event()
            progress = trio.lowlevel.ParkingLot()
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(write, number)
                for _ in range(3):
                    await write_more(300)
                    await trio.to_thread.run_sync(server.restart)
                await write_more(300)
                done.set()
            kept = await connection.execute("SMEMBERS", "words")

    assert isinstance(kept, list)
    assert answered <= {word.decode() for word in kept if isinstance(word, bytes)}
    assert lost <= 3 * 20


async def test_a_command_with_repeat_is_answered_over_a_restart() -> None:
    def vanish(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()

    def answer(conversation: Conversation) -> None:
        conversation.greet()
        assert conversation.hear() == [b"GET", b"key"]
        conversation.say(b"+answer\r\n")
        assert conversation.hear() == [b"GET", b"a"]
        assert conversation.hear() == [b"GET", b"b"]

    def answer_both(conversation: Conversation) -> None:
        conversation.greet()
        assert conversation.hear() == [b"GET", b"a"]
        assert conversation.hear() == [b"GET", b"b"]
        conversation.say(b":1\r\n:2\r\n")
        conversation.hear()

    with scripted_server(vanish, answer, answer_both, vanish) as address:
        async with MultiplexedConnection.open(address) as connection:
            assert await connection.execute("GET", "key", repeat=True) == b"answer"
            assert await connection.pipeline([("GET", "a"), ("GET", "b")], repeat=True) == [1, 2]
            with pytest.raises(RedisUnreachable):
                await connection.execute("INCR", "key")


async def test_a_command_is_repeated_once_and_no_more() -> None:
    heard: list[list[bytes]] = []

    def vanish(conversation: Conversation) -> None:
        conversation.greet()
        heard.append(conversation.hear())

    with scripted_server(vanish, vanish, vanish) as address:
        async with MultiplexedConnection.open(address) as connection:
            with pytest.raises(RedisUnreachable, match="closed the connection"):
                await connection.execute("GET", "key", repeat=True)

    assert heard == [[b"GET", b"key"]] * 2


async def test_a_command_without_a_server_waits_as_long_as_patience_lasts() -> None:
    with valkey_server() as server:
        async with (
            MultiplexedConnection.open(server.address, patience=0.05) as impatient,
            MultiplexedConnection.open(server.address, patience=20) as patient,
            trio.open_nursery() as nursery,
        ):
            server.kill()
            with pytest.raises(RedisUnreachable):
                await impatient.execute("PING")  # its link may still seem to be there
            with pytest.raises(RedisUnreachable, match=r"none within 0\.05 s"):
                await impatient.execute("PING")
            with pytest.raises(RedisUnreachable):
                await impatient.pipeline([("PING",)])
            nursery.start_soon(partial(patient.execute, "SET", "key", "value", repeat=True))
            await wait_all_tasks_blocked()
            server.start()
        assert server.command("GET", "key") == b"value"


async def test_a_server_that_comes_back_with_another_password_is_a_refusal() -> None:
    with valkey_server() as server:
        async with MultiplexedConnection.open(server.address, patience=0.3) as connection:
            server.command("CONFIG", "SET", "requirepass", "hunter2")
            killer = BlockingConnection(Address.unix(server.socket_path, password="hunter2"))
            run_sync(killer.execute("CLIENT", "KILL", "SKIPME", "yes"))
            killer.close()
            with pytest.raises(TownError):
                await connection.execute("PING")
            with pytest.raises(RedisRefused, match="NOAUTH"):
                await connection.execute("PING")


async def test_a_hung_server_is_given_up_and_found_again() -> None:
    with valkey_server() as server:
        async with MultiplexedConnection.open(server.address, reply_within=0.5) as connection:
            await connection.execute("PING")
            with server.frozen(), pytest.raises(RedisUnreachable, match=r"no answer within 0\.5 s"):
                await connection.execute("PING")
            assert await connection.execute("PING", repeat=True) == b"PONG"


async def test_an_idle_connection_is_not_taken_for_a_hung_one() -> None:
    broken = False

    def rest(conversation: Conversation) -> None:
        nonlocal broken
        conversation.greet()
        try:
            conversation.hear()
        except EOFError:
            broken = True
        conversation.say(b"+PONG\r\n")
        conversation.wait_closed()

    with scripted_server(rest) as address:
        async with MultiplexedConnection.open(address, reply_within=0.5) as connection:
            await trio.sleep(1.2)
            assert not broken
            assert await connection.execute("PING") == b"PONG"


async def test_a_runtime_that_was_late_itself_does_not_blame_the_server(connection: MultiplexedConnection) -> None:
    async with (
        MultiplexedConnection.open(connection.address, reply_within=0.5) as ours,
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            assert await ours.execute("PING") == b"PONG"

        for _ in range(3):
            nursery.start_soon(ask)
            await trio.lowlevel.checkpoint()
            # The whole event loop stands still, for longer than a reply is given. A server that shares two cores with
            # other tests must be able to answer in that time, or it is rightly blamed.
            threading.Event().wait(0.6)


class LateWriter(trio.abc.Instrument):
    """The whole event loop stands still for a moment, just before the writer of a link gets its turn."""

    def __init__(self, seconds: float) -> None:
        self._seconds: float | None = seconds

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith("Link._write") and self._seconds is not None:
            threading.Event().wait(self._seconds)
            self._seconds = None


async def test_a_server_is_not_blamed_for_what_left_late() -> None:
    def answer(conversation: Conversation) -> None:
        conversation.greet()
        assert [conversation.hear(), conversation.hear()] == [[b"PING"], [b"PING"]]
        # Much less than a reply is given, and much more than the watchdog needs to look again.
        threading.Event().wait(0.1)
        conversation.say(b"+PONG\r\n+PONG\r\n")
        conversation.wait_closed()

    with scripted_server(answer) as address:
        async with MultiplexedConnection.open(address, reply_within=0.5) as connection:
            late = LateWriter(0.6)
            trio.lowlevel.add_instrument(late)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.execute, "PING")
                nursery.start_soon(connection.execute, "PING")
            trio.lowlevel.remove_instrument(late)


async def test_a_dedicated_connection_may_wait_longer_than_a_reply_is_given(server: RunningServer) -> None:
    async with (
        MultiplexedConnection.open(server.address, reply_within=0.5) as connection,
        connection.dedicated() as own,
    ):
        assert await own.execute("XREAD", "BLOCK", 1200, "STREAMS", "stream", "$") is None

        async def read() -> None:
            entries = await own.execute("XREAD", "BLOCK", 0, "STREAMS", "stream", "$")
            assert isinstance(entries, dict)
            assert list(entries) == [b"stream"]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked(0.01)
            await connection.execute("XADD", "stream", "*", "field", "value")


async def test_what_is_published_is_heard_from_the_return_of_subscribe_on(
    connection: MultiplexedConnection,
) -> None:
    send, receive = trio.open_memory_channel[bytes](100)

    await connection.subscribe("bell", send.send_nowait)
    assert await connection.execute("PUBLISH", "bell", "first") == 1
    assert await connection.pipeline([("PUBLISH", "bell", b"\xff"), ("PUBLISH", "other", "x"), ("ECHO", "e")]) == [
        1,
        0,
        b"e",
    ]

    assert [await receive.receive(), await receive.receive()] == [b"first", b"\xff"]
    await connection.unsubscribe("bell")
    assert await connection.execute("PUBLISH", "bell", "none") == 0
    with pytest.raises(trio.WouldBlock):
        receive.receive_nowait()


async def test_subscribing_under_load_does_not_shift_replies(connection: MultiplexedConnection) -> None:
    heard: list[bytes] = []

    async def talk(number: int) -> None:
        await connection.subscribe(f"bell{number}", heard.append)
        for turn in range(20):
            word = f"{number}:{turn}".encode()
            published = await connection.pipeline([("ECHO", word), ("PUBLISH", f"bell{number}", word)])
            assert published == [word, 1]
        await connection.unsubscribe(f"bell{number}")

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(talk, number)

    assert len(heard) == 1000


async def test_a_subscription_that_is_not_allowed_is_an_error_and_shifts_nothing() -> None:
    with valkey_server("user default on nopass ~* +@all resetchannels") as server:
        async with MultiplexedConnection.open(server.address) as connection:
            with pytest.raises(RedisRefused, match="NOPERM"):
                await connection.subscribe("bell", print)
            assert await connection.execute("ECHO", "in step") == b"in step"


async def test_a_subscription_survives_a_reconnect_and_the_reconnect_is_told() -> None:
    with valkey_server() as server:
        send, receive = trio.open_memory_channel[bytes](10)
        again, back = trio.open_memory_channel[None](10)
        async with MultiplexedConnection.open(server.address) as connection:
            await connection.subscribe("bell", send.send_nowait)
            connection.on_reconnect(lambda: again.send_nowait(None))
            for ring in range(2):
                await trio.to_thread.run_sync(server.restart)
                await back.receive()
                assert server.command("PUBLISH", "bell", ring) == 1
                assert await receive.receive() == str(ring).encode()


async def test_a_reply_that_ends_in_the_middle_is_a_lost_connection() -> None:
    def cut(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"$10\r\nhalf")

    def answer(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"+whole\r\n")
        conversation.wait_closed()

    with scripted_server(cut, answer) as address:
        async with MultiplexedConnection.open(address) as connection:
            with pytest.raises(RedisUnreachable, match="closed the connection"):
                await connection.execute("GET", "key")
            assert await connection.execute("GET", "key") == b"whole"


async def test_a_server_that_says_what_nobody_asked_is_dropped() -> None:
    def talk_nonsense(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        conversation.wait_closed()

    def talk_too_much(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"+one\r\n+two\r\n")
        conversation.wait_closed()

    def answer(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"+sane\r\n")
        conversation.wait_closed()

    with scripted_server(talk_nonsense, talk_too_much, answer) as address:
        async with MultiplexedConnection.open(address) as connection:
            with pytest.raises(RedisUnreachable, match="protocol"):
                await connection.execute("GET", "key")
            assert await connection.execute("GET", "key") == b"one"
            assert await connection.execute("GET", "key") == b"sane"


async def test_a_server_that_takes_the_connection_and_never_greets_fails_the_opening() -> None:
    with (
        scripted_server(Conversation.wait_closed) as address,
        pytest.raises(RedisUnreachable, match=r"no answer within 0\.05 s"),
    ):
        async with MultiplexedConnection.open(address, reply_within=0.05):
            pytest.fail("it never said a word")
