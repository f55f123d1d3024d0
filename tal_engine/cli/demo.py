"""``tal demo``: procedural videos, and the whole path shown on one of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

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
    """Make the plan `demo` again, from nothing (about two hours on two cores)."""
    from . import demo_plan

    demo_plan.make(work, seed, workers or os.cpu_count() or 1)


#: What is shown of a real video: the plan for people keeps quiet where it is less sure than it was fitted to be.
_REAL_CONF = 0.2


@app.command()
def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("out"),
    video: Annotated[
        Path | None, typer.Option(help="A video of a person, shown after the rendered one; a missing one is left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which video is rendered.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
) -> None:
    """Localize a rendered video with the plan that knows its figure, found beside true; then a real one, for people."""
    from ..demo.demo_set import render_split

    truth = render_split(output / "demo", "test", 1, seed)
    rendered = output / "demo" / "videos" / "test_00000.mp4"
    errors.print(f"rendered {rendered}")
    _shown(rendered, output, ("segments", "timeline", "annotated"), plan=Path("demo"), truth=truth, overwrite=overwrite)
    if video is not None and video.is_file():
        errors.print(f"the plan for people on a real video, all that it gives {_REAL_CONF} or more:")
        names = tuple(f"{video.stem}-{x}" for x in ("segments", "timeline", "annotated"))
        _shown(video, output, names, conf=_REAL_CONF, overwrite=overwrite)


def _shown(video: Path, folder: Path, names: tuple[str, ...], **options: Any) -> None:
    """Localize a video; draw the timeline and what was found into the picture."""
    from .localize import Format, localize

    files = [folder / f"{n}{ending}" for n, ending in zip(names, (".json", ".png", ".mp4"), strict=True)]
    localize(
        [str(video)], output=files[0], form=Format.activitynet, plot=files[1], save_video=files[2], device="cpu",
        **options,
    )  # fmt: skip
    errors.print(f"wrote {files[0]}, {files[1]} and {files[2]}")
