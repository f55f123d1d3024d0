"""``tal localize``: videos in, segments out."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .._util.names import Finder, distinct_names
from ..engine import TALEngine
from ..errors import UsageError
from ..inference.given import is_features, is_skeleton
from ..limits import MAX_PIXELS, MAX_SNIPPETS, Limits
from ..outputs.render.video_writer import check_ending
from ..records import Segment
from .console import errors
from .inputs import MaxPixels, MaxSnippets, expand_inputs, skeleton_options
from .localize_run import Wanted, run
from .localize_talk import finish
from .localize_targets import Targets
from .shared import Classes, Conf, Device, Key, PlanOption, Quiet, RawScores, Threads, Timeout, default_note


class Format(StrEnum):
    """Forms of the result file."""

    activitynet = "activitynet"
    jsonl = "jsonl"
    csv = "csv"
    srt = "srt"
    vtt = "vtt"


_OF_SUFFIX = {".json": Format.activitynet} | {f".{f}": f for f in Format if f is not Format.activitynet}
_SUBTITLES = (Format.srt, Format.vtt)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("localize")(localize)
    app.command("predict", hidden=True)(localize)


def localize(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Videos, feature files (.npz), skeleton files (.bvh, .amc, .npz, .csv), folders of videos, or "
            "addresses (https://, s3://, gs://)."
        ),
    ],
    plan: PlanOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Result file (.json, .jsonl, .csv, .srt, .vtt).", rich_help_panel="Outputs"
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Form of the result; default: by the file's ending.", rich_help_panel="Outputs"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Timeline picture; with several inputs one each, NAME-video.png.", rich_help_panel="Outputs"),
    ] = None,
    save_video: Annotated[
        Path | None,
        typer.Option(help="Annotated video; with several inputs one each, NAME-video.mp4.", rich_help_panel="Outputs"),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Labels whose truth is drawn and printed beside: .json, .csv, .eaf, ...", rich_help_panel="Outputs"
        ),
    ] = None,
    device: Device = "auto",
    classes: Classes = None,
    conf: Conf = None,
    topk: Annotated[
        int | None, typer.Option(help="At most so many segments a video; 0 keeps all.", rich_help_panel="What is found")
    ] = None,
    raw_scores: RawScores = False,
    people: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Follow up to so many people and say whose each action is; 0: the main person. For plans of poses.",
            rich_help_panel="What is found",
        ),
    ] = 0,
    skeleton: Annotated[
        list[str] | None,
        typer.Option(
            help="What skeleton files leave open: NAME=VALUE of layout, fps, axes, subject.",
            rich_help_panel="What is found",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            help="Take features that were made otherwise than the head's; the result says how.",
            rich_help_panel="What is found",
        ),
    ] = False,
    threads: Threads = 0,
    strict: Annotated[
        bool, typer.Option(help="Fail instead of falling back to another device.", rich_help_panel="Machine")
    ] = False,
    batch: Annotated[
        int, typer.Option(help="Snippets that an encoder takes at a time.", rich_help_panel="Machine")
    ] = 8,
    gpu_memory: Annotated[
        int, typer.Option(help="MiB of the card for each graph at most; 0 sets no limit.", rich_help_panel="Machine")
    ] = 0,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_snippets: MaxSnippets = MAX_SNIPPETS,
    timeout: Timeout = 0.0,
    key: Key = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Leave out videos whose results are there already: files, plan and options unchanged.",
            rich_help_panel="Outputs",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are there.", rich_help_panel="Outputs")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Say which actions happen when in videos.

    JSON Lines are written as each video ends, other files at the end, also on Ctrl-C. A batch that ended early goes on
    with --resume; what it has done is in OUTPUT.resume until all of it is done, and stays there with --resume. Outputs
    that are there are kept, unless --resume or --overwrite is given.
    """
    form = _format(form, output)
    known = _truth(truth)
    paths = expand_inputs(sources, features=True)
    names = distinct_names(paths)
    targets = Targets(paths, plot, save_video)
    _check(form, save_video, paths)
    bodies = skeleton_options(skeleton, [p for p in paths if is_features(p) and is_skeleton(str(p))])
    if resume and output is None:
        raise UsageError("--resume goes on with a file of results: give --output")
    if resume and overwrite:
        raise UsageError("--resume goes on with results and --overwrite replaces them: give one of them")
    targets.check(output, [p for p in (*paths, plan, truth) if p is not None], replace=resume or overwrite)
    limits = Limits(max_pixels=max_pixels, max_snippets=max_snippets)
    engine = TALEngine.load(
        plan,
        device,
        threads=threads,
        strict=strict,
        batch=batch,
        gpu_memory_mib=gpu_memory,
        timeout=timeout,
        key=key,
        limits=limits,
        classes=classes,
    )
    if not quiet:
        errors.print(f"{default_note(plan)}{engine.description}")
    wanted = Wanted(
        None if form is None else form.value, output, resume, conf, topk, raw_scores, force, quiet, people, bodies
    )
    failed = run(engine, dict(zip(names, paths, strict=True)), wanted, targets, known)
    finish(paths, failed, quiet)


def _format(form: Format | None, output: Path | None) -> Format | None:
    if form is not None or output is None:
        return form
    if output.suffix not in _OF_SUFFIX:
        raise UsageError(f"{output}: cannot tell the form from the ending {output.suffix!r}; give --format")
    return _OF_SUFFIX[output.suffix]


def _check(form: Format | None, save_video: Path | None, paths: list[str | Path]) -> None:
    if form in _SUBTITLES and len(paths) > 1:
        raise UsageError(f"--format {form} holds one video, got {len(paths)}: localize them one by one")
    if save_video is not None:
        check_ending(save_video)
    features = [p for p in paths if is_features(p)]
    if save_video is not None and features:
        raise UsageError(f"--save-video {save_video} needs the video, and {features[0]} holds only features")


def _truth(path: Path | None) -> Callable[[str | Path], list[Segment] | None]:
    """Return a function that finds the true instances of a source, None where none are known."""
    if path is None:
        return lambda _: None
    from ..annotations import read_annotations
    from ..annotations.labels import read_labels

    if path.is_dir() or path.suffix.lower() == ".json":
        known = {v.name: list(v.instances) for v in read_annotations(path)}
    else:
        known = {v.name: list(v.segments) for v in read_labels(path)}
    find = Finder(known)
    return lambda source: known.get(find(str(source)) or "")
