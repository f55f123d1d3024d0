"""``tal certify``: memory and lateness of hours of a stream, run faster than real time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._util.extras import need
from .._util.files import write_text
from ..engine import TALEngine
from ..errors import UsageError
from .console import errors
from .inputs import stream_settings
from .shared import (
    Conf,
    Device,
    FormerLatency,
    Key,
    LookAhead,
    MoreStreamOptions,
    PlanOption,
    Quiet,
    Step,
    Timeout,
    Window,
    former,
)

if TYPE_CHECKING:
    from ..diagnostics.soak_test import Certificate
    from ..options import StreamOptions

#: A promise is broken.
_GATE = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("certify")(certify)


def certify(
    source: Annotated[
        Path | None, typer.Argument(help="A video that is shown again and again, or features (.npz) for --hours alone.")
    ] = None,
    synthetic: Annotated[
        bool,
        typer.Option("--synthetic", help="Made-up exercises; so it is without a source.", rich_help_panel="Sources"),
    ] = False,
    plan: PlanOption = None,
    hours: Annotated[
        float,
        typer.Option(help="Stream-hours of features through the head; 0 leaves it out.", rich_help_panel="The run"),
    ] = 24.0,
    frame_hours: Annotated[
        float,
        typer.Option(help="Stream-hours of frames through the whole path; 0 leaves it out.", rich_help_panel="The run"),
    ] = 2.0,
    window: Window = None,
    step: Step = None,
    look_ahead: LookAhead = None,
    latency: FormerLatency = None,
    stream_options: MoreStreamOptions = None,
    conf: Conf = None,
    seed: Annotated[int, typer.Option(help="Of what is made up.", rich_help_panel="The run")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write OUTPUT.html, a page with curves, and OUTPUT.json.", rich_help_panel="Outputs"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", hidden=True)] = None,
    device: Device = "auto",
    timeout: Timeout = 0.0,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Certify that finals come within the declared latency and memory does not grow; prints JSON, exits 3 if not."""
    if source is not None and synthetic:
        raise UsageError(f"--synthetic is without a source, {source} is given")
    need("psutil")
    if out is not None:
        output = former("--out", "--output", out, output)
    if output is not None:
        need("matplotlib")
    engine = TALEngine.load(plan, device, timeout=timeout, key=key)
    how = stream_settings(engine.plan.manifest.stream, window, step, look_ahead, latency, stream_options)
    found = _runs(engine, source, how, conf, hours, frame_hours, seed, quiet)
    runs = [c.to_dict() for c in found]
    document = {"plan": f"sha256:{engine.plan.sha256}", "min_score": conf, "runs": runs}
    if output is not None:
        from ..outputs.render import certificate

        certificate.write(_beside(output, ".html"), engine.plan.manifest.name, runs)
        write_text(_beside(output, ".json"), json.dumps(document, indent=1) + "\n")
    typer.echo(json.dumps({**document, "runs": [{k: v for k, v in r.items() if k != "curve"} for r in runs]}))
    broken = [f"{c.what}: {words}" for c in found for words in c.broken]
    for words in broken:
        errors.print(f"broken: {words}")
    if broken:
        raise typer.Exit(_GATE)


def _runs(
    engine: TALEngine,
    source: Path | None,
    how: StreamOptions,
    conf: float | None,
    hours: float,
    frame_hours: float,
    seed: int,
    quiet: bool,
) -> list[Certificate]:
    from ..diagnostics import soak_test as work

    if not hours and not frame_hours:
        raise UsageError("--hours and --frame-hours are 0: nothing would be certified")
    with tempfile.TemporaryDirectory() as folder:
        told = engine.plan.manifest.online is not None  # of which a start is promised too
        video = work.synthetic_video(Path(folder) / "synthetic.mp4", seed) if source is None else source
        found: list[Certificate] = []
        if hours:
            rows = engine.features(video).streams
            stream = engine.open_stream("certify", how, min_score=conf, provisional=told)
            found.append(work.certify(stream, "features", work.feature_steps(stream, rows, seed), hours, _told(quiet)))
        if frame_hours:
            stream = engine.open_stream("certify", how, min_score=conf, provisional=told)
            steps = work.frame_steps(stream, video)
            found.append(work.certify(stream, "frames", steps, frame_hours, _told(quiet)))
    return found


def _told(quiet: bool) -> Any:
    """Report every tenth of a run."""
    said = [0]

    def report(done: float, hours: float) -> None:
        tenth = int(10 * done / hours)
        if tenth > said[0]:
            said[0] = tenth
            errors.print(f"{done:.2f} of {hours:g} hours")

    return None if quiet else report


def _beside(out: Path, ending: str) -> Path:
    """Return OUT with an ending; that of OUT.html and OUT.json is replaced, any other dot is part of the name."""
    name = out.name[: -len(out.suffix)] if out.suffix.lower() in (".html", ".json") else out.name
    return out.with_name(name + ending)
