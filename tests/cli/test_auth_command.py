"""`tt auth gen-key`."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher
from person import Person

from tinytown.config import parse_settings


def test_the_key_fits_the_hash_and_nothing_else_does(person: Person) -> None:
    first, second = (person.tt("auth", "gen-key", "--json").json for _ in range(2))
    assert first["api_key"] != second["api_key"]
    assert re.fullmatch(r"tt_[A-Za-z0-9_-]{43}", first["api_key"])
    assert first["api_key_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(first["api_key_hash"], first["api_key"])
    with pytest.raises(Exception, match="does not match"):
        PasswordHasher().verify(first["api_key_hash"], second["api_key"])


@pytest.mark.parametrize("words", [("auth", "gen-key"), ("generate-api-key",)])
def test_it_prints_what_the_book_shows_and_the_configuration_takes_it(person: Person, words: tuple[str, ...]) -> None:
    said = person.tt(*words)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[:3] == ["🔐 Generated new API key", "", "API Key (store securely, shown only once):"]
    assert lines[5] == "API Key Hash (add to tinytown.toml):"
    assert said.out.count(lines[3]) == 1
    text = "\n".join(lines[lines.index("  [townhall.auth]") :][:3])
    settings = parse_settings(text, "", {}, trusted=lambda _: True)
    assert settings.townhall["auth"] == {"mode": "api_key", "api_key_hash": lines[6]}
