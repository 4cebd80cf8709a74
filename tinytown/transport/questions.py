"""Readings that share a round trip.

A question is commands that only read, and what their replies mean. Whoever has several asks them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinytown.transport.connection import Connection, Reply, Value

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")


class Question(Generic[T]):
    """What is asked: `commands`, none perhaps, and `meaning` of their replies, which is the answer."""

    __slots__ = ("commands", "meaning")

    def __init__(self, commands: Sequence[Sequence[Value]], meaning: Callable[[Sequence[Reply]], T]) -> None:
        self.commands = commands
        self.meaning = meaning


@overload
async def ask(connection: Connection, first: Question[A], /) -> tuple[A]: ...
@overload
async def ask(connection: Connection, first: Question[A], second: Question[B], /) -> tuple[A, B]: ...
@overload
async def ask(
    connection: Connection, first: Question[A], second: Question[B], third: Question[C], /
) -> tuple[A, B, C]: ...
async def ask(connection: Connection, /, *questions: Question[Any]) -> tuple[Any, ...]:
    """The answers to all of them, in one round trip. Raises the kinds of `Unavailable`."""
    replies = await connection.pipeline([each for question in questions for each in question.commands], repeat=True)
    answers, at = [], 0
    for question in questions:
        end = at + len(question.commands)
        answers.append(question.meaning(replies[at:end]))
        at = end
    return tuple(answers)
