"""``tal diff``: what changed from one plan, or one detection file, to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..annotations import read_annotations, read_detections
from ..errors import UsageError
from ..pose.plans import open_plan, plan_path
from .console import stdout
from .inputs import expand_sources
from .shared import Json

if TYPE_CHECKING:
    from ..export.diff import Difference

#: Rows of each kind that are printed; JSON has all.
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff")(diff)


def diff(
    a: Annotated[
        Path, typer.Argument(help="A plan or a name (people, demo), or detections (.json, .csv, .jsonl, .txt).")
    ],
    b: Annotated[Path, typer.Argument(help="What to compare it with.")],
    on: Annotated[
        list[Path] | None,
        typer.Option(help="Videos, feature files (.npz) or folders of them; repeatable. Default: random features."),
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Annotations: the mAP of both is printed too.")] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 3 if they differ by more than the precision allows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare tensors and segments: which appeared, vanished, moved by how many ms, or were scored anew.

    Segments are the same if they are of one class and overlap by half or more (tIoU); each is matched once, largest
    overlap first. Tensors count relative to 1 + their largest value. --json prints the schema tal.diff/1.
    """
    from ..export.diff import compare_detections, compare_plans

    wanted = None if truth is None else read_annotations(truth)
    plans = [plan_path(path).suffix == ".plan" for path in (a, b)]
    if all(plans):
        found = compare_plans(open_plan(a), open_plan(b), expand_sources(on, features=True) if on else [], wanted)
    elif any(plans):
        raise UsageError(f"{a} and {b}: a plan is compared with a plan, detections with detections")
    elif on:
        raise UsageError(f"--on {on[0]}: detections are compared as they are, only plans are run")
    else:
        numbers = wanted.numbers if wanted else None
        before, after = (read_detections(path, classes=numbers) for path in (a, b))
        found = compare_detections(before, after, wanted)
    if as_json:
        typer.echo(json.dumps(found.document, allow_nan=False))
    else:
        _print(found)
    if gate:
        found.refuse(f"{a} and {b}")


def _print(found: Difference) -> None:
    out = stdout()
    for name, (x, y) in found.fields.items():
        out.print(f"manifest {name}: {x!r} -> {y!r}")
    for name, t in found.tensors.items():
        out.print(f"tensor {name}: worst {t.worst:.2e}, mean {t.mean:.2e}")
    parts, limits = found.segments.values(), found.limits
    counts = {k: sum(len(getattr(s, k)) for s in parts) for k in ("vanished", "appeared", "moved", "rescored")}
    total, changed = found.counts
    out.print(f"segments: {total} in both; " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    share = 100 * changed / max(total, 1)
    out.print(f"changed as the gate counts: {changed}, {share:.1f} %; allowed {100 * limits.changed_share:g} %")
    out.print(_rows(found))
    for name, (x, y) in found.mean_ap.items():
        out.print(f"mAP@{name}: {100 * x:.2f} -> {100 * y:.2f} ({100 * (y - x):+.2f})")


def _rows(found: Difference) -> Table:
    """Tabulate the largest changes of each kind: by score, by milliseconds, by difference of scores."""
    table = Table(show_header=True)
    for column in ("", "source", "class", "start s", "end s", "score", "by"):
        table.add_column(column)
    for kind in ("vanished", "appeared"):
        alone = [(s, source) for source, d in found.segments.items() for s in getattr(d, kind)]
        for s, source in sorted(alone, key=lambda x: -x[0].score)[:_SHOWN]:
            table.add_row(kind, source, s.label, f"{s.start:.3f}", f"{s.end:.3f}", f"{s.score:.3f}", "")
    for kind in ("moved", "rescored"):
        both = [(x, by, source) for source, d in found.segments.items() for x, _, by in getattr(d, kind)]
        for s, by, source in sorted(both, key=lambda x: -abs(x[1]))[:_SHOWN]:
            amount = f"{1000 * by:.0f} ms" if kind == "moved" else f"{by:+.4f}"
            table.add_row(kind, source, s.label, f"{s.start:.3f}", f"{s.end:.3f}", f"{s.score:.3f}", amount)
    return table
