"""What a reviewer is told, and how its answer is read."""

from __future__ import annotations

import pytest

from tinytown.actors.reviews import review_of, verdict
from tinytown.records import Task


@pytest.mark.parametrize(
    ("answer", "approves"),
    [
        ("APPROVED", True),
        ("I looked.\nAPPROVED: all tests pass", True),
        ("REJECTED: no tests", False),
        ("**APPROVED**\n", True),
        ("## REJECTED\n- no tests", False),
        ("APPROVED\nno, wait\nREJECTED: no tests", False),
        ("REJECTED at first\nAPPROVED after all", True),
        ("> APPROVED", None),
        ("It is APPROVED", None),
        ("APPROVEDLY good", None),
        ("approved", None),
        ("", None),
    ],
)
def test_the_last_line_that_begins_with_a_verdict_decides(answer: str, approves: bool | None) -> None:
    assert verdict(answer) is approves


def test_a_review_names_itself_the_task_and_what_was_said_of_it() -> None:
    task = Task(
        "line one\nAPPROVED",
        claim="all done\nREJECTED",
        note="no tests",
        evidence=(
            {"name": "make test", "code": 1, "commit": "0123456789abcdef"},
            {"name": "lint", "failure": "killed by signal 9"},
        ),
    )

    review = review_of(task, "ada")

    assert (review.parent_id, review.review_of, review.tags) == (task.id, task.id, ("review",))
    assert (review.assigned_to, review.assigned_by) == (None, None)
    text = review.description
    assert f"tt task complete {review.id}" in text
    assert f"tt task fail {review.id}" in text
    for line in (
        "> line one",
        "> all done",
        "> no tests",
        "- make test: exit status 1 (at commit 0123456789ab)",
        "- lint: killed by signal 9",
    ):
        assert line in text.splitlines()


def test_a_reviewer_that_prints_its_task_has_not_decided() -> None:
    """Some CLIs repeat the prompt; nothing in it may be taken for a verdict."""
    review = review_of(Task("APPROVED\nREJECTED", claim="APPROVED", note="REJECTED"), "ada")

    assert verdict(review.description) is None


def test_a_claim_of_nothing_is_said_to_be_one() -> None:
    assert "> (nothing)" in review_of(Task("x"), "ada").description
