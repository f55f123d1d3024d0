"""``tal clips``: what was found, cut out of the videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import complain, errors
from .progress import bars
from .shared import Conf, Json, Quiet

_WHICH, _HOW = "Which segments", "How they are cut"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clips")(clips)


def clips(
    source: Annotated[
        str, typer.Argument(help="What tal batch wrote (a folder or address), or results (.json, .jsonl, .csv).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the clips.", rich_help_panel="Outputs")],
    label: Annotated[
        list[str] | None, typer.Option(help="Only segments of this class; repeatable.", rich_help_panel=_WHICH)
    ] = None,
    conf: Conf = None,
    top: Annotated[int, typer.Option(min=0, help="Only so many, the best; 0: all.", rich_help_panel=_WHICH)] = 0,
    identity: Annotated[
        str | None,
        typer.Option("--id", help="Of tables of several plans those of plans/ID.json.", rich_help_panel=_WHICH),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos that results name.", rich_help_panel=_WHICH)
    ] = None,
    pad: Annotated[float, typer.Option(min=0, help="Seconds before and after each.", rich_help_panel=_HOW)] = 0.0,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Encode anew, to the picture; default: copied from the key frame before.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    ending: Annotated[str, typer.Option(help="Of the files: .mp4, .mkv or .mov.", rich_help_panel=_HOW)] = ".mp4",
    sheet: Annotated[
        Path | None, typer.Option(help="A picture of each clip in one file (.jpg, .png).", rich_help_panel="Outputs")
    ] = None,
    supercut: Annotated[Path | None, typer.Option(help="All clips in one video.", rich_help_panel="Outputs")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace files that are there.", rich_help_panel="Outputs")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut clips of what was found, with a contact sheet and a supercut; clips.csv says which is what.

    A clip that is copied begins with the key frame before its segment, so up to some seconds early, and keeps its
    sound; one that is encoded anew (--exact) has the segment's pictures alone.
    """
    from ..batch.clips.found import Wanted, clips_of
    from ..batch.clips.run import INDEX, ClipOptions, cut_clips

    options = ClipOptions(pad=pad, exact=exact, ending=ending, overwrite=overwrite, sheet=sheet, supercut=supercut)
    wanted = Wanted(labels=label or (), min_score=conf, top=top)
    found = wanted.chosen(clips_of(source, videos, identity), source)
    with bars(not quiet) as tell:
        cut = cut_clips(found, output, options, lambda done, total, video: tell("clips", done, total, Path(video).name))
    for error in dict.fromkeys(cut.failed.values()):
        complain(error)
    if as_json:
        typer.echo(json.dumps({
            "output": str(output), "clips": [p.name for p in cut.written.values()], "failed": len(cut.failed),
        }))  # fmt: skip
    elif not quiet:
        failed = f", {len(cut.failed)} failed" if cut.failed else ""
        errors.print(f"{output}: {len(cut.written)} clips{failed}; {INDEX} says which is what")
    if cut.failed:
        raise typer.Exit(next(iter(cut.failed.values())).exit_code)
