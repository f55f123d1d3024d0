"""``tal train``: videos with video-level labels in, a checkpoint out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .console import errors
from .inputs import with_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    method: Annotated[str, typer.Argument(help="Method: pvlr.")],
    data: Annotated[Path, typer.Option(help="Folder with annotations.json and videos/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the checkpoint.")],
    subset: Annotated[str, typer.Option(help="Subset to train on.")] = "train",
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --output.")] = False,
    cfg_options: Annotated[list[str] | None, typer.Option(help="Fields of the method's config: NAME=VALUE.")] = None,
    train_options: Annotated[list[str] | None, typer.Option(help="Fields of the training options: NAME=VALUE.")] = None,
) -> None:
    """Train a head on the videos' labels alone; their times are never read.

    Features are extracted once with the tiny encoders and kept under DATA/features.
    """
    from ..methods import load_method
    from ..train.recipe import demo_config, demo_options, train_head

    chosen = load_method(method)
    config = with_settings(demo_config(chosen), cfg_options or [])
    changes = [f"seed={seed}", *([f"steps={steps}"] if steps is not None else []), *(train_options or [])]
    options = with_settings(demo_options(), changes)
    with bars() as bar:
        train_head(
            chosen,
            config,
            options,
            data,
            output,
            subset=subset,
            encoders=_encoders(chosen, config),
            resume=resume,
            bar=bar,
        )
    errors.print(f"checkpoint: {output} (export it with: tal export {output} -o {method}.plan)")


def _encoders(method: Any, config: Any) -> Any:
    from ..export.encoders import tiny_encoders

    return tiny_encoders(method.training_streams(config))


@contextmanager
def bars() -> Iterator[Callable[[str, int, int, str], None]]:
    """A callback (task, done, total, note) that draws progress bars with ETA on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, TextColumn("{task.fields[note]}", markup=False), console=errors, disable=not errors.is_terminal
    ) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int, note: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, note="")
            progress.update(tasks[name], completed=done, total=total, note=note)

        yield update
