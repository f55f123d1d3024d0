"""``tal import``: the weights of a public release in, a checkpoint out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors, warn
from .inputs import with_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_checkpoint)


def import_checkpoint(
    weights: Annotated[Path, typer.Argument(help="Published weights: .pkl, .pth, .pt, .ckpt, .safetensors or .npz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the checkpoint.")],
    classes: Annotated[Path | None, typer.Option(help="File of class names, one a line, in the head's order.")] = None,
    method: Annotated[str | None, typer.Option(help="Method the weights must be of; default: as detected.")] = None,
    cfg_options: Annotated[list[str] | None, typer.Option(help="Fields of the method's config: NAME=VALUE.")] = None,
) -> None:
    """Turn published weights into a checkpoint that can be exported."""
    from ..train import public
    from ..vocabulary import Vocabulary

    names = None
    if classes is not None:
        lines = classes.read_text(encoding="utf-8").splitlines()
        names = Vocabulary(line.strip() for line in lines if line.strip())
    found = public.read(weights, names, method=method, adjust=lambda c: with_settings(c, cfg_options or []))
    for line in found.unused:
        warn(f"not used: {line}")
    public.save(output, found)
    errors.print(
        f"{found.layout}: {len(found.vocabulary)} classes, checkpoint: {output} "
        f"(export it with: tal export {output} --no-encoders -o {found.method.name}.plan)"
    )
