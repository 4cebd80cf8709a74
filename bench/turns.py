"""Cases in processes of their own, in turns: A B C, A B C, ...; what the benches have in common.

Absolute figures move with the machine and its other work by half and more. So a case is compared with its
reference inside one round, and what is reported is the median of those ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]

if TYPE_CHECKING:
    from servers import RunningServer

Figures = dict[str, float]
Rounds = dict[str, list[Figures]]


@contextmanager
def server(*options: str) -> Iterator[RunningServer]:
    """A server of the bench's own, that of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    from servers import valkey_server

    with valkey_server(*options) as running:
        yield running


def in_a_process(script: str, case: str, socket: str, seconds: float) -> Figures:
    """What `script --case CASE` prints when it runs alone."""
    words = [sys.executable, script, "--case", case, "--socket", socket, "--seconds", str(seconds)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def in_turns(cases: Sequence[str], run: Callable[[str], Figures], rounds: int) -> Rounds:
    """Every case once a round."""
    results: Rounds = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            results[case].append(run(case))
    return results


def middle(results: Rounds, case: str, figure: str) -> float:
    """The median of one figure."""
    return median(one[figure] for one in results[case])


def ratio(results: Rounds, case: str, reference: str, figure: str = "rate") -> float:
    """The median over the rounds of a figure to that of the reference in the same round."""
    pairs = zip(results[case], results[reference], strict=True)
    return median(one[figure] / other[figure] for one, other in pairs)
