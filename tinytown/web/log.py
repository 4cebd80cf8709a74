"""The log of townhall: one line an event on standard error, safe for a terminal."""

from __future__ import annotations

import logging
import sys

from tinytown import times
from tinytown.text import term_safe

NAMES = ("townhall", "audit")
"""The loggers of ours; others of this process are left as they are."""


class Lines(logging.Formatter):
    """`2026-01-01T00:00:00.000Z INFO audit: …`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        what = term_safe(record.getMessage(), lines=False)
        line = f"{times.timestamp(record.created)} {record.levelname} {record.name}: {what}"
        if record.exc_info:
            line = f"{line}\n{term_safe(self.formatException(record.exc_info))}"
        return line


def begin_logging(*, verbose: bool) -> None:
    """Write what our loggers say to standard error, and with `verbose` all they say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in NAMES:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.DEBUG if verbose else logging.INFO)
        logger.propagate = False
