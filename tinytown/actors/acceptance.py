"""What a round that ended well is worth: whether its tasks count as done.

That an agent says "done", or says nothing and ends, is a claim. Checks of the town and of the task are run on it;
what fails goes back with the output. What has a reviewer waits for the review. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.actors.reviews import NO_VERDICT, verdict
from tinytown.actors.verification import Evidence, VerifyCommand, feedback, verify
from tinytown.lifecycle import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from tinytown.actors.child import Ladder
    from tinytown.ids import TaskId
    from tinytown.records import Task

    Checked: TypeAlias = Mapping[TaskId, Sequence[Evidence]]
    """What came of the checks, of each task that was checked."""


async def check(
    tasks: Sequence[Task],
    town: Sequence[VerifyCommand],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log_path: Path,
    ladder: Ladder,
) -> Checked:
    """Run the town's commands once, then each task's own; reviews are not checked.

    Raises as `verify`. Cancelling ends what runs.
    """
    tasks = [task for task in tasks if task.review_of is None]
    if not tasks or not (town or any(task.verify for task in tasks)):
        return {}

    async def run(commands: Sequence[VerifyCommand]) -> list[Evidence]:
        return await verify(commands, cwd=cwd, env=env, log_path=log_path, ladder=ladder)

    common = await run(town)
    found: dict[TaskId, Sequence[Evidence]] = {}
    for task in tasks:
        found[task.id] = common
        if task.verify and not feedback(common):
            own = [VerifyCommand(name=command, command=command) for command in task.verify]
            found[task.id] = [*common, *await run(own)]
    return found


def settled(task: Task, answer: str, evidence: Sequence[Evidence]) -> Task:
    """A task that was open at the end of a round that ended well: completed, on its way to review, or back.

    `answer` is what the CLI printed last; it stands for a claim that was not made.
    """
    if evidence:
        task = replace(task, evidence=tuple(each.to_json() for each in evidence))
    if task.review_of is not None:
        return _decided(task, answer)
    wrong = feedback(evidence)
    if wrong:
        back = task.returned() if task.state is TaskState.RUNNING else task
        return replace(back, note=wrong, claim=None)
    result = task.claim or answer
    if task.review is not None:
        return replace(task.claimed(result), waits=True, review_task=None)
    return replace(task, note=None).complete(result)


def _decided(review: Task, answer: str) -> Task:
    approves = verdict(answer)
    if approves:
        return review.complete(answer)
    return review.fail(NO_VERDICT if approves is None else answer)
