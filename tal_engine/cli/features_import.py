"""``tal features import``: features of other extractors as feature files of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._util.untrusted import listed
from ..errors import DataError, UsageError
from .console import complain, errors, warn
from .inputs import Geometry

if TYPE_CHECKING:
    from ..features.foreign import Layout

_KNOWN = "What the files leave open"


def import_(
    source: Annotated[Path, typer.Argument(help="A folder of files, or an HDF5 file (.h5, .hdf5).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder: one NAME.npz a video.", rich_help_panel="Outputs")
    ],
    layout: Annotated[
        str | None,
        typer.Option(
            help="video_features (NAME_rgb.npy, NAME_timestamps_ms.npy), files (NAME.npy, .npz, .csv, .pkl of OpenTAD, "
            "ActionFormer, MMAction2), hdf5 (TSP, ActivityNet); default: as it looks.",
            rich_help_panel=_KNOWN,
        ),
    ] = None,
    snippet: Geometry = None,
    stream: Annotated[
        str | None, typer.Option(help="Name of the features, where a file does not name them.", rich_help_panel=_KNOWN)
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Or the streams in them: rgb=0:1024, again for each.", rich_help_panel=_KNOWN),
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="What made them; heads compare it. Default: the layout.", rich_help_panel=_KNOWN)
    ] = "",
    pattern: Annotated[
        str, typer.Option(help="How files are named, such as 'v_{name}'.", rich_help_panel=_KNOWN)
    ] = "{name}",
    durations: Annotated[
        Path | None,
        typer.Option(help="Annotations with the durations of the videos.", rich_help_panel=_KNOWN),
    ] = None,
    resized: Annotated[
        bool,
        typer.Option(
            "--resized",
            help="Rows are spread evenly over each video (BMN's 100); needs --durations.",
            rich_help_panel=_KNOWN,
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Make files anew that are there.", rich_help_panel="Outputs")] = False,
) -> None:
    """Write feature files of what another extractor left; their record names what nobody knows of them."""
    from ..features.importing import ImportOptions, import_features
    from .progress import bars

    options = ImportOptions(
        layout=_layout(layout), pattern=pattern, stream=stream or "", columns=_columns(columns or []),
        encoder=encoder, resized=resized, durations=_durations(durations), **_geometry(snippet or []),
    )  # fmt: skip
    with bars() as bar:
        outcome = import_features(
            source,
            output,
            options,
            overwrite=overwrite,
            progress=lambda done, total, name: bar("videos", done, total, name),
        )
    for error in outcome.failed.values():
        complain(error)
    kept = f", {len(outcome.kept)} were there" if outcome.kept else ""
    errors.print(f"{output}: {len(outcome.made)} made ({outcome.layout}){kept}, {len(outcome.failed)} failed")
    if outcome.made:
        _tell_unknown(output / f"{outcome.made[0]}.npz")
    if outcome.failed:
        raise typer.Exit(next(iter(outcome.failed.values())).exit_code)


def _tell_unknown(path: Path) -> None:
    from ..features import load_features
    from ..features.contract import not_known

    warn(f"not known of these features, so never compared: {', '.join(not_known(load_features(path).contract))}")


def _layout(text: str | None) -> Layout | None:
    from ..features.foreign import LAYOUTS

    found = next((known for known in LAYOUTS if known == text), None)
    if text is not None and found is None:
        raise UsageError(f"--layout {text}: must be one of {', '.join(LAYOUTS)}")
    return found


def _geometry(fields: list[str]) -> dict[str, Any]:
    """Read fps=25, window=16, stride=16.

    Raises:
        UsageError: another field, or no number.
    """
    found: dict[str, Any] = {}
    for text in fields:
        name, _, value = text.partition("=")
        if name not in ("fps", "window", "stride"):
            raise UsageError(f"--snippet {text}: fields of imported features are fps=, window= and stride=")
        try:
            found[name] = float(value) if name == "fps" else int(value)
        except ValueError:
            raise UsageError(f"--snippet {text}: {value!r} is not a number") from None
    return found


def _columns(texts: list[str]) -> dict[str, tuple[int, int]]:
    found = {}
    for text in texts:
        name, _, span = text.partition("=")
        first, _, end = span.partition(":")
        if not (name and first.isdigit() and end.isdigit()):
            raise UsageError(f"--columns {text}: must be NAME=FIRST:END, such as rgb=0:1024")
        found[name] = (int(first), int(end))
    return found


def _durations(path: Path | None) -> dict[str, float]:
    """Read the durations of videos from annotations.

    Raises:
        DataError: the file tells of none.
    """
    if path is None:
        return {}
    from ..annotations import read_annotations

    read = read_annotations(path)
    found = {v.name: v.duration for v in read if v.duration}
    if not found:
        raise DataError(f"{path}: gives no duration of any video ({listed(list(read.videos))})")
    return found
