"""`tt prune` and `tt reset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render import clearing as render
from tinytown.cli.render.repair import busy
from tinytown.cli.session import ask
from tinytown.cli.terminal import note, say
from tinytown.runtime.operations import clearing as operations

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.clearing import Prune, Reset


def prune(request: Prune, common: Common) -> int:
    """Remove agents; 1 when some had to stay."""
    result = ask(common, operations.prune, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(*render.pruned(result))
    note(*(busy(agent, "prune") for agent in result.busy))
    return 1 if result.busy else 0


def reset(request: Reset, common: Common) -> int:
    """Delete what the town has, or say what that would be."""
    result = ask(common, operations.reset, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(*render.reset(result, agents_only=request.agents_only))
    return 0
