"""One coding agent: an actor whose turn is a round, one run of its CLI on all that waits for it.

A round begins with a commit (agent working, tasks running), which fails when the agent was paused or stopped in
the meantime; then nothing starts. It ends with a commit (agent idle, or what was asked for meanwhile; tasks ended
or returned), and only then are its messages settled. A crash between any two of these steps repeats work and
never loses any: a task that has ended is not worked on again.

While nothing asks for work no process runs and no token is spent. Pings and questions about the state are
answered here; what only informs waits for the next round.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.actor import Actor, Bell, Pace, Turn
from tinytown.actors.backoff import pause
from tinytown.actors.child import Ladder
from tinytown.actors.prompts import build_prompt
from tinytown.actors.rounds import Round, gather
from tinytown.actors.verification import feedback
from tinytown.errors import (
    AgentNotFound,
    Forbidden,
    IllegalTransition,
    Invalid,
    RedisUnreachable,
    TownError,
    Unavailable,
)
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.messages import Message, Ping, Pong, Priority, Shutdown, StatusRequest, StatusResponse
from tinytown.transport.delivery import Ack, Control, ControlKind, DeadLetter, Outcome, Retry, Return

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random
    from typing import Protocol

    from tinytown.actors.acceptance import Checked
    from tinytown.actors.drivers.text import TurnResult
    from tinytown.actors.duty import Duty
    from tinytown.actors.pickup import Pickup
    from tinytown.actors.progress import Progress
    from tinytown.records import Agent, Task
    from tinytown.transport.delivery import Delivery, Fence
    from tinytown.transport.mailbox import Mailbox

    class RunRound(Protocol):
        """Runs the agent's CLI once, on this prompt."""

        async def __call__(self, agent: Agent, number: int, prompt: str, ladder: Ladder) -> TurnResult:
            """The result, however the CLI ended; cancelling ends it."""

    class CheckTasks(Protocol):
        """Runs the checks of these tasks where the agent has worked."""

        async def __call__(self, agent: Agent, number: int, tasks: Sequence[Task], ladder: Ladder) -> Checked:
            """What came of them, of each task that has any; cancelling ends what runs."""


_ALL = 1_000_000
"""More messages than any mailbox may hold."""

STOP_STEP = 2.0
"""Seconds each step of a child's end may take when a person said `kill --now`."""

TELL_GRACE = 10.0
"""Seconds for the records to learn how a run has ended, whatever cuts the turn: repeating it would cost more."""


@dataclass(frozen=True, slots=True)
class RoundRules:
    """The numbers of a round. Seconds, bytes, counts."""

    timeout: float = 3600.0
    """A run longer than this, with its checks, has failed. Silence is no sign: a CLI in print mode says nothing until
    it is done."""
    prompt_size: int = 256 * 1024
    backoff_base: float = 5.0
    backoff_cap: float = 600.0
    failed_rounds: int = 5
    """So many in a row, and the fault is the agent's or its CLI's."""
    attempts: int = 5
    """So many failures of one message while others succeeded, and the fault is the message's."""
    suspected: int = 2
    """After so many deaths of a runtime with it in the prompt, a message is worked on alone."""
    interrupt_grace: float = 5.0
    terminate_grace: float = 10.0

    def ladder(self) -> Ladder:
        """How a run that is cut is ended."""
        return Ladder(interrupt_s=self.interrupt_grace, terminate_s=self.terminate_grace)


class AgentActor(Actor):
    """The actor of one agent."""

    def __init__(
        self,
        fence: Fence,
        mailbox: Mailbox,
        bell: Bell,
        pace: Pace,
        *,
        progress: Progress,
        run_round: RunRound,
        rules: RoundRules,
        town: str,
        random: Random,
        pickup: Pickup | None = None,
        check_tasks: CheckTasks | None = None,
        duty: Duty | None = None,
    ) -> None:
        super().__init__(fence, mailbox, bell, pace)
        self._progress = progress
        self._run_round = run_round
        self._rules = rules
        self._town = town
        self._random = random
        self._pickup = pickup
        self._check_tasks = check_tasks
        self._duty = duty
        self._starts_a_round = Message.starts_a_round if duty is None else duty.starts_a_round
        self._most = pace.count
        self._resume_at = -math.inf
        self._urgent_back = 0
        self._incarnation = 0
        self._running: Round | None = None
        # Tasks that were cancelled since the turn began: what it has read of them may be older.
        self._dropped: set[str] = set()
        self._ladder = rules.ladder()
        self._stopping = False

    async def begin(self) -> None:
        """Take the agent over; an agent that has ended meanwhile ends here."""
        agent = await self._progress.adopt()
        self._incarnation = agent.incarnation
        self.ended = not agent.acts
        if agent.failed_rounds >= 2:
            self.pace = replace(self.pace, count=1)
        if agent.backoff_until is not None:
            left = times.seconds_of(agent.backoff_until) - time.time()
            self._resume_at = trio.current_time() + min(left, self._rules.backoff_cap)

    def hasten(self, step: float) -> None:
        """Shorten the ladder of the running CLI."""
        self._ladder.interrupt_s = min(self._ladder.interrupt_s, step)
        self._ladder.terminate_s = min(self._ladder.terminate_s, step)
        if step <= 0:
            self._ladder.hurry()

    async def rest(self) -> None:
        """Wait out the backoff; control messages, and urgent ones that have not failed yet, end it early."""
        if self._stopping:
            # The stop came when the turn had just ended.
            await self._look()
        while not self.over() and trio.current_time() < self._resume_at:
            with trio.move_on_at(self._resume_at):
                await self.bell.wait()
            self.bell.take()
            controls, urgent = await self.mailbox.glance(self.fence)
            for control in controls:
                await self.obey(control, None)
            if urgent > self._urgent_back or any(each.incarnation == self._incarnation for each in controls):
                break
        self._resume_at = -math.inf
        if self._duty is not None and not self.over() and await self._duty.is_done(self.fence.id):
            await self._progress.end(AgentEvent.STOP)
            self.ended = True

    async def idle(self) -> bool:
        """Look at the backlog."""
        return await (super().idle() if self._pickup is None else self._pickup.look())

    async def held(self) -> None:
        """Paused: wait. Draining with no turn: that was the drain. Ended: end."""
        await self._look()

    async def obey(self, control: Control, turn: Turn | None) -> None:
        """Stop, or look at what the record says by now. A control message for another life is refused."""
        if control.kind is ControlKind.DROP:
            self._dropped.add(control.task)
            self._cut_if_dropped(turn, f"the cancel of its task by {control.by}")
            return
        if control.incarnation != self._incarnation:
            return
        if control.kind is ControlKind.STOP:
            self._stopping = True
            self.hasten(STOP_STEP)
        await super().obey(control, turn)
        if turn is None:
            await self._look()

    def _cut_if_dropped(self, turn: Turn | None, why: str) -> None:
        """Cut a round that works on a task that was cancelled: whatever else it works on, it begins again."""
        if turn is not None and self._running is not None and not self._dropped.isdisjoint(self._running.task_ids):
            turn.cut(why)

    async def _look(self) -> None:
        try:
            agent = await self._progress.store.agent(self.fence.id)
        except AgentNotFound:
            self.ended = True
            return
        if self._stopping or agent.state is AgentState.DRAINING:
            agent = await self._progress.end(AgentEvent.STOP)
        self.ended = agent.state.is_terminal or agent.incarnation != self._incarnation

    async def handle(self, turn: Turn) -> Mapping[int, Outcome]:
        """One round."""
        self._dropped.clear()
        store = self._progress.store
        agent = await store.agent(self.fence.id)
        senders = {message.sender for message in (each.message for each in turn.deliveries) if message is not None}
        names = {sender.id: sender.name for sender in await store.agents_of(sorted(senders))}
        deliveries = turn.deliveries
        if any(each.recoveries >= self._rules.suspected for each in deliveries):
            # One of them may be what kills runtimes. The death after this one must not take the others with it.
            deliveries = deliveries[:1]
        work = await gather(store, agent, deliveries, names, size=self._rules.prompt_size)
        await self._answer(work, agent)
        if self._duty is not None:
            await self._duty.take_up(agent, work)
        if not work.entries:
            return work.decided
        if not work.asks_for_work(self._starts_a_round) and not await self._more_asks_for_work(turn, work):
            return self._wait_for_work(turn, work)
        # Noted first: when the turn is cut from here on, nobody knows whether the round has begun.
        self._running = work
        self._cut_if_dropped(turn, "the cancel of its task")
        try:
            agent = await self._progress.begin(work)
        except IllegalTransition:
            # Paused, stopped or started again between the claim and here.
            self._running = None
            await self._look()
            return work.decide_all(Return())
        outcomes = await self._work(agent, work, turn)
        self._running = None
        return outcomes

    async def conclude(self, turn: Turn) -> None:
        """The round was cut or broke: nothing of it counts."""
        work, self._running = self._running, None
        if work is not None:
            await self._progress.abandon(work, turn.cut_by or "the end of its runtime")
        if self._stopping:
            await self._progress.end(AgentEvent.STOP)
            self.ended = True

    async def _answer(self, work: Round, agent: Agent) -> None:
        """Answer what needs no CLI."""
        for delivery in work.answerable:
            message = delivery.message
            if message is None:
                continue
            body = message.body
            if isinstance(body, Ping):
                await self._reply(message, Pong())
            elif isinstance(body, StatusRequest):
                await self._reply(message, StatusResponse(agent.state.value, agent.current_task))
            elif isinstance(body, Shutdown):
                await self._progress.end(AgentEvent.DRAIN)
                self.ended = True
            work.decided[delivery.tag] = Ack()
        if self.ended:
            work.decided = work.decide_all(Return())
            for delivery in work.answerable:
                work.decided[delivery.tag] = Ack()
            work.entries.clear()

    async def _reply(self, to: Message, body: Pong | StatusResponse) -> None:
        answer = Message(self.fence.id, to.sender, body, correlation_id=to.id)
        try:
            await self.mailbox.send(answer)
        except Unavailable:
            raise
        except TownError:
            # Who asked is gone, or its mailbox is full: nobody waits for the answer any more.
            return

    async def _more_asks_for_work(self, turn: Turn, work: Round) -> bool:
        """Whether something behind what only informs asks for work: then this is its first part."""
        done = sum(not isinstance(outcome, Return) for outcome in work.decided.values())
        if not turn.waiting and len(work.entries) + done == len(turn.deliveries):
            return False
        waiting = await self.mailbox.peek(self.fence.id, most=_ALL)
        return any(self._starts_a_round(message) for message in waiting)

    @staticmethod
    def _wait_for_work(turn: Turn, work: Round) -> Mapping[int, Outcome]:
        """Everything but what is decided already waits until something asks for work."""
        quiet = Return(quiet=True)
        outcomes = {delivery.tag: work.decided.get(delivery.tag, quiet) for delivery in turn.deliveries}
        return {tag: quiet if isinstance(outcome, Return) else outcome for tag, outcome in outcomes.items()}

    async def _work(self, agent: Agent, work: Round, turn: Turn) -> Mapping[int, Outcome]:
        claimed = [delivery for delivery, _ in work.entries]
        self._ladder = self._rules.ladder()
        await self.mailbox.renew(self.fence, claimed, lease=self.pace.lease, prompted=True)
        prompt = await self._prompt(agent, work, mark=secrets.token_hex(4))
        result: TurnResult | None = None
        checked: Checked = {}
        reason, fatal = f"it ran longer than {times.span(self._rules.timeout)}", False
        with trio.move_on_after(self._rules.timeout):
            try:
                ended = await self._run_round(agent, work.number, prompt, self._ladder)
                work.tokens = ended.tokens or 0
                if ended.ok:
                    checked = await self._check(agent, work)
                result = ended
            except Unavailable:
                raise
            except TownError as error:
                # What is wrong in a configuration or forbidden stays so until a person changes it.
                reason, fatal = (
                    f"{error.message}. {error.hint}".strip().rstrip("."),
                    isinstance(error, Invalid | Forbidden),
                )
        with trio.move_on_after(TELL_GRACE, shield=True):
            if result is not None and result.ok:
                return await self._succeeded(agent, work, result.answer, checked)
            if result is not None:
                reason, fatal = result.reason or reason, result.unhealable
            return await self._failed(agent, work, turn, reason, fatal=fatal)
        raise RedisUnreachable(f"The end of a round could not be told within {TELL_GRACE:g} s")

    async def _prompt(self, agent: Agent, work: Round, *, mark: str) -> str:
        if self._duty is not None:
            return await self._duty.prompt(agent, work, mark=mark)
        return build_prompt(agent, self._town, [entry for _, entry in work.entries], mark=mark)

    async def _check(self, agent: Agent, work: Round) -> Checked:
        if self._check_tasks is None:
            return {}
        tasks = [seen.record for seen in await self._progress.open_tasks(work.task_ids)]
        return await self._check_tasks(agent, work.number, tasks, self._ladder) if tasks else {}

    async def _succeeded(self, agent: Agent, work: Round, answer: str, checked: Checked) -> Mapping[int, Outcome]:
        if self._duty is not None:
            await self._duty.lay_down(agent, work)
        agent = await self._progress.succeed(work, answer, checked)
        self.pace = replace(self.pace, count=min(self._most, self.pace.count * 2))
        self.ended = agent.state.is_terminal
        # What did not pass is handed over by the same message again.
        back = {task_id for task_id, evidence in checked.items() if feedback(evidence)}
        outcomes = work.decide_all(Ack())
        for delivery, entry in work.entries:
            if entry.task is not None and entry.task.id in back:
                outcomes[delivery.tag] = Return()
        return outcomes

    async def _failed(
        self, agent: Agent, work: Round, turn: Turn, reason: str, *, fatal: bool
    ) -> Mapping[int, Outcome]:
        rules = self._rules
        wait = pause(
            agent.failed_rounds + 1,
            base=rules.backoff_base,
            cap=rules.backoff_cap,
            random=self._random.random(),
        )
        after = await self._progress.fail(work, reason, fatal=fatal, wait=wait, most=rules.failed_rounds)
        self.ended = after.state.is_terminal
        if after.failed_rounds >= 2:
            # One of many may be the poison; alone it cannot take the others with it.
            self.pace = replace(self.pace, count=1)
        self._resume_at = trio.current_time() + wait
        outcomes = dict(work.decided)
        still_open = {seen.record.id for seen in await self._progress.open_tasks(work.task_ids)}
        alone = len(work.entries) == 1
        for delivery, entry in work.entries:
            ended = entry.task is not None and entry.task.id not in still_open
            again = self._again(delivery, agent, reason, aside=wait if alone and turn.waiting else None, alone=alone)
            outcomes[delivery.tag] = Ack() if ended else again
        self._urgent_back = sum(
            delivery.lane is Priority.URGENT and isinstance(outcomes[delivery.tag], Retry)
            for delivery, _ in work.entries
        )
        return outcomes

    def _again(self, delivery: Delivery, agent: Agent, reason: str, *, alone: bool, aside: float | None) -> Outcome:
        """What becomes of a message whose round failed.

        `aside` is given when it failed alone while others wait: the seconds until the next round.
        """
        rules, failures = self._rules, delivery.failures + 1
        others_succeeded = delivery.failures > 0 and agent.rounds_completed > delivery.successes_before
        if alone and others_succeeded and failures >= rules.attempts:
            return DeadLetter(f"failed {failures} times while others succeeded; last: {reason}")
        delay = 0.0
        if aside is not None and not self.ended:
            # Let the others pass: if they succeed, this message is the fault.
            delay = aside + pause(failures, base=rules.backoff_base, cap=rules.backoff_cap, random=1.0)
        return Retry(delay, agent.rounds_completed)
