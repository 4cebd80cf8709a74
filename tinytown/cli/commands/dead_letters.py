"""`tt dlq`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render import dead_letters as render
from tinytown.cli.session import ask
from tinytown.cli.terminal import note, remark, say
from tinytown.ids import short
from tinytown.runtime.operations import dead_letters as operations
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.dead_letters import ChooseLetters, ListLetters, ShowLetter


def show_all(request: ListLetters, common: Common) -> int:
    """Show both lists."""
    found = ask(common, operations.list_letters, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.encode_all(found.letters)))
    else:
        say(*render.listing(found))
    return 0


def show(request: ShowLetter, common: Common) -> int:
    """Show one message."""
    view = ask(common, operations.show_letter, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.encode(view)))
    else:
        say(*render.details(view))
    return 0


def retry(request: ChooseLetters, common: Common) -> int:
    """Put messages back; fails when one could not be."""
    result = ask(common, operations.retry_letters, request)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        refused = [fields_of(each, letter=render.encode(each.letter)) for each in result.refused]
        say(dump({"retried": render.encode_all(result.letters), "refused": refused}))
    else:
        say(*(render.retried(result) or ([] if result.refused else [render.EMPTY])))
    remark(result.note)
    for each in result.refused:
        note(f"❌ {render.handle(each.letter)} stays where it is: {term_safe(each.reason)}")
    return 1 if result.refused else 0


def drop(request: ChooseLetters, common: Common) -> int:
    """Throw messages away."""
    result = ask(common, operations.drop_letters, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"dropped": render.encode_all(result.letters), "orphans": result.orphans}))
    else:
        say(*(render.dropped(result) or [render.EMPTY]))
    for task_id in result.orphans:
        note(f"Note: Task {short(task_id)} is still open, and nothing starts it any more. See: tt why {short(task_id)}")
    return 0
