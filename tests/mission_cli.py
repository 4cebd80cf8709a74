"""A coding CLI for missions: does each task of its prompt at once, as the world of `mission_world` needs it.

It pushes commits that are only names, opens pull requests, and reviews. A task that comes again after a death gives
the same commit, so that what was done is not done twice. What it was asked to do goes into the file named by DONE, a
line for each time.

An issue whose text says so gets what is special: `no pull request`, or `rejected once`.
"""

import hashlib
import os
import subprocess
import sys

from tinytown.runtime.demo.brief import Item, read_brief
from tinytown.runtime.demo.mission.assignment import Assignment, read_assignment
from tinytown.runtime.demo.mission.hub import Hub

SECOND = "a second try"


def main() -> None:
    assert not [name for name in os.environ if "TOKEN" in name and "TINYTOWN" not in name], "a token for an agent"
    hub = Hub(os.environ["HUB"])
    for item in read_brief(sys.stdin.read()).items:
        assignment = read_assignment(item.text) if item.asks else None
        if assignment is not None:
            note(f"{item.task} {assignment.kind} {assignment.key}")
            result = {"work": work, "repair": repair, "review": review}[assignment.kind](hub, item, assignment)
            # Of a task that a death has interrupted between its end and ours there is nothing left to end.
            subprocess.run(["tt", "task", "complete", item.task, "--result", result], check=False)


def work(hub: Hub, item: Item, assignment: Assignment) -> str:
    if "no pull request" in assignment.text:
        return "The design is: keep it simple."
    push(hub, item, assignment)
    body = f"Closes #{assignment.number}\n\n{assignment.trailer}\n"
    address = hub.open_pull(assignment.repository, assignment.branch, assignment.title, body)
    rejected = "the review asks for changes" in item.text
    return f"{address} {SECOND if rejected else 'done'}; rejected once: {'rejected once' in assignment.text}"


def repair(hub: Hub, item: Item, assignment: Assignment) -> str:
    push(hub, item, assignment)
    return "mended"


def review(hub: Hub, item: Item, assignment: Assignment) -> str:
    if "rejected once: True" in assignment.text and SECOND not in assignment.text:
        return "REJECTED: not like this"
    return "APPROVED"


def push(hub: Hub, item: Item, assignment: Assignment) -> None:
    sha = hashlib.sha1(item.task.encode()).hexdigest()
    hub.push(assignment.repository, assignment.branch, sha)


def note(line: str) -> None:
    with open(os.environ["DONE"], "a") as done:  # noqa: PTH123
        done.write(line + "\n")


if __name__ == "__main__":
    main()
