"""``tal distill``: a cheaper student of a plan, from videos without labels."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._util.files import check_outputs
from ..errors import UsageError
from ..streaming.window import OnlineTiming
from .console import errors, stdout, warn
from .progress import bars
from .shared import Device, LookAhead

if TYPE_CHECKING:
    from ..lab.distilling.options import DistillOptions
    from ..lab.distilling.report import DistillReport


_LESSONS, _RUN, _ONLINE = "What is learned", "The run", "Students of streams"


class StudentFlow(StrEnum):
    """What `--flow` takes."""

    NONE = "none"
    DIS_ULTRAFAST = "dis_ultrafast"
    DIS = "dis"


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
    flow: Annotated[
        StudentFlow,
        typer.Option(
            help="Flow that the student reads in place of its teacher's: dis_ultrafast (cheapest) or dis. Costs more "
            "than none, and is much closer to a teacher that reads flow.",
            rich_help_panel=_LESSONS,
        ),
    ] = StudentFlow.NONE,
    keep_frames: Annotated[
        bool,
        typer.Option(
            "--keep-frames",
            help="With --flow: the teacher's encoders of frames stay, at a lower rate; the student learns what is made "
            "of flow.",
            rich_help_panel=_LESSONS,
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the snippets of the training videos; default 12, with --online at most 30.",
            rich_help_panel=_LESSONS,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of training and of which videos are held out.", rich_help_panel=_LESSONS)
    ] = 0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what the teacher said; default: NAME.distill beside the plan.", rich_help_panel=_RUN
        ),
    ] = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="A student that reads streams snippet by snippet, with the teacher's features; --look-ahead is 1 s. "
            "--labels may name classes alone, and are learned from.",
            rich_help_panel=_ONLINE,
        ),
    ] = False,
    look_ahead: LookAhead = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            help="An hour, of starts and of finals: thresholds are fitted to it on the held-out videos; default 2.",
            rich_help_panel=_ONLINE,
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Snippets begin so many times as often as the teacher's, and overlap: starts are told sooner, and "
            "encoders cost so many times as much; default 1.",
            rich_help_panel=_ONLINE,
        ),
    ] = None,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a plan that is there.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train a student that reads few small pictures, with or without flow, and gives what the teacher gives.

    The teacher's features, activations and segments of the videos are all that it learns from. What the teacher found
    is kept in --work: a run that was stopped does not ask it again.
    """
    from ..lab.distilling.options import DistillOptions
    from ..lab.distilling.run import distill_with

    if not data.is_dir():
        raise UsageError(f"{data}: is no folder of videos")
    check_outputs({f"--output {output}": output}, [teacher, *([labels] if labels else [])])
    passes: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    options = DistillOptions(
        flow=flow.value, keep_frames=keep_frames, seed=seed, work=work, overwrite=overwrite, device=device, **passes
    )
    given = {"look_ahead": look_ahead, "false_alarms": false_alarms, "overlap": overlap}
    asked: dict[str, Any] = {n: v for n, v in given.items() if v is not None}
    if online:
        if flow is not StudentFlow.NONE:
            raise UsageError("--flow is for students of files: with --online the teacher's encoders stay")
        _online(teacher, data, output, labels, options, asked, passes)
        return
    if asked:
        raise UsageError("--look-ahead, --false-alarms and --overlap are for --online")
    with bars() as bar:
        made = distill_with(teacher, data, output, labels, options, bar)
    _say(made)


def _online(
    teacher: Path, data: Path, output: Path, labels: Path | None, how: DistillOptions, asked: dict[str, Any],
    passes: dict[str, Any],
) -> None:  # fmt: skip
    """Train an online student and say what its thresholds gave."""
    from ..lab.online.student import OnlineStudentOptions, distill_online
    from ..lab.online.training import OnlineTraining

    options = OnlineStudentOptions(training=OnlineTraining(seed=how.seed, **passes), **asked)
    with bars() as bar:
        made = distill_online(teacher, data, output, labels, options, how, bar)
    stdout().print(json.dumps(made.rule.figures))
    timing = OnlineTiming.of_online(made.rule.options, made.stem.snippet)
    errors.print(
        f"plan: {output}; starts at most {timing.max_start_latency_s:.2f} s after the onset, finals at most "
        f"{timing.max_latency_s:.2f} s after the end"
    )


def _say(made: DistillReport) -> None:
    """Print the table on stdout, everything else on stderr."""
    stdout().print(str(made.table))
    for warning in made.warnings:
        warn(warning)
    errors.print(f"plan: {made.output}")
