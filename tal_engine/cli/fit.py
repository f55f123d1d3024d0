"""``tal fit``: videos and labels in, a plan and a report out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._util.files import check_outputs, check_writable
from ..errors import MissingExtraError, UsageError
from .console import errors, stdout, warn
from .inputs import Weights, named_files
from .progress import bars
from .shared import Device

if TYPE_CHECKING:
    from ..distributed import RayOptions
    from ..lab.fitting.report import FitReport

_LABELS, _RUN, _HEAD = "Labels", "The run", "What is trained"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fit")(fit)


def fit(
    videos: Annotated[Path, typer.Argument(help="Folder of videos.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The plan to write.", rich_help_panel=_RUN)],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels: .csv (video,label; video,time,label; video,start,end,label), ActivityNet .json, a folder. "
            "Default: the folders in VIDEOS are the classes.",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            help="The strongest labels that are read: video, points or segments; auto: all, as their counts allow.",
            rich_help_panel=_LABELS,
        ),
    ] = "auto",
    groups: Annotated[
        str | None,
        typer.Option(
            help="Videos that are held out together, such as those of a person: a regular expression on names, or a "
            ".csv with the columns video and group. Default: the column person or group of the labels.",
            rich_help_panel=_LABELS,
        ),
    ] = None,
    min_videos: Annotated[int, typer.Option(help="Videos that a class needs.", rich_help_panel=_LABELS)] = 3,
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Such as lite0, i3d+clip:RN50; none: VIDEOS has features, NAME.npz. Default: lite0 if installed, "
            "else tiny.",
            rich_help_panel=_HEAD,
        ),
    ] = None,
    weights: Weights = None,
    head: Annotated[
        str | None, typer.Option(help="A head instead of the rule's (docs/fit.md).", rich_help_panel=_HEAD)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each run.", rich_help_panel=_HEAD)] = None,
    folds: Annotated[int, typer.Option(help="Parts, each held out once.", rich_help_panel=_RUN)] = 4,
    false_alarms_per_hour: Annotated[
        float | None,
        typer.Option(help="Thresholds for so many, of all classes together. Default: best F1.", rich_help_panel=_HEAD),
    ] = None,
    curve: Annotated[
        bool, typer.Option(help="Train on halves too, to say which labels would help most.", rich_help_panel=_RUN)
    ] = True,
    seed: Annotated[int, typer.Option(help="Of folds and training.", rich_help_panel=_RUN)] = 0,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of features and runs; default: NAME.fit beside the plan.", rich_help_panel=_RUN),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="The page; default: report.html in --work.", rich_help_panel=_RUN)
    ] = None,
    device: Device = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train the folds on Ray: local (this machine), auto (its cluster), HOST:PORT; all nodes see --work.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a plan that is there.", rich_help_panel=_RUN)
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Ship a plan that is no better than chance.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Fit a plan to your videos and labels, and measure it on videos that were held out.

    What a stage made is kept in --work: a run that was stopped goes on with the same command. Exit status 3 where no
    plan that works can be made of these videos and labels; the message says what would help.
    """
    from ..lab.fitting.options import FitOptions
    from ..lab.fitting.run import fit_with

    if not videos.is_dir():
        raise UsageError(f"{videos}: is no folder of videos")
    check_outputs({f"--output {output}": output, f"--report {report}": report}, [labels] if labels else [])
    if report is not None:
        check_writable(report, "the report")
    options = FitOptions(
        task=task, encoders=encoders, weights=named_files(weights or []), head=head, steps=steps, folds=folds,
        groups=groups, min_videos=min_videos, false_alarms_per_hour=false_alarms_per_hour, curve=curve, seed=seed,
        work=work, overwrite=overwrite, force=force, device=device, ray=_cluster(ray, device),
    )  # fmt: skip
    place = work or output.with_suffix(".fit")
    try:
        with bars() as bar:
            made = fit_with(videos, labels or videos, output, options, bar)
    except KeyboardInterrupt:
        errors.print(f"stopped; the same command goes on with what is in {place}")
        raise
    _say(made, report or place / "report.html")


def _cluster(address: str | None, device: str) -> RayOptions | None:
    if address is None:
        return None
    from ..distributed.cluster import RayOptions

    return RayOptions(address=address, gpus=RayOptions().gpus_for(device))


def _error(e: Mapping[str, Any], what: str) -> str:
    """Say a calibration error beside luck."""
    if e["found"] is None:
        return f"not measured ({what})"
    return f"{100 * e['found']:.1f} points of {e['outcomes']} detections ({what}; by luck {100 * e['by_chance']:.1f})"


def _say(made: FitReport, page: Path) -> None:
    """Print the table on stdout, everything else on stderr."""
    d = made.document
    stdout().print(str(made.table))
    for warning in d["warnings"]:
        warn(warning)
    for note in d["notes"]:
        errors.print(note)
    error = ", ".join(_error(d["scores"][k], what) for k, what in (("whole", "all"), ("shown", "above thresholds")))
    errors.print(f"{d['measure']}: {d['meaning']}; calibration error {error}; {sum(d['seconds'].values()):.0f} s")
    for step in made.next_steps:
        errors.print(f"- {step}")
    try:
        made.to_html(page)
    except MissingExtraError as e:  # the plan is there, and the page can be made later
        warn(f"no page: {e}")
        page = Path(d["work"]) / "report.json"
    errors.print(f"plan: {made.output}, report: {page}")
