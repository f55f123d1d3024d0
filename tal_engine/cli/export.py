"""``tal export``: a checkpoint in, a plan out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import SegmentOptions
from .console import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The plan to write.")],
    name: Annotated[str | None, typer.Option(help="Name in the manifest; default: the file's name.")] = None,
    encoders: Annotated[bool, typer.Option(help="Embed the encoders; without them the plan reads features.")] = True,
    conf: Annotated[float, typer.Option(help="Operating point: segments below this score are not reported.")] = float(
        "-inf"
    ),
) -> None:
    """Freeze a checkpoint into a plan, behind the parity gate."""
    from ..export import bundle
    from ..export.encoders import tiny_encoders
    from ..train.checkpoint import load

    found = load(checkpoint)
    plan = bundle.export(
        found,
        tiny_encoders(found.method.inference_streams(found.config)) if encoders else None,
        output,
        name=name or output.stem,
        segment=SegmentOptions(min_score=conf),
    )
    parity = plan.manifest.parity["head"]
    errors.print(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB; gate: tensors within {parity['tensor']:.1e}, "
        f"{parity['segments_changed']} of {parity['segments']} segments changed"
    )
