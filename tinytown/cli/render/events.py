"""Events, as `tt events` shows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.cli.render.tasks import moment
from tinytown.cli.terminal import cells, fit
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.records import Event

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

EMPTY = "No events."


def line(event: Event, names: Mapping[str, str]) -> str:
    """One event on one line; `names` are those of the agents, by id."""
    who = f" [{_name(event.agent, names)}]" if event.agent else ""
    what = f" task {short(event.task)}" if event.task else ""
    before = f"{moment(event.at)} {term_safe(event.type, lines=False)}{who}{term_safe(what, lines=False)}"
    if not event.detail:
        return before
    return f"{before} {fit(detail_of(event.detail, names), cells(before) + 1)}"


def detail_of(text: str, names: Mapping[str, str]) -> str:
    """The text with names in place of the ids of agents, and with short forms of all other ids."""
    return _ID.sub(lambda found: _name(found[0], names), text)


def _name(agent_id: str, names: Mapping[str, str]) -> str:
    if agent_id == SUPERVISOR_ID:
        return "conductor"
    return term_safe(names.get(agent_id, short(agent_id)), lines=False)
