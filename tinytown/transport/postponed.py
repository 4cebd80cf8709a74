"""Messages that wait for a time, because they failed and others shall pass first."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.ids import is_id
from tinytown.messages import Message

if TYPE_CHECKING:
    from tinytown.ids import AgentId
    from tinytown.transport.connection import Connection, Reply
    from tinytown.transport.keys import Keys

_AT_ONCE = 1000


async def postponed(connection: Connection, keys: Keys, agent_id: AgentId) -> list[tuple[float, Message | None]]:
    """Those of one agent, soonest first: when each is due, in seconds since 1970, and None for what is no message.

    The server looks through all that wait, and sends only what is this agent's.
    """
    if not is_id(agent_id):
        return []
    found: dict[bytes, float] = {}
    cursor = b"0"
    while True:
        reply = await connection.execute(
            "ZSCAN", keys("snoozed"), cursor, "MATCH", f"{agent_id} *", "COUNT", _AT_ONCE, repeat=True
        )
        cursor, flat = cast("tuple[bytes, list[Reply]]", reply)
        for at in range(0, len(flat), 2):
            found[cast("bytes", flat[at])] = float(cast("bytes", flat[at + 1])) / 1000
        if int(cursor) == 0:
            break
    return [
        (due, _decoded(member.partition(b"\n")[2]))
        for member, due in sorted(found.items(), key=lambda each: (each[1], each[0]))
    ]


def _decoded(raw: bytes) -> Message | None:
    try:
        return Message.decode(raw)
    except BadMessage:
        return None
