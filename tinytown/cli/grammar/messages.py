"""`tt send`, `tt inbox`, `tt answer`, `tt dismiss`, and the old `tt tasks`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import requests
from tinytown.cli.grammar.options import SHOW, AgentName, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def send(
    to: AgentName,
    message: Annotated[str, Parameter(help="What to say, in quotes; '-' reads it from standard input.")],
    /,
    *,
    query: Annotated[Flag, Parameter(help="A question that expects an answer.")] = False,
    info: Annotated[Flag, Parameter(help="Something to know; asks for nothing.")] = False,
    ack: Annotated[Flag, Parameter(help="A confirmation.")] = False,
    urgent: Annotated[Flag, Parameter(help="Read first; cuts or steers the running turn.")] = False,
    sender: Annotated[
        str | None, Parameter(name="--from", help="Speak as this agent. [default: the conductor]")
    ] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Send a message to an agent.

    Without --query, --info or --ack it asks for work.

    Example: tt send backend --query "Can you take the token refresh next?"
    """
    return requests.send(options.common(), to, message, query=query, info=info, ack=ack, urgent=urgent, sender=sender)


def inbox(
    agent: AgentName | None = None,
    /,
    *,
    everyone: Annotated[Flag, Parameter(name=("--all", "-a"), help="The inboxes of all agents.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Check agent inbox(es).

    Example: tt inbox backend
    """
    return requests.inbox(options.common(), agent, everyone=everyone)


def answer(
    message: Annotated[
        str, Parameter(help="Id of a message in your inbox, or a unique prefix of 4 characters and more.")
    ],
    text: Annotated[str, Parameter(help="What to answer, in quotes; '-' reads it from standard input.")],
    /,
    *,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Answer a message in your inbox.

    It goes to whoever wrote it, and the message leaves your inbox. See what waits, with the ids, with 'tt inbox'.

    Example: tt answer 6b86b273 "Port 8080"
    """
    from tinytown.runtime.operations.answering import Answer

    return Invocation("answer", Answer(message, text), options.common())


def dismiss(
    *messages: Annotated[str, Parameter(name="MESSAGE", help="Ids of messages in your inbox, or unique prefixes.")],
    options: ShowOptions = SHOW,
) -> Invocation:
    """Put messages in your inbox away without an answer.

    Example: tt dismiss 6b86b273 d4735e3a
    """
    from tinytown.runtime.operations.answering import Dismiss

    return Invocation("dismiss", Dismiss(messages), options.common())


def tasks(*, options: ShowOptions = SHOW) -> Invocation:
    """Deprecated: now 'tt inbox --all'.

    Example: tt inbox --all
    """
    from tinytown.runtime.operations.messages import Inboxes

    return Invocation("tasks", Inboxes(), options.common())
