"""API keys and the audit, for people and for programs. Nothing here shows a hash of a key that the town keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.tasks import moment
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.runtime.api_key import ApiKey
    from tinytown.runtime.operations.api_keys import KeyList, MadeKey
    from tinytown.transport.api_keys import StoredKey
    from tinytown.transport.audit import AuditRecord

SHOWN = 8
"""Characters of the key in the example: enough to recognise it by, far too few to use."""

_ICONS = {"success": "✅", "denied": "🚫", "error": "⚠️ "}


def for_configuration(made: ApiKey) -> list[str]:
    """A key that nobody keeps."""
    return [
        *_new(made.key),
        "",
        "API Key Hash (add to tinytown.toml):",
        made.hash,
        "",
        "Add to your tinytown.toml:",
        "",
        "  [townhall.auth]",
        '  mode = "api_key"',
        f'  api_key_hash = "{made.hash}"',
        "",
        *_use(made.key),
    ]


def kept(made: MadeKey, town: str) -> list[str]:
    """A key that the town keeps."""
    stored = made.stored
    return [
        *_new(made.key),
        "",
        f"Town '{term_safe(town, lines=False)}' keeps its hash:",
        *(f"  {line}" for line in _lines(stored)),
        f"  Revoke it with: tt auth revoke {stored.name}",
        "",
        *_use(made.key),
    ]


def listed(found: KeyList) -> list[str]:
    """All keys of a town."""
    if not found.keys:
        return ["No API keys. Make one with: tt auth gen-key --name NAME"]
    lines = []
    for key in found.keys:
        state = "⌛ expired" if key.expired(found.at) else "🔑"
        lines += [f"{state} {term_safe(key.name, lines=False)}", *(f"   {line}" for line in _lines(key))]
    return lines


def audited(records: Sequence[AuditRecord]) -> list[str]:
    """Calls, one a line, oldest first."""
    if not records:
        return ["No calls that changed something or were refused."]
    return [
        term_safe(
            f"{moment(record.at)} {_ICONS.get(record.result, '?')} {record.principal} {record.method} {record.path} "
            f"{record.status}{f' {record.object}' if record.object else ''} ({record.request_id})",
            lines=False,
        )
        for record in records
    ]


def encode(key: StoredKey) -> dict[str, object]:
    """A key for programs."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def _new(key: str) -> list[str]:
    return ["🔐 Generated new API key", "", "API Key (store securely, shown only once):", key]


def _use(key: str) -> list[str]:
    return [
        "Then use the API key with townhall:",
        f"  curl -H 'Authorization: Bearer {key[:SHOWN]}...' http://localhost:8787/v1/status",
    ]


def _lines(key: StoredKey) -> list[str]:
    expires = moment(key.expires_at) if key.expires_at is not None else "never"
    used = moment(key.used_at) if key.used_at is not None else "never"
    return [
        f"Id: {term_safe(key.id, lines=False)}",
        f"Scopes: {term_safe(', '.join(key.scopes) or 'none', lines=False)}",
        f"Created: {moment(key.created_at)}, expires: {expires}, last used: {used}",
    ]
