"""Pictures of the report of `tal fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .html import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALETTE = (
    "#2563eb", "#e11d48", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#9333ea", "#b45309",
)  # fmt: skip
_TRUTH, _FAINT = "#9ca3af", "#6b7280"


def confusion(found: Mapping[str, Any]) -> Figure:
    """Draw counts, coloured by their share of a row."""
    names, counts = found["labels"], found["counts"]
    size = 1.2 + 0.52 * len(names)
    figure = new_figure(size + 1.6, size)
    axes = figure.subplots()
    share = [[n / max(sum(row), 1) for n in row] for row in counts]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            if n:
                axes.text(j, i, str(n), ha="center", va="center", fontsize=9,
                          color="white" if share[i][j] > 0.55 else "#111827")  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlabel("found", color=_FAINT)
    axes.set_ylabel("labelled", color=_FAINT)
    _bare(axes)
    axes.tick_params(length=0)
    return figure


def timeline(t: Mapping[str, Any], classes: Sequence[str]) -> Figure:
    """Draw one held-out video: labels and what was found, a row for each class that has either."""
    present = {*t["labels"], *(s[2] for s in t["found"])}
    rows = [c for c in classes if c in present] or list(classes[:1])
    figure = new_figure(9, 0.75 + 0.5 * len(rows))
    axes = figure.subplots()
    for i, c in enumerate(rows):
        colour = _PALETTE[list(classes).index(c) % len(_PALETTE)]
        true = [(s, e - s) for s, e, label in t["segments"] if label == c]
        axes.broken_barh(true, (i + 0.52, 0.32), facecolor=_TRUTH)
        points = [s for s, label in t["points"] if label == c]
        axes.plot(points, [i + 0.68] * len(points), "v", color=_FAINT, markersize=7)
        for s, e, label, score in t["found"]:
            if label == c:
                axes.broken_barh([(s, e - s)], (i + 0.14, 0.32), facecolor=colour, alpha=0.25 + 0.75 * min(score, 1))
        if c in t["labels"] and not true and not points:
            axes.text(t["seconds"], i + 0.68, "in this video", ha="right", va="center", fontsize=8, color=_FAINT)
    axes.set_xlim(0, t["seconds"])
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows, fontsize=9)
    axes.set_title(f"{t['name']}, {t['seconds']:.0f} s", fontsize=10, loc="left")
    axes.tick_params(axis="y", length=0)
    _bare(axes)
    return figure


def learning_curve(curve: Mapping[str, Any]) -> Figure:
    """Draw the AP of each class by the share of the training videos."""
    figure = new_figure(6.5, 3.4)
    axes = figure.subplots()
    for i, (name, values) in enumerate(curve["class_ap"].items()):
        if None not in values:
            shown = [100 * v for v in values]
            axes.plot([50, 100], shown, "o-", color=_PALETTE[i % len(_PALETTE)], linewidth=1.4, label=name)
    if curve["mean"]:
        axes.plot([50, 100], [100 * v for v in curve["mean"]], "o-", color="#111827", linewidth=2.4, label="mean")
    axes.set_xticks([50, 100], ["half", "all"])
    axes.set_xlim(40, 110)
    axes.set_ylim(0, 102)
    axes.set_xlabel("training videos", color=_FAINT)
    axes.set_ylabel("AP, %", color=_FAINT)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    _bare(axes)
    return figure


def reliability(bins: Sequence[Sequence[float]]) -> Figure:
    """Draw how often detections of a score are right."""
    figure = new_figure(4.4, 3.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_TRUTH, linewidth=1, linestyle="--")
    most = max((n for _, _, n in bins), default=1)
    for p, right, n in bins:
        axes.plot([p], [right], "o", color=_PALETTE[0], markersize=4 + 9 * (n / most) ** 0.5, alpha=0.8)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("score", color=_FAINT)
    axes.set_ylabel("share that is right", color=_FAINT)
    _bare(axes)
    return figure


def _bare(axes: Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_color("#e5e7eb")
