"""``tal verify-stream``: does a stream give what it promises on this video?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..diagnostics.stream_check import Difference, Report, verify
from ..engine import TALEngine
from .console import complain, errors, stdout
from .inputs import with_settings
from .shared import Conf, Device, Json, Key, MoreStreamOptions, PlanOption, Quiet, Threads, Timeout, former


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify-stream")(verify_stream)


def verify_stream(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    plan: PlanOption = None,
    stream_options: MoreStreamOptions = None,
    chunkings: Annotated[
        int, typer.Option(min=1, help="How many random ways to cut the video into chunks.", rich_help_panel="The run")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of the chunks.", rich_help_panel="The run")] = 0,
    conf: Conf = None,
    min_score: Annotated[float | None, typer.Option("--min-score", hidden=True)] = None,
    device: Device = "auto",
    threads: Threads = 0,
    timeout: Timeout = 0.0,
    key: Key = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a video as a file and as a stream, and compare; exit status 3 if a promise is broken or nothing was found."""
    if min_score is not None:
        conf = former("--min-score", "--conf", min_score, conf)
    engine = TALEngine.load(plan, device, threads=threads, timeout=timeout, key=key)
    options = with_settings(engine.plan.manifest.stream, stream_options or [])
    with Progress(console=errors, transient=True, disable=quiet or not errors.is_terminal) as bar:
        task = bar.add_task(video.name, total=chunkings + 3)
        found = verify(
            engine, video, options, chunkings=chunkings, seed=seed, min_score=conf,
            progress=lambda done, runs: bar.update(task, completed=done, total=runs),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        _print(found)
    if not found.ok:
        complain(f"{video}: the stream does not give what it promises")
        raise typer.Exit(3)
    if not found.compared:
        complain(f"{video}: nothing to compare: no segments reach the score that is asked for; lower --conf")
        raise typer.Exit(3)


def _print(found: Report) -> None:
    out = stdout()
    settings = ", ".join(f"{name} {value:g}" for name, value in asdict(found.options).items())
    out.print(f"{found.video}: {found.duration:.2f} s; {settings}")
    _say(f"{len(found.chunks)} random chunkings against frame by frame", found.chunks)
    _say("the stream with a window over all of it against the file", [found.whole])
    late = f"{found.late_events} later" if found.late_events else "none later"
    out.print(
        f"finals: decided at most {found.worst_latency_s:.2f} s after their end, "
        f"{found.declared_latency_s:.2f} s are promised, {late}"
    )
    d = found.window
    moved = [m for m in d.common if m.in_time]
    out.print(
        f"these options against the file: {len(d.common)} in both, {len(moved)} of them moved, "
        f"{len(d.appeared)} appeared, {len(d.vanished)} vanished"
    )
    for line in d.lines():
        out.print(f"  {line}")


def _say(what: str, differences: Sequence[Difference]) -> None:
    out, broken = stdout(), [d for d in differences if not d.none]
    verdict = f"{len(broken)} differ" if broken else "equal"
    if not any(d.compared for d in differences):
        verdict = "nothing to compare"
    out.print(f"{what}: {verdict}")
    for d in broken:
        for line in d.lines():
            out.print(f"  {line}")
