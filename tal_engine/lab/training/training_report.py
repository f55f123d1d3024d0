"""Honest reports: what a run scored, and how the number was picked.

"last" needs no choice. "best on test" is what most published code prints; it is selected on the videos that it is
scored on, so it only stands beside the last, and says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as RichTable

from ..._util.files import write_text
from ...metrics import Protocol

OPTIMISTIC = "best on test (selected on test: optimistic)"


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of n values; NaN deviation for one."""

    mean: float
    sd: float
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Summarise values."""
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return Spread(float(np.mean(values)), sd, len(values))

    def percent(self) -> str:
        """Format as in tables: percent, with the deviation if there is one."""
        return f"{100 * self.mean:.2f}" + ("" if math.isnan(self.sd) else f" ±{100 * self.sd:.2f}")

    def document(self) -> dict[str, Any]:
        """Return the fields ready for JSON, which has no NaN."""
        return {"mean": self.mean, "sd": None if math.isnan(self.sd) else self.sd, "n": self.n}


@dataclass(frozen=True)
class Row:
    """One way to pick a score: its name, the steps it is of, and test figures by name ("0.5", "0.1:0.7", ...)."""

    name: str
    steps: tuple[int, ...]
    figures: dict[str, Spread] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the fields ready for JSON."""
        figures = {k: v.document() for k, v in self.figures.items()}
        return {"name": self.name, "steps": list(self.steps), "figures": figures}


def figures_of(score: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of one evaluation: mAP at each overlap, published averages, the mean over all, mIoU.

    For views: mean and mIoU, prefixed with the view's name.
    """
    out = {**score["map"], **score["averages"], **_summary(score)}
    for view, figures in score.get("views", {}).items():
        out |= {f"{view} {k}": v for k, v in _summary(figures).items()}
    return out


def _summary(score: Mapping[str, Any]) -> dict[str, float]:
    return {"mean": score["average"]} | {f"mIoU {k}": v for k, v in score["miou"].items() if v is not None}


def told(score: Mapping[str, Any]) -> str:
    """Format one evaluation as a log line, in percent; views follow what inference shows."""
    parts = {"": score, **{f"{view}: ": figures for view, figures in score.get("views", {}).items()}}
    lines = (
        name + ", ".join(f"{'mAP' if k == 'mean' else k} {100 * v:.1f}" for k, v in _summary(figures).items())
        for name, figures in parts.items()
    )
    return "; ".join(lines)


def rows(history: Sequence[Mapping[str, Any]], *, mean_of_last: int, by_validation: bool, every: int = 1) -> list[Row]:
    """Build the rows of a run: last, mean of the last evaluations, best on validation if asked for, best on test.

    Ties go to the earlier evaluation. Evaluations without test scores are left out, so there may be no rows. The mean
    is over the last one and those at multiples of `every` steps, not over those at the end of a phase
    (`methods.milestones_of`).
    """
    tested = [h for h in history if "test" in h]
    if not tested:
        return []
    final = [h for h in tested if h["step"] % every == 0 or h is tested[-1]][-mean_of_last:]
    out = [_row("last", tested[-1:])]
    if len(final) > 1:
        out.append(_row(f"mean of the last {len(final)} evaluations", final))
    checked = [h for h in tested if "validation" in h]
    if by_validation and checked:
        out.append(_row("best on validation", [max(checked, key=lambda h: h["validation"]["average"])]))
    if len(tested) > 1:
        out.append(_row(OPTIMISTIC, [max(tested, key=lambda h: h["test"]["average"])]))
    return out


def _row(name: str, entries: Sequence[Mapping[str, Any]]) -> Row:
    figures_by_step = [figures_of(h["test"]) for h in entries]
    figures = {k: Spread.of([f[k] for f in figures_by_step if k in f]) for k in figures_by_step[-1]}
    return Row(name, tuple(h["step"] for h in entries), figures)


def over_seeds(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Combine the rows of runs that differ in their seed only: mean and spread of each run's mean."""
    out = []
    for name in dict.fromkeys(row.name for run in runs for row in run):
        same = [row for run in runs for row in run if row.name == name]
        figures = {k: Spread.of([r.figures[k].mean for r in same if k in r.figures]) for k in same[0].figures}
        out.append(Row(name, tuple(dict.fromkeys(s for r in same for s in r.steps)), figures))
    return out


def write_run(
    folder: Path,
    rows: Sequence[Row],
    history: Sequence[Mapping[str, Any]],
    protocol: Protocol,
    about: Mapping[str, Any],
) -> None:
    """Write ``report.json`` of one run: the rows, and the evaluations that they come from."""
    _write(folder, {**about, "protocol": asdict(protocol), "rows": [r.document() for r in rows], "history": history})


def write_seeds(
    folder: Path, runs: Mapping[int, Sequence[Row]], protocol: Protocol, about: Mapping[str, Any]
) -> list[Row]:
    """Write ``report.json`` over the runs by seed, and give its rows."""
    combined = over_seeds(list(runs.values()))
    by_seed = {str(seed): [r.document() for r in run] for seed, run in runs.items()}
    _write(folder, {**about, "seeds": list(runs), "protocol": asdict(protocol),
                    "rows": [r.document() for r in combined], "runs": by_seed})  # fmt: skip
    return combined


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    write_text(folder / "report.json", json.dumps(document, indent=1, allow_nan=False) + "\n")


def table(rows: Sequence[Row], protocol: Protocol, what: str) -> RichTable:
    """Format the rows for printing, one per column so that a terminal is wide enough: overlaps, averages, masks."""
    out = RichTable(title=f"{what}: test mAP in %, protocol {protocol.name}", title_justify="left")
    out.add_column("tIoU")
    for row in rows:
        steps = f"step {row.steps[0]}" if len(row.steps) == 1 else f"steps {min(row.steps)}..{max(row.steps)}"
        out.add_column(f"{row.name}, {steps}", justify="right", overflow="fold")
    for name in rows[0].figures:
        if name in ("mean", "mIoU foreground"):
            out.add_section()
        out.add_row(name, *(row.figures[name].percent() for row in rows))
    return out
