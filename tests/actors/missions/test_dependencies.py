"""What bodies of issues say: the cases were met in real issues and in tools that read them wrongly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.actors.missions.dependencies import dependencies
from tinytown.actors.missions.references import Reference, Repository

HOME = Repository("github.com", "o", "r")

CASES: list[tuple[str, str]] = [
    ("This feature depends on #42.", "42"),
    ("After #41 is complete, we can start this.", "41"),
    ("Blocked by #40.", "40"),
    ("Requires #10 to be completed first", "10"),
    ("DEPENDS ON #100", "100"),
    ("Depends on #1, #2 and #3", "1 2 3"),
    ("depends on #1 & #2", "1 2"),
    ("depends on #1/#2", "1 2"),
    ("depends on #5 (self) and #6", "6"),
    ("**Depends on:** #43", "43"),
    ("*Depends on:* #43, #44", "43 44"),
    ("blocked-by: #11", "11"),
    ("dependent on #21", "21"),
    ("depends upon #22", "22"),
    ("- Depends on #2129 so the QR helpers exist.", "2129"),
    ("Requires Redis 8 and #4", ""),
    ("Blocked by: #1\n#2", "1"),
    ("Depends on: none. First slice (#1 → #2).", ""),
    ("Depends on: n/a", ""),
    ("Depends on #0, #2147483648 and #3", "3"),
    ("Depends on node.js/x#1, a_b_c/x#2, a/..#4 and #3", "3"),
    ("## Depends on\n\n- #12\n- #13 (must be first because #99)\n", "12 13"),
    ("## Dependencies\n- [ ] #1\n- [x] #2\n- [ ] ~#3~ moved\n- #4\n", "1 4"),
    ("## Dependencies\n\nNone\n\n## Notes\n- #5", ""),
    ("Depends on:\n- #1\n- #2\n\nOther\n- #3", "1 2"),
    ("```\ndepends on #1\n```", ""),
    ("    depends on #1", ""),
    ("`depends on #1`", ""),
    ("> Depends on #1", ""),
    ("~~Depends on #1~~", ""),
    ("<!-- Depends on #1 -->", ""),
    ("~~Blocked by #1~~ depends on #2", "2"),
    ("<!-- Depends on #1 -->\nrequires #2", "2"),
    ("> Depends on #1\n\nreal: blocked by #2", "2"),
    ("not blocked by #1", ""),
    ("doesn't depend on #1", ""),
    ("no longer depends on #1", ""),
    ("unblocked by #1", ""),
    ("thereafter #3", ""),
    ("Blocks #7", ""),
    ("- **Blocks #1188** - because blocked by #1188 logic", ""),
    ("Required by #9", ""),
    ("depends on owner/repo#56", "owner/repo#56"),
    ("Depends on Microsoft/vscode#1 and #3", "microsoft/vscode#1 3"),
    ("Depends on https://github.com/a/b/issues/77", "a/b#77"),
    ("Depends on https://github.com/a/b/pull/78#issuecomment-1", "a/b#78"),
    ("Depends on [#12](https://github.com/o/r/issues/12)", "12"),
    ("Depends on [the design](https://github.com/x/y/issues/3)", "x/y#3"),
    ("Depends on https://elsewhere.example/a/b/issues/77", ""),
    ("Depends on GH-15", "15"),
    ("depends on issue #8", "8"),
    ("Blocked by PR #9", "9"),
    (r"depends on \#12", "12"),
    ("requires #", ""),
    ("requires #12abc", ""),
    ("Blocked by #A", ""),
    ("", ""),
    ("| Depends on #3 | x |\n| --- | --- |\n| a | b |", "3"),
    ("Merge after #33 and #34; then #35", "33 34"),
    ("After #1, after #2.", "1 2"),
    ("Some text\r\n\r\nDepends on #1\r\n", "1"),
    ("- [x] Depends on #3", ""),
    ("- [ ] Depends on #3", "3"),
    # Beyond the table of the notes.
    ("Not now. Depends on #1", "1"),
    ("does not strictly depend on #1", ""),
    ("Depends on #1,\n#2", "1 2"),
    ("<details>\nDepends on #6\n</details>", "6"),
    ("<del>Depends on #6</del> and <s>after #7</s>", ""),
    ("- [x] done\n  - depends on #4", ""),
    ("Depends on #1 and #1", "1"),
    ("Depends on o/r#1 and O/R#5", "1"),
    ("## Blocks\n- #5\n- #6", ""),
    ("## Depends on\n- first #5", ""),
]


def ref(text: str) -> Reference:
    name, _, number = text.rpartition("#")
    owner, _, repository = name.partition("/")
    return Reference(Repository.of("github.com", owner, repository) if name else HOME, int(number))


@pytest.mark.parametrize(("body", "meant"), CASES, ids=range(len(CASES)))
def test_a_body_depends_on_what_its_author_meant(body: str, meant: str) -> None:
    # Number 5 is the issue itself.
    assert dependencies(body, Reference(HOME, 5)) == [ref(each) for each in meant.split()]


def test_an_address_counts_on_the_host_of_the_issue_only() -> None:
    here = Repository("git.example.org", "o", "r")
    body = "Depends on https://git.example.org/a/b/issues/1, https://github.com/a/b/issues/2 and c/d#3"

    found = dependencies(body, Reference(here, 5))

    assert [each.key for each in found] == ["git.example.org/a/b#1", "git.example.org/c/d#3"]


@pytest.mark.parametrize(
    "body",
    [
        "depends on " * 6_000,
        "depends on " + "#1 " * 20_000,
        "<" * 60_000,
        "<!--" * 15_000,
        "~" * 60_000,
        "> " * 30_000 + "depends on #1",
        "- " * 30_000 + "#1",
        "[" * 60_000,
        "depends on #1 " + "(" * 60_000,
        "not " * 15_000 + "after #1",
        "a/" * 30_000 + "#1",
        "https://" * 8_000,
        "\x00" * 60_000,
    ],
    ids=range(13),
)
def test_a_hostile_body_is_read_to_its_end(body: str) -> None:
    """What grew with the square of its length would run into the time-out of the whole suite."""
    assert len(dependencies(body, Reference(HOME, 5))) <= 1


PIECES = st.sampled_from(
    ["depends on ", "after ", "#1", "#2 ", "not ", "> ", "- ", "[x] ", "`", "~~", "<!--", "-->", "\n", "a/b#3", ", "]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_body_makes_an_issue_depend_on_itself_or_twice_on_another(body: str) -> None:
    found = dependencies(body, Reference(HOME, 2))

    assert Reference(HOME, 2) not in found
    assert len(set(found)) == len(found)
