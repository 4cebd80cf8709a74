"""What the watches on a pull request say, put for people. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.missions.reconcile import LIVE
from tinytown.ids import short
from tinytown.mission_records import EXTERNAL_GATE, GREEN
from tinytown.runtime.operations.missions.names import address
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinytown.mission_records import Mission, Watch, WorkItem

_LISTED = 5
_LATE = 1.5
"""A next look that is further away than so many intervals was put off by a limit of GitHub."""

KINDS = {
    "pr_checks": "CI check",
    "bugbot_comments": "Bot comments",
    "review_comments": "Review comments",
    "mergeability": "Merge",
    EXTERNAL_GATE: "Gate",
}
"""How people call what is watched."""

_FOUND = {
    "pr_checks": "its checks fail",
    "bugbot_comments": "a bot has found something",
    "review_comments": "there are open threads of a review",
    "mergeability": "it conflicts with its base",
}


def of_watches(
    mission: Mission, item: WorkItem, watches: Sequence[Watch], *, now: float, mending: Callable[[Watch], str]
) -> tuple[str, str, str]:
    """What holds the merge of an item: the fact by its name, the predicate, the advice.

    `mending` gives the name of the agent that mends what a watch has found, nothing when nobody does.
    """
    pull = item.pull or "its pull request"
    live = [watch for watch in watches if watch.state in LIVE]
    for watch in live:
        if watch.failures:
            why = one_line(watch.last_result or "no reason given", 120)
            return (
                "look_fails",
                f"waits: {pull} could not be looked at ({watch.failures} x; {why}), {again(watch, now)}",
                "",
            )
        if is_put_off(watch, now):
            until = times.timestamp(times.seconds_of(watch.next_due_at))[11:16]
            return "limited", f"waits: GitHub limits our requests until {until} UTC", ""
    for watch in live:
        if watch.findings:
            found = f"{_FOUND.get(watch.watch_kind, 'something was found')} ({_listed(watch.findings)})"
            by = mending(watch) if watch.fix_task_id is not None else ""
            return "repair", f"waits for a repair of {pull}: {found}" + (f"; '{by}' mends it" if by else ""), ""
    for watch in live:
        if watch.last_result != GREEN:
            how = watch.last_result or "not looked at yet"
            kind = KINDS.get(watch.watch_kind, watch.watch_kind)
            return "checks", f"waits for {pull}: {kind} is {one_line(how, 80)}, {again(watch, now)}", ""
    return _ready_to_merge(mission, item, pull)


def _ready_to_merge(mission: Mission, item: WorkItem, pull: str) -> tuple[str, str, str]:
    where = address(item.pull) if item.pull else ""
    if item.tainted:
        return "merge", f"waits for you to merge {pull}: a stranger wrote what it is made from", where
    if mission.auto_merge and item.head is not None and item.approved_head != item.head:
        name = item.number or short(item.id)
        return "merge", f"waits for an approval of the last commit of {pull}", f"tt mission approve {name}"
    if mission.auto_merge:
        return "merge", f"is ready: {pull} is merged with the next look", ""
    return "merge", f"is ready: it waits for somebody to merge {pull}", where


def again(watch: Watch, now: float) -> str:
    """When it is looked at next."""
    return f"looked at again in {until_due(watch, now)}s"


def until_due(watch: Watch, now: float) -> int:
    """Seconds until the next look."""
    return max(0, round(times.seconds_of(watch.next_due_at) - now))


def is_put_off(watch: Watch, now: float) -> bool:
    """Whether a limit holds it."""
    return not watch.failures and until_due(watch, now) > _LATE * watch.interval_secs


def _listed(texts: Sequence[str]) -> str:
    shown = ", ".join(one_line(text, 60) for text in texts[:_LISTED])
    return shown + (f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")
