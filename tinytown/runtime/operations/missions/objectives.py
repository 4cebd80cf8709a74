"""What a mission is to be made of: from what was typed to issues, documents and overrides.

What must be true: nothing outside the project is read, whoever asks and by whatever path; and an issue that cannot be
read is an error, never an issue without text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tinytown.actors.missions.documents import document
from tinytown.actors.missions.manifest import manifest
from tinytown.actors.missions.references import objective
from tinytown.errors import Invalid, TooLarge
from tinytown.text import one_line
from tinytown.transport.disk import read_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tinytown.actors.missions.compiler import Issue
    from tinytown.actors.missions.documents import Wanted
    from tinytown.actors.missions.manifest import Override
    from tinytown.actors.missions.references import Reference, Repository

LARGEST = 1 << 20
"""Bytes of a document or of a manifest."""

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed, understood. `depends` are pairs: the first waits for the second. `empty` asks for nothing."""

    references: tuple[Reference, ...]
    wanted: tuple[Wanted, ...]
    documents: tuple[str, ...]
    empty: tuple[str, ...]
    overrides: Mapping[str, Override]
    depends: tuple[tuple[Reference, Reference], ...]


def understood(
    root: Path,
    home: Repository | None,
    *,
    issues: Sequence[str],
    docs: Sequence[str],
    manifest_path: str | None,
    depends: Sequence[str],
) -> Asked:
    """The objectives that were typed; reads the documents and the manifest.

    `home` is the repository of bare numbers. Raises `Invalid`, `InvalidConfig` for the manifest, `TooLarge`, and
    `Forbidden` for a path by way of a link.
    """
    references = tuple(dict.fromkeys(objective(each, home) for each in issues))
    names = tuple(dict.fromkeys(_name(each) for each in docs))
    if not references and not names:
        raise Invalid("A mission needs an objective", hint="Name an issue: tt mission start --issue 23")
    read = {name: document(name, _text(root, name, "document")) for name in names}
    overrides: Mapping[str, Override] = {}
    if manifest_path is not None:
        name = _name(manifest_path)
        overrides = manifest(_text(root, name, "manifest"), name, home)
    return Asked(
        references,
        tuple(wanted for found in read.values() for wanted in found),
        names,
        tuple(name for name, found in read.items() if not found),
        overrides,
        tuple(_pair(each, home, references) for each in depends),
    )


def _pair(text: str, home: Repository | None, references: Sequence[Reference]) -> tuple[Reference, Reference]:
    """`A:B`. An address has a colon, too, so every one of them is tried."""
    for one, other in _splits(text):
        try:
            pair = objective(one, home), objective(other, home)
        except Invalid:
            continue
        if pair[0] not in references:
            raise Invalid(
                f"--depends {one_line(text, _SHOWN)}: {pair[0]} is no objective of the mission",
                hint="Before the colon stands the issue that has to wait.",
            )
        return pair
    raise Invalid(
        f"--depends {one_line(text, _SHOWN)} names no two issues", hint="Write 24:23 when 24 has to wait for 23."
    )


def _splits(text: str) -> Iterator[tuple[str, str]]:
    for at, char in enumerate(text):
        if char == ":":
            yield text[:at], text[at + 1 :]


def _name(path: str) -> str:
    """A path inside the project, however it was spelled."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise Invalid(
            f"'{one_line(path, _SHOWN)}' is no file inside the project", hint="Name it from the project's directory on."
        )
    return str(parts)


def _text(root: Path, name: str, what: str) -> str:
    shown = one_line(name, _SHOWN)
    try:
        raw = read_inside(root, name.split("/"), limit=LARGEST + 1)
    except (OSError, ValueError) as error:
        raise Invalid(f"The {what} {shown} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if raw is None:
        raise Invalid(f"There is no {what} {shown} in the project")
    if len(raw) > LARGEST:
        raise TooLarge(f"The {what} {shown} has more than {LARGEST:,} bytes", hint="Split it.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The {what} {shown} is not valid UTF-8 (byte {error.start})") from None


def moved(asked: Asked, issues: Mapping[Reference, Issue]) -> Asked:
    """What was asked, with every issue that has moved under its new reference. `issues` are by the asked one."""
    actual = {reference: issue.reference for reference, issue in issues.items()}

    def now(reference: Reference) -> Reference:
        return actual.get(reference, reference)

    overrides = {}
    for override in asked.overrides.values():
        after = replace(
            override,
            issue=now(override.issue),
            depends_on=None if override.depends_on is None else tuple(map(now, override.depends_on)),
        )
        overrides[after.issue.key] = after
    return replace(
        asked,
        references=tuple(dict.fromkeys(map(now, asked.references))),
        overrides=overrides,
        depends=tuple((now(one), now(other)) for one, other in asked.depends),
    )


def stray(asked: Asked) -> Iterable[str]:
    """The keys that the manifest speaks of, and that are no objective."""
    known = {reference.key for reference in asked.references}
    return [key for key in asked.overrides if key not in known]
