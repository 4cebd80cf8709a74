"""The entry point of `tt`: read the command line, do what it asks, end with the documented exit status.

The hot commands must start fast: what is imported here is paid by every one of them. Where a runtime lives, another
process does one for us (`forkclient`). A command line that the fast path understands never meets the grammar; any
doubt, help included, goes there.
"""

import gc
import os
import sys

from tinytown.cli import forkclient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run `tt` with these arguments, by default those of the process; gives the exit status."""
    try:
        try:
            done = forkclient.hand_over(sys.argv) if argv is None else None
            status = _run(sys.argv[1:] if argv is None else list(argv)) if done is None else done
            if sys.stdout is not None:
                sys.stdout.flush()
        except BaseException as error:
            if isinstance(error, SystemExit | GeneratorExit):
                raise
            status = _conclude(error)
    except KeyboardInterrupt:
        status = interrupted_again()
    if argv is None and "tinytown.cli.app" not in sys.modules:
        _leave(status)
    return status


def _run(argv: list[str]) -> int:
    from tinytown.cli import fast, terminal
    from tinytown.cli.invocation import perform

    terminal.prepare()
    _refuse_undecodable(argv)
    # A hot command ends before collecting garbage could pay; that saves it 2 ms of 90.
    gc.disable()
    invocation = fast.bind(argv)
    if invocation is None:
        gc.enable()
        from tinytown.cli.app import bind

        invocation = bind(argv)
    return perform(invocation)


def _leave(status: int) -> None:
    """End the process of a hot command at once: taking the modules down would take 7 ms, and nothing needs it.

    What was to be written has been; a server that was started lives in a session of its own.
    """
    try:
        flush()
    finally:
        os._exit(status)


def flush() -> None:
    """Write what is still to be written."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def interrupted_again() -> int:
    """Ctrl-C was pressed twice: the exit status; nothing is written any more."""
    from tinytown.cli import failures

    for stream in (sys.stdout, sys.stderr):
        failures.silence(stream)
    return failures.INTERRUPTED


def _conclude(error: BaseException) -> int:
    from tinytown.cli import failures

    if isinstance(error, BrokenPipeError):
        failures.silence()
    if isinstance(error, KeyboardInterrupt):
        failures.silence_stuck()
    status = failures.conclude(error)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # A full disk, or a reader that went meanwhile: said above, or not worth a word.
        failures.silence()
    return status


def _refuse_undecodable(argv: list[str]) -> None:
    for number, argument in enumerate(argv, 1):
        if argument.isascii():
            continue
        try:
            argument.encode()
        except UnicodeEncodeError:
            from tinytown.errors import Invalid

            shown = argument.encode("utf-8", "surrogateescape")[:60]
            raise Invalid(
                f"Argument {number} is not valid UTF-8: {shown!r}",
                hint="Set a UTF-8 locale, or give the text by standard input with '-'.",
            ) from None


if __name__ == "__main__":
    sys.exit(main())
