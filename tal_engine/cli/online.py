"""``tal eval --online``: what finals of streams are worth, and how long one waited for them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ..annotations import read_detections
from ..annotations.class_numbers import ClassNumbers
from ..annotations.finals import read_finals
from ..annotations.tables import Table
from ..metrics.online import OnlineEvaluation


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


def show(out: Console, found: OnlineEvaluation) -> None:
    """Print the result."""
    rows = zip(found.quality.protocol.tious, found.aedt, found.hits, strict=True)
    delays = ", ".join(f"{t:g}: {v:.2f} s ({n} hits)" for t, v, n in rows if n)
    out.print(f"AEDT, from the true end to the decision: {delays or 'nothing was hit'}")
    late = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.lateness.items())
    out.print(f"lateness, from the told end to the decision: {late or 'no finals'}")
