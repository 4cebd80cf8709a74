"""One suite for the real server and for its twin: what holds on both may be tested on the twin.

And what only the twin has: a clock that is trio's.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
import trio
from servers import RunningServer
from trio.testing import MockClock
from twin import Twin, TwinServer

from tinytown.errors import RedisUnreachable
from tinytown.transport.blocking import run_sync
from tinytown.transport.connection import ListeningConnection, NoScript, Reply, ReplyError
from tinytown.transport.multiplexed import MultiplexedConnection


@pytest.fixture(params=["real", "twin"])
async def either(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[ListeningConnection]:
    if request.param == "twin":
        yield Twin()
    else:
        async with MultiplexedConnection.open(server.address) as connection:
            yield connection


class Talk:
    """Writes a command as one line of words."""

    def __init__(self, connection: ListeningConnection) -> None:
        self._connection = connection

    async def __call__(self, line: str) -> Reply:
        return await self._connection.execute(*line.split())


@pytest.fixture
def ask(either: ListeningConnection) -> Talk:
    return Talk(either)


async def test_strings(ask: Talk) -> None:
    assert await ask("SET key value") == b"OK"
    assert await ask("SET key other NX") is None
    assert await ask("GET key") == b"value"
    assert await ask("GETSET key new") == b"value"
    assert await ask("MGET key nothing") == [b"new", None]
    assert await ask("INCRBY count 5") == 5
    assert await ask("STRLEN key") == 3
    assert await ask("EXISTS key nothing") == 1
    assert await ask("DEL key count") == 2
    assert await ask("TYPE key") == b"none"
    assert await ask("PING") == b"PONG"


async def test_binary_words_stay_as_they_are(either: ListeningConnection) -> None:
    body = bytes(range(256))

    assert await either.execute("SET", "key\r\n", body) == b"OK"
    assert await either.execute("GET", "key\r\n") == body


async def test_lists(ask: Talk) -> None:
    assert await ask("RPUSH list a b c d") == 4
    assert await ask("LPUSH list z") == 5
    assert await ask("LRANGE list 0 -1") == [b"z", b"a", b"b", b"c", b"d"]
    assert await ask("LPOP list") == b"z"
    assert await ask("LPOP list 2") == [b"a", b"b"]
    assert await ask("LLEN list") == 2
    assert await ask("LREM list 0 c") == 1
    assert await ask("LMOVE list moved LEFT RIGHT") == b"d"
    assert await ask("LPOP list") is None
    assert await ask("LTRIM moved 1 0") == b"OK"
    assert await ask("EXISTS moved") == 0


async def test_hashes(ask: Talk) -> None:
    assert await ask("HSET hash a 1 b 2") == 2
    assert await ask("HGETALL hash") == {b"a": b"1", b"b": b"2"}
    assert await ask("HGETALL nothing") == {}
    assert await ask("HGET hash a") == b"1"
    assert await ask("HGET hash c") is None
    assert await ask("HMGET hash a c") == [b"1", None]
    assert await ask("HINCRBY hash a 4") == 5
    assert await ask("HLEN hash") == 2
    assert await ask("HDEL hash a c") == 1
    assert await ask("HKEYS hash") == [b"b"]
    assert await ask("HVALS hash") == [b"2"]
    assert await ask("HEXISTS hash b") == 1
    assert await ask("HSETNX hash b 3") == 0


async def test_sets(ask: Talk) -> None:
    assert await ask("SADD set a b a") == 2
    assert await ask("SCARD set") == 2
    assert await ask("SISMEMBER set a") == 1
    members = await ask("SMEMBERS set")
    assert isinstance(members, list)
    assert set(map(str, members)) == {"b'a'", "b'b'"}
    assert await ask("SREM set a c") == 1
    assert await ask("SMEMBERS nothing") == []


async def test_sorted_sets(ask: Talk) -> None:
    assert await ask("ZADD zset 1 a 2.5 b 3 c") == 3
    assert await ask("ZADD zset XX CH 4 a") == 1
    assert await ask("ZSCORE zset b") == 2.5
    assert await ask("ZSCORE zset nothing") is None
    assert await ask("ZRANGE zset 0 -1") == [b"b", b"c", b"a"]
    assert await ask("ZRANGE zset 0 0 WITHSCORES") == [[b"b", 2.5]]
    assert await ask("ZRANGEBYSCORE zset -inf 3 LIMIT 0 10") == [b"b", b"c"]
    assert await ask("ZRANGE zset (2.5 +inf BYSCORE LIMIT 0 1") == [b"c"]
    assert await ask("ZCOUNT zset 3 +inf") == 2
    assert await ask("ZPOPMIN zset") == [b"b", 2.5]
    assert await ask("ZREM zset a") == 1
    assert await ask("ZCARD zset") == 1
    assert await ask("ZREMRANGEBYSCORE zset -inf +inf") == 1


async def test_streams(ask: Talk) -> None:
    assert await ask("XADD stream 1-1 field value") == b"1-1"
    assert await ask("XADD stream 2-1 field other") == b"2-1"
    assert await ask("XLEN stream") == 2
    assert await ask("XRANGE stream - +") == [
        [b"1-1", [b"field", b"value"]],
        [b"2-1", [b"field", b"other"]],
    ]
    assert await ask("XREVRANGE stream + - COUNT 1") == [[b"2-1", [b"field", b"other"]]]
    assert await ask("XRANGE stream (1-1 +") == [[b"2-1", [b"field", b"other"]]]
    assert await ask("XREAD COUNT 10 STREAMS stream 1-1") == {b"stream": [[b"2-1", [b"field", b"other"]]]}
    assert await ask("XREAD STREAMS stream 2-1") is None
    assert await ask("XTRIM stream MAXLEN 1") == 1
    assert await ask("XADD stream MAXLEN ~ 1000 3-1 f v") == b"3-1"
    with pytest.raises(ReplyError, match="equal or smaller"):
        await ask("XADD stream 1-1 field late")


async def test_reading_a_stream_waits_for_the_next_entry(either: ListeningConnection) -> None:
    await either.execute("XADD", "stream", "1-1", "f", "old")
    async with either.dedicated() as own:

        async def read() -> None:
            found = await own.execute("XREAD", "BLOCK", 0, "STREAMS", "stream", "other", "$", "$")
            assert found == {b"stream": [[b"2-1", [b"f", b"new"]]]}
            assert await own.execute("XREAD", "BLOCK", 5, "STREAMS", "stream", "2-1") is None
            assert await own.execute("XREAD", "BLOCK", 5, "STREAMS", "stream", "1-1") == found

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await either.execute("SET", "unrelated", 1)
            await either.execute("XADD", "stream", "2-1", "f", "new")


SCRIPT = """#!lua flags=no-writes
local found = {}
for _, key in ipairs(KEYS) do found[#found + 1] = redis.call('GET', key) or false end
found[#found + 1] = tonumber(ARGV[1]) + 0.7
return found
"""


async def test_scripts_are_loaded_and_run_by_digest(either: ListeningConnection) -> None:
    digest = hashlib.sha1(SCRIPT.encode()).hexdigest()
    with pytest.raises(NoScript):
        await either.execute("EVALSHA", digest, 0)

    assert await either.execute("SCRIPT", "LOAD", SCRIPT) == digest.encode()
    assert await either.execute("SCRIPT", "EXISTS", digest, "0" * 40) == [1, 0]
    await either.execute("SET", "a", 1)
    assert await either.execute("EVALSHA", digest, 2, "a", "b", 41) == [b"1", None, 41]
    assert await either.execute("EVAL", SCRIPT, 0, 1) == [1]


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ("return {1, 'two', {3}, false, 5}", [1, b"two", [3], None, 5]),
        ("return {1, nil, 3}", [1]),
        ("return true", 1),
        ("return false", None),
        ("return nil", None),
        ("return {}", []),
        ("return 3.99", 3),
        ("return tostring(3.5)", b"3.5"),
        ("return redis.status_reply('FINE')", b"FINE"),
        ("return cjson.encode({a=1})", b'{"a":1}'),
        ("return cjson.decode(ARGV[1]).b[2]", b"y"),
        ("return redis.call('HGETALL', KEYS[1])", [b"f", b"v"]),
        ("redis.call('ZADD', KEYS[2], 1.5, 'm') return redis.call('ZSCORE', KEYS[2], 'm')", b"1.5"),
        (
            "redis.call('RPUSH', KEYS[2], unpack({'a', 'b'})) return redis.call('LRANGE', KEYS[2], 0, -1)",
            [b"a", b"b"],
        ),
        ("return redis.call('LPOP', KEYS[2]) == false and 'none' or 'some'", b"none"),
        ("local t = redis.call('TIME') return #t", 2),
        ("return redis.pcall('LPUSH', KEYS[1], 'x')['err'] ~= nil and 'caught' or 'passed'", b"caught"),
        ("return type(redis.call('SET', KEYS[2], 'x')['ok'])", b"string"),
        ("redis.call('XADD', KEYS[2], '*', 'f', 'v') return redis.call('XLEN', KEYS[2])", 1),
        ("return redis.sha1hex('x')", hashlib.sha1(b"x").hexdigest().encode()),
        ("return math.floor(7 / 2) .. ':' .. string.format('%d', 12)", b"3:12"),
        ("return tonumber('0x10') and #ARGV", 1),
    ],
)
async def test_scripts_answer_alike(either: ListeningConnection, body: str, reply: Reply) -> None:
    await either.execute("HSET", "hash", "f", "v")

    assert await either.execute("EVAL", body, 2, "hash", "free", '{"b":["x","y"]}') == reply


async def test_an_error_in_a_script_is_one_of_the_command(either: ListeningConnection) -> None:
    await either.execute("SET", "key", "text")

    with pytest.raises(ReplyError, match="WRONGTYPE"):
        await either.execute("EVAL", "return redis.call('LPUSH', KEYS[1], 'x')", 1, "key")
    with pytest.raises(ReplyError, match="FENCED it is over"):
        await either.execute("EVAL", "return redis.error_reply('FENCED it is over')", 0)
    with pytest.raises(ReplyError):
        await either.execute("EVAL", "this is no lua", 0)
    assert await either.execute("GET", "key") == b"text"


async def test_errors_keep_the_words_of_the_server(ask: Talk) -> None:
    await ask("SET key text")

    for line, says in (
        ("LPUSH key x", "WRONGTYPE"),
        ("NONSENSE", "unknown command"),
        ("GET", "wrong number of arguments"),
        ("INCR key", "not an integer"),
    ):
        with pytest.raises(ReplyError, match=says):
            await ask(line)


async def test_a_pipeline_is_answered_in_order_and_raises_its_first_error(either: ListeningConnection) -> None:
    assert await either.pipeline([("RPUSH", "l", n) for n in range(3)]) == [1, 2, 3]
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        await either.pipeline([("SET", "l2", 1), ("GET", "l"), ("NONSENSE",), ("SET", "after", 1)])
    assert await either.execute("GET", "after") == b"1"


async def test_a_transaction_is_done_as_a_whole(either: ListeningConnection) -> None:
    replies = await either.pipeline([("MULTI",), ("SET", "a", 1), ("INCR", "a"), ("EXEC",)])

    assert replies == [b"OK", b"QUEUED", b"QUEUED", [b"OK", 2]]


async def test_what_is_published_is_heard(either: ListeningConnection) -> None:
    send, receive = trio.open_memory_channel[bytes](10)

    await either.subscribe("bell", send.send_nowait)
    assert await either.execute("PUBLISH", "bell", b"one\xff") == 1
    assert await either.execute("EVAL", "return redis.call('PUBLISH', 'bell', ARGV[1])", 0, "two") == 1
    async with either.dedicated() as other:
        assert await other.execute("PUBLISH", "bell", "three") == 1
    assert await either.execute("PUBLISH", "elsewhere", "x") == 0

    assert [await receive.receive() for _ in range(3)] == [b"one\xff", b"two", b"three"]
    await either.unsubscribe("bell")
    assert await either.execute("PUBLISH", "bell", "four") == 0


async def test_keys_expire(ask: Talk) -> None:
    assert await ask("SET key value PX 100000") == b"OK"
    left = await ask("PTTL key")
    assert isinstance(left, int)
    assert 90_000 < left <= 100_000
    assert await ask("TTL nothing") == -2
    assert await ask("PERSIST key") == 1
    assert await ask("TTL key") == -1
    assert await ask("PEXPIRE key 1") == 1
    await trio.sleep(0.01)
    assert await ask("GET key") is None


async def test_scanning_finds_every_key(ask: Talk) -> None:
    for number in range(30):
        await ask(f"SET tt:{number} x")
    found: set[str] = set()
    cursor = b"0"
    while True:
        page = await ask(f"SCAN {cursor.decode()} MATCH tt:* COUNT 7")
        assert isinstance(page, list)
        cursor, keys = page  # type: ignore[assignment]
        assert isinstance(keys, list)
        found.update(str(key) for key in keys)
        if cursor == b"0":
            break

    assert len(found) == 30


async def test_the_clock_of_the_twin_is_that_of_trio(autojump_clock: MockClock) -> None:
    twin = Twin()

    async def wall() -> float:
        seconds, micros = await twin.execute("EVAL", "return redis.call('TIME')", 0)  # type: ignore[misc]
        return int(seconds) + int(micros) / 1e6

    began = await wall()
    await twin.execute("SET", "key", "value", "EX", 3600)
    await trio.sleep(3599)
    assert await twin.execute("GET", "key") == b"value"
    await trio.sleep(2)
    assert await twin.execute("GET", "key") is None
    assert await wall() - began == pytest.approx(3601, abs=1e-3)
    entry = await twin.execute("XADD", "stream", "*", "f", "v")
    assert isinstance(entry, bytes)
    assert float(entry.partition(b"-")[0]) == pytest.approx((began + 3601) * 1000, abs=2)


def test_the_twin_works_without_an_event_loop() -> None:
    assert run_sync(Twin().pipeline([("SET", "key", 1), ("INCR", "key")])) == [b"OK", 2]


async def test_reading_a_stream_of_the_twin_waits_in_virtual_time(autojump_clock: MockClock) -> None:
    connection = Twin()
    began = trio.current_time()

    assert await connection.execute("XREAD", "BLOCK", 60_000, "STREAMS", "stream", "$") is None
    assert trio.current_time() - began == 60


async def test_an_outage_of_the_twin_refuses_all_and_ends_with_a_reconnect() -> None:
    server = TwinServer()
    connection = server.connect()
    reconnects: list[None] = []
    connection.on_reconnect(lambda: reconnects.append(None))
    await connection.execute("SET", "key", "value")

    with server.outage(), pytest.raises(RedisUnreachable):
        await connection.execute("GET", "key")

    assert reconnects == [None]
    assert await connection.execute("GET", "key") == b"value"
