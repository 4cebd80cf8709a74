"""The promises of the mailbox, searched for a breach by Hypothesis on a real server."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from mailbox_machine import machine_on
from servers import RunningServer

USUAL = settings(
    max_examples=400,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def test_no_sequence_of_events_breaks_a_promise(server: RunningServer) -> None:
    run_state_machine_as_test(machine_on(server), settings=USUAL)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_no_sequence_of_events_breaks_a_promise_in_a_long_search(server: RunningServer, part: int) -> None:
    run_state_machine_as_test(machine_on(server), settings=settings(USUAL, max_examples=800, stateful_step_count=60))
