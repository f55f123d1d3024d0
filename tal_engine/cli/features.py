"""``tal features``: feature files made of videos, compared, and looked into."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import UsageError
from ..limits import MAX_PIXELS, MAX_SNIPPETS, Limits
from ..video.flow import FlowSource
from . import texts
from .console import complain, errors, stdout, warn
from .features_import import import_
from .inputs import (
    Geometry,
    MaxPixels,
    MaxSnippets,
    Weights,
    encoders_of,
    expand_sources,
    named_files,
    skeleton_options,
)  # fmt: skip
from .shared import Device, Json

if TYPE_CHECKING:
    from ..inference.extraction import Extractor
    from ..pose.skeleton_options import SkeletonOptions

app = typer.Typer(
    help="Extract features of videos, import those of others, compare feature files, show what made them, find texts.",
    no_args_is_help=True,
)
app.command("import")(import_)
app.command("index")(texts.index)
app.command("search")(texts.search)

#: Values, or directions, of two files that count as the same.
TOLERANCE, COSINE = 1e-3, 0.999


#: The encoder whose features skeleton files have too.
POSE = "pose"
#: Of a device on which ONNX Runtime computes flow, not torch.
ONNX = "onnx:"


@app.command()
def extract(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, skeleton files (.bvh, .amc, .npz, .csv; for pose), or folders of them."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder: one NAME.npz a video.", rich_help_panel="Outputs")
    ],
    encoders: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="Such as i3d, i3d:rgb+clip:ViT-B-32, lite0, tiny, pose.", rich_help_panel="Encoders"
        ),
    ],
    weights: Weights = None,
    snippet: Geometry = None,
    flow_from: Annotated[
        Path | None,
        typer.Option(help="Flow that was computed before: NAME/flow_x_00001.jpg, or NAME.npz.", rich_help_panel="Flow"),
    ] = None,
    flow_device: Annotated[
        str | None,
        typer.Option(
            help="Compute TV-L1 flow on this device: by torch, such as cuda; without it, onnx:cuda.",
            rich_help_panel="Flow",
        ),
    ] = None,
    skeleton: Annotated[
        list[str] | None,
        typer.Option(
            help="What skeleton files leave open: NAME=VALUE of layout, fps, axes, subject.",
            rich_help_panel="Encoders",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Videos that are worked on at a time.", rich_help_panel="Machine")
    ] = 2,
    device: Device = "auto",
    max_pixels: MaxPixels = MAX_PIXELS,
    max_snippets: MaxSnippets = MAX_SNIPPETS,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on Ray: local (this machine), auto (its cluster), HOST:PORT.",
            rich_help_panel="Machine",
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of a worker on Ray; a fraction shares one.", rich_help_panel="Machine"),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Make files anew that are there.", rich_help_panel="Outputs")] = False,
) -> None:
    """Write the features of videos. What is there is kept, so an interrupted run goes on where it was."""
    from ..inference.extraction import extract_all
    from .progress import bars

    limits = Limits(max_pixels=max_pixels, max_snippets=max_snippets)
    bodies, others = _skeletons(videos) if encoders.partition(":")[0] == POSE else ([], videos)
    paths = [*bodies, *(expand_sources(others) if others or not bodies else [])]
    options = skeleton_options(skeleton, bodies)
    if ray is not None:  # its workers have another folder
        weights = [f"{name}={path.absolute()}" for name, path in named_files(weights or []).items()]
        flow_from = flow_from and flow_from.absolute()
    make = partial(
        _extractor, encoders, weights, snippet, device, _flow_way(flow_from, flow_device), limits,
        of_videos=len(paths) > len(bodies), bodies=bool(bodies), skeletons=options,
    )  # fmt: skip
    if ray is None and gpus is not None:
        raise UsageError(f"--gpus {gpus:g} is of workers on Ray: give --ray too")
    done: dict[Path, float] = {}
    with bars() as bar:

        def progress(path: Path, share: float) -> None:
            done[path] = share
            bar("features", round(100 * sum(done.values())), 100 * len(paths), path.name)

        more: dict[str, Any] = {"workers": workers, "overwrite": overwrite, "progress": progress}
        if ray is None:
            outcome = extract_all(paths, output, make(), **more)
        else:
            from ..distributed.cluster import RayOptions
            from ..distributed.extracting import extract_on_ray

            asked = RayOptions(address=ray, gpus=RayOptions(gpus=gpus).gpus_for(device))
            outcome = extract_on_ray(paths, output, make, cluster=asked, **more)
    for path, notes in outcome.warnings.items():
        for note in notes:
            warn(f"{path}: {note}")
    for error in outcome.failed.values():
        complain(error)
    kept = f", {len(outcome.kept)} were there" if outcome.kept else ""
    errors.print(f"{output}: {len(outcome.made)} made{kept}, {len(outcome.failed)} failed")
    if outcome.seconds:
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in outcome.seconds.items())
        errors.print(f"seconds by stage, of all videos: {stages}")
    if outcome.failed:
        raise typer.Exit(next(iter(outcome.failed.values())).exit_code)


def _extractor(
    encoders: str,
    weights: list[str] | None,
    snippet: list[str] | None,
    device: str,
    flow: tuple[Path | None, str | None],
    limits: Limits,
    *,
    of_videos: bool,
    bodies: bool,
    skeletons: SkeletonOptions | None,
) -> Extractor:
    """Make what extracts; on Ray each worker does, of what was asked for."""
    from ..inference.extraction import Extractor

    extractor = None
    if of_videos:
        found = encoders_of(encoders, weights, snippet)
        extractor = Extractor(found.snippet, found.open(tuple(found.specs), device), _flow(*flow), limits)
    return _with_skeletons(limits, skeletons, extractor) if bodies or extractor is None else extractor


def _flow_way(stored: Path | None, device: str | None) -> tuple[Path | None, str | None]:
    """Refuse two ways to the flow now rather than in a worker.

    Raises:
        UsageError: both are given.
    """
    if stored is not None and device is not None:
        raise UsageError("--flow-from and --flow-device: flow is read or computed, not both")
    return stored, device


def _skeletons(sources: list[Path]) -> tuple[list[Path], list[Path]]:
    from ..inference.skeletons import skeletons_in

    return skeletons_in(sources)


def _with_skeletons(limits: Limits, options: SkeletonOptions | None, extractor: Extractor | None) -> Extractor:
    from ..inference.skeletons import skeleton_extractor
    from ..pose.skeleton_options import SkeletonOptions

    return skeleton_extractor(limits, options or SkeletonOptions(), extractor)


def _flow(stored: Path | None, device: str | None) -> FlowSource | None:
    if stored is not None:
        from ..video.stored_flow import FlowFiles

        return FlowFiles(stored)
    if device is not None and device.startswith(ONNX):
        from ..video.flow_tvl1 import OnnxTvl1

        return OnnxTvl1(device.removeprefix(ONNX))
    if device is not None:
        from ..lab.nn.tvl1 import TorchTvl1

        return TorchTvl1(device)
    return None


@app.command()
def check(
    a: Annotated[Path, typer.Argument(help="A feature file of tal features extract.")],
    b: Annotated[Path, typer.Argument(help="Another one, or an array of another tool (.npy; .npz with 'features').")],
    stream: Annotated[str | None, typer.Option(help="Which stream to compare; needed with an array.")] = None,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Largest difference of a value that is none.")] = TOLERANCE,
    cosine: Annotated[float, typer.Option(max=1.0, help="Least cosine of two rows that point alike.")] = COSINE,
) -> None:
    """Compare two feature files; if they differ say which parts of their records explain it, and exit with 3."""
    from ..features import load_features
    from ..features.compare import compare, read_for_comparison

    found = load_features(a)
    streams, differ = compare(found, read_for_comparison(b, stream or next(iter(found.streams))), stream)
    table = Table("stream", "rows", "cosine, mean", "cosine, least", "largest difference", "same")
    for s in streams:
        rows = f"{s.rows[0]}" if s.rows[0] == s.rows[1] else f"{s.rows[0]} and {s.rows[1]}"
        same = "yes" if s.within(tolerance, cosine) else "no"
        table.add_row(s.stream, rows, f"{s.cosine_mean:.6f}", f"{s.cosine_least:.6f}", f"{s.largest:.3g}", same)
    stdout().print(table)
    for field, other, value in differ:
        version = " (a version: features should not depend on it, but may)" if field.startswith("libraries.") else ""
        stdout().print(f"{field}: {value!r} in {a.name}, {other!r} in {b.name}{version}")
    if all(s.within(tolerance, cosine) for s in streams):
        return
    if not differ:
        warn("nothing in the records explains the difference" if found.contract else f"{a}: has no record")
    raise typer.Exit(3)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A feature file.")],
    as_json: Json = False,
) -> None:
    """Show what is in a feature file and what made it."""
    from ..features import load_features

    found = load_features(path)
    time = found.timeline
    document = {
        "streams": {n: list(x.shape) for n, x in found.streams.items()},
        "duration": found.duration,
        "timeline": {"start": time.start, "step": time.step, "width": time.width},
        "contract": found.contract,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    table = Table(title=str(path), title_justify="left", show_header=False)
    for name, x in found.streams.items():
        table.add_row(f"stream {name}", f"{x.shape[0]} snippets, {x.shape[1]} wide")
    table.add_row("duration", f"{found.duration:.2f} s")
    table.add_row("snippets", f"{time.width:g} s every {time.step:g} s, from {time.start:g} s")
    for section, fields in found.contract.items():
        for field, value in fields.items() if isinstance(fields, dict) else [("", fields)]:
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            table.add_row(f"{section}.{field}".rstrip("."), str(text))
    if not found.contract:
        table.add_row("record", "none: nothing proves what made these features")
    stdout().print(table)
