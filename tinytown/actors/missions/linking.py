"""Which pull request belongs to an item. No I/O.

An agent's result only suggests: agents quote numbers of issues, and of other people's pull requests. What counts is
what GitHub says of the suggested one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.actors.missions.references import Reference, Repository
from tinytown.actors.missions.telling import TRAILER

if TYPE_CHECKING:
    from tinytown.actors.missions.github.pulls import Pull
    from tinytown.mission_records import WorkItem

MOST = 10
"""Suggestions of one result that are looked at."""

_SUGGESTED = re.compile(
    r"https?://(?P<host>[A-Za-z0-9.:-]{1,260})/(?P<url_owner>[\w.-]{1,100})/(?P<url_name>[\w.-]{1,100})/pull/(?P<url>\d{1,10})"
    r"|(?<![\w./-])(?P<owner>[A-Za-z0-9][\w.-]{0,99})/(?P<name>[\w.-]{1,100})#(?P<number>\d{1,10})"
    r"|\b(?:PR|pull request)[ \t]*#?(?P<bare>\d{1,10})",
    re.ASCII | re.IGNORECASE,
)


def suggested(result: str, home: Repository, issue: Reference | None = None) -> list[Reference]:
    """The pull requests that a result may mean, addresses first, each once and never the issue of the item itself."""
    addresses: list[Reference] = []
    others: list[Reference] = []
    for found in _SUGGESTED.finditer(result):
        if found["url"] is not None:
            addresses.append(
                Reference(Repository.of(found["host"], found["url_owner"], found["url_name"]), int(found["url"]))
            )
        elif found["number"] is not None:
            others.append(Reference(Repository.of(home.host, found["owner"], found["name"]), int(found["number"])))
        else:
            others.append(Reference(home, int(found["bare"])))
    unique = dict.fromkeys(
        each for each in (*addresses, *others) if each != issue and each.possible and each.repository.host == home.host
    )
    return list(unique)[:MOST]


def belongs(pull: Pull, item: WorkItem, home: Repository) -> bool:
    """Whether a pull request is that of an item: in its repository, and from its branch or with its trailer.

    Anybody may call a branch of his fork as he likes, so one there needs the trailer.
    """
    if pull.glance.reference.repository != home:
        return False
    trailer = re.compile(rf"^{TRAILER}:[ \t]*{re.escape(item.id)}[ \t]*\r?$", re.MULTILINE)
    return (pull.branch == item.branch and not pull.foreign) or trailer.search(pull.body) is not None
