"""The coding CLI of the demonstration: reads a prompt on standard input, works in the current directory, ends.

It is scripted, but not told: what it does follows from its prompt and from what it finds in the repository. A
round that is repeated finds what the first attempt has done and goes on from there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tinytown.runtime.demo.brief import Brief, Item, read_brief
from tinytown.runtime.demo.order import Order, edge_cases, first_version, read_order, second_version, text_of_tests
from tinytown.runtime.demo.workshop import Trial, commit, git, run_tests, say, tt

_THINKING = 0.15
"""Seconds between reading and doing; a person shall be able to follow what happens."""

REVIEW = "REVIEW.md"


def main() -> int:
    """One round; gives the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    brief = read_brief(sys.stdin.buffer.read().decode())
    work = {"developer": develop, "tester": test, "reviewer": review}.get(brief.role)
    for item in brief.items:
        if not item.asks:
            continue
        time.sleep(_THINKING)
        order = read_order(item.text) or _order_in_log()
        if work is None or order is None:
            _decline(item)
        else:
            work(brief, item, order)
    return 0


def develop(brief: Brief, item: Item, order: Order) -> None:
    """Write the function and ask for tests; when there are some and they fail, mend it and say so."""
    module = Path(order.module_file)
    if not module.exists():
        say(f"I am to write {order.function}({order.parameter}) by {len(order.rules)} rules")
        module.write_text(first_version(order), encoding="utf-8")
    if not Path(order.test_file).exists():
        made = commit(brief.name, f"Write {order.function}\n\n{item.text}", order.module_file)
        say(f"wrote {module}, commit {made}")
        _complete(item, f"{order.function}({order.parameter}) is in {module}, commit {made}")
        written = f"{order.function} is written, commit {made}. Please test it. It was ordered so:"
        tt("send", order.tester, f"{written}\n{item.text}")
        return
    found = run_tests(order.test_file)
    if not found.passed:
        _mend(order, found)
    made = commit(brief.name, f"Let accents fall away in {order.function}", order.module_file)
    say(f"{module} is as it should be, commit {made}")
    _complete(item, f"it does what was ordered, commit {made}")
    if not item.task:
        tt("send", item.sender, f"Accents fall away now, commit {made}. Please run the tests again.")


def _mend(order: Order, found: Trial) -> None:
    say(f"I see it too: {', '.join(name for name, _ in found.failures)}")
    if not any(not reason.isascii() for _, reason in found.failures):
        raise SystemExit("I do not know how to mend this")
    Path(order.module_file).write_text(second_version(order), encoding="utf-8")
    say(f"to \\W an accented letter is a letter; took the accents off first: {run_tests(order.test_file).verdict}")


def test(brief: Brief, item: Item, order: Order) -> None:
    """Write the tests, unless they are there, and run them. Who wrote the code hears of failures."""
    if not Path(order.test_file).exists():
        own = edge_cases(order)
        say(f"a test for each of {len(order.rules)} rules, and of my own: {', '.join(case.name for case in own)}")
        Path(order.test_file).write_text(text_of_tests(order), encoding="utf-8")
        made = commit(brief.name, f"Test {order.function}", order.test_file)
        say(f"wrote {order.test_file}, commit {made}")
    found = run_tests(order.test_file)
    say(f"ran them: {found.verdict}")
    if found.passed:
        _complete(item, found.verdict)
        tt(
            "send",
            order.reviewer,
            f"{found.verdict} for {order.function} in {order.module_file}. Please review it.",
        )
        return
    reasons = "\n".join(f"- {name}: {reason}" for name, reason in found.failures)
    say(reasons)
    _complete(item, f"{found.verdict}:\n{reasons}")
    tt("send", _author(order), f"{found.verdict}, please mend {order.module_file}:\n{reasons}")


def review(brief: Brief, item: Item, order: Order) -> None:
    """Read what was changed, write down what is to be said, tell the conductor and the author."""
    begin = git("log", "--reverse", "--format=%h", "--", order.module_file).split()[0]
    changed = git("diff", "--numstat", f"{begin}~", "HEAD", "--", order.module_file, order.test_file)
    say(f"read the diff of {begin}..HEAD: {len(changed.splitlines())} files")
    found = run_tests(order.test_file)
    remarks = _remarks(order, found)
    verdict = "approved" if found.passed and all(good for good, _ in remarks) else "rejected"
    Path(REVIEW).write_text(_report(order, begin, changed, verdict, remarks), encoding="utf-8")
    made = commit(brief.name, f"Review {order.function}: {verdict}", REVIEW)
    say(f"wrote {REVIEW}, commit {made}: {verdict}")
    _complete(item, verdict)
    tt("send", _author(order), "--ack", f"{verdict}: {order.function}, see {REVIEW}")
    tt("send", "conductor", "--info", f"{order.function} is {verdict}: {found.verdict}, {REVIEW} in commit {made}")


def _remarks(order: Order, found: Trial) -> list[tuple[bool, str]]:
    import ast

    tree = ast.parse(Path(order.module_file).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == order.function]
    return [
        (found.passed, f"{found.verdict}, run by me"),
        (bool(functions), f"`{order.function}` is defined in `{order.module_file}`"),
        (all(ast.get_docstring(each) for each in functions), "it says what it does"),
        (all(each.returns for each in functions), "it says what it returns"),
        (
            found.ran > len(order.rules),
            f"{found.ran} tests for {len(order.rules)} rules: the edges are tested",
        ),
    ]


def _report(order: Order, begin: str, changed: str, verdict: str, remarks: list[tuple[bool, str]]) -> str:
    authors = git("log", "--format=- %h %an: %s", f"{begin}~..HEAD")
    rows = "\n".join("- {2}: {0} lines added, {1} removed".format(*line.split("\t")) for line in changed.splitlines())
    points = "\n".join(f"- [{'x' if good else ' '}] {remark}" for good, remark in remarks)
    return f"# Review of {order.function}: {verdict}\n\n{points}\n\n## Changed\n\n{rows}\n\n## Commits\n\n{authors}\n"


def _order_in_log() -> Order | None:
    """The order that the repository remembers: whoever began the work put it into the message of the commit."""
    return read_order(git("log", "--format=%B"))


def _author(order: Order) -> str:
    return git("log", "-1", "--format=%an", "--", order.module_file)


def _complete(item: Item, result: str) -> None:
    if item.task:
        tt("task", "complete", item.task, "--result", result)


def _decline(item: Item) -> None:
    """What the script does not cover; an honest answer beats a wrong one."""
    why = "I am a script: I can only work on an order like the one of the demonstration"
    say(why)
    if item.task:
        tt("task", "fail", item.task, "--error", why)


if __name__ == "__main__":
    sys.exit(main())
