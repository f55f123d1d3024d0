"""``tal verify-stream``: does a stream give what it promises on this video?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..engine import TALEngine
from ..stream.verify import Difference, Report, verify
from .console import complain, errors, stdout
from .inputs import with_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify-stream")(verify_stream)


def verify_stream(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    plan: Annotated[Path | None, typer.Option(help="The plan to run; without it, the embedded demo model.")] = None,
    stream_options: Annotated[
        list[str] | None, typer.Option(help="A stream option, NAME=VALUE, such as window=60; default: the plan's.")
    ] = None,
    chunkings: Annotated[int, typer.Option(min=1, help="How many random ways to cut the video into chunks.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the chunks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads of the runtime; 0 lets it choose.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")] = False,
) -> None:
    """Run a video as a file and as a stream, and compare; exit status 3 if a promise is broken."""
    engine = TALEngine.load(plan, device, threads=threads)
    options = with_settings(engine.plan.manifest.stream, stream_options or [])
    with Progress(console=errors, transient=True, disable=quiet or not errors.is_terminal) as bar:
        task = bar.add_task(video.name, total=chunkings + 3)
        found = verify(
            engine, video, options, chunkings=chunkings, seed=seed,
            progress=lambda done, runs: bar.update(task, completed=done, total=runs),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        _print(found)
    if not found.ok:
        complain(f"{video}: the stream does not give what it promises")
        raise typer.Exit(3)


def _print(found: Report) -> None:
    out = stdout()
    settings = ", ".join(f"{name} {value:g}" for name, value in asdict(found.options).items())
    out.print(f"{found.video}: {found.duration:.2f} s; {settings}")
    broken = [c for c in found.chunks if not c.none]
    _say(f"{len(found.chunks)} random chunkings against frame by frame", broken)
    _say("the stream with a window over all of it against the file", [found.whole] if not found.whole.none else [])
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


def _say(what: str, broken: list[Difference]) -> None:
    out = stdout()
    out.print(f"{what}: {'equal' if not broken else f'{len(broken)} differ'}")
    for d in broken:
        for line in d.lines():
            out.print(f"  {line}")
