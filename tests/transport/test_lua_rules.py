"""What no script and no module may do: rules of the house, held by reading the sources."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

import tinytown
from tinytown import lifecycle
from tinytown.transport import scripts
from tinytown.transport.keys import CATALOGUE

PACKAGE = Path(tinytown.__file__).parent
LUA = sorted(Path(scripts.__file__).with_name("lua").glob("*.lua"))
PYTHON = sorted(PACKAGE.rglob("*.py"))

STATES = {
    state.value
    for kind in vars(lifecycle).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum) and kind.__name__.endswith("State")
    for state in kind
}


def code_of(path: Path) -> str:
    """The script without its comments."""
    return "\n".join(line.partition("--")[0] for line in path.read_text().splitlines())


def literals(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"'([^']*)'|\"([^\"]*)\"", code_of(path))


def test_the_rules_look_at_something() -> None:
    assert len(LUA) > 10
    assert len(PYTHON) > 20
    assert {"idle", "running", "cancelled"} <= STATES


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_no_script_spells_a_state(path: Path) -> None:
    spelled = {text for pair in literals(path) for text in pair}

    assert not spelled & STATES


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_no_script_spells_a_key(path: Path) -> None:
    code = code_of(path)

    assert "KEYS[" not in code
    assert "tt:" not in code
    assert not {text for pair in literals(path) for text in pair} & {key.suffix for key in CATALOGUE if key.per}


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_every_key_that_a_script_touches_comes_from_the_catalogue(path: Path) -> None:
    keys = re.findall(r"redis\.call\('[A-Z]+', ([^,)]+)", code_of(path))

    for key in keys:
        assert re.match(r"K_[a-z_]+|lane_key\(|key$|stream$|unpack\((rare|hand)_keys$", key), key


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_no_script_writes_json(path: Path) -> None:
    # The server's encoder turns [] into {} and 12345678901234567890 into 1.2345678901235e+19.
    assert "cjson.encode" not in code_of(path)


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_no_script_lists_all_keys_or_pops_destructively(path: Path) -> None:
    commands = set(re.findall(r"redis\.call\('([A-Z]+)'", code_of(path)))

    assert not commands & {"KEYS", "SCAN", "LPOP", "RPOP", "LMPOP", "BLMPOP", "BLPOP", "FLUSHALL", "FLUSHDB"}


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_asks_for_all_keys_and_only_one_spells_them(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"""["']KEYS["'] *,""", text)
    if path.name != "keys.py":
        assert not re.search(r"""["']tt:[^ ]""", text)
