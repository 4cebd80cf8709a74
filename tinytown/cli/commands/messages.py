"""`tt send`, `tt inbox`, `tt answer`, `tt dismiss`, and the old `tt tasks`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.cli.render import messages as render
from tinytown.cli.session import ask, text_or_input
from tinytown.cli.terminal import note, remark, say
from tinytown.runtime.operations import messages as operations

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.answering import Answer, Dismiss
    from tinytown.runtime.operations.messages import Inbox, Inboxes, Send


def send(request: Send, common: Common) -> int:
    """Send a message."""
    result = ask(common, operations.send, replace(request, text=text_or_input(request.text)))
    remark(result.note)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.message, to_name=result.to.name)))
    else:
        say(render.sent(result, request))
    return 0


def inbox(request: Inbox, common: Common) -> int:
    """Show one inbox."""
    view = ask(common, operations.inbox, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.encode(view)))
    else:
        say(*render.inbox(view))
        if render.is_answerable(view):
            note('Answer one: tt answer ID "..."; put it away: tt dismiss ID')
    return 0


def answer(request: Answer, common: Common) -> int:
    """Answer a message in the person's inbox."""
    from tinytown.runtime.operations import answering

    result = ask(common, answering.answer, replace(request, text=text_or_input(request.text)))
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result.message, to_name=result.to.name)))
    else:
        say(render.answered(result))
    remark(result.note)
    return 0


def dismiss(request: Dismiss, common: Common) -> int:
    """Put messages in the person's inbox away."""
    from tinytown.runtime.operations import answering

    result = ask(common, answering.dismiss, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result.messages))
    else:
        say(render.dismissed(result))
    return 0


def inboxes(request: Inboxes, common: Common) -> int:
    """Show all inboxes."""
    views = ask(common, operations.inboxes, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.encode_all(views)))
    else:
        say(*render.inboxes(views))
    return 0


def tasks(request: Inboxes, common: Common) -> int:
    """The old name of `tt inbox --all`."""
    note("Note: 'tt tasks' is now 'tt inbox --all'.")
    return inboxes(request, common)
