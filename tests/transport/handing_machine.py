"""The machine of the mailbox with actors that stand ready and are handed what is sent to them.

A machine of its own: every rule takes from the time that a search has for the others.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from mailbox_machine import AGENTS, LEASE, SIZES, MailboxMachine, outcome_of
from towns import work

from tinytown.messages import LANES, Informational
from tinytown.transport.blocking import run_sync


class HandingMachine(MailboxMachine):
    """Two agents that stand ready whenever they can, from the beginning on."""

    @initialize()
    def a_town_with_two_agents(self) -> None:
        super().a_town_with_two_agents()
        for of in (0, 1):
            self.stand(of, 4)

    def stand(self, of: int, count: int) -> None:
        """It hears what it was told, and looks again."""
        if self.model.actors[of].controls:
            self.look_with_empty_hands(of, count, 100_000)
        self.look_with_empty_hands(of, count, 100_000)

    @rule()
    def the_runtimes_go_deaf_or_hear_again(self) -> None:
        self.listen(on=not self.listening)

    def has_room_for_many(self) -> bool:
        """Whether whatever `send_many` sends is accepted."""
        return len(self.model.unsettled) < 2

    @precondition(has_room_for_many)
    @rule(to=st.lists(AGENTS, min_size=2, max_size=4) | st.sampled_from(([0, 0], [1, 1, 1])), data=st.data())
    def send_many(self, to: list[int], data: st.DataObject) -> None:
        """Several in one commit."""
        change, sent = self.town.store.change(), []
        for of in to:
            actor = self.model.actors[of]
            message = work(
                actor.agent, "x" * data.draw(st.sampled_from((1, 1, 700))), data.draw(st.sampled_from(LANES))
            )
            if data.draw(st.sampled_from((True, True, True, False))) is False:
                message = replace(message, body=Informational("y"))
            change.send(message)
            sent.append((actor, message))
        run_sync(self.town.store.commit(change))
        self.arrive(sent)

    # Actors that stand ready.

    @rule(of=AGENTS, count=st.integers(1, 3), size=SIZES)
    def look_with_empty_hands(self, of: int, count: int, size: int) -> None:
        """Whatever it was handed and does not know of goes back first."""
        actor = self.model.actors[of]
        actor.deliveries = {}
        actor.prompted.clear()
        self.model.recover(actor, set(actor.claimed))
        stance = f"{self.runtimes[self.current]} {round(1000 * LEASE)} {count} {size}"
        self.claim(of, count, size, stance)

    def idle(self) -> list[int]:
        return self.having(lambda actor: not (actor.waiting or actor.held or actor.claimed))

    @precondition(idle)
    @rule(data=st.data(), count=st.integers(2, 4), many=st.sampled_from((True, True, False)))
    def an_idle_agent_stands(self, data: st.DataObject, count: int, many: bool) -> None:
        """And it may be sent several at once."""
        of = data.draw(st.sampled_from(self.idle()))
        self.stand(of, count)
        if many and self.has_room_for_many():
            self.send_many([of] * data.draw(st.integers(2, 4)), data)

    @precondition(lambda self: self.having(lambda actor: actor.deliveries))
    @rule(of=AGENTS, verb=st.sampled_from(("ack", "ack", "return", "fail")), size=SIZES)
    def settle_and_stand(self, of: int, verb: str, size: int) -> None:
        actor = self.model.actors[of]
        settled = [(delivery, outcome_of(delivery, verb)) for delivery in actor.deliveries.values()]
        stands = run_sync(self.boxes().settle_and_stand(actor.fence, settled, count=2, size=size, lease=LEASE))
        for delivery, outcome in sorted(settled, key=lambda pair: -pair[0].tag):
            del actor.deliveries[delivery.tag]
            if delivery.tag in actor.claimed:
                self.model.settle(actor, delivery.tag, outcome)
        assert stands == (actor.stance is not None), "I17: told wrongly that it stands"
        if stands:
            actor.stance = f"{self.runtimes[self.current]} {round(1000 * LEASE)} 2 {size}"

    @precondition(lambda self: self.having(lambda actor: actor.stance))
    @rule(data=st.data())
    def a_round_of_handing(self, data: st.DataObject) -> None:
        """Handed, settled, handed again: what a busy agent does."""
        of = data.draw(st.sampled_from(self.having(lambda actor: actor.stance)))
        self.send_one(
            self.model.actors[of], work(self.model.actors[of].agent, "again", data.draw(st.sampled_from(LANES)))
        )
        self.settle_and_stand(of, "ack", 100_000)
