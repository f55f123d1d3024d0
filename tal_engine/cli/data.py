"""``tal data``: check and view data sets, convert public ones, simulate some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as RichTable

from .._util.files import check_outputs
from ..errors import UsageError
from .console import errors, stdout
from .data_view import view
from .inputs import with_settings
from .label_report import print_labels
from .progress import bars
from .shared import Json

if TYPE_CHECKING:
    from ..lab.data.check import Report

app = typer.Typer(help="Data sets: check, view, convert, simulate.", no_args_is_help=True)
app.command("view")(view)

#: Names that are printed of each kind of finding; the manifest and --json have all.
_SHOWN = 5


@app.command("check")
def check(
    source: Annotated[
        Path,
        typer.Argument(
            help="Description (.yaml, .json), annotations or labels alone, or with --labels a folder of videos."
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels of the videos in the folder SOURCE: CSV, JSON, or folders named by class."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Manifest to write (JSON).")] = None,
    as_json: Json = False,
    allow_pickle: Annotated[bool, typer.Option(help="Read the npy layout, which is made of pickles.")] = False,
) -> None:
    """Read every annotation and feature file and say what is missing, broken or doubtful.

    Of labels it says per class how many videos, points and seconds there are, what is missing, and which rows were
    left out and why. Exit status 1 where no video is usable, 5 where a file is not there.
    """
    _need_extra()
    from ..lab.data import check as checks

    check_outputs({f"--output {output}": output}, [p for p in (source, labels) if p is not None])
    if labels is not None and source.is_file():
        raise UsageError(f"{source}: --labels is for a folder of videos; a description names its own (labels: FILE)")
    with bars() as bar:
        report, document = checks.check(
            source,
            allow_pickle=allow_pickle,
            labels=labels,
            progress=lambda done, total: bar("videos" if labels else "features", done, total, ""),
        )
    if output is not None:
        checks.write_manifest(output, document)
        errors.print(f"wrote {output}")
    if as_json:
        typer.echo(json.dumps(document, allow_nan=False))
    else:
        _print(report)
    checks.require_usable(report, source)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="Folder of a W-TALC download, or an .npz of videos CLASS_NUMBER.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for annotations.json, i3d/ and data.yaml.")],
    allow_pickle: Annotated[bool, typer.Option(help="Read pickles; only plain data is accepted.")] = False,
    features: Annotated[Path | None, typer.Option(help="File of features; default: the only one in SOURCE.")] = None,
    clip: Annotated[Path | None, typer.Option(help="CLIP folder with train/ and test/; default: as above.")] = None,
    rules: Annotated[str | None, typer.Option("--protocol", help="Protocol to name in data.yaml.")] = None,
) -> None:
    """Turn the pickled public layouts into plain files and a description."""
    _need_extra()
    from ..lab.data.convert_layouts import convert as run

    with bars() as bar:
        written = run(
            source,
            output,
            allow_pickle=allow_pickle,
            features=features,
            clip=clip,
            protocol=rules,
            progress=lambda done, total: bar("features", done, total, ""),
        )
    errors.print(f"wrote {written} (look it over with: tal data check {written})")


@app.command("simulate")
def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for public/ and data.yaml.")],
    videos: Annotated[int, typer.Option(help="Training videos.")] = 120,
    test: Annotated[int, typer.Option(help="Test videos.")] = 60,
    classes: Annotated[int, typer.Option(help="Classes.")] = 10,
    difficulty: Annotated[float, typer.Option(help="0 (clean) to 1.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Seed; the same one gives the same files.")] = 0,
    options: Annotated[list[str] | None, typer.Option(help="Other fields of the simulator: NAME=VALUE.")] = None,
) -> None:
    """Plant actions at the level of features and write them as public data sets are published."""
    _need_extra()
    from ..lab.data.synthetic import SimulatorOptions
    from ..lab.data.write_public import write_simulation

    chosen = SimulatorOptions(train=videos, test=test, classes=classes, difficulty=difficulty, seed=seed)
    errors.print(f"wrote {write_simulation(output, with_settings(chosen, options or []))}")


def _need_extra() -> None:
    """Name the extra where it is missing, before an import of it fails."""
    from .._util.extras import need

    for module in ("torch", "yaml"):
        need(module)


def _print(report: Report) -> None:
    from ..lab.data.check import FATAL, NOTES

    if report.labels is not None:
        print_labels(report.labels, report.notes)
    out = stdout()
    table = RichTable(title=report.name, title_justify="left")
    table.add_column("subset")
    for name in next(iter(report.counts.values()), {}):
        table.add_column(name, justify="right")
    for role, counts in report.counts.items():
        table.add_row(role, *map(str, counts.values()))
    out.print(table)
    for kind, meaning in {**FATAL, **NOTES}.items():
        found = report.of(kind)
        if not found:
            continue
        out.print(f"{len(found)} {'excluded' if kind in FATAL else 'noted'}: {meaning}")
        for f in found[:_SHOWN]:
            out.print(f"  {f.video}: {f.message}")
        if len(found) > _SHOWN:
            out.print(f"  and {len(found) - _SHOWN} more")
    if not report.findings and report.labels is None:
        out.print("nothing to report")
