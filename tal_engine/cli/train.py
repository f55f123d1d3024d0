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
from .inputs import Geometry, Weights, encoders_of, with_settings

if TYPE_CHECKING:
    from ..data.dataset import DataSet
    from ..export.encoders import EncoderSet
    from ..methods import Method
    from ..nn.text import TextEncoder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    method: Annotated[str, typer.Argument(help="Method or base head; an unknown one lists them.")],
    data: Annotated[Path, typer.Option(help="Description (.yaml, .json), or a folder: annotations.json and videos/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of checkpoint and report.")],
    encoders: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Make a folder's features, such as i3d+clip:RN50, lite0. Default: tiny."),
    ] = None,
    weights: Weights = None,
    snippet: Geometry = None,
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
    --eval-every steps. Features of a folder of videos are extracted once by --encoders and kept in it,
    FOLDER/features, beside those of other encoders.
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
    if data.is_dir():
        found, text = _folder(data, chosen, encoders_of(encoders or "tiny", weights, snippet))
    else:
        _no_encoders(data, encoders, weights, snippet)
        found, text = _described(data, chosen)
    named = {*settings.config, *(o.partition("=")[0] for o in cfg_options or [])}
    config = recipes.fitted(config, recipes.data_widths(found, chosen.training_streams(config), text), named)
    with bars(first_process()) as bar:
        more: dict[str, Any] = {"text": text, "subset": subset, "resume": resume, "bar": bar}
        if seeds > 1:
            run = train_seeds(chosen, config, options, found, output, seeds=seeds, **more)
        else:
            run = train_head(chosen, config, options, found, output, **more)
    if first_process():
        made = [f" --encoders {encoders}"] if encoders else []
        made += [f" --weights {w}" for w in weights or ()]
        _print(run, f"{method} on {found.name}", output, range(seed, seed + seeds), "".join(made))


def _folder(data: Path, method: Method, encoders: EncoderSet) -> tuple[DataSet, TextEncoder | None]:
    """A folder of videos behind encoders, and their text tower if the method reads texts.

    All streams are made, whatever the method reads: features are kept by what made them, and one set serves every
    method.
    """
    from ..data.dataset import open_dataset

    if method.uses_text and encoders.text is None:
        made = ", ".join(e.name for e in encoders.specs.values())
        raise UsageError(f"{method.name} reads texts, and no encoder of {made} has a text tower: add one, such as clip")
    return open_dataset(data, encoders), encoders.text if method.uses_text else None


def _described(data: Path, method: Method) -> tuple[DataSet, TextEncoder | None]:
    """A described data set, and the text tower that it names if the method reads texts."""
    from ..data.dataset import open_dataset
    from ..nn.towers import open_text

    found = open_dataset(data)
    if not method.uses_text:
        return found, None
    spec = found.text
    return found, open_text(spec.tower, name=spec.name, weights=spec.weights, dim=spec.dim, seed=spec.seed)


def _no_encoders(data: Path, *given: Any) -> None:
    for name, value in zip(("--encoders", "--weights", "--snippet"), given, strict=True):
        if value:
            raise UsageError(f"{data}: {name} is for a folder of videos; what is described has its features")


def _print(run: Any, what: str, output: Path, seeds: Sequence[int], made: str) -> None:
    from ..train.report import table

    if run.rows:
        over = f" (mean ± sd over seeds {seeds[0]} to {seeds[-1]})" if len(seeds) > 1 else ""
        stdout().print(table(run.rows, run.rules, what + over))
        errors.print(f"report: {output / 'report.json'}")
    folder = output / f"seed{seeds[0]}" if len(seeds) > 1 else output
    errors.print(f"checkpoint: {folder} (export it with: tal export {folder}{made} -o NAME.plan)")


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
