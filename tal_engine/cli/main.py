"""Entry point: collects the commands and turns errors into exit statuses.

0 success; 1 runtime error; 2 usage; 3 a quality gate refused; 4 not for this machine or version;
5 a source is unavailable or an input missing; 130 interrupted (Ctrl-C), 143 ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType

import typer

from .. import __version__
from .._util.extras import is_optional, missing
from ..errors import MissingExtraError, TALError
from .console import LogLines, complain, errors

app = typer.Typer(
    name="tal",
    help="Temporal action localization: a video in, labelled time segments out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tal_engine {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what happens, to stderr."),
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[LogLines(detailed=verbose)])


#: Module of each command, in the order of the help. What one command needs, the others do not wait for.
_MODULES = {
    "localize": "localize", "predict": "localize", "batch": "batch", "clips": "clips", "stream": "stream",
    "serve": "serve",
    "verify-stream": "verify_stream", "certify": "certify", "bench": "bench", "diff": "diff",
    "eval": "evaluate", "val": "evaluate",
    "train": "train", "fit": "fit", "distill": "distill", "studio": "studio", "import": "import_checkpoint",
    "convert": "convert",
}  # fmt: skip
#: Modules of groups of commands, each with an `app`.
_GROUPS = ("export", "plan", "demo", "data", "features")


def _register(command: str | None = None) -> None:
    """Add a command with its module, or all of them."""
    named = [name for name in (*_MODULES, *_GROUPS) if command in (None, name)]
    for module in dict.fromkeys(_MODULES[name] for name in named if name in _MODULES):
        import_module(f"{__package__}.{module}").register(app)
    for group in _GROUPS:
        if group in named:
            app.add_typer(import_module(f"{__package__}.{group}").app, name=group)


def _named(arguments: list[str]) -> str | None:
    """Name of the command that arguments begin with; None where all must be known: for help, advice, completion."""
    first = next((a for a in arguments if a not in ("-v", "--verbose")), None)
    return first if first in _MODULES or first in _GROUPS or first == "--version" else None


def _end(number: int, frame: FrameType | None) -> None:
    """End as on Ctrl-C, so that nothing half written is left behind; a second signal ends at once."""
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


def run() -> None:
    """Run the command line and exit."""
    try:
        _run()
    except SystemExit as e:
        limit = sys.modules.get("tal_engine.backends.run_limit")
        if limit is None or not limit.left_behind():
            raise
        # A graph that could not be ended still runs: to tear its library down below it could crash.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(e.code if isinstance(e.code, int) else int(e.code is not None))


def _run() -> None:
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    _register(_named(sys.argv[1:]))
    try:
        app()
    except TALError as e:
        complain(e)
        sys.exit(e.exit_code)
    except ModuleNotFoundError as e:  # a training command without its extra
        if not is_optional(e.name):
            raise
        complain(missing(str(e.name)))
        sys.exit(MissingExtraError.exit_code)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)
    except OSError as e:
        complain(e)
        sys.exit(1)
