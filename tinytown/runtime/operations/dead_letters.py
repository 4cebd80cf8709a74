"""Dead letters and quarantine: look, send again, drop. Nothing leaves either by itself."""

from __future__ import annotations

import re
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import AmbiguousId, Invalid, NotFound, TaskNotFound, TownError
from tinytown.ids import MIN_PREFIX, TaskId
from tinytown.messages import TaskAssign
from tinytown.runtime.operations.bounds import PLACE, shown, whole
from tinytown.runtime.operations.messages import descriptions, said
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import rouse
from tinytown.runtime.operations.task_views import name_of
from tinytown.text import one_line
from tinytown.transport.mailbox import refuse
from tinytown.transport.shelves import Shelf, Shelved, Shelves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.ids import AgentId
    from tinytown.messages import Message
    from tinytown.runtime.town import Town

_MOST = 10_000
_NOTHING, _BETWEEN = "x", "_"
_CURSOR = "^({0}|{1}){2}({0}|{1})$".format(PLACE.strip("^$"), _NOTHING, _BETWEEN)
"""Two places, one in each of the two lists; a list of which nothing is left has none."""

_SHOWN_IDS = 10
"""Matches that an ambiguous prefix lists."""


@dataclass(frozen=True, slots=True)
class ListLetters:
    """The last `count` of each of the two lists; with `agent` those of one agent.

    With `before`, which is the `next` of another list, the last ahead of that one.
    """

    count: int = whole("number of letters", 0, _MOST, default=50)
    agent: str | None = None
    before: str | None = shown({"pattern": _CURSOR}, None)


@dataclass(frozen=True, slots=True)
class LetterView:
    """A letter with the names of its ids and what it says; `text` is empty for bytes that are no message."""

    letter: Shelved
    agent_name: str
    sender_name: str
    text: str


@dataclass(frozen=True, slots=True)
class LetterList:
    """Oldest first, the dead letters before the quarantine. The counts are of all there are.

    `next` is the `before` that goes on with what is older; None when nothing is.
    """

    letters: tuple[LetterView, ...]
    dead: int
    quarantined: int
    next: str | None = None


@dataclass(frozen=True, slots=True)
class ShowLetter:
    """One by its id or a unique prefix of it."""

    id: str


@dataclass(frozen=True, slots=True)
class ChooseLetters:
    """Some by their ids or unique prefixes, or `everything`."""

    ids: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A letter that stays where it is, and why."""

    letter: LetterView
    reason: str


@dataclass(frozen=True, slots=True)
class Retried:
    """What went back to its lane, and what could not. `note` says what keeps it from being read, or that a runtime
    was started for it."""

    letters: tuple[LetterView, ...]
    refused: tuple[Refused, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is gone. `orphans` are the tasks, still open, that the dropped messages were to start."""

    letters: tuple[LetterView, ...]
    orphans: tuple[str, ...] = ()


@operation("dlq.list", Scope.READ)
async def list_letters(town: Town, request: ListLetters) -> LetterList:
    """Show the messages that were put aside.

    Raises `AgentNotFound`, `Invalid`.
    """
    store, count, places = _shelves(town), request.count, _places(request.before)
    agent = (await town.store.find_agent(request.agent)).id if request.agent is not None else None
    found: list[Shelved] = []
    older: list[str] = []
    for shelf, before in zip(Shelf, places, strict=True):
        here = [] if before == _NOTHING else await store.latest(shelf, count + 1, before=before, agent=agent)
        listed = here[-count:] if count else []
        found += listed
        older.append(listed[0].place if 0 < count < len(here) else _NOTHING)
    counts = await store.counts()
    following = None if set(older) == {_NOTHING} else _BETWEEN.join(older)
    return LetterList(tuple(await _views(town, found)), counts[Shelf.DEAD], counts[Shelf.QUARANTINE], following)


@operation("dlq.show", Scope.READ)
async def show_letter(town: Town, request: ShowLetter) -> LetterView:
    """Show one message that was put aside, whole.

    Raises `NotFound`, `AmbiguousId`.
    """
    (view, *_) = await _views(town, await _chosen(town, ChooseLetters((request.id,))))
    return view


@operation("dlq.retry", Scope.WRITE)
async def retry_letters(town: Town, request: ChooseLetters) -> Retried:
    """Put messages back at the end of their lanes, with nothing counted against them.

    Those whose mailbox is full or gone stay where they are. Raises `NotFound`, `AmbiguousId`, `Invalid`.
    """
    chosen = await _chosen(town, request)
    done, refused = [], []
    for view in await _views(town, chosen):
        (code,) = await _shelves(town).redeliver([view.letter], town.caller.name)
        try:
            refuse(code, view.agent_name, town.settings.limits)
        except TownError as error:
            refused.append(Refused(view, error.message))
            continue
        if code:
            done.append(view)
    agents = await town.store.agents_of(list({view.letter.agent for view in done}))
    return Retried(tuple(done), tuple(refused), await rouse(town, agents))


@operation("dlq.drop", Scope.WRITE)
async def drop_letters(town: Town, request: ChooseLetters) -> Dropped:
    """Drop messages for good.

    Raises `NotFound`, `AmbiguousId`, `Invalid`.
    """
    views = await _views(town, await _chosen(town, request))
    gone = [view for view in views if all(await _shelves(town).discard([view.letter], town.caller.name))]
    return Dropped(tuple(gone), tuple(await _orphans(town, gone)))


async def _orphans(town: Town, views: Iterable[LetterView]) -> list[str]:
    """The tasks that nothing starts any more; a person has to decide about them."""
    orphans = []
    for view in views:
        body = view.letter.message.body if view.letter.message is not None else None
        if isinstance(body, TaskAssign):
            # A dead letter may name a task that is gone: that is why it died.
            with suppress(TaskNotFound):
                if not (await town.store.task(TaskId(body.task_id))).state.is_terminal:
                    orphans.append(body.task_id)
    return list(dict.fromkeys(orphans))


def _places(before: str | None) -> Sequence[str | None]:
    """For each of the two lists the place ahead of which to look, `_NOTHING` when all of it was shown."""
    if before is None:
        return [None for _ in Shelf]
    if re.fullmatch(_CURSOR, before) is None:
        raise Invalid(f"'before' is no 'next' of a list: {one_line(before, 80)}")
    return before.split(_BETWEEN)


def _shelves(town: Town) -> Shelves:
    return Shelves(town.connection, town.keys, town.settings.limits)


async def _chosen(town: Town, request: ChooseLetters) -> list[Shelved]:
    """The letters that are meant; one id may name several, of which all are."""
    if bool(request.ids) == request.everything:
        raise Invalid("Say which messages are meant", hint="Name their ids, as 'tt dlq list' shows them, or --all.")
    matches: dict[str, list[Shelved]] = {wanted: [] for wanted in request.ids}
    everything = []
    async with aclosing(_shelves(town).all()) as letters:
        async for letter in letters:
            if request.everything:
                everything.append(letter)
            for wanted, found in matches.items():
                if len(wanted) >= MIN_PREFIX and letter.id.lower().startswith(wanted.lower()):
                    found.append(letter)
    if request.everything:
        return everything
    meant = [letter for wanted, found in matches.items() for letter in _only_one_id(wanted, found)]
    # Two prefixes of one letter mean it once.
    return list({(letter.shelf, letter.place): letter for letter in meant}.values())


def _only_one_id(wanted: str, found: list[Shelved]) -> list[Shelved]:
    shown = one_line(wanted, 64)
    found = [letter for letter in found if letter.id == wanted] or found
    if not found:
        raise NotFound(
            f"No dead letter and no quarantined message has the id {shown}",
            hint="See what is there with: tt dlq list",
        )
    ids = list(dict.fromkeys(letter.id for letter in found))
    if len(ids) > 1:
        raise AmbiguousId(f"'{shown}' fits {len(ids)} ids: {', '.join(ids[:_SHOWN_IDS])}")
    return found


async def _views(town: Town, letters: Iterable[Shelved]) -> list[LetterView]:
    letters = list(letters)
    names: Mapping[AgentId, str] = await town.store.names()
    messages: list[Message] = [letter.message for letter in letters if letter.message is not None]
    tasks = await descriptions(town, messages)
    return [
        LetterView(
            letter,
            name_of(letter.agent, names),
            name_of(letter.message.sender, names) if letter.message is not None else "",
            said(letter.message.body, tasks) if letter.message is not None else "",
        )
        for letter in letters
    ]
