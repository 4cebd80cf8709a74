"""How a command reaches a town: open it, run one operation, close it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tinytown.cli.terminal import note
from tinytown.errors import Invalid, NotInitialized, TooLarge, first_cause
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tinytown.cli.invocation import Common
    from tinytown.runtime.town import Town

Req = TypeVar("Req")
Res = TypeVar("Res")

MOST_INPUT = 64 << 20
"""Bytes taken from standard input: the largest limit that can be configured for a message."""


@contextmanager
def opened(common: Common) -> Iterator[Town]:
    """The town that the command is about. Its notices are shown, once."""
    from tinytown.runtime.opening import open_blocking

    with named_as_typed(common), open_blocking(Path(common.start), environ=os.environ) as town:
        _greet(town, common)
        yield town


def _greet(town: Town, common: Common) -> None:
    for line in town.notices:
        note(f"Note: {line}")
    if common.verbose:
        note(f"tt: town '{town.name}' at {town.root}, Redis at {town.connection.address.url}")


def ask(common: Common, operation: Callable[[Town, Req], Coroutine[object, object, Res]], request: Req) -> Res:
    """Open the town, run one operation, close it."""
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        return run_sync(operation(town, request))


def ask_with_trio(
    common: Common, operation: Callable[[Town, Req], Coroutine[object, object, Res]], request: Req
) -> Res:
    """As `ask`, for an operation that needs more than Redis."""
    import trio

    from tinytown.runtime.opening import open_async

    async def run() -> Res:
        async with open_async(Path(common.start), environ=os.environ) as town:
            _greet(town, common)
            return await operation(town, request)

    with named_as_typed(common):
        try:
            return trio.run(run)
        except BaseExceptionGroup as group:
            raise first_cause(group) from None


@contextmanager
def named_as_typed(common: Common) -> Iterator[None]:
    """A directory without a town is called in the error as it was typed."""
    try:
        yield
    except NotInitialized as error:
        if error.path != term_safe(os.path.realpath(common.start), lines=False):
            raise
        # The book says "at . Run": the dot is the directory, and ends the sentence.
        where = "" if common.start == "." else common.start
        raise NotInitialized(term_safe(where, lines=False)) from error


def text_or_input(text: str) -> str:
    """The text; for `-` what standard input holds, without the line end at its end."""
    if text != "-":
        return text
    if sys.stdin is None:
        raise Invalid("'-' reads standard input, and it is closed")
    raw = sys.stdin.buffer.read(MOST_INPUT + 1)
    if len(raw) > MOST_INPUT:
        raise TooLarge(f"Standard input holds more than {MOST_INPUT:,} bytes", hint="Put it into a file and name it.")
    try:
        return raw.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"Standard input is not valid UTF-8 (byte {error.start})", hint="Convert it, for example with iconv."
        ) from None


def place(town: Town, path: Path) -> str:
    """A path of the town as a person in this directory writes it: relative in the town's root, else whole."""
    if os.path.realpath(os.curdir) == str(town.root):
        return str(path.relative_to(town.root))
    return str(path)
