"""``tal data view``: a data set, and what a model makes of it, as one page."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

import typer

from .._util.files import check_free, check_outputs
from .._util.names import found_names
from ..errors import VideoError
from .console import errors, warn

if TYPE_CHECKING:
    from ..annotations.formats import AnnotationTable


def view(
    source: Annotated[
        Path, typer.Argument(help="Labels or annotations in any format that `tal convert --formats` lists.")
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(help="What a model found, such as `tal localize` wrote it.", rich_help_panel="Inputs"),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos: the page opens them.", rich_help_panel="Inputs")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.", rich_help_panel="Outputs")] = Path(
        "view.html"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a page that is there.", rich_help_panel="Outputs")
    ] = False,
    tiou: Annotated[
        float, typer.Option(help="Overlap from which a detection is right.", rich_help_panel="Rules")
    ] = 0.5,
    fps: Annotated[
        float | None,
        typer.Option(min=0.001, help="Frames a second, where files count frames.", rich_help_panel="Inputs"),
    ] = None,
) -> None:
    """Write one HTML page with timelines of truth and predictions; it opens without a network.

    Rows of SOURCE that have a score are taken as predictions where --predictions is not given.
    """
    from ..annotations.formats import Media, read
    from ..outputs.render.data_view import DataView

    inputs = [p for p in (source, predictions) if p is not None]
    check_outputs({f"--output {output}": output}, inputs)
    check_free(output, overwrite=overwrite)
    truth = read(source, fps=fps, video=videos if fps is None else None)
    found = read(predictions, fps=fps) if predictions is not None else None
    if found is None and (truth.score == truth.score).any():
        scored = truth.score == truth.score
        truth, found = truth.where(~scored), truth.where(scored)
    links, lengths = _links(truth, found, videos, output)
    known = {name: length for name, length in lengths.items() if name in truth.videos}
    media = {name: replace(truth.media.get(name, Media()), duration=length) for name, length in known.items()}
    truth = replace(truth, media={**truth.media, **media})
    DataView(truth, found, tiou, links, title=source.stem).write(output)
    errors.print(
        f"wrote {output.absolute()}: {len(truth)} instances, {len(found) if found is not None else 0} predictions"
    )


def _links(
    truth: AnnotationTable, found: AnnotationTable | None, folder: Path | None, output: Path
) -> tuple[dict[str, str], dict[str, float]]:
    """Find each video's address as the page sees it, in the folder or where its annotations say, and its seconds."""
    others = () if found is None else found.videos
    matched = found_names(others, truth.videos, "predictions")
    names = [*truth.videos, *(name for name, known in zip(others, matched, strict=True) if known is None)]
    out, lengths, lost = dict[str, str](), dict[str, float](), list[str]()
    known = None
    if folder is not None:
        from ..annotations.labels.label_files import VideoFiles, video_files

        known = VideoFiles(video_files(folder), folder)
    from ..annotations.labels.label_rows import RowError
    from ..video import open_video

    for name in names:
        path = (truth.media[name].path if name in truth.media else "") or name
        if known is not None:
            try:
                path = str(known.find(name))
            except RowError:
                lost.append(name)
                continue
        if urlsplit(path).scheme in ("http", "https"):
            out[name] = path
        elif Path(path).is_file():
            out[name] = quote(os.path.relpath(path, output.absolute().parent).replace(os.sep, "/"))
            with suppress(VideoError), open_video(path) as source:
                lengths[name] = source.duration or 0.0
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        warn(f"{len(lost)} videos are not in {folder}: {', '.join(map(repr, lost[:3]))}{more}")
    return out, lengths
