"""Commands of classes that are texts: `tal export texts`, `tal plan classes`, `tal features index` and `search`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .._util.files import check_free
from ..errors import UsageError
from ..pose.plans import open_plan
from .console import errors, stdout, warn
from .inputs import Geometry, Weights, encoders_of
from .shared import Classes, Json, PlanOption

if TYPE_CHECKING:
    from ..records import Features

_Output = Annotated[Path, typer.Option("--output", "-o", help="The plan to write.", rich_help_panel="The plan")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel="The plan")]


def export_texts(
    output: _Output,
    encoders: Annotated[
        str,
        typer.Option(metavar="SPEC", help="An image-text pair, such as clip:ViT-B-32.", rich_help_panel="Encoders"),
    ],
    weights: Weights = None,
    snippet: Geometry = None,
    classes: Classes = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What is said of a class, {} for its text; repeatable, then averaged.", rich_help_panel="Texts"
        ),
    ] = None,
    background: Annotated[
        list[str] | None, typer.Option(help="A text of what is no class; repeatable.", rich_help_panel="Texts")
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Factor of cosines: e^logit_scale of the pair.", rich_help_panel="Texts")
    ] = 100.0,
    centre: Annotated[
        float,
        typer.Option(help="Share of the video's mean that is taken from each snippet.", rich_help_panel="Texts"),
    ] = 0.5,
    smooth: Annotated[
        int, typer.Option(help="Snippets of the moving average over time, odd.", rich_help_panel="Texts")
    ] = 5,
    overwrite: _Overwrite = False,
) -> None:
    """Write a plan whose classes are texts, without any training (docs/texts.md)."""
    check_free(output, overwrite=overwrite)
    from ..export.text_tower import ANY, BACKGROUND, PROMPTS, text_plan
    from ..plan.archive import write_plan
    from ..texts.classes import parse_classes

    plan = text_plan(
        encoders_of(encoders, weights, snippet),
        name=output.name.removesuffix(".plan"),
        classes=parse_classes(classes) if classes is not None else (ANY,),
        prompts=prompt or PROMPTS,
        background=background or BACKGROUND,
        scale=scale,
        centre=centre,
        smooth=smooth,
    )
    write_plan(output, plan)
    gate = plan.manifest.parity["texts"]["tensor"]
    errors.print(f"{output}: {output.stat().st_size / 1e6:.1f} MB; gate of the text tower: within {gate:.1e}")


def plan_classes(
    plan: Annotated[Path, typer.Argument(help="A plan with a text tower.")],
    output: _Output,
    classes: Classes,
    tower: Annotated[bool, typer.Option(help="Keep the text tower, so that other classes can be given later.")] = True,
    overwrite: _Overwrite = False,
) -> None:
    """Write the plan of these classes: their texts are embedded now, not at run time."""
    from ..plan.archive import write_plan
    from ..texts.classes import parse_classes
    from ..texts.plans import with_classes

    check_free(output, overwrite=overwrite)
    if classes is None:
        raise UsageError("--classes is missing: give texts between semicolons")
    made = with_classes(open_plan(plan), parse_classes(classes), keep_tower=tower)
    write_plan(output, made)
    errors.print(f"{output}: {', '.join(made.vocabulary)}; {output.stat().st_size / 1e6:.1f} MB")


def index(
    features: Annotated[list[Path], typer.Argument(help="Feature files (.npz), or folders of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the index.")],
    plan: PlanOption = None,
    overwrite: _Overwrite = False,
) -> None:
    """Keep an archive's features so that `tal features search` answers a new text at once."""
    from ..texts.index import build_index

    files = [f for p in features for f in (sorted(p.rglob("*.npz")) if p.is_dir() else [p])]
    if not files:
        raise UsageError(f"{', '.join(map(str, features))}: holds no feature files (.npz)")
    _refuse_twins(files)
    count, said = build_index(output, open_plan(plan), _read(files), overwrite=overwrite)
    for note in dict.fromkeys(said):
        warn(note)
    errors.print(f"{output}: {count} videos")


def _refuse_twins(files: list[Path]) -> None:
    """Refuse two files of one video's name.

    Raises:
        UsageError: there are two; both are named.
    """
    seen: dict[str, Path] = {}
    for file in files:
        if (other := seen.setdefault(file.stem, file)) is not file:
            raise UsageError(f"{other} and {file} are both called {file.stem!r}: an index has a video once")


def _read(files: list[Path]) -> Iterator[tuple[str, Features]]:
    from ..features import load_features

    for file in files:
        yield file.stem, load_features(file)


def search(
    folder: Annotated[Path, typer.Argument(help="A folder that `tal features index` wrote.")],
    classes: Classes,
    plan: PlanOption = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many segments, best first.")] = 20,
    conf: Annotated[
        float | None, typer.Option(help="Leave out segments below this score; default: the plan's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find classes, given as texts, in an index: no video is read."""
    from ..texts.classes import parse_classes
    from ..texts.index import TextIndex
    from ..texts.plans import MIN_SCORE

    if classes is None:
        raise UsageError("--classes is missing: give texts between semicolons")
    found = TextIndex(folder, open_plan(plan)).search(
        parse_classes(classes), min_score=MIN_SCORE if conf is None else conf
    )
    rows = sorted(((s, name) for name, many in found.items() for s in many), key=lambda r: -r[0].score)[:top]
    if as_json:
        shown = [
            {"video": name, "label": s.label, "start": s.start, "end": s.end, "score": s.score} for s, name in rows
        ]
        typer.echo(json.dumps(shown))
        return
    table = Table("video", "start", "end", "class", "score")
    for s, name in rows:
        table.add_row(name, f"{s.start:.2f}", f"{s.end:.2f}", s.label, f"{s.score:.3f}")
    stdout().print(table)
