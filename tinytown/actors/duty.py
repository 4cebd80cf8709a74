"""What an agent is there for, besides the work of its mailbox. A worker has no duty; the conductor has one.

The rounds are the same for both: claimed, begun, run, told, settled. A duty decides what starts one, what is said
in it, which tasks outlive it, and when there is nothing more to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tinytown.actors.rounds import Round
    from tinytown.messages import Message
    from tinytown.records import Agent


class Duty(Protocol):
    """The duty of one agent. All its methods are called by the agent's actor."""

    def starts_a_round(self, message: Message) -> bool:
        """The message is worth a round; others ride along in the next one."""

    async def take_up(self, agent: Agent, work: Round) -> None:
        """Called with what was claimed, before anything is decided: put aside what is past, say what lasts."""

    async def prompt(self, agent: Agent, work: Round, *, mark: str) -> str:
        """What the CLI is told. `mark` is random text that no sender can have known."""

    async def lay_down(self, agent: Agent, work: Round) -> None:
        """Called when the CLI has ended well, before that is told: what of the round ends with it, and what lasts."""

    async def is_done(self, agent_id: str) -> bool:
        """Called before each claim: nothing more is to be done, and the agent ends."""
