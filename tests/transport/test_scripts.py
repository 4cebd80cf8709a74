"""Scripts: how they are put together, sent and remembered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from towns import Parts

from tinytown.transport import scripts
from tinytown.transport.blocking import BlockingConnection
from tinytown.transport.connection import ReplyError

FOLDER = Path(scripts.__file__).with_name("lua")
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.lua"))


async def calls(connection: BlockingConnection, command: str) -> int:
    info = await connection.execute("INFO", "commandstats")
    assert isinstance(info, bytes)
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", info.decode())
    return int(found[1]) if found else 0


def test_every_file_is_a_script_of_the_module_or_a_part() -> None:
    known = {value.name for value in vars(scripts).values() if isinstance(value, scripts.Script)}

    assert known == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_begins_with_its_flags_and_defines_every_name_once(name: str) -> None:
    text = scripts.source(name)
    defined = re.findall(r"^local (?:function )?(\w+)", text, re.MULTILINE)

    assert text.startswith("#!lua")
    assert len(defined) == len(set(defined))
    assert "#!lua" not in text[1:]


@pytest.mark.parametrize("name", NAMES)
async def test_the_server_accepts_every_script(blocking: BlockingConnection, name: str) -> None:
    assert await blocking.execute("SCRIPT", "LOAD", scripts.source(name))


def test_only_what_takes_in_something_new_is_refused_by_a_full_server() -> None:
    refused = {name for name in NAMES if "allow-oom" not in scripts.source(name).partition("\n")[0]}

    assert refused == {"send", "commit", "redeliver", "replace"}


async def test_the_text_is_sent_once_and_a_digest_from_then_on(real_town: Parts, blocking: BlockingConnection) -> None:
    script = scripts.Script("sweep")
    await blocking.execute("CONFIG", "RESETSTAT")
    arguments = (3, 1000, 10, 1000, 1000)

    replies = [await script.run(blocking, real_town.keys.prefix, arguments) for _ in range(3)]

    assert replies == [[0, 0]] * 3
    assert (await calls(blocking, "eval"), await calls(blocking, "evalsha")) == (1, 2)


async def test_a_server_that_forgot_the_script_gets_the_text_again(
    real_town: Parts, blocking: BlockingConnection
) -> None:
    script = scripts.Script("sweep")
    await script.run(blocking, real_town.keys.prefix, (3, 1000, 10, 1000, 1000))
    await blocking.execute("SCRIPT", "FLUSH")

    assert await script.run(blocking, real_town.keys.prefix, (3, 1000, 10, 1000, 1000)) == [0, 0]


async def test_what_goes_wrong_inside_a_script_is_told_in_the_words_of_the_server(
    real_town: Parts, blocking: BlockingConnection
) -> None:
    await blocking.execute("SET", real_town.keys("snoozed"), "not a sorted set")

    with pytest.raises(ReplyError, match="WRONGTYPE"):
        await scripts.SWEEP.run(blocking, real_town.keys.prefix, (3, 1000, 10, 1000, 1000))
    await blocking.execute("DEL", real_town.keys("snoozed"))
