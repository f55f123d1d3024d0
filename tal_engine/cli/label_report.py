"""What is printed of labels: how much there is of each class, what is missing, and which rows were left out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ..annotations.labels import Labels
from .console import stdout

#: Rows that are printed; ``--json`` has all.
_MOST = 50


def print_labels(labels: Labels, notes: Sequence[str] = ()) -> None:
    """Print a table of the classes, then what is missing, what is odd, and what was left out and why."""
    out = stdout()
    background = sum(v.background for v in labels)
    more = f", {background} of them without any action" if background else ""
    table = Table(
        title=f"{labels.source}: {len(labels)} videos{more}; labels: {_KINDS[labels.kind]}", title_justify="left"
    )
    grouped = bool(labels.groups)
    for name in ("class", "videos", *(["groups"] if grouped else []), "without times", "points", "segments", "seconds"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for c in labels.counts():
        of = [str(c.groups)] if grouped else []
        counts = (str(c.videos), *of, str(c.without_times), str(c.points), str(c.segments))
        table.add_row(c.label, *counts, f"{c.seconds:.1f}")
    out.print(table)
    if grouped:
        out.print(f"{len(labels.groups)} groups, each held out as a whole by tal fit: {', '.join(labels.groups[:10])}"
                  f"{' ...' if len(labels.groups) > 10 else ''}")  # fmt: skip
    for sentence in labels.missing():
        out.print(f"missing: {sentence}")
    for sentence in (*labels.notes, *notes):
        out.print(f"note: {sentence}")
    if not labels.problems:
        out.print("no rows were left out")
        return
    out.print(f"{labels.rows_left_out} rows were left out:")
    for p in labels.problems[:_MOST]:
        out.print(f"  {p}")
    if len(labels.problems) > _MOST:
        out.print(f"  and {len(labels.problems) - _MOST} more (all of them: --json)")


_KINDS = {"video": "of whole videos", "point": "points", "segment": "segments", "mixed": "mixed"}
