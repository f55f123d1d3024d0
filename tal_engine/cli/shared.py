"""Options that several commands share, and what is said of options that have another name now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..errors import UsageError
from .console import errors

Value = TypeVar("Value")

PlanArgument = Annotated[
    Path | None, typer.Argument(help="A plan, or the name of one that ships: people (default), demo.")
]
PlanOption = Annotated[
    Path | None,
    typer.Option(
        help="A plan, or the name of one that ships: people (default), demo.", rich_help_panel="What is found"
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda or cuda:N; plans also on tensorrt, tensorrt-rtx and ort-tensorrt, :N as well.",
        rich_help_panel="Machine",
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as suit.", rich_help_panel="Machine")]
Conf = Annotated[
    float | None,
    typer.Option(help="Leave out segments below this score; default: the plan's.", rich_help_panel="What is found"),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="TEXTS",
        help="Classes as texts, between semicolons; NAME=TEXT gives a name. For plans with a text tower.",
        rich_help_panel="What is found",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON to stdout instead of tables.", rich_help_panel="Outputs")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.", rich_help_panel="Outputs")]
Window = Annotated[
    float | None,
    typer.Option(help="Seconds that the head sees; default: the plan's.", rich_help_panel="What is found"),
]
Step = Annotated[float | None, typer.Option(help="Seconds between two looks.", rich_help_panel="What is found")]
LookAhead = Annotated[
    float | None,
    typer.Option(help="Seconds that a decision waits after an action's end.", rich_help_panel="What is found"),
]
MoreStreamOptions = Annotated[
    list[str] | None,
    typer.Option(help="A field of StreamOptions, NAME=VALUE; default: the plan's.", rich_help_panel="What is found"),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0,
        help="Seconds that a call of a graph may take, then the command ends with an error; 0 sets no limit.",
        rich_help_panel="Machine",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="TAL_PLAN_KEY",
        help="Public key (NAME.pub, or the key in it) that must have signed the plan.",
        rich_help_panel="Machine",
    ),
]
RawScores = Annotated[
    bool,
    typer.Option(
        "--raw-scores",
        help="Scores as the method gives them, also where the plan carries their calibration to [0, 1].",
        rich_help_panel="What is found",
    ),
]
#: Until 0.1 `--look-ahead` was called so; a look-ahead of 8 s promises finals within 10.9 s, not 8.
FormerLatency = Annotated[float | None, typer.Option("--latency", hidden=True)]


def default_note(plan: Path | None) -> str:
    """Say which plan is taken where none was given, for the line on stderr."""
    return "no --plan given: the plan for people (--plan demo: the drawn figure's). " if plan is None else ""


def former(old: str, new: str, value: Value, newer: Value | None) -> Value:
    """Give the value of an option by its former name, and say what it is called now.

    Raises:
        UsageError: it is given by both names.
    """
    if newer is not None:
        raise UsageError(f"{old} {value} and {new} {newer} are one option: leave out {old}")
    _say(old, new)
    return value


def former_path(arguments: list[str], old: str, new: str) -> list[str]:
    """Read a flag that was an option with a file as what the file is given by now: ``--json x.json``, ``--json=x``.

    A file that does not end in .json is told apart from what follows a flag only where it is written with `=`.
    """
    found = list(arguments)
    for i, text in enumerate(arguments):
        if text == old and i + 1 < len(arguments) and arguments[i + 1].lower().endswith(".json"):
            found[i] = new
        elif text.startswith(f"{old}="):
            found[i] = new + text.removeprefix(old)
    if found != list(arguments):
        _say(f"{old} FILE", f"{new} FILE")
    return found


def _say(old: str, new: str) -> None:
    errors.print(f"{old} is called {new} now; the old name goes with version 0.3")
