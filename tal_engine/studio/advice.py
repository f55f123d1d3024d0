"""Which class more clicks would help most, from what clicks have brought so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Trainings that are looked back on, clicks of a class between two of them at least, and clicks that are promised for.
_BACK, _LEAST, MORE = 6, 3, 20
#: A gain of AP below is noise of few videos.
_GAIN = 0.05


def worth_most(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the class whose AP rose most with each of its labels, and is not found yet; [] where nothing tells.

    Args:
        measured: figures of each training, oldest first: ``by_class`` with label, ap and labels.

    >>> def at(ap, n): return {"by_class": [{"label": "lunge", "ap": ap, "labels": n}]}
    >>> worth_most([at(0.2, 4), at(0.5, 10)])[0]
    "20 more clicks of 'lunge' would help most: with 6 more its AP went from 20 to 50."
    """
    gains = []
    recent = [{c["label"]: c for c in m["by_class"]} for m in measured[-_BACK:]]
    for name, now in (recent[-1] if recent else {}).items():
        before = next((m[name] for m in recent if name in m and m[name]["ap"] is not None), None)
        if before is None or now["ap"] is None:
            continue
        clicks, gain = now["labels"] - before["labels"], now["ap"] - before["ap"]
        if clicks >= _LEAST and gain >= _GAIN:
            gains.append((min(MORE * gain / clicks, 1 - now["ap"]), name, clicks, before["ap"], now["ap"]))
    if not gains or max(gains)[0] < _GAIN:
        return []
    _, name, clicks, first, last = max(gains)
    return [
        f"{MORE} more clicks of {name!r} would help most: with {clicks} more its AP went from {100 * first:.0f} to "
        f"{100 * last:.0f}."
    ]
