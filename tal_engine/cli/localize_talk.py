"""What ``tal localize`` says: progress, a line for each video, a table of what was found, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .._util.redaction import redact
from ..errors import TALError
from ..inference.operating_point import overlap
from ..records import Segment
from ..results import Localization
from .console import complain, errors, warn


@contextmanager
def progress_of(path: str | Path, quiet: bool) -> Iterator[Callable[[float, float], None] | None]:
    """Show a bar while a source is read; the callback, or None where nobody sees one."""
    if quiet or not errors.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bar:
        task = bar.add_task(Path(redact(str(path))).name, total=1)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def complain_of(path: str | Path, e: TALError) -> None:
    """Say what is wrong with a source."""
    shown = redact(str(path))
    message = str(e) if shown in str(e) else f"{shown}: {e}"
    complain(message)


def report(result: Localization) -> None:
    """Say how a video went: warnings, and the time of each stage."""
    info = result.info
    for warning in info.warnings:
        warn(f"{info.source}: {warning}")
    total = info.seconds.get("total", 0.0)
    stages = ", ".join(f"{k} {v:.2f}" for k, v in info.seconds.items() if k != "total")
    speed = f", {info.duration / total:.0f}x real time" if total > 0 else ""
    errors.print(f"{info.source}: {info.duration:.1f} s in {total:.2f} s{speed} (seconds by stage: {stages})")


def table_of(result: Localization, truth: list[Segment] | None) -> Table:
    """Tabulate found segments in time order, with the true instance that each overlaps most."""
    csv_table = Table(title=Path(result.info.source).name, title_justify="left")
    for name in ("start", "end", "label", "score"):
        csv_table.add_column(name, justify="left" if name == "label" else "right")
    if truth is not None:
        csv_table.add_column("true instance")
        csv_table.add_column("tIoU", justify="right")
    matched: set[int] = set()
    rows: list[tuple[float, list[str]]] = []
    for s in result.by_time():
        cells = [f"{s.start:.2f}", f"{s.end:.2f}", s.title, f"{s.score:.2f}"]
        if truth is not None:
            near = ((overlap(s, t), k) for k, t in enumerate(truth) if t.label == s.label)
            best, k = max(near, default=(0.0, -1))
            if best > 0:
                matched.add(k)
                cells += [f"{truth[k].start:.2f} - {truth[k].end:.2f}", f"{best:.2f}"]
            else:
                cells += ["-", "0.00"]
        rows.append((s.start, cells))
    for k, t in enumerate(truth or []):
        if k not in matched:
            rows.append((t.start, ["-", "-", t.label, "-", f"{t.start:.2f} - {t.end:.2f} (missed)", "0.00"]))
    for _, cells in sorted(rows, key=lambda r: r[0]):
        csv_table.add_row(*cells)
    return csv_table


def finish(paths: list[str | Path], failed: list[tuple[str | Path, TALError]], quiet: bool) -> None:
    """Say what failed, and end with the status of the first failure."""
    if not failed:
        return
    if len(paths) > 1 and not quiet:
        errors.print(f"{len(paths) - len(failed)} localized, {len(failed)} failed:")
        for path, e in failed:
            errors.print(f"  {redact(str(path))} ({type(e).__name__})")
    raise typer.Exit(failed[0][1].exit_code)
