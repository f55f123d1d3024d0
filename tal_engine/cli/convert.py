"""``tal convert``: annotations of one tool to another's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._util.files import check_free
from ..errors import UsageError
from .console import errors, stdout, warn
from .shared import Json

if TYPE_CHECKING:
    from ..annotations.formats import Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("convert")(convert)


def convert(
    source: Annotated[Path | None, typer.Argument(help="File or folder of annotations or results.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write; a folder where a file holds one video.", rich_help_panel="Outputs"
        ),
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option("--from", help="Format of the input; default: told by the file.", rich_help_panel="Formats"),
    ] = None,
    target_format: Annotated[
        str | None,
        typer.Option("--to", help="Format of the output; default: told by its ending.", rich_help_panel="Formats"),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="The annotated video, or the folder of them: their frames' times are the clock of frame numbers.",
            rich_help_panel="Formats",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Frames a second, where frames are counted; without --video.", rich_help_panel="Formats"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that is there.", rich_help_panel="Outputs")
    ] = False,
    strict: Annotated[
        bool, typer.Option(help="Exit with status 3 if the output does not hold everything.", rich_help_panel="Outputs")
    ] = False,
    formats: Annotated[
        bool, typer.Option("--formats", help="List all formats and end.", rich_help_panel="Formats")
    ] = False,
    as_json: Json = False,
) -> None:
    """Convert annotations: any format that is read to any that is written.

    Says what the output does not hold, how often, and by how much times moved. An output that is there is kept, unless
    --overwrite is given.
    """
    if formats:
        _list(as_json=as_json)
        return
    if source is None or output is None:
        raise UsageError("needs SOURCE and --output, or --formats")
    check_free(output, overwrite=overwrite)
    from ..annotations.formats import convert as convert_file

    report = convert_file(source, output, source=source_format, target=target_format, fps=fps, video=video)
    if as_json:
        typer.echo(json.dumps(asdict(report), allow_nan=False))
    else:
        _print(report, output)
    if strict and report.losses:
        raise typer.Exit(3)


def _print(report: Report, output: Path) -> None:
    for words in report.notes:
        warn(words)
    for words in report.losses:
        warn(words)
    moved = "" if report.largest_shift_s is None else f"; times moved by at most {report.largest_shift_s * 1000:.3g} ms"
    errors.print(
        f"wrote {output}: {report.written} of {report.rows} annotations, {report.source} to {report.target}{moved}"
    )


def _list(*, as_json: bool) -> None:
    from rich.table import Table

    from ..annotations.formats.registry import all_formats

    if as_json:
        known = [
            {"name": f.name, "title": f.title, "suffixes": f.suffixes, "read": f.read is not None,
             "write": f.write is not None, "holds": sorted(f.holds), "unit": f.unit}
            for f in all_formats()
        ]  # fmt: skip
        typer.echo(json.dumps(known))
        return
    table = Table("format", "name", "endings", "reads", "writes", "holds beside segments", "times")
    for f in all_formats():
        marks = ("yes" if x is not None else "" for x in (f.read, f.write))
        table.add_row(f.title, f.name, " ".join(f.suffixes), *marks, ", ".join(sorted(f.holds - {"segments"})), f.unit)
    stdout().print(table)
