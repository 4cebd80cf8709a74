"""From objectives to items, gates and an order."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.actors.missions.compiler import MOST_EDGES, Issue, Objectives, compile_mission
from tinytown.actors.missions.documents import document
from tinytown.actors.missions.manifest import manifest
from tinytown.actors.missions.order import Edge, merged, ranks, refuse_cycle
from tinytown.actors.missions.references import Reference, Repository
from tinytown.errors import Conflict, Invalid, InvalidConfig
from tinytown.ids import MissionId
from tinytown.lifecycle import WorkItemState
from tinytown.mission_records import Mission

HOME = Repository("github.com", "o", "r")
MISSION = Mission(id=MissionId("abc12345-0000-4000-8000-000000000000"))


def ref(number: int) -> Reference:
    return Reference(HOME, number)


def issue(number: int, title: str, body: str = "", *, by: str = "MEMBER") -> Issue:
    return Issue(ref(number), title, body, author="ann", association=by)


def tutorial() -> list[Issue]:
    return [
        issue(1, "Design auth API", "Design the authentication API schema."),
        issue(2, "Implement auth endpoints", "Implement the endpoints.\n\nDepends on #1.\n\n- login"),
        issue(3, "Write auth tests", "Tests.\n\nAfter #2."),
    ]


def test_the_tutorial_becomes_three_items_in_a_row() -> None:
    found = compile_mission(MISSION, Objectives(tutorial()))

    assert [(item.key, item.item_kind, item.depends_on) for item in found.items] == [
        ("o/r#1", "design", ()),
        ("o/r#2", "implement", ("o/r#1",)),
        ("o/r#3", "test", ("o/r#2",)),
    ]
    assert found.items[1].edges == ({"on": "o/r#1", "source": "body"},)
    assert found.items[1].branch == "tt/abc12345/2-implement-auth-endpoints"
    assert found.gates == ()


def test_compiling_again_gives_the_same_ids() -> None:
    def ids() -> list[str]:
        found = compile_mission(MISSION, Objectives([issue(1, "x", "after #9")]))
        return [*(item.id for item in found.items), *(gate.id for gate in found.gates)]

    assert ids() == ids()


def test_a_closed_issue_is_done_at_once_and_holds_nothing_up() -> None:
    closed = replace(issue(1, "a", "after #2"), closed=True)

    found = compile_mission(MISSION, Objectives([closed, issue(2, "b", "after #1")]))

    assert [item.state for item in found.items] == [WorkItemState.DONE, WorkItemState.PENDING]


def test_a_dependency_outside_the_mission_is_watched_once() -> None:
    found = compile_mission(MISSION, Objectives([issue(1, "a", "after #9"), issue(2, "b", "after #9, #1")]))

    assert [(gate.watch_kind, gate.target) for gate in found.gates] == [("external_gate", "o/r#9")]


def test_a_cycle_is_refused_as_a_path_with_its_sources() -> None:
    native = replace(issue(15, "b"), blocked_by=(ref(12),))

    with pytest.raises(Conflict) as caught:
        compile_mission(MISSION, Objectives([issue(12, "a", "after #15"), native]))

    assert "o/r#12 -(body)-> o/r#15 -(native)-> o/r#12" in caught.value.message


def test_the_manifest_cuts_an_edge_and_knows_better() -> None:
    overrides = manifest(
        """
        [[overrides]]
        issue = 1
        depends_on = []
        owner_role = "architect"
        priority = 10
        kind = "follow_up"

        [[overrides]]
        issue = 3
        skip = true
        """,
        "mission.toml",
        HOME,
    )
    issues = [issue(1, "a", "after #2"), issue(2, "b", "after #1"), issue(3, "c")]

    first, second = compile_mission(MISSION, Objectives(issues, overrides=overrides)).items

    assert (first.owner_role, first.priority, first.item_kind, first.depends_on) == ("architect", 10, "follow_up", ())
    assert second.key == "o/r#2"


def test_an_option_adds_an_edge_and_the_first_source_is_kept() -> None:
    both = replace(issue(1, "a", "after #8"), blocked_by=(ref(8),))

    (item,) = compile_mission(MISSION, Objectives([both], depends=[(ref(1), ref(7)), (ref(2), ref(6))])).items

    assert item.edges == ({"on": "o/r#8", "source": "native"}, {"on": "o/r#7", "source": "option"})


@pytest.mark.parametrize(("association", "waits"), [("OWNER", False), ("CONTRIBUTOR", True), ("NONE", True)])
def test_the_text_of_a_stranger_starts_nothing(association: str, waits: bool) -> None:
    (item,) = compile_mission(MISSION, Objectives([issue(1, "a", by=association)])).items

    assert item.needs_approval is waits


def test_a_pull_request_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(Invalid, match="is a pull request"):
        compile_mission(MISSION, Objectives([replace(issue(1, "a"), is_pull=True)]))
    with pytest.raises(Invalid, match="nothing to do"):
        compile_mission(MISSION, Objectives())


@pytest.mark.parametrize(
    ("title", "labels", "kind"),
    [
        ("Update to the latest build", (), "implement"),
        ("Contest the ruling", (), "implement"),
        ("Write tests for login", (), "test"),
        ("RFC: tokens", (), "design"),
        ("Write tests", ("design",), "design"),
    ],
)
def test_the_kind_of_work_is_told_by_whole_words(title: str, labels: tuple[str, ...], kind: str) -> None:
    (item,) = compile_mission(MISSION, Objectives([replace(issue(1, title), labels=labels)])).items

    assert item.item_kind == kind


def test_a_document_with_a_checklist_is_an_item_for_each_open_entry() -> None:
    text = "# Plan\n\n## Store\n- [ ] Write it\n- [x] Think\n\n## Web\n- [ ] Write it\n- [ ] Write it\n"

    found = document("docs/plan.md", text)

    assert [each.title for each in found] == ["Store: Write it", "Web: Write it"]
    assert len({each.key for each in found}) == 2
    assert document("docs/plan.md", "new line\n\n" + text) == found


def test_a_document_without_a_checklist_is_one_item_of_design() -> None:
    (found,) = document("docs/design.md", "# The store\n\n- one\n- two")

    assert (found.key, found.title, found.kind) == ("doc:docs/design.md", "The store", "design")
    assert found.body.startswith("# The store")
    assert document("x.md", "- [x] all done") == []


def test_documents_and_issues_make_one_mission() -> None:
    wanted = document("design.md", "# Tests of the store\n\ntext")

    found = compile_mission(MISSION, Objectives([issue(1, "a")], wanted))

    assert [(item.key, item.item_kind) for item in found.items] == [("o/r#1", "implement"), ("doc:design.md", "design")]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x = ", "not TOML"),
        ("x = 1", "unknown key 'x'"),
        ("overrides = 1", r"written as \[\[overrides\]\]"),
        ("[[overrides]]\nissue = 1\nowner = 'x'", "overrides 1: unknown key 'owner'"),
        ("[[overrides]]", "names no issue"),
        ("[[overrides]]\nissue = true", "a number or a text"),
        ("[[overrides]]\nissue = 1\ndepends_on = 2", "list of issues"),
        ("[[overrides]]\nissue = 1\npriority = 'x'", "whole number"),
        ("[[overrides]]\nissue = 1\nskip = 1", "true or false"),
        ("[[overrides]]\nissue = 1\nkind = 'x'", "known are design"),
        ("[[overrides]]\nissue = 1\nowner_role = ''", "owner_role must be"),
        ("[[overrides]]\nissue = 1\n[[overrides]]\nissue = 'o/r#1'", "overrides 2: o/r#1 has an entry already"),
    ],
)
def test_a_wrong_manifest_names_the_file_the_entry_and_the_fault(text: str, wrong: str) -> None:
    with pytest.raises(InvalidConfig, match=wrong) as caught:
        manifest(text, "mission.toml", HOME)
    assert caught.value.message.startswith("mission.toml: ")


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), max_size=3)))
def test_a_rank_is_the_longest_chain_of_what_waits(graph: dict[int, set[int]]) -> None:
    # An edge only to a smaller number makes no cycle.
    needs = {str(node): [str(on) for on in sorted(of) if on < node] for node, of in graph.items()}

    found = ranks(needs)

    for key in needs:
        assert found[key] == max((found[each] + 1 for each, of in needs.items() if key in of), default=0)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"))))
def test_a_refused_cycle_is_shown_by_edges_that_exist(pairs: list[tuple[str, str]]) -> None:
    edges = {node: merged(Edge(on, "body") for of, on in pairs if of == node) for node in "abcd"}
    try:
        refuse_cycle(edges)
    except Conflict as refused:
        path = refused.message.partition(": ")[2].split(" -(body)-> ")
        assert path[0] == path[-1]
        assert all((one, other) in pairs for one, other in pairwise(path))


def test_a_text_that_waits_for_thousands_is_refused_and_a_manifest_says_what_is_meant() -> None:
    said = "Depends on " + ", ".join(f"#{number}" for number in range(100, 101 + MOST_EDGES))
    with pytest.raises(Invalid, match="names 251 issues that it waits for; at most 250") as caught:
        compile_mission(MISSION, Objectives([issue(1, "One", said)]))
    assert "--manifest" in caught.value.hint

    overrides = manifest("[[overrides]]\nissue = 1\ndepends_on = [7]\n", "m", HOME)
    found = compile_mission(MISSION, Objectives([issue(1, "One", said)], overrides=overrides))
    assert found.items[0].depends_on == ("o/r#7",)
