"""``tal train``: a data set with video-level labels in, a checkpoint and an honest report out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UsageError
from .console import errors, stdout
from .inputs import with_settings

if TYPE_CHECKING:
    from ..data.dataset import DataSet
    from ..methods import Method
    from ..nn.text import TextEncoder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    method: Annotated[str, typer.Argument(help="Method or base head; an unknown one lists them.")],
    data: Annotated[Path, typer.Option(help="Description (.yaml, .json), or a folder: annotations.json and videos/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of checkpoint and report.")],
    recipe: Annotated[
        str | None, typer.Option(help="Settings by name. Default: the description's; demo for a folder of videos.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train so many seeds, from --seed on, into OUTPUT/seedN.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    eval_every: Annotated[int | None, typer.Option(help="Steps between evaluations; 0: at the end only.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    subset: Annotated[str, typer.Option(help="Role of the videos to train on.")] = "train",
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --output.")] = False,
    cfg_options: Annotated[
        list[str] | None, typer.Option(help="Fields of the method's config: NAME=VALUE or NAME.KEY=VALUE.")
    ] = None,
    train_options: Annotated[list[str] | None, typer.Option(help="Fields of the training options: NAME=VALUE.")] = None,
) -> None:
    """Train a method on the videos' labels alone; the times of training videos are never read.

    Test videos, if the data set has some, are scored under its protocol: at the end, or every
    --eval-every steps. Features of a folder of videos are extracted once with the tiny encoders.
    """
    from ..data.description import read_description
    from ..methods import load_method
    from ..train import recipe as recipes
    from ..train.distributed import first_process
    from ..train.options import TrainOptions
    from ..train.runs import train_head, train_seeds

    if subset not in ("train", "validation", "test"):
        raise UsageError(f"subset is {subset!r}, must be one of train, validation, test")
    chosen = load_method(method)
    settings = recipes.recipe(chosen, recipe or ("demo" if data.is_dir() else read_description(data).recipe))
    flags = {"seed": seed, "steps": steps, "eval_every": eval_every, "device": device}
    changes = [f"{k}={v}" for k, v in flags.items() if v is not None]
    options = with_settings(TrainOptions(**settings.train), [*changes, *(train_options or [])])
    config = with_settings(chosen.Config(**settings.config), cfg_options or [])
    found, text = _opened(data, chosen, config)
    named = {*settings.config, *(o.partition("=")[0] for o in cfg_options or [])}
    config = recipes.fitted(config, recipes.data_widths(found, chosen.training_streams(config), text), named)
    with bars(first_process()) as bar:
        more: dict[str, Any] = {"text": text, "subset": subset, "resume": resume, "bar": bar}
        if seeds > 1:
            run = train_seeds(chosen, config, options, found, output, seeds=seeds, **more)
        else:
            run = train_head(chosen, config, options, found, output, **more)
    if first_process():
        _print(run, f"{method} on {found.name}", output, range(seed, seed + seeds))


def _opened(data: Path, method: Method, config: Any) -> tuple[DataSet, TextEncoder | None]:
    """The data set, with encoders if it is a folder of videos, and the text tower if the method reads texts."""
    from ..data.dataset import open_dataset
    from ..nn.towers import open_text

    encoders = None
    if data.is_dir():
        from ..export.encoders import tiny_encoders

        # All of them, whatever the method reads: features are kept by what made them, and one set serves every method.
        encoders = tiny_encoders(("rgb", "flow", "clip"))
    found = open_dataset(data, encoders)
    if not method.uses_text:
        return found, None
    spec = found.text
    return found, open_text(spec.tower, name=spec.name, weights=spec.weights, dim=spec.dim, seed=spec.seed)


def _print(run: Any, what: str, output: Path, seeds: Sequence[int]) -> None:
    from ..train.report import table

    if run.rows:
        over = f" (mean ± sd over seeds {seeds[0]} to {seeds[-1]})" if len(seeds) > 1 else ""
        stdout().print(table(run.rows, run.rules, what + over))
        errors.print(f"report: {output / 'report.json'}")
    folder = output / f"seed{seeds[0]}" if len(seeds) > 1 else output
    errors.print(f"checkpoint: {folder} (export it with: tal export {folder} -o NAME.plan)")


@contextmanager
def bars(shown: bool = True) -> Iterator[Callable[[str, int, int, str], None]]:
    """A callback (task, done, total, note) that draws progress bars with ETA on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[note]}", markup=False),
        console=errors,
        disable=not (shown and errors.is_terminal),
    ) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int, note: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, note="")
            progress.update(tasks[name], completed=done, total=total, note=note)

        yield update
