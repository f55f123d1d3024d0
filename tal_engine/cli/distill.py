"""``tal distill``: a cheaper student of a plan, from videos without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._util.files import check_outputs
from ..errors import UsageError
from .console import errors, stdout, warn
from .progress import bars
from .shared import Device

if TYPE_CHECKING:
    from ..lab.distilling.report import DistillReport


_LESSONS, _RUN = "What is learned", "The run"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("distill")(distill)


def distill(
    teacher: Annotated[Path, typer.Argument(help="A plan with encoders, or the name of one that ships: demo.")],
    data: Annotated[Path, typer.Option(help="Folder of videos; they need no labels.", rich_help_panel=_LESSONS)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The plan to write.", rich_help_panel=_RUN)],
    labels: Annotated[
        Path | None,
        typer.Option(help="True segments of the held-out videos, to measure both plans by.", rich_help_panel=_LESSONS),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Passes over the snippets of the training videos.", rich_help_panel=_LESSONS)
    ] = 12,
    seed: Annotated[
        int, typer.Option(help="Of training and of which videos are held out.", rich_help_panel=_LESSONS)
    ] = 0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what the teacher said; default: NAME.distill beside the plan.", rich_help_panel=_RUN
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a plan that is there.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train a student that reads few small pictures and no flow, and gives what the teacher gives.

    The teacher's features, activations and segments of the videos are all that it learns from. What the teacher found
    is kept in --work: a run that was stopped does not ask it again.
    """
    from ..lab.distilling.options import DistillOptions
    from ..lab.distilling.run import distill_with

    if not data.is_dir():
        raise UsageError(f"{data}: is no folder of videos")
    check_outputs({f"--output {output}": output}, [teacher, *([labels] if labels else [])])
    options = DistillOptions(epochs=epochs, seed=seed, work=work, overwrite=overwrite, device=device)
    with bars() as bar:
        made = distill_with(teacher, data, output, labels, options, bar)
    _say(made)


def _say(made: DistillReport) -> None:
    """Print the table on stdout, everything else on stderr."""
    stdout().print(str(made.table))
    for warning in made.warnings:
        warn(warning)
    errors.print(f"plan: {made.output}")
