"""The Lua scripts as Python objects: every multi-step change of the town is one of them.

A file in `lua/` is a script; one whose name begins with `_` is a part that others include with a line
`--@ include _part`. The names of keys are put in front by `keys.lua_names`, so that no script spells one.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.transport.connection import NoScript
from tinytown.transport.keys import lua_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.transport.connection import Connection, Reply, Value

_FOLDER = Path(__file__).with_name("lua")
_INCLUDE = re.compile(r"^--@ include (.+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The whole text of a script as the server gets it."""
    text = (_FOLDER / f"{name}.lua").read_text()
    first, _, body = text.partition("\n")
    parts = [(_FOLDER / f"{part}.lua").read_text() for line in _INCLUDE.findall(body) for part in line.split()]
    code = "\n".join([*parts, body])
    return f"{first}\n{lua_names(code)}\n{code}"


class Script:
    """One script.

    Its first run in a process sends the text, which the server remembers; later runs send a digest.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._digest: str | None = None

    async def run(
        self, connection: Connection, prefix: str, arguments: Sequence[Value], *, repeat: bool = False
    ) -> Reply:
        """What the script returns for the town with this key prefix.

        With `repeat=True` it may run twice when the connection is lost in between: only for scripts that do the
        same the second time.
        """
        if self._digest is not None:
            try:
                return await connection.execute("EVALSHA", self._digest, 1, prefix, *arguments, repeat=repeat)
            except NoScript:
                pass
        reply = await connection.execute("EVAL", source(self.name), 1, prefix, *arguments, repeat=repeat)
        self._digest = _sha1(source(self.name))
        return reply

    def command(self, prefix: str, *arguments: Value) -> tuple[Value, ...]:
        """The command that runs it, for what is asked together with others: with its text, as that needs no second
        try."""
        return ("EVAL", source(self.name), 1, prefix, *arguments)


def _sha1(text: str) -> str:
    from hashlib import sha1

    return sha1(text.encode(), usedforsecurity=False).hexdigest()


SEND = Script("send")
COMMIT = Script("commit")
FINISH = Script("finish")
MOVE = Script("move")
CLEAR = Script("clear")
CLAIM = Script("claim")
SETTLE = Script("settle")
RENEW = Script("renew")
GLANCE = Script("glance")
HEARD = Script("heard")
PENDING = Script("pending")
DISOWN = Script("disown")
SWEEP = Script("sweep")
REDELIVER = Script("redeliver")
DISCARD = Script("discard")
PLACE = Script("place")
UNPLACE = Script("unplace")
BEAT = Script("beat")
GATHER = Script("gather")
REPLACE = Script("replace")
ANSWERS = Script("answers")
