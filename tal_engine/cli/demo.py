"""``tal demo``: procedural videos, and the whole path shown on one of them."""

from __future__ import annotations

import json
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
    """Make the plan `demo` again, from nothing (about two hours on two cores)."""
    from . import demo_plan

    demo_plan.make(work, seed, workers or os.cpu_count() or 1)


#: The figure's exercises that the plan for people calls otherwise.
_PEOPLE_WORDS = {"boxing": "punch", "toe touch": "bend"}


@app.command()
def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("out"),
    video: Annotated[
        Path | None, typer.Option(help="A video of a person, in place of a rendered one; one that is missing is left.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which video; of six, this one goes best.")] = 2058,
) -> None:
    """Localize a real video, or else a rendered one with found beside true; draw the timeline, people and actions."""
    from .localize import Format, localize

    truth = None
    if video is None or not video.is_file():
        video, truth = _rendered(output / "demo", seed)
        errors.print(f"rendered {video}")
    segments, picture, drawn = output / "segments.json", output / "timeline.png", output / "annotated.mp4"
    localize(
        [str(video)], output=segments, form=Format.activitynet, plot=picture, save_video=drawn, truth=truth,
        device="cpu",
    )  # fmt: skip
    errors.print(f"wrote {segments}, {picture} and {drawn}")


def _rendered(folder: Path, seed: int) -> tuple[Path, Path]:
    """Render a video and write its truth in the words of the plan for people."""
    from .._util.files import write_text
    from ..demo.demo_set import render_split

    render_split(folder, "test", 1, seed)
    truth = folder / "annotations.json"
    document = json.loads(truth.read_text())
    for entry in document["database"].values():
        for one in entry["annotations"]:
            one["label"] = _PEOPLE_WORDS.get(one["label"], one["label"])
    write_text(folder / "people.json", json.dumps(document, indent=1) + "\n")
    return folder / "videos" / "test_00000.mp4", folder / "people.json"
