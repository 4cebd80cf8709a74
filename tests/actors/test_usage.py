"""What a CLI says a round has used."""

from __future__ import annotations

import pytest

from tinytown.actors.drivers.presets import PRESETS
from tinytown.actors.drivers.usage import MOST, tokens_in


@pytest.mark.parametrize(
    ("cli", "said", "used"),
    [
        ("codex", "the answer\ntokens used\n12,345\n", 12_345),
        ("codex", "tokens used\n7", 7),
        ("codex", "I have counted the tokens used\nin the file: 9", None),
        ("aider", "Tokens: 2.3k sent, 151 received. Cost: $0.01 message, $0.02 session.", 2_451),
        ("aider", "Tokens: 1.5M sent, 12k cache write, 1,000 received.\nmore\nTokens: 10 sent, 5 received.", 1_501_015),
        ("aider", "Tokens: ... sent, x received", None),
        ("claude", "tokens used\n12", None),
        ("codex", "", None),
        ("codex", "tokens used\n" + "9" * 400, MOST),
    ],
)
def test_it_is_what_was_said(cli: str, said: str, used: int | None) -> None:
    assert tokens_in(PRESETS[cli].tokens, said) == used
