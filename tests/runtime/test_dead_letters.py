"""What was put aside, as a person sees and decides it."""

from __future__ import annotations

import pytest
from runtime_parts import add, limit, place, worker

from tinytown.errors import AgentNotFound, AmbiguousId, Forbidden, Invalid, NotFound
from tinytown.ids import SUPERVISOR_ID, MessageId
from tinytown.messages import Body, Message, TaskAssign, Work
from tinytown.records import Agent
from tinytown.runtime.operations.dead_letters import (
    ChooseLetters,
    ListLetters,
    ShowLetter,
    drop_letters,
    list_letters,
    retry_letters,
    show_letter,
)
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, cancel_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import DeadLetter, Fence, Quarantine
from tinytown.transport.shelves import Shelf

ONE, TWO = MessageId("abcd0000-0000-4000-8000-000000000001"), MessageId("abcd0000-0000-4000-8000-000000000002")


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


@pytest.fixture
def fence(town: Town, ada: Agent) -> Fence:
    return place(town, ada)


def bury(town: Town, fence: Fence, body: Body | None = None, **given: MessageId) -> None:
    """Let all that waits, and one more message, become dead letters."""
    if body is not None:
        run_sync(town.mailbox.send(Message(SUPERVISOR_ID, fence.id, body, **given)))  # type: ignore[arg-type]
    claim = run_sync(town.mailbox.claim(fence, count=50, size=1 << 20, lease=60))
    run_sync(town.mailbox.settle(fence, [(each, DeadLetter("no luck")) for each in claim.deliveries]))


def test_an_empty_list_is_empty(town: Town) -> None:
    found = run_sync(list_letters(town, ListLetters()))
    assert (found.letters, found.dead, found.quarantined) == ((), 0, 0)


def test_the_list_names_agent_sender_and_text(town: Town, fence: Fence) -> None:
    run_sync(assign(town, Assign("ada", "dig a hole")))
    bury(town, fence)

    (view,) = run_sync(list_letters(town, ListLetters())).letters

    assert (view.agent_name, view.sender_name, view.text) == ("ada", "conductor", "dig a hole")
    assert (view.letter.shelf, view.letter.reason) == (Shelf.DEAD, "no luck")


def test_the_list_is_of_one_agent_or_of_all_and_counts_what_it_leaves_out(town: Town, fence: Fence) -> None:
    other = place(town, add(town, "bob"))
    for text in ("1", "2", "3"):
        bury(town, fence, Work(text))
    bury(town, other, Work("bob's"))
    run_sync(town.connection.execute("RPUSH", town.keys("inbox", fence.id), b"nonsense"))
    (delivery,) = run_sync(town.mailbox.claim(fence, count=5, size=1 << 20, lease=60)).deliveries
    run_sync(town.mailbox.settle(fence, [(delivery, Quarantine("no message"))]))

    everyone = run_sync(list_letters(town, ListLetters(count=2)))
    of_ada = run_sync(list_letters(town, ListLetters(count=2, agent="ada")))

    assert [view.text for view in everyone.letters] == ["3", "bob's", ""]
    assert [view.text for view in of_ada.letters] == ["2", "3", ""]
    assert (everyone.dead, everyone.quarantined) == (4, 1)
    with pytest.raises(AgentNotFound):
        run_sync(list_letters(town, ListLetters(agent="nobody")))
    with pytest.raises(Invalid):
        run_sync(list_letters(town, ListLetters(count=-1)))


def test_pages_show_each_letter_of_both_lists_once(town: Town, fence: Fence) -> None:
    other = place(town, add(town, "bob"))
    for number in range(5):
        bury(town, fence, Work(f"dead {number}"))
        bury(town, other, Work(f"bob's {number}"))
    run_sync(town.connection.execute("RPUSH", town.keys("inbox", fence.id), b"one", b"two"))
    claim = run_sync(town.mailbox.claim(fence, count=5, size=1 << 20, lease=60))
    run_sync(town.mailbox.settle(fence, [(each, Quarantine("no message")) for each in claim.deliveries]))

    def pages(count: int, agent: str | None = None) -> list[str]:
        """All places, oldest first, from pages of this size."""
        found: list[str] = []
        before: str | None = None
        while True:
            page = run_sync(list_letters(town, ListLetters(count, agent, before)))
            assert all(len([each for each in page.letters if each.letter.shelf is shelf]) <= count for shelf in Shelf)
            found = [f"{each.letter.shelf} {each.text or each.letter.raw.decode()}" for each in page.letters] + found
            if page.next is None:
                return sorted(found)
            before = page.next

    everything = pages(100)
    assert len(everything) == 12
    assert [pages(count) for count in (1, 2, 3, 5, 10)] == [everything] * 5
    of_ada = [each for each in everything if "bob" not in each]
    assert [pages(count, "ada") for count in (1, 4, 100)] == [of_ada] * 3
    with pytest.raises(Invalid, match="no 'next' of a list"):
        run_sync(list_letters(town, ListLetters(before="soon")))


def test_one_is_found_by_its_id_and_by_a_prefix_that_fits_no_other(town: Town, fence: Fence) -> None:
    bury(town, fence, Work("one"), id=ONE)
    bury(town, fence, Work("two"), id=TWO)

    assert run_sync(show_letter(town, ShowLetter(ONE))).text == "one"
    assert run_sync(show_letter(town, ShowLetter(TWO.upper()))).text == "two"
    with pytest.raises(AmbiguousId, match="fits 2 ids"):
        run_sync(show_letter(town, ShowLetter("abcd")))
    for wanted in ("abc", "ffff", "*"):
        with pytest.raises(NotFound, match="No dead letter"):
            run_sync(show_letter(town, ShowLetter(wanted)))


def test_a_retry_puts_back_what_was_chosen_and_nothing_else(town: Town, ada: Agent, fence: Fence) -> None:
    bury(town, fence, Work("one"), id=ONE)
    bury(town, fence, Work("two"), id=TWO)

    result = run_sync(retry_letters(town, ChooseLetters((TWO, TWO[:-1] + "2"))))

    assert [view.text for view in result.letters] == ["two"]
    assert [message.id for message in run_sync(town.mailbox.peek(ada.id))] == [TWO]
    assert run_sync(list_letters(town, ListLetters())).dead == 1


def test_everything_can_be_retried_and_what_finds_no_room_stays(town: Town, fence: Fence) -> None:
    for text in ("1", "2", "3"):
        bury(town, fence, Work(text))
    limit(town, inbox_messages=2)

    result = run_sync(retry_letters(town, ChooseLetters(everything=True)))

    assert [view.text for view in result.letters] == ["1", "2"]
    assert [each.letter.text for each in result.refused] == ["3"]
    assert "ada is full" in result.refused[0].reason
    assert run_sync(list_letters(town, ListLetters())).dead == 1


def test_what_is_dropped_names_the_tasks_that_nothing_starts_any_more(town: Town, fence: Fence) -> None:
    left = run_sync(assign(town, Assign("ada", "dig"))).task
    bury(town, fence)
    over = run_sync(assign(town, Assign("ada", "fill"))).task
    bury(town, fence)
    run_sync(cancel_task(town, TaskEnd(over.id)))
    bury(town, fence, TaskAssign("no such task"))

    result = run_sync(drop_letters(town, ChooseLetters(everything=True)))

    assert len(result.letters) >= 3
    assert result.orphans == (left.id,)
    assert run_sync(list_letters(town, ListLetters())).dead == 0
    assert run_sync(drop_letters(town, ChooseLetters(everything=True))).letters == ()


def test_nothing_is_meant_by_nothing_and_not_both(town: Town) -> None:
    for request in (ChooseLetters(), ChooseLetters((ONE,), everything=True)):
        for operation in (retry_letters, drop_letters):
            with pytest.raises(Invalid):
                run_sync(operation(town, request))


def test_a_worker_may_look_and_nothing_else(town: Town, ada: Agent, fence: Fence) -> None:
    bury(town, fence, Work("one"), id=ONE)
    theirs = worker(town, ada)

    assert run_sync(list_letters(theirs, ListLetters())).dead == 1
    for operation in (retry_letters, drop_letters):
        with pytest.raises(Forbidden):
            run_sync(operation(theirs, ChooseLetters((ONE,))))
