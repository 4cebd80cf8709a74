"""Which mission and which work item a person means.

What must be true: of two that fit, neither is taken; and what is over is found only when it is named as a whole or
by its mission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import AmbiguousId, Conflict, NotFound, WorkItemNotFound
from tinytown.ids import MIN_PREFIX, short
from tinytown.lifecycle import MissionState
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.ids import MissionId
    from tinytown.mission_records import Mission, WorkItem
    from tinytown.runtime.town import Town

OVER = frozenset({MissionState.COMPLETED, MissionState.FAILED})
"""In these a mission stays as it is."""

_SHOWN = 80


async def live(town: Town) -> list[Mission]:
    """The missions that are not over, newest first: stopped ones, too."""
    return [mission for mission in await town.missions.all() if mission.state not in OVER]


async def one_mission(town: Town, wanted: str | None) -> MissionId:
    """The mission that is named; without a name the only one that is not over.

    Raises `MissionNotFound`, `AmbiguousId`, and `NotFound` when none is named and there is none.
    """
    if wanted is not None:
        return await town.missions.find(wanted)
    found = await live(town)
    if not found:
        raise NotFound("There is no mission", hint="Start one with: tt mission start --issue 23")
    if len(found) > 1:
        listed = ", ".join(short(mission.id) for mission in found[:10])
        raise AmbiguousId(
            f"There are {len(found)} missions: {listed}",
            hint="Name one by its id: --run ID, or the ID alone with 'tt mission events'",
        )
    return found[0].id


async def one_item(town: Town, wanted: str, mission: str | None) -> tuple[MissionId, WorkItem]:
    """The work item that is named by its key, its number, its id or a prefix of that.

    It is looked for in the mission that is named, else in all that are not over. Raises `WorkItemNotFound`,
    `MissionNotFound`, `AmbiguousId`.
    """
    if mission is not None:
        places = [await town.missions.see(await town.missions.find(mission))]
    else:
        places = [await town.missions.see(each.id) for each in await live(town)]
    found = [(seen.mission.id, item) for seen in places for item in matching(seen.items, wanted)]
    if not found:
        raise WorkItemNotFound(one_line(wanted, _SHOWN))
    if len(found) > 1:
        listed = ", ".join(f"{item.key or item.id} of {short(mission_id)}" for mission_id, item in found[:10])
        raise AmbiguousId(
            f"'{one_line(wanted, _SHOWN)}' fits {len(found)} work items: {listed}",
            hint="Name the mission with --run, or give more characters of the item's id.",
        )
    return found[0]


def matching(items: Sequence[WorkItem], wanted: str) -> list[WorkItem]:
    """The items that fit a name: by id or key, else by number, else by the beginning of the id."""
    lowered = wanted.strip().lower()
    exact = [item for item in items if lowered in (item.id, item.key.lower())]
    if exact:
        return exact
    number = lowered.removeprefix("#")
    if number.isascii() and number.isdigit():
        numbered = [item for item in items if item.number and item.number == int(number[:12])]
        if numbered:
            return numbered
    return [item for item in items if len(lowered) >= MIN_PREFIX and item.id.startswith(lowered)]


def the_item(items: Iterable[WorkItem], item_id: str) -> WorkItem:
    """The item of this id; `WorkItemNotFound`."""
    found = next((item for item in items if item.id == item_id), None)
    if found is None:
        raise WorkItemNotFound(item_id)
    return found


def refuse_over(mission: Mission) -> None:
    """`Conflict` for a mission in which nothing can change any more."""
    if mission.state in OVER:
        raise Conflict(
            f"Mission {mission.id} is {mission.state}: nothing of it can be changed",
            hint="Start another one with: tt mission start",
        )
