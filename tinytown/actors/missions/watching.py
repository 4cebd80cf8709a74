"""What one look at a pull request says to all watches on it, and to its work item. No I/O.

What must be true: a pull request that was merged or closed ends its watches, whatever else is seen; no checks yet is
not green; what is not known is waited for; what a stranger writes is work for nobody; a look that failed changes no
item before the last of a row of them; and a limit is a wait and no failure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.github.budget import SET_BACK
from tinytown.ids import WatchId
from tinytown.lifecycle import WatchEvent, WatchState
from tinytown.mission_records import GREEN, WATCH_KINDS, Watch
from tinytown.times import seconds_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tinytown.actors.missions.github.pulls import Opinion, Pull, Said
    from tinytown.mission_records import Mission, WorkItem
    from tinytown.times import Timestamp

BUGBOTS = frozenset({"cursor", "bugbot"})
"""Whose threads are reports of a bot for `bugbot_comments`."""

BACKOFF = (60.0, 120.0, 300.0)
"""Seconds until the next look after the first, the second and any further one that failed."""

MOST_FAILURES = 5
"""Looks in a row that fail before the item waits for a person."""

ONCE_A_HEAD = frozenset({"pr_checks", "mergeability"})
"""Watches whose findings are about the head as a whole; those of the others are threads, each for itself."""

MOST_UNMENDED = 3
"""Looks, from the first after a repair on, that find the same at the same head: by then a push would be there."""

UNCHECKED_FOR = 120.0
"""Seconds for which a head must have been there, without any check, before it counts as one that has none."""

_LIVE = frozenset({WatchState.ACTIVE, WatchState.SNOOZED})
_MERGEABLE = {"CLEAN": GREEN, "HAS_HOOKS": GREEN, "BEHIND": "behind", "UNSTABLE": "unstable", "DRAFT": "draft"}


def watches_on(mission: Mission, item: WorkItem, now: Timestamp) -> tuple[Watch, ...]:
    """The watches for the pull request of an item: the same ids whenever they are made."""
    assert item.pull is not None
    return tuple(
        Watch(
            mission_id=mission.id,
            work_item_id=item.id,
            watch_kind=kind,
            target=item.pull,
            id=WatchId(str(uuid5(UUID(mission.id), f"{item.id}/{kind}/{item.pull}"))),
            interval_secs=mission.watch_interval_secs,
            next_due_at=now,
            created_at=now,
        )
        for kind in WATCH_KINDS
    )


def due(watches: Iterable[Watch], now: Timestamp) -> list[Watch]:
    """The watches to look at now: when the time of one has come, all that are live.

    A query serves a hundred at the price of one, so those that began at different times go on together. One whose time
    is further off than any wait is due, too: our clock was set back.
    """
    live = [watch for watch in watches if watch.state in _LIVE]
    at = seconds_of(now)
    return live if any(not 0 < seconds_of(each.next_due_at) - at <= _longest(each) for each in live) else []


def _longest(watch: Watch) -> float:
    return max(watch.interval_secs, SET_BACK)


def observed(
    mission: Mission,
    item: WorkItem,
    watches: Sequence[Watch],
    pull: Pull,
    now: Timestamp,
    *,
    bugbots: Collection[str] = BUGBOTS,
    no_suites: bool = False,
) -> tuple[WorkItem, tuple[Watch, ...]]:
    """The item and its watches after a look.

    `no_suites`: GitHub was asked, and has no suite of checks for this head.
    """
    glance = pull.glance
    if glance.state == "MERGED":
        return outcomes.pull_merged(item, now), tuple(_ended(watch, WatchEvent.FINISH, "merged") for watch in watches)
    if glance.state == "CLOSED":
        closed = "closed without being merged"
        return outcomes.pull_closed(item, now), tuple(_ended(watch, WatchEvent.FAIL, closed) for watch in watches)
    after = outcomes.pushed(mission, item, now, glance.head, glance.base)
    after = _judged(mission, after, pull, now)
    looked = [_looked(watch, pull, now, bugbots, no_suites=no_suites) for watch in watches]
    for place, watch in enumerate(looked):
        after, looked[place] = _unmended(after, watch, now)
    return after, tuple(looked)


def mended(watch: Watch, now: Timestamp) -> Watch:
    """Its repair is done, says whoever did it. Whether it helped, GitHub says, which is asked at once."""
    handled = (*watch.handled, _mended_key(watch)) if watch.watch_kind in ONCE_A_HEAD else watch.handled
    return replace(watch, fix_task_id=None, handled=handled, next_due_at=now)


def _mended_key(watch: Watch) -> str:
    return f"mended/{watch.head}"


def _unmended(item: WorkItem, watch: Watch, now: Timestamp) -> tuple[WorkItem, Watch]:
    """A repair that changed nothing is not asked for again: in the end a person has to see to it."""
    key = _mended_key(watch)
    if not watch.findings or key not in watch.handled or item.waits_for not in ("review", "merge"):
        return item, watch
    watch = replace(watch, handled=(*watch.handled, key))
    if watch.handled.count(key) <= MOST_UNMENDED:
        return item, watch
    why = f"its repair changed nothing at {watch.target}: {watch.last_result}"
    return replace(item, waits_for="person", reason=why, review_task_id=None, updated_at=now), watch


def look_failed(item: WorkItem, watch: Watch, now: Timestamp, reason: str) -> tuple[WorkItem, Watch]:
    """A look did not come to anything: later again, and after a row of them a person has to see to it."""
    failures = watch.failures + 1
    wait = BACKOFF[min(failures, len(BACKOFF)) - 1]
    later = replace(watch, failures=failures, next_due_at=timestamp(seconds_of(now) + wait), last_result=reason)
    if failures < MOST_FAILURES or item.waits_for not in ("review", "merge"):
        return item, later
    why = f"{watch.target} could not be looked at {failures} times; last: {reason}"
    return replace(item, waits_for="person", reason=why, updated_at=now), later


def look_limited(watch: Watch, until: float) -> Watch:
    """A limit holds until then (seconds since 1970)."""
    return replace(watch, next_due_at=timestamp(until))


def _ended(watch: Watch, event: WatchEvent, result: str) -> Watch:
    return replace(watch.after(event, result), findings=(), fix_task_id=None) if watch.state in _LIVE else watch


def _judged(mission: Mission, item: WorkItem, pull: Pull, now: Timestamp) -> WorkItem:
    """What people said of this very head. Nobody approves his own work."""
    opinions = [each for each in pull.opinions if each.commit == item.head and each.author != pull.author]
    against = next((each for each in opinions if each.state == "CHANGES_REQUESTED"), None)
    if against is not None:
        if item.waits_for == "merge":
            item = replace(item, waits_for="review", approved_head=None)
        return outcomes.reviewed(item, now, approved=False, head=item.head, reason=_by(against))
    approver = next((each.author for each in opinions if each.state == "APPROVED"), None)
    if approver is not None:
        return outcomes.reviewed(item, now, approved=True, head=item.head, approver=approver)
    if item.waits_for == "merge" and item.approver is not None and item.approved_head == item.head:
        return outcomes.withdrawn(mission, item, now)
    return item


def _by(opinion: Opinion) -> str:
    return f"{opinion.author} asks for changes on the pull request"


def _looked(watch: Watch, pull: Pull, now: Timestamp, bugbots: Collection[str], *, no_suites: bool) -> Watch:
    if watch.state not in _LIVE:
        return watch
    if watch.head != pull.glance.head:
        watch = replace(watch, head=pull.glance.head, head_seen_at=now)
    match watch.watch_kind:
        case "pr_checks":
            findings, result = _checks(watch, pull, now, no_suites=no_suites)
        case "bugbot_comments":
            findings, result = _threads(said for said in _all(pull, watch) if said.author in bugbots and said.by_bot)
        case "review_comments":
            findings, result = _threads(said for said in pull.threads if not said.by_bot and said.trusted)
            if not findings and any(said.open and not said.by_bot for said in pull.threads):
                # It may be right, so nothing is merged over it; but a stranger gives no work to anybody.
                result = "open threads of strangers"
            if not findings and "threads" in pull.unread:
                result = "more threads than can be read"
            if pull.glance.review_decision == "CHANGES_REQUESTED":
                result = "changes requested"
        case _:
            findings, result = _mergeability(pull)
    following = timestamp(seconds_of(now) + watch.interval_secs)
    return replace(watch, findings=findings, last_result=result, failures=0, next_due_at=following)


def _checks(watch: Watch, pull: Pull, now: Timestamp, *, no_suites: bool) -> tuple[tuple[str, ...], str]:
    failed = sorted({name for name, state in pull.checks if state == "failed"})
    broke_off = sorted({name for name, state in pull.checks if state == "again"})
    if broke_off and f"rerun/{watch.head}" in watch.handled:
        # They were run again once, and broke off again.
        failed, broke_off = sorted({*failed, *broke_off}), []
    if failed and pull.glance.rollup in ("FAILURE", "ERROR"):
        return tuple(failed), "failing"
    if broke_off:
        return (), "rerun"
    if "checks" in pull.unread and pull.glance.rollup in ("FAILURE", "ERROR"):
        return (f"one that is not among the first {len(pull.checks)}",), "failing"
    if pull.glance.rollup is None and not pull.checks:
        since = seconds_of(now) - seconds_of(watch.head_seen_at or now)
        return (), GREEN if no_suites and since >= UNCHECKED_FOR else "no checks yet"
    return (), GREEN if pull.glance.rollup == "SUCCESS" else "pending"


def _all(pull: Pull, watch: Watch) -> Iterable[Said]:
    """Threads, and those comments that came after this head."""
    since = seconds_of(watch.head_seen_at or watch.created_at)
    yield from pull.threads
    yield from (said for said in pull.comments if _at(said) >= since)


def _at(said: Said) -> float:
    try:
        return seconds_of(said.at)
    except ValueError:
        return 0.0


def _threads(said: Iterable[Said]) -> tuple[tuple[str, ...], str]:
    found = tuple(dict.fromkeys(each.id for each in said if each.open))
    return found, "open threads" if found else GREEN


def _mergeability(pull: Pull) -> tuple[tuple[str, ...], str]:
    glance = pull.glance
    if glance.mergeable == "CONFLICTING" or glance.merge_state == "DIRTY":
        return ("conflict",), "conflict"
    if glance.draft:
        # What GitHub calls the state of a draft is that of its merge, as if it were none.
        return (), "draft"
    if glance.mergeable != "MERGEABLE":
        return (), "pending"
    return (), _MERGEABLE.get(glance.merge_state, "pending")
