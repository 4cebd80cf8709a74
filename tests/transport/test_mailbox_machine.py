"""The promises of the mailbox, searched for a breach by Hypothesis on a real server."""

from __future__ import annotations

import pytest
from handing_machine import HandingMachine
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from mailbox_machine import MailboxMachine, machine_on
from servers import RunningServer

USUAL = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.mark.parametrize("machine", [MailboxMachine, HandingMachine])
def test_no_sequence_of_events_breaks_a_promise(server: RunningServer, machine: type[MailboxMachine]) -> None:
    run_state_machine_as_test(machine_on(server, machine), settings=USUAL)


@pytest.mark.long
@pytest.mark.parametrize("part", range(6))
@pytest.mark.parametrize("machine", [MailboxMachine, HandingMachine])
def test_no_sequence_of_events_breaks_a_promise_in_a_long_search(
    server: RunningServer, part: int, machine: type[MailboxMachine]
) -> None:
    long = settings(USUAL, max_examples=800, stateful_step_count=60)
    run_state_machine_as_test(machine_on(server, machine), settings=long)
