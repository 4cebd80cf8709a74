"""What the person of the demonstration orders, how an agent understands it, and the text of what it writes."""

from __future__ import annotations

import re
from typing import NamedTuple

TASK = """\
Write slugify(text) in textkit.py. It turns a title into the part of a URL:
- words are joined by dashes: "Hello, wide World" becomes "hello-wide-world"
- a run of marks is one dash: "Ready -- set... go!" becomes "ready-set-go"
- no dash at the ends: "  (Draft) " becomes "draft"
Only a to z, 0 to 9 and dashes may be left, so that anybody can type it.
When it is written, ask tester to test it.
When the tests pass, tester asks reviewer to review it."""
"""The one thing that a person says in the demonstration."""

_FUNCTION = re.compile(r"\bWrite ([a-z_]+)\(([a-z_]+)\) in ([a-z_]+)\.py\b")
_RULE = re.compile(r'^- (.+?): "(.*)" becomes "(.*)"$', re.MULTILINE)
_COLLEAGUE = r"\basks? ([A-Za-z0-9][\w.-]*) to {}\b"
_PLAIN_LETTERS = "Only a to z"


class Rule(NamedTuple):
    """A rule with its example."""

    name: str
    given: str
    wanted: str


class Order(NamedTuple):
    """An order, understood: which function, by which rules, and who is to see it next."""

    function: str
    parameter: str
    module: str
    rules: tuple[Rule, ...]
    plain_letters: bool
    tester: str
    reviewer: str

    @property
    def module_file(self) -> str:
        """Where the function goes."""
        return f"{self.module}.py"

    @property
    def test_file(self) -> str:
        """Where its tests go."""
        return f"test_{self.module}.py"


def read_order(text: str) -> Order | None:
    """The order in this text; None when there is none that can be understood."""
    found = _FUNCTION.search(text)
    rules = tuple(Rule(*parts) for parts in _RULE.findall(text))
    if found is None or not rules:
        return None
    tester = re.search(_COLLEAGUE.format("test"), text)
    reviewer = re.search(_COLLEAGUE.format("review"), text)
    return Order(
        function=found[1],
        parameter=found[2],
        module=found[3],
        rules=rules,
        plain_letters=_PLAIN_LETTERS in text,
        tester=tester[1] if tester else "tester",
        reviewer=reviewer[1] if reviewer else "reviewer",
    )


def first_version(order: Order) -> str:
    """The function as it comes to mind. It overlooks that `\\W` keeps the letters of every alphabet."""
    return f'''"""Small tools for text."""

import re


def {order.function}({order.parameter}: str) -> str:
    """The form of a title that fits into a URL."""
    return re.sub(r"\\W+", "-", {order.parameter}.lower()).strip("-")
'''


def second_version(order: Order) -> str:
    """The function as it should be."""
    return f'''"""Small tools for text."""

import re
import unicodedata


def {order.function}({order.parameter}: str) -> str:
    """The form of a title that fits into a URL: a to z, 0 to 9 and single dashes."""
    bare = unicodedata.normalize("NFKD", {order.parameter}).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", bare.lower()).strip("-")
'''


def edge_cases(order: Order) -> tuple[Rule, ...]:
    """What the order does not show and a tester thinks of."""
    cases = [Rule("nothing stays nothing", "", "")]
    if order.plain_letters:
        cases.append(Rule("accents fall away", "Crème brûlée", "creme-brulee"))
    return tuple(cases)


def text_of_tests(order: Order) -> str:
    """A test for each rule of the order and for each edge case."""
    tests = "\n".join(
        f"""    def test_{re.sub(r"[^a-z]+", "_", rule.name.lower())}(self) -> None:
        self.assertEqual({order.function}({_quoted(rule.given)}), {_quoted(rule.wanted)})
"""
        for rule in (*order.rules, *edge_cases(order))
    )
    return f'''"""{order.function} does what was ordered, at the edges too."""

import unittest

from {order.module} import {order.function}


class {order.function.title().replace("_", "")}Test(unittest.TestCase):
{tests}

if __name__ == "__main__":
    unittest.main()
'''


def _quoted(text: str) -> str:
    # The text comes from a prompt and becomes source: repr escapes whatever could end the string.
    return repr(text) if '"' in text or not text.isprintable() or "\\" in text else f'"{text}"'
