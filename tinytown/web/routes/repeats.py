"""Requests that may come again: with an Idempotency-Key, what is asked twice is done once.

The key belongs to whoever sends it. What was done is answered again as it was, for a day. What was refused changed
nothing, so it is not remembered. Of what began and did not say how it ended nobody can tell whether it was done:
then whoever asks has to look.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

from tinytown.errors import Conflict, TownError
from tinytown.web.refusals import BadRequest, Refusal, Unready
from tinytown.web.routes.call import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.transport.answers import Answers
    from tinytown.web.routes.call import Call

HEADER = "idempotency-key"
REPLAYED = ("idempotency-replayed", "true")

LONGEST = 255
PATTERN = "^[!-~]([ -~]*[!-~])?$"
"""Printable, and no blanks at its ends: HTTP does not keep them."""
_LARGEST = 64 << 10
"""Bytes of an answer that is kept whole."""


class KeyUsed(Conflict):
    """The key was used for another request."""

    code = "idempotency_key_used"


class OutcomeUnknown(Conflict):
    """The first request of this key began, and nobody knows how it ended."""

    code = "outcome_unknown"


class BeingDone(Refusal):
    """The first request of this key is at work."""

    code = "being_done"
    http_status = 409


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: str
    holder: str
    answer: Answer | None = None
    too_large: bool = False

    def encode(self) -> bytes:
        kept: dict[str, object] = {"request": self.fingerprint, "holder": self.holder, "too_large": self.too_large}
        if self.answer is not None:
            kept |= {
                "status": self.answer.status,
                "type": self.answer.content_type,
                "body": b64encode(self.answer.body).decode(),
            }
        return json.dumps(kept).encode()

    @classmethod
    def decode(cls, raw: bytes) -> _Kept:
        kept = json.loads(raw)
        answer = None
        if "status" in kept:
            answer = Answer(kept["status"], b64decode(kept["body"]), kept["type"])
        return cls(kept["request"], kept["holder"], answer, kept["too_large"])


class Repeats:
    """The requests with a key, of one townhall."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._at_work: set[str] = set()

    async def once(self, call: Call, do: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `do` answers, or what it answered when it was asked before.

        Raises `BadRequest` for a key that is none, `KeyUsed`, `OutcomeUnknown`, and `BeingDone`.
        """
        key = call.header(HEADER)
        if key is None:
            return await do()
        if len(key) > LONGEST or re.fullmatch(PATTERN, key) is None:
            raise BadRequest(f"The Idempotency-Key cannot be used; expected 1 to {LONGEST} printable characters")
        name = _digest(call.principal.id.encode(), key.encode())
        mark = _Kept(_fingerprint(call), str(uuid4()))
        # Before the mark is there: who finds it must find it at work, too.
        self._at_work.add(mark.holder)
        try:
            found = await self._open(name, mark)
            if found is not None:
                return self._known(found, mark.fingerprint)
            return await self._do(name, mark, do)
        finally:
            self._at_work.discard(mark.holder)

    async def _open(self, name: str, mark: _Kept) -> _Kept | None:
        """Put the mark there; what was there already."""
        found = await self._answers.open(name, mark.encode())
        if found is None:
            return None
        kept = _Kept.decode(found)
        if kept.answer is None and kept.holder not in self._at_work:
            # It may have ended since the mark was read.
            found = await self._answers.open(name, mark.encode())
        return None if found is None else _Kept.decode(found)

    async def _do(self, name: str, mark: _Kept, do: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await do()
        except TownError as error:
            if _changed_nothing(error):
                await self._answers.drop(name, mark.encode())
            raise
        is_small = len(answer.body) <= _LARGEST
        kept = replace(mark, answer=answer) if is_small else replace(mark, too_large=True)
        await self._answers.close(name, mark.encode(), kept.encode())
        return answer

    def _known(self, kept: _Kept, fingerprint: str) -> Answer:
        if kept.fingerprint != fingerprint:
            raise KeyUsed("This Idempotency-Key was used for another request", hint="Take a new key for each request.")
        if kept.answer is not None:
            return replace(kept.answer, headers=(REPLAYED,))
        if kept.too_large:
            raise OutcomeUnknown("This was done already; its answer was too large to be kept")
        if kept.holder in self._at_work:
            raise BeingDone("This request is being done now", headers=[("retry-after", "1")])
        raise OutcomeUnknown(
            "This request began before, and how it ended is not known",
            hint="Look what became of it; then ask again with a new key if need be.",
        )


def _changed_nothing(error: TownError) -> bool:
    """Whether a repeat does no harm: it was refused, or will be when it was done in part."""
    return error.http_status < 500 or isinstance(error, Unready)


def _fingerprint(call: Call) -> str:
    scope = call.scope
    return _digest(scope["method"].encode(), scope["path"].encode(), scope.get("query_string", b""), call.body)


def _digest(*parts: bytes) -> str:
    whole = sha256()
    for part in parts:
        whole.update(b"%d " % len(part))
        whole.update(part)
    return whole.hexdigest()
