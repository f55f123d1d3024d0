"""Entry point: collects the commands and turns errors into exit statuses.

0 success; 1 runtime error; 2 usage; 3 a quality gate refused; 4 not for this machine or version;
5 a source is unavailable; 130 interrupted.
"""

from __future__ import annotations

import logging
import sys

import typer

from .. import __version__
from ..errors import MissingExtraError, TALError
from ..extras import is_optional, missing
from .console import LogLines, complain, errors

app = typer.Typer(
    name="tal",
    help="Temporal action localization: a video in, labelled time segments out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
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


def _register() -> None:
    from . import (
        bench,
        certify,
        data,
        demo,
        diff,
        evaluate,
        export,
        features,
        import_checkpoint,
        localize,
        plan,
        stream,
        train,
        verify_stream,
    )

    for module in (localize, stream, verify_stream, certify, bench, diff, evaluate, train, import_checkpoint):
        module.register(app)
    app.add_typer(export.app, name="export")
    app.add_typer(plan.app, name="plan")
    app.add_typer(demo.app, name="demo")
    app.add_typer(data.app, name="data")
    app.add_typer(features.app, name="features")


def run() -> None:
    """Run the command line and exit."""
    _register()
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
