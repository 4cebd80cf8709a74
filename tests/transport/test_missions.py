"""Missions in Redis: everything that belongs to one changes together, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from towns import Parts, snapshot

from tinytown.errors import AmbiguousId, BadMessage, LeaseLost, MissionNotFound
from tinytown.ids import AgentId, MissionId, WorkItemId, new_id
from tinytown.lifecycle import MissionEvent, MissionState, WorkItemEvent, WorkItemState
from tinytown.mission_records import Mission, SourceText, WorkItem
from tinytown.times import now
from tinytown.transport.missions import ACTIVE, EVENTS_KEPT, RUNG, Changed, SeenMission, update_mission
from tinytown.transport.snapshot import load, parse, take
from tinytown.transport.store import Raced


def unlocked(seen: SeenMission) -> Changed:
    """Everything that waits may begin."""
    items = tuple(
        item.after(WorkItemEvent.UNLOCK, now()) if item.state is WorkItemState.PENDING else item for item in seen.items
    )
    return Changed(seen.mission, items, seen.watches)


async def test_what_was_created_is_there_with_all_that_belongs_to_it(town: Parts) -> None:
    mission = await town.mission(3, 1, 2)

    seen = await town.missions.see(mission.id)

    assert seen.mission == mission
    assert [item.key for item in seen.items] == ["o/r#1", "o/r#2", "o/r#3"]
    assert [watch.work_item_id for watch in seen.watches] == [seen.items[2].id]
    texts = await town.missions.texts(mission.id, [item.id for item in seen.items[:2]])
    assert texts[seen.items[0].id] == SourceText("ann", "MEMBER", "do item 1\r\n\u2028")
    assert await town.missions.active() == [mission.id]
    assert [event.type for event in await town.missions.events(mission.id)] == ["mission.started"]
    (told,) = await town.journal.latest(1)
    assert (told.type, told.mission) == ("mission.started", mission.id)


async def test_a_change_writes_what_differs_and_raises_the_revision(town: Parts) -> None:
    mission = await town.mission(1, 2)

    await update_mission(town.store, town.missions, mission.id, unlocked)

    seen = await town.missions.see(mission.id)
    assert {item.state for item in seen.items} == {WorkItemState.READY}
    assert seen.mission.revision == mission.revision + 1
    assert len(seen.watches) == 1


async def test_of_two_who_change_a_mission_at_the_same_time_the_later_decides_again(town: Parts) -> None:
    mission = await town.mission(1)
    old = await town.missions.see(mission.id)
    await update_mission(town.store, town.missions, mission.id, unlocked)

    with pytest.raises(Raced):
        await town.store.commit(town.missions.replace(town.store.change(), old, unlocked(old)))

    decided: list[int] = []

    def decide(seen: SeenMission) -> Changed:
        decided.append(seen.mission.revision)
        return Changed(replace(seen.mission, notes=("be quick",)), seen.items, seen.watches)

    await update_mission(town.store, town.missions, mission.id, decide)
    assert decided == [1]


async def test_who_lost_the_mission_changes_nothing(town: Parts) -> None:
    mission = await town.mission(1)
    runtime = await town.begin()
    (placed,) = await town.placement.place(runtime, [AgentId(mission.id)])
    assert placed.fence is not None
    await town.placement.unplace(placed.fence, wanted=False)
    before = await snapshot(town.connection)

    with pytest.raises(LeaseLost):
        await update_mission(town.store, town.missions, mission.id, unlocked, fence=placed.fence)

    assert await snapshot(town.connection) == before


async def test_a_change_without_a_fence_rings_the_scheduler_and_one_under_a_fence_does_not(real_town: Parts) -> None:
    mission = await real_town.mission(1)
    runtime = await real_town.begin()
    (placed,) = await real_town.placement.place(runtime, [AgentId(mission.id)])
    change = real_town.store.change()
    seen = await real_town.missions.see(mission.id)

    rings = [
        words[2] for words in real_town.missions.replace(change, seen, unlocked(seen)).writes if "PUBLISH" in words
    ]
    assert rings == [RUNG + mission.id]
    fenced = real_town.store.change(placed.fence)
    assert not [
        words for words in real_town.missions.replace(fenced, seen, unlocked(seen)).writes if "PUBLISH" in words
    ]
    assert await real_town.ask("SMEMBERS", real_town.keys("ready")) in (set(), [])


@pytest.mark.parametrize("state", MissionState)
async def test_only_what_a_scheduler_works_on_is_active(town: Parts, state: MissionState) -> None:
    mission = await town.mission(1, state=state)

    assert await town.missions.active() == ([mission.id] if state in ACTIVE else [])
    assert await town.missions.all() == [mission]


async def test_a_mission_that_is_stopped_is_active_no_more(town: Parts) -> None:
    mission = await town.mission(1)

    def stop(seen: SeenMission) -> Changed:
        return Changed(seen.mission.after(MissionEvent.STOP, now()), seen.items, seen.watches)

    await update_mission(town.store, town.missions, mission.id, stop)

    assert await town.missions.active() == []


async def test_a_person_names_a_mission_by_the_beginning_of_its_id(town: Parts) -> None:
    mission = await town.mission(1)
    twin = replace(await town.mission(1), id=MissionId(mission.id[:-1] + ("0" if mission.id[-1] != "0" else "1")))
    await town.store.commit(town.missions.create(town.store.change(), Changed(twin, (), ())))

    assert await town.missions.find(mission.id.upper()) == mission.id
    with pytest.raises(AmbiguousId):
        await town.missions.find(mission.id[:8])
    for wanted in ("abc", "no-such", new_id()[:12]):
        with pytest.raises(MissionNotFound):
            await town.missions.find(wanted)
    with pytest.raises(MissionNotFound):
        await town.missions.see(MissionId(new_id()))


async def test_a_mission_remembers_its_last_events(town: Parts) -> None:
    mission = await town.mission(1)
    for number in range(EVENTS_KEPT + 5):
        await town.store.commit(
            town.missions.tell(town.store.change(), mission.id, "mission.noted", f"note {number}", agent="a", task="t")
        )

    found = await town.missions.events(mission.id)

    assert [event.detail for event in found] == [f"note {number}" for number in range(5, EVENTS_KEPT + 5)]
    assert (found[0].agent, found[0].task) == ("a", "t")
    assert len(await town.missions.events(mission.id, 3)) == 3


async def test_a_mission_of_a_thousand_items_is_one_commit(real_town: Parts) -> None:
    mission = Mission()
    items = tuple(WorkItem(mission.id, f"item {number}", "test", number=number) for number in range(1000))
    sources = {item.id: SourceText("ann", "OWNER", "text " * 100) for item in items}

    await real_town.store.commit(
        real_town.missions.create(real_town.store.change(), Changed(mission, items, (), sources))
    )

    assert (await real_town.missions.see(mission.id)).items == items
    assert len(await real_town.missions.texts(mission.id, [item.id for item in items])) == 1000


async def test_a_mission_of_which_a_part_cannot_be_read_is_not_taken_for_one_without_it(town: Parts) -> None:
    mission = await town.mission(1, 2)
    await town.ask("HSET", town.keys("mission_work", mission.id), new_id(), b'{"title":')

    with pytest.raises(BadMessage):
        await town.missions.see(mission.id)


async def test_a_restored_mission_waits_for_a_person(real_town: Parts) -> None:
    mission = await real_town.mission(1, 2)
    before = await real_town.missions.see(mission.id)
    data = await take(real_town.connection, real_town.keys)
    await real_town.ask("FLUSHDB")

    await load(real_town.connection, real_town.keys, parse(data, real_town.keys), force=False)

    assert await real_town.missions.see(mission.id) == before
    assert await real_town.missions.all() == [mission]
    assert await real_town.missions.active() == []
    assert len(await real_town.missions.texts(mission.id, [WorkItemId(item.id) for item in before.items])) == 2


@pytest.mark.parametrize(
    ("name", "part", "value"),
    [
        ("mission_work", "item", b'{"mission_id":"x","title":"t","item_kind":"test","id":"y"}'),
        ("mission_watch", "item", b"[]"),
        ("mission_text", "item", b'{"author":1,"association":"x","body":""}'),
    ],
)
async def test_a_save_file_with_a_damaged_part_of_a_mission_is_refused(
    real_town: Parts, name: str, part: str, value: bytes
) -> None:
    from tinytown.errors import BadSnapshot

    mission = await real_town.mission(1)
    (item,) = (await real_town.missions.see(mission.id)).items
    await real_town.ask("HSET", real_town.keys(name, mission.id), item.id if part == "item" else part, value)

    with pytest.raises(BadSnapshot):
        await take(real_town.connection, real_town.keys)
