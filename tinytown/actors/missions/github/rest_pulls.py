"""Pull requests over REST, for hosts and tokens without GraphQL: the same that `pulls` tells, in more requests.

A glance is four requests and a look in full six; all but the changed ones are free (304), and what a glance has read
a moment ago is not asked for again. What REST does not tell is put in its place: it has no resolved threads, so one
counts as open until another of those who belong to the repository has the last word; and no decision of the reviews, so
that is made from those of people who may write.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tinytown.actors.missions.compiler import TRUSTED
from tinytown.actors.missions.github.answers import object_of, objects, text_of
from tinytown.actors.missions.github.failures import GitHubFailed, GitHubRefused, absent
from tinytown.actors.missions.github.pulls import Glance, Opinion, Pull, Said, check_state, login_of
from tinytown.actors.missions.github.queries import each
from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.references import Reference
    from tinytown.messages import JsonObject

RECENT = 30.0
"""Seconds for which what a glance has read is not asked for again by the look in full that follows."""

LAST_COMMENTS = 30
"""Comments that are looked at, as many as over GraphQL."""

COMPUTING = 3.0
"""Seconds that GitHub is given to find out whether a pull request can be merged; it begins when first asked."""

_ASKED_AGAIN = 2
_STATES = ("open", "closed")
_MERGEABLE = {True: "MERGEABLE", False: "CONFLICTING"}
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a glance reads: the pull request itself, the checks of its head, and its reviews."""

    pull: JsonObject
    checks: tuple[tuple[str, str], ...] = ()
    opinions: tuple[Opinion, ...] = ()


async def glances(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Glance | None]:
    """Each pull request in short; None for one that is not there or may not be read. Raises what `GitHub.get` does."""
    return await _read(wanted, partial(_glanced, github))


async def details(github: GitHub, wanted: Sequence[Reference]) -> dict[Reference, Pull | None]:
    """Each pull request with everything; otherwise as `glances`."""
    return await _read(wanted, partial(_detailed, github))


async def _read(wanted: Iterable[Reference], ask: Callable[[Reference], Awaitable[_Got]]) -> dict[Reference, _Got]:
    found: dict[Reference, _Got] = {}
    for reference, got in await each(dict.fromkeys(wanted), ask):
        if isinstance(got, TownError):
            raise got
        found[reference] = got
    return found


async def _glanced(github: GitHub, reference: Reference) -> Glance | None:
    seen = await _seen(github, reference, recent=0.0)
    return None if seen is None else _glance(reference, seen)


async def _detailed(github: GitHub, reference: Reference) -> Pull | None:
    seen = await _seen(github, reference, recent=RECENT)
    if seen is None:
        return None
    head, base = object_of(seen.pull, "head"), object_of(seen.pull, "base")
    threads: tuple[Said, ...] = ()
    comments: tuple[Said, ...] = ()
    if seen.pull.get("state") == "open":
        threads = _threads(await _listed(github, f"{_path(reference, 'pulls')}/comments"))
        said = await _listed(github, f"{_path(reference, 'issues')}/comments")
        comments = tuple(_said(comment) for comment in said[-LAST_COMMENTS:])
    return Pull(
        _glance(reference, seen),
        branch=str(head.get("ref")),
        # The fork of a branch may be gone; that was somebody's as well.
        foreign=object_of(head, "repo").get("full_name") != object_of(base, "repo").get("full_name"),
        body=str(seen.pull.get("body") or ""),
        author=login_of(object_of(seen.pull, "user"))[0],
        checks=seen.checks,
        opinions=seen.opinions,
        threads=threads,
        comments=comments,
    )


async def _seen(github: GitHub, reference: Reference, *, recent: float) -> _Seen | None:
    """What a glance reads. Of one that is merged or closed nothing but that matters."""
    try:
        pull = await _pull(github, reference, recent=recent)
    except GitHubRefused as error:
        if absent(error):
            return None
        raise
    if pull.get("state") != "open":
        return _Seen(pull)
    commit = f"/repos/{reference.repository.full_name}/commits/{object_of(pull, 'head').get('sha')}"
    runs = await _listed(github, f"{commit}/check-runs?filter=latest", name="check_runs", recent=recent)
    statuses = await _listed(github, f"{commit}/status", name="statuses", recent=recent)
    reviews = await _listed(github, f"{_path(reference, 'pulls')}/reviews", recent=recent)
    checks = (*(_run(run) for run in runs), *(_status(status) for status in statuses))
    return _Seen(pull, checks, _opinions(reviews))


async def _pull(github: GitHub, reference: Reference, *, recent: float) -> JsonObject:
    path = _path(reference, "pulls")
    pull = (await github.get(path, background=True, recent=recent)).value
    for _ in range(_ASKED_AGAIN):
        if not isinstance(pull, dict) or pull.get("state") != "open" or pull.get("mergeable") is not None:
            break
        await github.sleep(COMPUTING)
        pull = (await github.get(path, background=True)).value
    if (
        not isinstance(pull, dict)
        or pull.get("state") not in _STATES
        or not text_of(object_of(pull, "head").get("sha"))
    ):
        raise GitHubFailed(f"GitHub gave no pull request for {reference}")
    return pull


async def _listed(github: GitHub, path: str, *, name: str | None = None, recent: float = 0.0) -> list[JsonObject]:
    path = f"{path}{'&' if '?' in path else '?'}per_page=100"
    return objects(await github.pages(path, name=name, background=True, recent=recent))


def _glance(reference: Reference, seen: _Seen) -> Glance:
    pull = seen.pull
    merged = pull.get("merged") is True or pull.get("merged_at") is not None
    mergeable = pull.get("mergeable")
    return Glance(
        reference,
        state="MERGED" if merged else str(pull.get("state")).upper(),
        head=str(object_of(pull, "head").get("sha")),
        draft=pull.get("draft") is True,
        mergeable=_MERGEABLE[mergeable] if isinstance(mergeable, bool) else "UNKNOWN",
        merge_state=str(pull.get("mergeable_state") or "unknown").upper(),
        review_decision=_decision(seen.opinions),
        rollup=_rollup({state for _, state in seen.checks}),
        updated_at=str(pull.get("updated_at")),
        base=str(object_of(pull, "base").get("ref")),
    )


def _rollup(states: set[str]) -> str | None:
    if not states:
        return None
    if states & {"failed", "again"}:
        return "FAILURE"
    return "PENDING" if "pending" in states else "SUCCESS"


def _decision(opinions: Iterable[Opinion]) -> str | None:
    states = {opinion.state for opinion in opinions}
    return next((state for state in ("CHANGES_REQUESTED", "APPROVED") if state in states), None)


def _run(run: JsonObject) -> tuple[str, str]:
    outcome = text_of(run.get("conclusion"))
    return str(run.get("name")), check_state(str(run.get("status")).upper(), outcome.upper() if outcome else None)


def _status(status: JsonObject) -> tuple[str, str]:
    return str(status.get("context")), check_state(None, str(status.get("state")).upper())


def _opinions(reviews: Iterable[JsonObject]) -> tuple[Opinion, ...]:
    """The last of each who may write; a comment is none."""
    found: dict[str, Opinion] = {}
    for review in reviews:
        author, state = login_of(object_of(review, "user"))[0], str(review.get("state"))
        if _trusted(review) and state not in ("COMMENTED", "PENDING"):
            found[author] = Opinion(author, state, str(review.get("commit_id")))
    return tuple(found.values())


def _threads(comments: Iterable[JsonObject]) -> tuple[Said, ...]:
    found: dict[str, list[JsonObject]] = {}
    for comment in comments:
        found.setdefault(str(comment.get("in_reply_to_id") or comment.get("id")), []).append(comment)
    return tuple(_thread(thread) for thread in found.values())


def _thread(comments: Sequence[JsonObject]) -> Said:
    first = comments[0]
    # Anybody may write there, but a stranger's word settles nothing.
    last = next((each for each in reversed(comments) if _trusted(each)), first)
    answered = object_of(last, "user").get("login") != object_of(first, "user").get("login")
    outdated = first.get("position") is None and first.get("subject_type") != "file"
    return _said(first, still_open=not answered and not outdated, path=text_of(first.get("path")))


def _said(comment: JsonObject, *, still_open: bool = True, path: str | None = None) -> Said:
    author, by_bot = login_of(object_of(comment, "user"))
    body, at = str(comment.get("body") or ""), str(comment.get("created_at"))
    return Said(str(comment.get("node_id")), author, by_bot, body, at, still_open, path, _trusted(comment))


def _trusted(said: JsonObject) -> bool:
    return text_of(said.get("author_association")) in TRUSTED


def _path(reference: Reference, what: str) -> str:
    return f"/repos/{reference.repository.full_name}/{what}/{reference.number}"
