"""Where agents of a state are found, whatever happens to them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from towns import Parts

from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState
from tinytown.records import Agent
from tinytown.transport.agent_index import standing
from tinytown.transport.clearing import delete_agent
from tinytown.transport.questions import ask


async def found(town: Parts, most: int = 100) -> tuple[dict[AgentState, int], int, list[str]]:
    """The counts that are not 0, how many are at work, and the names of those listed."""
    it = (await ask(town.connection, standing(town.keys, most)))[0]
    names = await town.store.names()
    return (
        {state: count for state, count in it.by_state.items() if count},
        it.at_work,
        [names[each] for each in it.agents],
    )


async def test_an_agent_is_where_its_state_says_in_every_state(town: Parts) -> None:
    ada = await town.agent("ada")
    for state in AgentState:
        for at_work in (False, True, True, False):
            await town.store.update_agent(
                ada.id, lambda agent, state=state, at_work=at_work: replace(agent, state=state, in_round=at_work)
            )
            assert await found(town) == ({state: 1}, int(at_work), ["ada"])

    seen = await town.store.see_agent(ada.id)
    await town.store.commit(delete_agent(town.store.change(), town.keys, seen))

    assert await found(town) == ({}, 0, [])


async def test_those_at_work_come_first_then_those_alive_and_the_oldest_of_them(town: Parts) -> None:
    states = [AgentState.STOPPED, AgentState.IDLE, AgentState.DRAINING, AgentState.ERROR, AgentState.PAUSED]
    for number, state in enumerate(states):
        made = Agent(
            name=f"{number}", cli="any", state=state, created_at=f"2026-01-15T09:3{9 - number}:00.000Z",
            in_round=state is AgentState.PAUSED,
        )  # fmt: skip
        await town.store.commit(town.store.change().create_agent(made))

    assert (await found(town))[1:] == (1, ["4", "2", "1", "3", "0"])
    assert (await found(town, 2))[2] == ["4", "2"]
    assert (await found(town, 0))[2] == []
    assert (await ask(town.connection, standing(town.keys)))[0].total == 5


async def test_the_supervisor_is_not_among_them_and_a_strange_time_hides_nobody(town: Parts) -> None:
    await town.store.commit(town.store.change().create_supervisor())
    await town.store.update_agent(
        SUPERVISOR_ID, lambda it: replace(it, cli="any", state=AgentState.WORKING, in_round=True)
    )
    made = Agent(name="ada", cli="any", created_at=cast("str", "long ago"))
    await town.store.commit(town.store.change().create_agent(made))

    assert await found(town) == ({AgentState.STARTING: 1}, 0, ["ada"])
