"""`tt history` and `tt why`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render import insight as render
from tinytown.cli.session import ask
from tinytown.cli.terminal import say

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.history import History
    from tinytown.runtime.operations.why import Why


def history(request: History, common: Common) -> int:
    """Show what agents have done."""
    from tinytown.runtime.operations.history import history as operation

    found = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found.entries))
    else:
        say(*render.chronicle(found))
    return 0


def why(request: Why, common: Common) -> int:
    """Say what an agent or a task waits for."""
    from tinytown.runtime.operations.why import why as operation

    found = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found))
    else:
        say(*render.answer(found))
    return 0
