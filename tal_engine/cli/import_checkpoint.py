"""``tal import``: the weights of a public release in, a checkpoint out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..vocabulary import Vocabulary
from .console import errors, warn
from .inputs import with_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_checkpoint)


def import_checkpoint(
    weights: Annotated[
        list[Path],
        typer.Argument(
            help="Published weights: .pkl, .pth, .pt, .ckpt, .safetensors or .npz; STPN's two streams as two."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the checkpoint.")],
    classes: Annotated[Path | None, typer.Option(help="File of class names, one a line, in the head's order.")] = None,
    method: Annotated[str | None, typer.Option(help="Method the weights must be of; default: as detected.")] = None,
    text: Annotated[
        Path | None, typer.Option(help="CLIP weights that prompts were trained with, where the file has none of them.")
    ] = None,
    text_name: Annotated[str | None, typer.Option(help="Architecture of --text; default: RN50.")] = None,
    cfg_options: Annotated[list[str] | None, typer.Option(help="Fields of the method's config: NAME=VALUE.")] = None,
) -> None:
    """Turn published weights into a checkpoint that can be exported."""
    from ..nn.towers import open_text
    from ..train import public

    if text is None and text_name is not None:
        raise UsageError(f"--text-name {text_name} says what the weights of --text are: give both")
    found = public.read(
        weights,
        None if classes is None else _names(classes),
        method=method,
        text=None if text is None else open_text("clip", name=text_name or "", weights=text),
        adjust=lambda c: with_settings(c, cfg_options or []),
    )
    if text is not None:
        found = replace(found, sources=(*found.sources, text))
    for line in found.unused:
        warn(f"not used: {line}")
    public.save(output, found)
    errors.print(
        f"{found.layout}: {len(found.vocabulary)} classes, checkpoint: {output} "
        f"(export it with: tal export {output} --encoders none -o {found.method.name}.plan)"
    )


def _names(path: Path) -> Vocabulary:
    lines = path.read_text(encoding="utf-8").splitlines()
    return Vocabulary(line.strip() for line in lines if line.strip())
