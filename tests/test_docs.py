"""What the documentation shows is what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tinytown.lifecycle import MACHINES

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def diagrams() -> ModuleType:
    return script("make_diagrams")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_diagrams_are_those_of_the_tables(diagrams: ModuleType) -> None:
    for path, names in diagrams.DOCUMENTS.items():
        document = path.read_text(encoding="utf-8")
        assert document == diagrams.redrawn(document, names), "stale: run python docs/make_diagrams.py"


def test_a_diagram_has_an_arrow_for_every_move_and_no_other(diagrams: ModuleType) -> None:
    for table in MACHINES.values():
        _, begin, *lines = diagrams.diagram(table).splitlines()
        assert begin.strip().startswith("[*] --> ")
        drawn = set()
        for line in lines:
            source, _, rest = line.strip().partition(" --> ")
            target, _, events = rest.partition(": ")
            drawn |= {(source, event, target) for event in events.split(", ")}
        moves = {
            (state.value, event.value.replace("_", " "), following.value)
            for state, row in table.items()
            for event, following in row.items()
        }
        assert drawn == moves | {(state.value, "", "[*]") for state, row in table.items() if not row}


def test_prose_around_the_diagrams_is_left_alone(diagrams: ModuleType) -> None:
    document = (
        "# Head\n" + "".join(f"before\n<!-- diagram: {name} -->\nold\n<!-- end -->\n" for name in MACHINES) + "tail"
    )
    drawn = diagrams.redrawn(document)
    assert "old" not in drawn
    assert drawn.startswith(
        "# Head\nbefore\n<!-- diagram: agent -->\n```mermaid\nstateDiagram-v2\n    [*] --> starting\n"
    )
    assert drawn.endswith("```\n<!-- end -->\ntail")
    assert diagrams.redrawn(drawn) == drawn


def test_a_diagram_that_is_missing_is_told(diagrams: ModuleType) -> None:
    with pytest.raises(ValueError, match="the tables are"):
        diagrams.redrawn("<!-- diagram: agent -->\n<!-- end -->\n")


def test_the_tables_of_the_configuration_are_those_of_the_settings() -> None:
    document = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert document == script("make_configuration").rewritten(document), "stale: python docs/make_configuration.py"


def test_there_is_a_page_for_every_command_and_none_is_stale() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "cli").glob("*.md")}
    assert there == script("make_cli").pages(), "stale: run python docs/make_cli.py"
