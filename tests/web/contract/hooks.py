"""What schemathesis cannot know of townhall. It is run in an environment of its own, without townhall's packages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import requests
import schemathesis
from hypothesis import strategies as st

AGENTS = ("ada", "bob", "eve")
SECONDS = frozenset(map(str, range(61)))
CLEARING = frozenset({"/v1/town/reset", "/v1/town/restore", "/v1/agents/prune"})


def cursor(behind: tuple[int, str]) -> str:
    return urlsafe_b64encode(json.dumps(behind).encode()).decode().rstrip("=")


LABELS = st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable() and bool(text.strip()))

# The formats of the description that are townhall's own.
for name, strategy in {
    "agent-cli": st.sampled_from(["claude", "codex", "gemini"]),
    "command": st.sampled_from(["true", "python -c pass", "'no such program' -x"]),
    "cursor": st.tuples(st.integers(0, 1000), st.text(max_size=40)).map(cursor),
    "dependency": st.sampled_from(["2:1", "3:acme/town#2"]),
    "directory": st.just("."),
    "document": st.just("README.md"),
    "issue": st.sampled_from(["acme/town#1", "acme/town#2", "https://github.com/acme/town/issues/3", "acme/town#99"]),
    "label": LABELS,
    "manifest": st.just("missions.toml"),
}.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, object]) -> None:
    """Wait for nothing: there is better to do."""
    if case.operation.path.endswith("/wait") and str((case.query or {}).get("seconds", 20)) in SECONDS:
        case.query = {**(case.query or {}), "seconds": 0}


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Where the agents have been cleared away, let there be some again: otherwise little is left to be asked."""
    if case.operation.path in CLEARING and response.status_code == requests.codes.ok:
        url = response.request.url.partition("/v1/")[0]
        shown = {name: text for name, text in response.request.headers.items() if name == "Authorization"}
        for agent in AGENTS:
            requests.post(f"{url}/v1/agents", json={"name": agent}, headers=shown, timeout=30)
