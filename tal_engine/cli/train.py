"""``tal train``: a data set with video-level labels in, a checkpoint and an honest report out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .console import errors, stdout
from .inputs import Geometry, Weights, encoders_of, with_settings
from .progress import bars
from .shared import Device

if TYPE_CHECKING:
    from ..export.encoder_graphs import EncoderSet
    from ..lab.data.dataset import DataSet
    from ..lab.data.label_splits import Split
    from ..lab.methods import Method
    from ..lab.nn.text import TextEncoder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    method: Annotated[str, typer.Argument(help="Method or base head; an unknown one lists them.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Description (.yaml, .json), folder of annotations.json and videos/, or of videos with --labels.",
            rich_help_panel="What is trained",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of checkpoint and report.", rich_help_panel="The run")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels of the videos in --data: CSV, JSON, or folders named by class (docs/labels.md).",
            rich_help_panel="What is trained",
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the videos with full times that is scored, not trained on, if --labels name no subsets. "
            "Default: 0.2.",
            rich_help_panel="What is trained",
        ),
    ] = None,
    validation_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The same for videos that weights are selected by (select=validation). Default: 0.",
            rich_help_panel="What is trained",
        ),
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Make a folder's features, such as i3d+clip:RN50, lite0. Default: tiny.",
            rich_help_panel="What is trained",
        ),
    ] = None,
    weights: Weights = None,
    snippet: Geometry = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Settings by name. Default: the description's; demo for a folder of videos.",
            rich_help_panel="What is trained",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Train so many seeds, from --seed on, into OUTPUT/seedN.", rich_help_panel="The run"),
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.", rich_help_panel="The run")] = 0,
    steps: Annotated[int | None, typer.Option(help="Training steps.", rich_help_panel="The run")] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations; 0: at the end only.", rich_help_panel="The run")
    ] = None,
    device: Device = "auto",
    subset: Annotated[
        str, typer.Option(help="Role of the videos to train on.", rich_help_panel="What is trained")
    ] = "train",
    resume: Annotated[
        bool, typer.Option(help="Go on from the checkpoint in --output.", rich_help_panel="The run")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option(help="Replace the run that --output holds.", rich_help_panel="The run")
    ] = False,
    cfg_options: Annotated[
        list[str] | None,
        typer.Option(
            help="Fields of the method's config: NAME=VALUE or NAME.KEY=VALUE.", rich_help_panel="What is trained"
        ),
    ] = None,
    train_options: Annotated[
        list[str] | None,
        typer.Option(help="Fields of the training options: NAME=VALUE.", rich_help_panel="What is trained"),
    ] = None,
) -> None:
    """Train a method on labels of videos, or points for methods that read them; no times of segments.

    Labels may be of whole videos, points or segments, or some of each: each video gives what it has.
    Test videos, if the data set has some, are scored under its protocol: at the end, or every
    --eval-every steps. Features of a folder of videos are extracted once by --encoders and kept in it,
    FOLDER/features, beside those of other encoders.
    """
    from ..lab.data.description import read_description
    from ..lab.methods import load_method
    from ..lab.training import recipe as recipes
    from ..lab.training.distributed import first_process
    from ..lab.training.run_record import check_run_folder, clear_run
    from ..lab.training.runs import train_head, train_seeds
    from ..lab.training.training_options import TrainOptions

    if subset not in ("train", "validation", "test"):
        raise UsageError(f"subset is {subset!r}, must be one of train, validation, test")
    check_run_folder(output, resume=resume, overwrite=overwrite)
    chosen = load_method(method)
    described = None if data.is_dir() else read_description(data)
    split = _split(data, labels, test_share, validation_share)
    settings = recipes.recipe(chosen, recipe or ("demo" if described is None else described.recipe))
    flags = {"seed": seed, "steps": steps, "eval_every": eval_every, "device": device}
    changes = [f"{k}={v}" for k, v in flags.items() if v is not None]
    options = with_settings(TrainOptions(**settings.train), [*changes, *(train_options or [])])
    config = with_settings(chosen.Config(**settings.config), cfg_options or [])
    if described is None or described.extracts:
        found, text = _folder(data, chosen, encoders_of(encoders or "tiny", weights, snippet), labels, split)
    else:
        _no_encoders(data, encoders, weights, snippet)
        found, text = _described(data, chosen)
    named = {*settings.config, *(o.partition("=")[0] for o in cfg_options or [])}
    config, text = recipes.on_data(chosen, config, found, text, named)
    with bars(first_process()) as bar:
        if overwrite and first_process():
            clear_run(output)
        command = ["tal", *sys.argv[1:]]
        more: dict[str, Any] = {"text": text, "subset": subset, "resume": resume, "bar": bar, "command": command}
        if seeds > 1:
            run = train_seeds(chosen, config, options, found, output, seeds=seeds, **more)
        else:
            run = train_head(chosen, config, options, found, output, **more)
    if first_process():
        made = [f" --encoders {encoders}"] if encoders else []
        made += [f" --weights {w}" for w in weights or ()]
        _print(run, f"{method} on {found.name}", output, range(seed, seed + seeds), "".join(made))


def _split(data: Path, labels: Path | None, test: float | None, validation: float | None) -> Split | None:
    """Return what is held out, if labels are given."""
    from ..lab.data.label_splits import Split

    if labels is None:
        if test is not None or validation is not None:
            raise UsageError(f"{data}: --test-share and --validation-share are for --labels; these videos have subsets")
        return None
    if not data.is_dir():
        raise UsageError(f"{data}: --labels is for a folder of videos; a description names its own (labels: FILE)")
    return Split(test=Split.test if test is None else test, validation=validation or 0.0)


def _folder(
    data: Path, method: Method, encoders: EncoderSet, labels: Path | None, split: Split | None
) -> tuple[DataSet, TextEncoder | None]:
    """Open videos with encoders, and their text tower if the method reads texts.

    All streams are made, whatever the method reads: features are kept by what made them, and one set serves every
    method.
    """
    from ..lab.data.dataset import open_dataset

    return open_dataset(data, encoders, labels=labels, split=split), encoders.text if method.uses_text else None


def _described(data: Path, method: Method) -> tuple[DataSet, TextEncoder | None]:
    """Open a described data set, and the text tower that it names if the method reads texts."""
    from ..lab.data.dataset import open_dataset
    from ..lab.nn.image_towers import open_text

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
    from ..lab.training.training_report import table

    errors.print(f"report: {output / 'report.json'}")
    if run.rows:
        over = f" (mean ± sd over seeds {seeds[0]} to {seeds[-1]})" if len(seeds) > 1 else ""
        stdout().print(table(run.rows, run.rules, what + over))
    folder = output / f"seed{seeds[0]}" if len(seeds) > 1 else output
    errors.print(f"checkpoint: {folder} (export it with: tal export {folder}{made} -o NAME.plan)")
