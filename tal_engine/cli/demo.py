"""``tal demo``: procedural videos, and the whole path shown on one of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .console import errors

app = typer.Typer(help="Procedural videos and the demonstration.", no_args_is_help=True)


@app.command()
def render(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for videos/ and annotations.json.")],
    split: Annotated[str, typer.Option(help="train, validation, test, or clips (trimmed).")] = "train",
    count: Annotated[int, typer.Option(help="Number of videos.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same annotations.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0 = one a core.")] = 0,
) -> None:
    """Render exercise videos with exact truth; nothing is downloaded."""
    from ..demo.demo_set import render_split
    from .progress import bars

    with bars() as bar:
        path = render_split(
            output, split, count, seed, workers or os.cpu_count() or 1, lambda done, n: bar("videos", done, n, "")
        )
    errors.print(f"{count} videos in {output / 'videos'}, truth in {path}")


@app.command("make-plan")
def make_plan(
    work: Annotated[Path, typer.Option(help="Folder for videos, features and checkpoints.")] = Path("out/plan"),
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes for rendering; 0 = one a core.")] = 0,
) -> None:
    """Make the embedded plan again, from nothing (about two hours on two cores)."""
    from . import demo_plan

    demo_plan.make(work, seed, workers or os.cpu_count() or 1)


@app.command()
def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("out"),
    seed: Annotated[int, typer.Option(help="Which video; of ten, this one goes well and shows two actions.")] = 2035,
) -> None:
    """Render a video, localize it with the embedded plan, print found beside true, draw the timeline."""
    from ..demo.demo_set import render_split
    from .localize import Format, localize

    render_split(output / "demo", "test", 1, seed)
    video = output / "demo" / "videos" / "test_00000.mp4"
    errors.print(f"rendered {video}")
    truth = output / "demo" / "annotations.json"
    segments, picture = output / "segments.json", output / "timeline.png"
    localize([str(video)], output=segments, form=Format.activitynet, plot=picture, truth=truth, device="cpu")
    errors.print(f"wrote {segments} and {picture}")
