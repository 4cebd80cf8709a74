"""Dead letters and quarantine, as `tt dlq` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.encode import fields_of
from tinytown.cli.render.tasks import moment
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.text import one_line, term_safe
from tinytown.transport.shelves import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.messages import JsonObject
    from tinytown.runtime.operations.dead_letters import Dropped, LetterList, LetterView, Retried

EMPTY = "No dead letters, and nothing in quarantine."

_REASON = 500
"""Characters of a reason, which is shown whole."""

_HASH = "sha1-"


def listing(found: LetterList) -> list[str]:
    """Both lists."""
    lines = []
    for shelf, title, count in (
        (Shelf.DEAD, "📪 Dead letters", found.dead),
        (Shelf.QUARANTINE, "☣️  Quarantine", found.quarantined),
    ):
        shown = [view for view in found.letters if view.letter.shelf is shelf]
        if not shown:
            continue
        lines.append(f"{title} ({count}):" if len(shown) == count else f"{title} ({len(shown)} of {count}):")
        for view in shown:
            lines += _lines(view)
    return lines or [EMPTY]


def _lines(view: LetterView) -> list[str]:
    letter = view.letter
    before = f"   {handle(view)} [{_name(view.agent_name)}] "
    return [
        before + fit(view.text or "(no message)", cells(before)),
        f"      {moment(letter.at)}, {_attempts(letter.attempts)}: {one_line(letter.reason, _REASON)}",
    ]


def details(view: LetterView) -> list[str]:
    """All that is known of one."""
    letter = view.letter
    where = "the dead letters" if letter.shelf is Shelf.DEAD else "quarantine"
    rows = [
        ("In", where),
        ("For", view.agent_name),
        ("From", view.sender_name),
        ("Type", letter.message.body.type if letter.message is not None else ""),
        ("Priority", str(letter.lane)),
        ("Since", moment(letter.at)),
        ("Failed turns", str(letter.attempts)),
        ("Reason", letter.reason),
        ("Text", view.text),
        ("Bytes", "" if letter.message is not None else repr(letter.raw)),
    ]
    return [
        f"📪 Message: {term_safe(letter.id, lines=False)}",
        *(line for name, text in rows if text for line in _row(name, text)),
    ]


def retried(result: Retried) -> list[str]:
    """What went back."""
    return [f"📬 {handle(view)} is back in the mailbox of '{_name(view.agent_name)}'" for view in result.letters]


def dropped(result: Dropped) -> list[str]:
    """What is gone."""
    return [f"🗑️  Dropped {handle(view)} of '{_name(view.agent_name)}'" for view in result.letters]


def handle(view: LetterView) -> str:
    """What to call it by: the beginning of its id."""
    shown = view.letter.id
    shown = _HASH + short(shown.removeprefix(_HASH)) if shown.startswith(_HASH) else short(shown)
    return term_safe(shown, lines=False)


def encode(view: LetterView) -> JsonObject:
    """One for programs: the message as on the wire, or its bytes as text where it is none."""
    letter = view.letter
    raw = None if letter.message is not None else letter.raw.decode("utf-8", "backslashreplace")
    return fields_of(
        letter, agent_name=view.agent_name, from_name=view.sender_name or None, text=view.text or None, raw=raw
    )


def encode_all(views: Sequence[LetterView]) -> list[JsonObject]:
    """Many for programs."""
    return [encode(view) for view in views]


def _attempts(count: int) -> str:
    return f"{count} failed turn{'s' if count != 1 else ''}"


def _name(name: str) -> str:
    return term_safe(name, lines=False)


def _row(name: str, text: str) -> list[str]:
    first, *rest = term_safe(text).splitlines() or [""]
    return [f"   {name}: {first}", *(f"      {line}" if line else "" for line in rest)]
