"""``tal eval --online``: what finals of streams are worth, and how long one waited for them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ..annotations import read_detections
from ..annotations.class_numbers import ClassNumbers
from ..annotations.finals import read_finals, read_starts
from ..annotations.tables import Table
from ..metrics.online import OnlineEvaluation
from ..metrics.starts import StartEvaluation, evaluate_starts


def read(
    path: Path, online: bool, classes: ClassNumbers | None, score_key: str
) -> tuple[Table, NDArray[np.float64] | None]:
    """Read detections, and when each was decided if they are finals of streams."""
    return read_finals(path) if online else (read_detections(path, classes=classes, score_key=score_key), None)


def document(found: OnlineEvaluation) -> dict[str, object]:
    """Convert the result to JSON values; a delay without hits is None."""
    tious = found.quality.protocol.tious
    aedt = {f"{t:g}": None if math.isnan(v) else float(v) for t, v in zip(tious, found.aedt, strict=True)}
    average = found.average_aedt
    return {
        "aedt_s": aedt,
        "average_aedt_s": None if math.isnan(average) else average,
        "hits": {f"{t:g}": int(n) for t, n in zip(tious, found.hits, strict=True)},
        "lateness_s": found.lateness,
    }


def starts_document(found: StartEvaluation) -> dict[str, Any]:
    """Convert what started events are worth to JSON values; what is not known is None."""
    return {
        "p_map": {f"{o:g}": known(v) for o, v in found.p_map.items()},
        "delay_s": found.delay,
        "hits": found.hits,
        "recall": known(found.recall),
        "false_alarms": found.false_alarms,
        "false_alarms_per_hour": known(found.false_alarms_per_hour),
        "withdrawn": found.withdrawn,
        "flicker": found.flicker,
        "hours": found.hours,
    }


def known(value: float) -> float | None:
    """Return a number, or None for one that is not known."""
    return None if math.isnan(value) else float(value)


def starts(truth: Table, path: Path) -> dict[str, object]:
    """Score the started events of a file of events, if it has any."""
    found = read_starts(path)
    if not len(found.told):
        return {}
    told = found.told.called_as(truth.videos, "started events")
    return {"starts": starts_document(evaluate_starts(truth, told, found.seconds, found.withdrawn))}


def show(out: Console, found: OnlineEvaluation) -> None:
    """Print the result."""
    rows = zip(found.quality.protocol.tious, found.aedt, found.hits, strict=True)
    delays = ", ".join(f"{t:g}: {v:.2f} s ({n} hits)" for t, v, n in rows if n)
    out.print(f"AEDT, from the true end to the decision: {delays or 'nothing was hit'}")
    late = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.lateness.items())
    out.print(f"lateness, from the told end to the decision: {late or 'no finals'}")
