"""Why nothing happens: one sentence with the fact that blocks, for every fact there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runtime_parts import add, move, place, worker

from tinytown import times
from tinytown.errors import AmbiguousId, NotFound
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, short
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.messages import Message, Priority, TaskAssign, Work
from tinytown.records import Agent, Task
from tinytown.runtime.operations.ending import Kill, kill
from tinytown.runtime.operations.messages import Send, SendKind, send
from tinytown.runtime.operations.pausing import Interrupt, interrupt
from tinytown.runtime.operations.pending import Counts
from tinytown.runtime.operations.reasons import Fact, Situation, of_agent
from tinytown.runtime.operations.task_reasons import Dependency, TaskSituation, of_task
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, cancel_task, complete_task, fail_task
from tinytown.runtime.operations.why import Answer, Why, why
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import DeadLetter, Fence, Outcome, Quarantine, Snooze
from tinytown.transport.placement import RuntimeCard, new_runtime_id

NOW = 1_800_000_000.0
CARD = RuntimeCard(new_runtime_id(), "here", 42, "2026-01-01T00:00:00.000Z")
IDLE = Agent(name="ada", cli="any", state=AgentState.IDLE)


def ask(town: Town, subject: str) -> Answer:
    return run_sync(why(town, Why(subject)))


def settled(town: Town, fence: Fence, outcome: Outcome) -> None:
    """Let all that waits for the agent come to this."""
    claim = run_sync(town.mailbox.claim(fence, count=50, size=1 << 20, lease=60))
    run_sync(town.mailbox.settle(fence, [(each, outcome) for each in claim.deliveries]))


def given(town: Town, *texts: str) -> list[Task]:
    """Tasks for ada."""
    return [run_sync(assign(town, Assign("ada", text))).task for text in texts]


def stored(town: Town, task: Task) -> Task:
    run_sync(town.store.commit(town.store.change().create_task(task)))
    return task


# Agents, from what is known of them.


@pytest.mark.parametrize(
    ("agent", "more", "fact", "words"),
    [
        ({"state": AgentState.ERROR, "reason": "no such CLI"}, {}, Fact.ERROR, "is in error: no such CLI"),
        (
            {"state": AgentState.STOPPED, "rounds_completed": 3, "max_rounds": 3},
            {"waiting": 2},
            Fact.STOPPED,
            "has stopped after 3 of 3 rounds, and 2 messages wait in its mailbox",
        ),
        ({"state": AgentState.PAUSED}, {"waiting": 1}, Fact.PAUSED, "is paused .* and 1 message waits"),
        ({"state": AgentState.PAUSED, "in_round": True}, {}, Fact.PAUSED, "its turn still runs"),
        ({"state": AgentState.DRAINING, "in_round": True}, {}, Fact.DRAINING, "ends after its turn"),
        ({}, {"holder": None}, Fact.NO_RUNTIME, "none is alive"),
        ({}, {"holder": None, "runtimes": 1}, Fact.NO_RUNTIME, "take it over"),
        (
            {"state": AgentState.WORKING, "in_round": True, "last_active_at": times.timestamp(NOW)},
            {"work": "task 12345678 'dig'"},
            Fact.WORKING,
            r"works on task 12345678 'dig' since 2027-01-15T08:00:00Z \(round 1 of 10, held by .*, pid 42\)",
        ),
        ({"state": AgentState.WORKING, "in_round": True}, {"in_hand": 2}, Fact.WORKING, "works on 2 messages"),
        ({"state": AgentState.STARTING}, {}, Fact.STARTING, "is starting"),
        (
            {"backoff_until": times.timestamp(NOW + 60), "failed_rounds": 1, "reason": "exit status 3"},
            {"counts": Counts(tasks=1), "waiting": 1},
            Fact.BACKOFF,
            r"waits until 2027-01-15T08:01:00Z after 1 failed round \(exit status 3\)",
        ),
        (
            {"backoff_until": times.timestamp(NOW - 1)},
            {"counts": Counts(tasks=1), "waiting": 1},
            Fact.ABOUT_TO_BEGIN,
            "1 message asks for work",
        ),
        ({}, {"snoozed": (NOW + 9, NOW + 5)}, Fact.SNOOZED, "2 messages that failed wait until 2027-01-15T08:00:05Z"),
        ({}, {"put_aside": 1}, Fact.DEAD_LETTER, "1 message of its own lies among the dead letters"),
        ({}, {"waiting": 1}, Fact.NOTHING_WAITS, "only 1 message that asks for nothing waits"),
        ({}, {}, Fact.NOTHING_WAITS, "is idle: nothing waits in its mailbox"),
    ],
)
def test_an_agent_has_one_reason(agent: dict[str, object], more: dict[str, object], fact: Fact, words: str) -> None:
    import re

    seen = Situation(
        replace(IDLE, **agent),  # type: ignore[arg-type]
        NOW,
        **{"counts": Counts(), "holder": CARD, **more},  # type: ignore[arg-type]
    )

    reason = of_agent(seen)

    assert reason.fact is fact
    assert re.search(words, reason.predicate), reason.predicate
    assert "\n" not in reason.predicate


# Agents, as they are found.


def test_an_agent_without_a_runtime(town: Town) -> None:
    add(town, "ada")

    assert ask(town, "ada") == Answer(
        "agent",
        run_sync(town.store.find_agent("ada")).id,
        Fact.NO_RUNTIME,
        "Agent 'ada' has no runtime: none is alive in this town.",
        "tt start --detach",
    )


def test_an_agent_at_work_names_task_and_holder(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    (task,) = given(town, "dig a hole")
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    run_sync(town.store.update_agent(ada.id, lambda it: replace(it, in_round=True, current_task=task.id)))

    found = ask(town, ada.id[:8])

    assert found.fact is Fact.WORKING
    assert f"Agent 'ada' works on task {short(task.id)} 'dig a hole'" in found.sentence


def test_an_agent_to_which_only_news_came(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    run_sync(send(town, Send("ada", "news", SendKind.INFO)))

    assert "only 1 message that asks for nothing" in ask(town, "ada").sentence


def test_the_conductor_waits_for_a_person(town: Town) -> None:
    run_sync(send(town, Send("conductor", "look at this")))

    found = ask(town, "conductor")

    assert (found.fact, found.advice) == (Fact.FOR_A_PERSON, "tt inbox conductor")
    assert "1 message for a person to read" in found.sentence


def test_a_conductor_at_rest_says_what_wakes_it(town: Town) -> None:
    def resting(agent: Agent) -> Agent:
        return replace(agent, name="conductor", cli="claude", state=AgentState.IDLE, host="elsewhere")

    agent = run_sync(town.store.update_agent(SUPERVISOR_ID, resting))
    assert ask(town, "conductor").fact is Fact.NO_RUNTIME
    place(town, agent)
    run_sync(send(town, Send("conductor", "look at this", SendKind.INFO)))

    found = ask(town, "conductor")

    assert found.fact is Fact.FOR_A_PERSON
    assert found.sentence == (
        "Agent 'conductor' rests until an agent reports to it or a person speaks to it; 1 message waits in its inbox."
    )


# Tasks.


def test_a_task_that_is_over(town: Town) -> None:
    add(town, "ada")
    done, failed, cancelled = given(town, "dig", "fill", "rest")
    run_sync(complete_task(town, TaskEnd(done.id, "dug")))
    run_sync(fail_task(town, TaskEnd(failed.id, "no spade")))
    run_sync(cancel_task(town, TaskEnd(cancelled.id)))

    assert f"Task {short(done.id)} 'dig' is completed since 2" in ask(town, done.id).sentence
    assert ask(town, failed.id).sentence.endswith(": no spade.")
    assert {ask(town, each.id).fact for each in (done, failed, cancelled)} == {Fact.ENDED}


def test_a_task_waits_for_what_keeps_its_agent(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    (task,) = given(town, "dig")
    run_sync(interrupt(town, Interrupt("ada")))
    paused = ask(town, task.id)
    move(town, ada, AgentEvent.FAIL)
    error = ask(town, task.id)

    assert (paused.fact, paused.advice) == (Fact.PAUSED, "tt resume ada")
    assert "waits for agent 'ada', which is paused" in paused.sentence
    assert error.fact is Fact.ERROR


def test_a_task_of_a_stopped_agent_and_of_one_without_a_runtime(town: Town) -> None:
    add(town, "ada")
    (task,) = given(town, "dig")

    assert ask(town, task.id).fact is Fact.NO_RUNTIME
    run_sync(kill(town, Kill("ada")))
    assert ask(town, task.id).fact is Fact.STOPPED


def test_tasks_in_one_mailbox_wait_their_turn(town: Town) -> None:
    ada = add(town, "ada")
    fence = place(town, ada)
    move(town, ada, AgentEvent.READY)
    first, second = given(town, "dig", "fill")
    run_sync(town.mailbox.send(Message(ada.id, ada.id, Work("urgent"), priority=Priority.URGENT)))

    assert ask(town, second.id).fact is Fact.QUEUED
    assert "reads 2 other message(s) first" in ask(town, second.id).sentence
    run_sync(town.mailbox.claim(fence, count=1, size=1 << 20, lease=60))
    assert ask(town, first.id).fact is Fact.ABOUT_TO_BEGIN


def test_a_task_in_the_hands_of_its_agent(town: Town) -> None:
    ada = add(town, "ada")
    fence = place(town, ada)
    first, second = given(town, "dig", "fill")
    run_sync(town.mailbox.claim(fence, count=1, size=1 << 20, lease=60))
    move(town, ada, AgentEvent.READY, AgentEvent.BEGIN)
    run_sync(town.store.update_agent(ada.id, lambda it: replace(it, in_round=True, current_task=first.id)))
    run_sync(town.store.update_task(first.id, lambda it: it.start()))

    assert "is in the hands of agent 'ada', which works on it" in ask(town, first.id).sentence
    assert f"waits for agent 'ada', which works on task {short(first.id)}" in ask(town, second.id).sentence


def test_a_task_that_failed_is_tried_again_at_a_time(town: Town) -> None:
    ada = add(town, "ada")
    fence = place(town, ada)
    move(town, ada, AgentEvent.READY)
    (task,) = given(town, "dig")
    settled(town, fence, Snooze(600))

    assert ask(town, task.id).fact is Fact.SNOOZED
    assert "tried again by agent 'ada' at 2" in ask(town, task.id).sentence
    assert ask(town, "ada").fact is Fact.SNOOZED


@pytest.mark.parametrize(
    ("outcome", "fact", "where"),
    [
        (DeadLetter("it kills the CLI"), Fact.DEAD_LETTER, "among the dead letters (it kills the CLI)"),
        (Quarantine("it kills runtimes"), Fact.QUARANTINED, "in quarantine (it kills runtimes)"),
    ],
)
def test_a_task_whose_message_was_put_aside(town: Town, outcome: Outcome, fact: Fact, where: str) -> None:
    ada = add(town, "ada")
    fence = place(town, ada)
    move(town, ada, AgentEvent.READY)
    (task,) = given(town, "dig")
    settled(town, fence, outcome)

    found = ask(town, task.id)

    assert found.fact is fact
    assert where in found.sentence
    assert found.advice.startswith("tt dlq retry ")
    assert ask(town, "ada").fact is Fact.DEAD_LETTER


def test_a_task_that_no_message_tells_of_any_more(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    (task,) = given(town, "dig")
    run_sync(town.connection.execute("DEL", town.keys("inbox", ada.id)))

    assert ask(town, task.id).fact is Fact.NO_MESSAGE


def test_a_task_of_an_agent_that_is_gone(town: Town) -> None:
    gone = AgentId("00000000-0000-4000-8000-000000000007")
    task = stored(town, Task("dig").assign(gone))

    assert ask(town, task.id).fact is Fact.NO_AGENT


def test_a_task_of_the_conductor_waits_for_a_person(town: Town) -> None:
    task = run_sync(assign(town, Assign("conductor", "decide"))).task

    assert ask(town, task.id).fact is Fact.FOR_A_PERSON


def test_a_task_waits_for_what_it_depends_on_and_the_hopeless_comes_first(town: Town) -> None:
    ada = add(town, "ada")
    done, going, failed = given(town, "dig", "fill", "rest")
    run_sync(complete_task(town, TaskEnd(done.id)))

    def plant(first: str, *depends_on: str) -> Task:
        task_id = TaskId(f"{first}-0000-4000-8000-000000000000")
        return stored(town, replace(Task("plant"), id=task_id, assigned_to=ada.id, depends_on=depends_on))

    waiting = plant("11111111", done.id, going.id)
    hopeless = plant("22222222", going.id, failed.id)
    lost = plant("33333333", "no such task")
    run_sync(fail_task(town, TaskEnd(failed.id, "no")))

    found = {each.id: ask(town, each.id) for each in (waiting, hopeless, lost)}

    assert {answer.fact for answer in found.values()} == {Fact.DEPENDENCY}
    assert (
        f"waits for task {short(going.id)} 'fill', which is assigned, in the hands of 'ada'"
        in found[waiting.id].sentence
    )
    assert f"cannot begin: it waits for task {short(failed.id)} 'rest', which is failed, and for 1 more" in (
        found[hopeless.id].sentence
    )
    assert "which does not exist" in found[lost.id].sentence


def test_a_task_whose_dependencies_are_done_is_handed_out_in_a_moment(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    (done,) = given(town, "dig")
    run_sync(complete_task(town, TaskEnd(done.id)))
    run_sync(town.connection.execute("DEL", town.keys("inbox", ada.id)))
    task = stored(town, replace(Task("fill"), assigned_to=ada.id, depends_on=(done.id,)))

    assert "is handed to agent 'ada' in a moment" in ask(town, task.id).sentence


def test_a_task_in_the_backlog_waits_for_an_agent_that_suits(town: Town) -> None:
    task = stored(town, Task("test it", tags=("testing",)))
    assert ask(town, task.id).fact is Fact.NO_AGENT
    run_sync(town.connection.execute("RPUSH", town.keys("backlog"), task.id))
    assert ask(town, task.id).fact is Fact.NO_MATCHING_AGENT
    add(town, "ada", role="latesting")
    nobody = ask(town, task.id)
    add(town, "bob", role="testing")
    somebody = ask(town, task.id)

    assert (nobody.fact, somebody.fact) == (Fact.NO_MATCHING_AGENT, Fact.UNCLAIMED)
    assert "no agent that is alive has a role among its tags (testing)" in nobody.sentence
    assert "'bob' may" in somebody.sentence
    assert somebody.advice == f"tt backlog claim {short(task.id)} bob"


# What is meant.


def test_who_asks_for_nothing_that_is_there_is_told_so(town: Town) -> None:
    with pytest.raises(NotFound, match="No agent and no task is called nobody"):
        ask(town, "nobody")


def test_a_prefix_of_an_agent_and_of_a_task_is_ambiguous(town: Town) -> None:
    ada = add(town, "ada")
    stored(town, Task("dig", id=TaskId(ada.id[:-1] + ("0" if ada.id[-1] != "0" else "1"))))

    with pytest.raises(AmbiguousId, match="fits agent"):
        ask(town, ada.id[:8])
    assert ask(town, ada.id).kind == "agent"


def test_a_worker_may_ask(town: Town) -> None:
    ada = add(town, "ada")

    assert ask(worker(town, ada), "ada").fact is Fact.NO_RUNTIME


def test_a_message_of_the_wrong_kind_is_no_message_of_the_task(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    move(town, ada, AgentEvent.READY)
    (task,) = given(town, "dig")
    run_sync(town.mailbox.send(Message(ada.id, ada.id, TaskAssign("another"), priority=Priority.HIGH)))

    assert "reads 1 other message(s) first" in ask(town, task.id).sentence


# What only the decision itself can be asked for.


def test_a_task_in_review_names_the_reviewer() -> None:
    review = Dependency("12345678-0000-4000-8000-000000000000", Task("review it").assign(AgentId("r")), "rita")
    task = Task("dig").assign(AgentId("a")).start()

    reason = of_task(TaskSituation(task, agent=Situation(IDLE, NOW, Counts(), holder=CARD), review=review))

    assert (reason.fact, reason.advice) == (Fact.IN_REVIEW, "tt why 12345678")
    assert reason.predicate == "is in review by 'rita' (task 12345678, assigned)"


def test_a_review_that_is_over_blocks_nothing() -> None:
    review = Dependency("12345678-0000-4000-8000-000000000000", Task("review it").cancel(), "rita")
    task = Task("dig").assign(AgentId("a"))

    reason = of_task(TaskSituation(task, agent=Situation(IDLE, NOW, Counts(), holder=CARD), review=review, ahead=0))

    assert reason.fact is Fact.ABOUT_TO_BEGIN


def test_a_task_that_has_not_passed_its_check_is_back_with_its_agent() -> None:
    task = Task("dig").assign(AgentId("a"))
    agent = Situation(replace(IDLE, state=AgentState.PAUSED), NOW, Counts(), holder=CARD)

    reason = of_task(TaskSituation(task, agent=agent, failed_check="'tests' (exit status 1)"))

    assert reason.fact is Fact.VERIFICATION_FAILED
    assert "has not passed the check 'tests' (exit status 1) and is back with agent 'ada', which is paused" in (
        reason.predicate
    )
