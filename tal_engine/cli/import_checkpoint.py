"""``tal import``: the weights of a public release in, a checkpoint out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .._util.untrusted import read_text
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
            help="Published weights: .pkl, .pth, .pt, .ckpt, .safetensors or .npz; a head of one file a stream as two."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the checkpoint.", rich_help_panel="The checkpoint")
    ],
    classes: Annotated[
        Path | None,
        typer.Option(help="File of class names, one a line, in the head's order.", rich_help_panel="The checkpoint"),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Method the weights must be of; default: as detected.", rich_help_panel="The checkpoint"),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            help="CLIP weights that prompts were trained with, where the file has none of them.",
            rich_help_panel="Texts",
        ),
    ] = None,
    text_name: Annotated[
        str | None, typer.Option(help="Architecture of --text; default: RN50.", rich_help_panel="Texts")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Which of several state dicts in the file, such as model_ema; default: by its name.",
            rich_help_panel="The checkpoint",
        ),
    ] = None,
    layout: Annotated[
        Path | None,
        typer.Option(
            help="YAML that says which keys are which layer, for heads that are not known; see docs/import.md.",
            rich_help_panel="The checkpoint",
        ),
    ] = None,
    cfg_options: Annotated[
        list[str] | None,
        typer.Option(help="Fields of the method's config: NAME=VALUE.", rich_help_panel="The checkpoint"),
    ] = None,
) -> None:
    """Turn published weights into a checkpoint that can be exported."""
    from ..lab.nn.image_towers import open_text
    from ..lab.training import import_weights

    if text is None and text_name is not None:
        raise UsageError(f"--text-name {text_name} says what the weights of --text are: give both")
    found = import_weights.read(
        weights,
        None if classes is None else _names(classes),
        method=method,
        text=None if text is None else open_text("clip", name=text_name or "", weights=text),
        key=key,
        layout=layout,
        adjust=lambda c: with_settings(c, cfg_options or []),
    )
    if text is not None:
        found = replace(found, sources=(*found.sources, text))
    for note in found.notes:
        warn(note)
    for line in found.unused:
        warn(f"not used: {line}")
    import_weights.save(output, found)
    errors.print(
        f"{found.layout}: {len(found.vocabulary)} classes, checkpoint: {output} "
        f"(export it with: tal export {output} --encoders none -o {found.method.name}.plan)"
    )


def _names(path: Path) -> Vocabulary:
    lines = read_text(path, "list of class names", UsageError).splitlines()
    return Vocabulary(line.strip() for line in lines if line.strip())
