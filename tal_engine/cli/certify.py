"""``tal certify``: memory and lateness of hours of a stream, run faster than real time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine import TALEngine
from ..errors import UsageError
from ..extras import need
from ..files import write_text
from .console import errors
from .inputs import given, with_settings

if TYPE_CHECKING:
    from ..options import StreamOptions
    from ..stream.certify import Certificate

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
        bool, typer.Option("--synthetic", help="Made-up exercises; so it is without a source.")
    ] = False,
    plan: Annotated[Path | None, typer.Option(help="A plan; without it, the embedded demo plan.")] = None,
    hours: Annotated[float, typer.Option(help="Stream-hours of features through the head; 0 leaves it out.")] = 24.0,
    frame_hours: Annotated[
        float, typer.Option(help="Stream-hours of frames through the whole path; 0 leaves it out.")
    ] = 2.0,
    window: Annotated[float | None, typer.Option(help="Seconds that the head sees; default: the plan's.")] = None,
    step: Annotated[float | None, typer.Option(help="Seconds between two looks.")] = None,
    latency: Annotated[float | None, typer.Option(help="Seconds that a decision waits after an action's end.")] = None,
    stream_options: Annotated[list[str] | None, typer.Option(help="More of StreamOptions, NAME=VALUE.")] = None,
    conf: Annotated[float | None, typer.Option(help="Least score; default: the plan's operating point.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is made up.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write OUT.html, a page with curves, and OUT.json.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
) -> None:
    """Certify that finals come within the declared latency and memory does not grow; prints JSON, exits 3 if not."""
    if source is not None and synthetic:
        raise UsageError(f"--synthetic is without a source, {source} is given")
    need("psutil")
    if out is not None:
        need("matplotlib")
    engine = TALEngine.load(plan, device)
    how = with_settings(
        engine.plan.manifest.stream,
        [*given({"window": window, "step": step, "look_ahead": latency}), *(stream_options or [])],
    )
    found = _runs(engine, source, how, conf, hours, frame_hours, seed, quiet)
    runs = [c.to_dict() for c in found]
    document = {"plan": f"sha256:{engine.plan.sha256}", "min_score": conf, "runs": runs}
    if out is not None:
        from ..sinks import certificate

        certificate.write(out.with_suffix(".html"), engine.plan.manifest.name, runs)
        write_text(out.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
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
    from ..stream import certify as work

    if not hours and not frame_hours:
        raise UsageError("--hours and --frame-hours are 0: nothing would be certified")
    with tempfile.TemporaryDirectory() as folder:
        video = work.synthetic_video(Path(folder) / "synthetic.mp4", seed) if source is None else source
        found: list[Certificate] = []
        if hours:
            rows = engine.features(video).streams
            stream = engine.stream("certify", how, min_score=conf)
            found.append(work.certify(stream, "features", work.feature_steps(stream, rows, seed), hours, _told(quiet)))
        if frame_hours:
            stream = engine.stream("certify", how, min_score=conf)
            steps = work.frame_steps(stream, video)
            found.append(work.certify(stream, "frames", steps, frame_hours, _told(quiet)))
    return found


def _told(quiet: bool) -> Any:
    """Says every tenth of a run that it goes on."""
    said = [0]

    def report(done: float, hours: float) -> None:
        tenth = int(10 * done / hours)
        if tenth > said[0]:
            said[0] = tenth
            errors.print(f"{done:.2f} of {hours:g} hours")

    return None if quiet else report
