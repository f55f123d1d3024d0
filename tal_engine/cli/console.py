"""What is printed, and where: results to stdout, everything else to stderr.

Text is printed as it is: rich would read ``[x]`` in a file name as a style and ``:b:`` as a picture.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text


class _Stderr:
    """Stderr, whose disk may be full and whose reader may be gone: what cannot be said there is not, and ends nothing.

    Rich would end the process, and let stdout write into nothing, when the reader of stderr is gone.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, AttributeError):  # None where it was closed before we began
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr is not None and sys.stderr.isatty()


errors = Console(file=cast("IO[str]", _Stderr()), highlight=False, soft_wrap=True, markup=False, emoji=False)


def stdout() -> Console:
    """Return a console on stdout. Pipes and files have no width, so nothing is cut there."""
    width = None if sys.stdout.isatty() else 1000
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)


def complain(message: object) -> None:
    """Say what failed."""
    errors.print(Text.assemble(("error:", "bold red"), f" {message}"))


def warn(message: str) -> None:
    """Say what was lost or guessed."""
    errors.print(Text.assemble(("warning:", "yellow"), f" {message}"))


class LogLines(logging.Handler):
    """Log records on stderr, one line each however long: what reads a log counts on it."""

    def __init__(self, *, detailed: bool) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s" if detailed else "%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        style = "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        errors.print(Text(self.format(record), style))
