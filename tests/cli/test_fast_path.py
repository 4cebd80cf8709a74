"""The fast path and the grammar read every command line in the same way, or the fast path leaves it alone."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinytown.cli import app, fast
from tinytown.cli.invocation import Common, Invocation
from tinytown.errors import Invalid
from tinytown.messages import Priority
from tinytown.runtime.operations.messages import Inboxes, Send, SendKind
from tinytown.runtime.operations.tasks import TaskEnd

OPTIONS = [
    "--json", "--verbose", "-v", "--town", "-t", "--deep", "--tasks", "--all", "-a", "--query", "--info", "--ack",
    "--urgent", "--from", "--tags", "--parent", "--state", "--agent", "--result", "--error", "--help", "-h", "--",
    "-", "--no-json", "--json=true", "--town=x", "-vt", "-tx", "--from_", "--JSON", "--version",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from([
        "bob", "do it", "", "none", "null", "true", "1", "-1", "1e3", "{}", "[1]", '{"town": "x"}', "@file", "a,b",
        "running", "RUNNING", "nowhere", "- a point", "--- rule", "show", "list", "complete", "é\u202e", "a=b",
    ]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)  # fmt: skip
COMMANDS = st.sampled_from([
    ["status"], ["list"], ["inbox"], ["send"], ["assign"], ["task"], ["task", "show"], ["task", "list"],
    ["task", "complete"], ["task", "fail"], ["--version"], ["kill"], [],
])  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Mostly plausible, sometimes nonsense."""
    words = draw(st.lists(st.one_of(TEXTS, TEXTS, st.sampled_from(OPTIONS)), max_size=6))
    return [*draw(COMMANDS), *words]


def read_by(bind: object, argv: list[str]) -> Invocation | tuple[str, str] | None:
    """What a reader makes of it: an invocation, a refusal, or nothing."""
    try:
        found = bind(argv)  # type: ignore[operator]
    except Invalid as error:
        return error.message, error.hint
    assert found is None or isinstance(found, Invocation)
    return found


@settings(max_examples=1500, deadline=None)
@given(command_lines())
@example(["send", "bob", "hi", "--query", "--urgent", "--from", "eve", "-t", "x", "--json", "-v"])
@example(["assign", "bob", "line\n- point", "--tags", "a, b,a", "--parent", "1234"])
@example(["task", "list", "--state", "Running", "--agent", "bob"])
@example(["task", "complete", "1234", "--result", "done", "--town", "/x"])
@example(["send", "--query", "bob", "--info", "hi"])
@example(["inbox", "bob", "--all"])
def test_whatever_the_fast_path_accepts_the_grammar_reads_in_the_same_way(argv: list[str]) -> None:
    quick = read_by(fast.bind, argv)
    if quick is not None:
        assert quick == read_by(app.bind, argv)
        assert [type(part) for part in quick] == [type(part) for part in read_by(app.bind, argv) or ()]


def test_the_plain_forms_need_no_grammar() -> None:
    for line in (
        "status", "status --deep --tasks --json", "list -t x", "inbox", "inbox bob", "inbox --all", "inbox -a",
        "send bob hello", "send bob --urgent hello --from eve", "assign bob work --tags a,b", "task show 1234",
        "task list --state running", "task complete 1234 --result done", "--version",
    ):  # fmt: skip
        assert fast.bind(line.split()) is not None, line


def test_what_could_be_misread_is_left_to_the_grammar() -> None:
    for line in (
        "", "spawn bob", "status extra", "send bob", "send bob a b", "send bob -- hi", "list --jsn", "inbox -h",
        "list --json --json", "list --town", "list --town=x", "send bob hi --from -x", "list -vt x", "task fail 1",
    ):  # fmt: skip
        assert fast.bind(line.split()) is None, line


def test_options_may_stand_anywhere() -> None:
    asked = Send("bob", "hi", SendKind.QUERY, Priority.URGENT, None)

    assert fast.bind(["send", "--query", "bob", "--urgent", "hi", "-t", "x"]) == Invocation(
        "send", asked, Common(town="x")
    )


def test_texts_that_begin_with_a_dash_are_read_as_texts() -> None:
    bound = app.bind(["send", "bob", "- first\n- second"])

    assert bound.request == Send("bob", "- first\n- second")
    assert app.bind(["task", "complete", "1234", "--result", "-"]).request == TaskEnd("1234", "-")
    assert app.bind(["send", "bob", "--", "--query"]).request == Send("bob", "--query")


def test_the_old_name_of_the_inboxes_still_works() -> None:
    assert app.bind(["tasks"]) == Invocation("tasks", Inboxes())
