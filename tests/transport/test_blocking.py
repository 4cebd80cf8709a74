"""The connection of the `tt` commands, on a real server and on one that misbehaves on cue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from servers import Conversation, RunningServer, scripted_server, valkey_server

from tinytown.errors import RedisFull, RedisRefused, RedisUnreachable
from tinytown.transport.address import Address
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.connection import NoScript, NotReady, ReplyError, Value


def ask(connection: BlockingConnection, *command: Value, repeat: bool = False) -> object:
    return run_sync(connection.execute(*command, repeat=repeat))


def test_replies_come_as_resp3_gives_them(blocking: BlockingConnection) -> None:
    assert ask(blocking, "SET", "key", b"\x00\xff") == b"OK"
    assert ask(blocking, "GET", "key") == b"\x00\xff"
    assert ask(blocking, "GET", "nothing") is None
    assert ask(blocking, "RPUSH", "list", 1, 2.5, "ä") == 3
    assert ask(blocking, "LRANGE", "list", 0, -1) == [b"1", b"2.5", "ä".encode()]
    assert ask(blocking, "HSET", "hash", "field", "v") == 1
    assert ask(blocking, "HGETALL", "hash") == {b"field": b"v"}
    assert ask(blocking, "ZADD", "zset", 1.5, "m") == 1
    assert ask(blocking, "ZSCORE", "zset", "m") == 1.5


def test_a_pipeline_is_answered_in_order(blocking: BlockingConnection) -> None:
    commands = [("RPUSH", "list", n) for n in range(1000)]

    assert run_sync(blocking.pipeline(commands)) == list(range(1, 1001))
    assert run_sync(blocking.pipeline([])) == []


def test_a_pipeline_raises_its_first_error_after_all_was_read(blocking: BlockingConnection) -> None:
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        run_sync(blocking.pipeline([("SET", "a", 1), ("LPUSH", "a", 1), ("NONSENSE",), ("SET", "b", 2)]))

    assert ask(blocking, "GET", "b") == b"2"


def test_an_unknown_script_is_told_apart_from_other_errors(blocking: BlockingConnection) -> None:
    with pytest.raises(NoScript):
        ask(blocking, "EVALSHA", "0" * 40, 0)


def test_a_reply_of_ten_megabytes_arrives_whole(blocking: BlockingConnection) -> None:
    body = os.urandom(10_000_000)

    assert ask(blocking, "SET", "big", body) == b"OK"
    assert ask(blocking, "GET", "big") == body


def test_a_dedicated_connection_may_wait_longer_than_a_reply_is_given(server: RunningServer) -> None:
    async def wait_for_entry(connection: BlockingConnection) -> object:
        async with connection.dedicated() as own:
            return await own.execute("XREAD", "BLOCK", 300, "STREAMS", "stream", "$")

    with BlockingConnection(server.address, reply_within=0.05) as connection:
        with pytest.raises(RedisUnreachable, match=r"no answer within 0\.05 s"):
            ask(connection, "XREAD", "BLOCK", 300, "STREAMS", "stream", "$")
        assert run_sync(wait_for_entry(connection)) is None


def test_a_database_of_its_own_is_selected(server: RunningServer, blocking: BlockingConnection) -> None:
    with BlockingConnection(Address.unix(server.socket_path, db=3)) as third:
        ask(third, "SET", "key", "third")

        assert ask(third, "GET", "key") == b"third"
    assert ask(blocking, "GET", "key") is None


def test_the_server_sees_who_is_there(blocking: BlockingConnection) -> None:
    assert ask(blocking, "CLIENT", "GETNAME") == b"tinytown"


def test_no_server_is_an_error_that_names_the_address_and_what_to_do(tmp_path: Path) -> None:
    connection = BlockingConnection(Address.unix(tmp_path / "none.sock"))

    with pytest.raises(RedisUnreachable, match=r"none\.sock: No such file") as caught:
        ask(connection, "PING")
    assert "tt doctor" in caught.value.hint
    with pytest.raises(RedisUnreachable, match="refused"):
        ask(BlockingConnection(Address(host="127.0.0.1", port=1)), "PING")


def test_a_password_is_needed_used_and_never_shown() -> None:
    with valkey_server(password="hunter2") as server:
        with BlockingConnection(server.address) as connection:
            assert ask(connection, "PING") == b"PONG"
        with pytest.raises(RedisRefused, match="NOAUTH") as caught:
            ask(BlockingConnection(Address.unix(server.socket_path)), "PING")
        assert "TINYTOWN_REDIS_PASSWORD" in caught.value.hint
        with pytest.raises(RedisRefused, match="WRONGPASS") as caught:
            ask(BlockingConnection(Address.unix(server.socket_path, password="hunter3")), "PING")
        assert "hunter" not in f"{caught.value!r} {caught.value.hint}"


def test_a_server_without_memory_refuses_writes_and_still_reads() -> None:
    with (
        valkey_server("maxmemory 1", "maxmemory-policy noeviction") as server,
        BlockingConnection(server.address) as connection,
    ):
        with pytest.raises(RedisFull, match="OOM"):
            ask(connection, "SET", "key", "value")
        with pytest.raises(RedisFull, match="OOM"):
            ask(connection, "EVAL", "return redis.call('SET', KEYS[1], 'v')", 1, "key")
        assert ask(connection, "GET", "key") is None


def test_a_database_that_does_not_exist_is_a_refusal(server: RunningServer) -> None:
    with pytest.raises(RedisRefused, match="out of range"):
        ask(BlockingConnection(Address.unix(server.socket_path, db=99)), "PING")


def test_a_server_killed_and_restarted_is_found_again_by_the_next_command() -> None:
    with valkey_server() as server, BlockingConnection(server.address) as connection:
        ask(connection, "SET", "key", "kept")
        server.restart()

        with pytest.raises(RedisUnreachable, match="may or may not have been done"):
            ask(connection, "GET", "key")
        assert ask(connection, "GET", "key") == b"kept"
        server.restart()
        assert ask(connection, "GET", "key", repeat=True) == b"kept"


def test_a_hung_server_is_given_up_in_time() -> None:
    with valkey_server() as server, BlockingConnection(server.address, reply_within=0.1) as connection:
        ask(connection, "PING")
        with server.frozen(), pytest.raises(RedisUnreachable, match=r"no answer within 0\.1 s"):
            ask(connection, "PING")
        assert ask(connection, "PING") == b"PONG"


def cut_reply(conversation: Conversation) -> None:
    conversation.greet()
    conversation.hear()
    conversation.say(b"$10\r\nhalf")


def test_a_reply_that_ends_in_the_middle_is_a_lost_connection() -> None:
    with (
        scripted_server(cut_reply) as address,
        BlockingConnection(address) as connection,
        pytest.raises(RedisUnreachable, match="closed the connection"),
    ):
        ask(connection, "GET", "key")


def talk_nonsense(conversation: Conversation) -> None:
    conversation.hear()
    conversation.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    conversation.wait_closed()


def test_a_server_that_is_none_is_noticed() -> None:
    with scripted_server(talk_nonsense) as address, pytest.raises(RedisUnreachable, match="Protocol error"):
        ask(BlockingConnection(address), "GET", "key")


def test_a_server_that_is_loading_is_waited_for() -> None:
    def load(conversation: Conversation) -> None:
        conversation.greet()
        for _ in range(2):
            conversation.hear()
            conversation.say(b"-LOADING Redis is loading the dataset in memory\r\n")
        conversation.hear()
        conversation.say(b"+ready\r\n")

    with scripted_server(load) as address, BlockingConnection(address) as connection:
        assert ask(connection, "GET", "key") == b"ready"


def test_a_server_that_does_not_get_ready_in_time_says_so() -> None:
    def load(conversation: Conversation) -> None:
        conversation.greet()
        while conversation.hear():
            conversation.say(b"-LOADING Redis is loading the dataset in memory\r\n")

    with (
        scripted_server(load) as address,
        BlockingConnection(address, reply_within=0.1) as connection,
        pytest.raises(NotReady, match="LOADING"),
    ):
        ask(connection, "GET", "key")


def test_control_c_ends_a_wait_and_the_next_command_is_in_step() -> None:
    def interrupt(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        os.kill(os.getpid(), signal.SIGINT)
        conversation.wait_closed()

    def answer(conversation: Conversation) -> None:
        conversation.greet()
        conversation.hear()
        conversation.say(b"+second\r\n")

    with scripted_server(interrupt, answer) as address, BlockingConnection(address) as connection:
        with pytest.raises(KeyboardInterrupt):
            ask(connection, "GET", "first")
        assert ask(connection, "GET", "second") == b"second"


def test_an_operation_that_needs_an_event_loop_is_refused() -> None:
    class Suspension:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def suspend() -> None:
        await Suspension()

    with pytest.raises(RuntimeError, match="event loop"):
        run_sync(suspend())


def test_it_starts_without_what_would_make_every_command_slow() -> None:
    program = (
        "import sys; from tinytown.transport.blocking import *; from tinytown.transport.address import Address;"
        "c = BlockingConnection(Address.unix('/nowhere/s'))\n"
        "try: run_sync(c.execute('PING'))\n"
        "except Exception: pass\n"
        "slow = {'trio', 'redis', 'asyncio', 'pydantic', 'ssl', 'socket', 'urllib.parse'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "['urllib.parse']"  # which wrote the address into the error
