"""What the body of an issue says it depends on. No I/O.

A declaration is one of a few words (`depends on`, `blocked by`, `requires`, `after`) followed at once by references,
or a heading or line of such a word alone with a list below it. What is quoted, struck out, code or a comment says
nothing; neither does what is ticked off, denied (`not blocked by`) or said of others (`Blocks #7`). Only the body
counts: a title and comments are not read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.actors.missions.markdown import blocks
from tinytown.actors.missions.references import Reference, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYWORD = re.compile(
    r"(?<![\w-])(?:depend(?:s|ing|ent)?[ \t]+(?:up)?on|blocked[- ]+(?:by|on)|requires?|after)\b", re.IGNORECASE
)
_LEAD = re.compile(
    "[ \t]*(?::|-|\u2013|\u2014|\u2192)?[ \t]*"
    r"(?:(?:issues?|prs?|pull requests?|tickets?)\b[ \t]*:?[ \t]*)?",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"(?:https?://(?P<host>[A-Za-z0-9.:-]{1,260})/(?P<url_owner>[\w.-]{1,100})/(?P<url_name>[\w.-]{1,100})"
    r"/(?:issues|pull)/(?P<url_number>\d{1,10})(?!\w)(?:[/?#][^\s,;()<>]*)?"
    r"|(?P<owner>[A-Za-z0-9][\w.-]{0,99})/(?P<name>[\w.-]{1,100})#(?P<number>\d{1,10})"
    r"|(?:#|GH-)(?P<bare>\d{1,10}))(?!\w)",
    re.ASCII | re.IGNORECASE,
)
_ASIDE = re.compile(r"[ \t]*\([^()\n]{0,120}\)")
_SEPARATOR = re.compile(r"[ \t]*(?:[,;&+/]|\band\b)[ \t]*(?:and\b[ \t]*)?|[ \t]+", re.IGNORECASE)
_SECTION = re.compile(
    r"(?:dependenc(?:y|ies)|depends?[ \t]+(?:up)?on|dependent[ \t]+on|blocked[- ](?:by|on)|requires?|after)[ \t]*:?",
    re.IGNORECASE,
)
_OUTBOUND = re.compile(r"(?:blocks|required by|needed by|unblocks)\b", re.IGNORECASE)
_WRAPPED = re.compile(r"(,|\band)[ \t]*\n[ \t]*", re.IGNORECASE)
_WORD = re.compile(r"[\w'’]+")  # noqa: RUF001
_CLAUSE_END = re.compile(r"[.;!?)|]")
_NEGATIONS = frozenset({"not", "never", "nothing", "cannot"})


def dependencies(body: str, of: Reference) -> list[Reference]:
    """What an issue with this body depends on, in the order of the text, each once and never the issue itself.

    References without a host are of the host of the issue; addresses on any other host are left out, and so is what
    GitHub cannot have (`#0`).
    """
    found = (each for each in _declared(body, of.repository) if each != of and each.possible)
    return list(dict.fromkeys(found))


def _declared(body: str, home: Repository) -> Iterator[Reference]:
    in_section = False
    for block in blocks(body, _issue_link):
        for line in _WRAPPED.sub(r"\1 ", block.text).split("\n"):
            text = line.strip()
            if _SECTION.fullmatch(text):
                in_section = not block.checked
                continue
            if block.heading or (text and not block.in_list):
                in_section = False
            if block.checked or _OUTBOUND.match(text):
                continue
            if in_section and block.begins_item:
                yield from _list_at(text, 0, home)[0]
            yield from _in_line(text, home)


def _in_line(text: str, home: Repository) -> Iterator[Reference]:
    at = 0
    while keyword := _KEYWORD.search(text, at):
        at = keyword.end()
        lead = _LEAD.match(text, at)
        found, end = _list_at(text, lead.end() if lead else at, home)
        if found and not _denied(text[max(0, keyword.start() - 60) : keyword.start()]):
            yield from found
        at = max(at, end)


def _list_at(text: str, at: int, home: Repository) -> tuple[list[Reference], int]:
    """The references that stand at a place, one after the other, and where they end."""
    found: list[Reference] = []
    while reference := _REFERENCE.match(text, at):
        if (meant := _meant(reference, home)) is not None:
            found.append(meant)
        at = reference.end()
        if aside := _ASIDE.match(text, at):
            at = aside.end()
        separator = _SEPARATOR.match(text, at)
        if separator is None or _REFERENCE.match(text, separator.end()) is None:
            break
        at = separator.end()
    return found, at


def _meant(found: re.Match[str], home: Repository) -> Reference | None:
    if found["host"] is not None:
        repository = Repository.of(found["host"], found["url_owner"], found["url_name"])
        return Reference(repository, int(found["url_number"])) if repository.host == home.host else None
    if found["owner"] is not None:
        return Reference(Repository.of(home.host, found["owner"], found["name"]), int(found["number"]))
    return Reference(home, int(found["bare"]))


def _denied(before: str) -> bool:
    """Whether one of the two words before a keyword takes it back."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(_CLAUSE_END.split(before)[-1])[-2:]]  # noqa: RUF001
    return any(word in _NEGATIONS or word.endswith("n't") for word in words) or words == ["no", "longer"]


def _issue_link(address: str) -> bool:
    found = _REFERENCE.fullmatch(address)
    return found is not None and found["host"] is not None
