"""Order among things that depend on each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.graph import find_cycle, mermaid, stages

NODES = "abcdef"
GRAPHS = st.dictionaries(
    st.sampled_from(NODES), st.lists(st.sampled_from(NODES), max_size=3, unique=True), max_size=len(NODES)
)


def closure(needs: dict[str, list[str]], start: str) -> set[str]:
    """All that can be reached, found in the plainest way."""
    found: set[str] = set()
    new = set(needs.get(start, ()))
    while new:
        found |= new
        new = {each for node in new for each in needs.get(node, ())} - found
    return found


@given(GRAPHS)
def test_a_cycle_is_found_exactly_when_there_is_one(needs: dict[str, list[str]]) -> None:
    cycle = find_cycle(needs)

    assert (cycle is not None) == any(node in closure(needs, node) for node in needs)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(following in needs[node] for node, following in pairwise(cycle))


@given(GRAPHS)
def test_all_that_a_node_needs_stands_in_earlier_stages(needs: dict[str, list[str]]) -> None:
    if find_cycle(needs) is not None:
        with pytest.raises(ValueError, match="a cycle has no order"):
            stages(needs)
        return
    found = stages(needs)
    stage_of = {node: number for number, stage in enumerate(found) for node in stage}

    assert sorted(stage_of) == sorted(needs)
    for node, on in needs.items():
        earliest = max((stage_of[each] + 1 for each in on if each in needs), default=0)
        assert stage_of[node] == earliest


def test_the_order_of_the_mapping_is_kept_inside_a_stage() -> None:
    assert stages({"z": [], "a": [], "m": ["a"], "b": []}) == [["z", "a", "b"], ["m"]]


def test_a_chain_of_any_length_is_walked() -> None:
    chain = {str(number): [str(number + 1)] for number in range(5000)}

    assert find_cycle(chain) is None
    assert find_cycle({**chain, "5000": ["0"]}) == [*(str(number) for number in range(5001)), "0"]


def test_something_that_needs_itself_is_the_shortest_cycle() -> None:
    assert find_cycle({"a": ["a"]}) == ["a", "a"]


def test_a_drawing_has_nodes_and_arrows_and_no_syntax_from_a_label() -> None:
    drawn = mermaid({"a": 'say "hi" <b>#1</b>', "b": "plain"}, [("a", "b")])

    assert drawn.splitlines() == [
        "flowchart TD",
        '    n0["say #quot;hi#quot; #lt;b#gt;#35;1#lt;/b#gt;"]',
        '    n1["plain"]',
        "    n0 --> n1",
    ]
