"""Which runtimes live.

A lease says that a runtime lived some seconds ago. Of this host more is known: the kernel gives the lock of a
runtime back the moment it dies. So one that was killed, or ended with the machine, is dead here at once, and for
other hosts when its lease has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.records import Agent
    from tinytown.runtime.ground import Ground
    from tinytown.runtime.town import Town
    from tinytown.transport.placement import RuntimeCard

NONE_LIVES = "No runtime is alive: it will begin after 'tt start'"
BEING_STOPPED = "The town is being stopped: it will begin after 'tt start'"


def being_stopped(town: Town) -> str | None:
    """What to say while the runtime of this host, which was asked to end, lets its last turns end."""
    return BEING_STOPPED if town.ground.state.runtime_ends() else None


async def living(town: Town) -> list[RuntimeCard]:
    """The runtimes that live, as far as this host can know."""
    return without_dead(town.ground, await town.placement.runtimes())


def without_dead(ground: Ground, cards: Iterable[RuntimeCard]) -> list[RuntimeCard]:
    """Those of these runtimes that are not known to be dead."""
    found = list(cards)
    if not found or ground.state.runtime_lives():
        return found
    return [card for card in found if card.host != ground.host]


async def held_agents(town: Town, agents: Sequence[Agent]) -> set[str]:
    """Those that a living runtime holds."""
    holders = await town.placement.holders([agent.id for agent in agents])
    if not holders:
        return set()
    alive = {card.id for card in await living(town)}
    return {agent_id for agent_id, runtime in holders.items() if runtime in alive}
