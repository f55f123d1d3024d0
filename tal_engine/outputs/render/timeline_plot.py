"""The timeline picture: what was found, what is true, and the activations it came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._util.extras import need
from ..._util.files import whole_file
from ...records import UNLIKE, Boundaries, Pyramid, Scored, Segment, VideoSegments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PALETTE = (
    "#2563eb",
    "#e11d48",
    "#059669",
    "#d97706",
    "#7c3aed",
    "#0891b2",
    "#be185d",
    "#4d7c0f",
    "#9333ea",
    "#b45309",
)
_INK, _FAINT, _GRID, _TRUTH, _ALARM = "#111827", "#6b7280", "#e5e7eb", "#9ca3af", "#b91c1c"


def draw(path: str | Path, result: VideoSegments, truth: Iterable[Segment] | None = None) -> None:
    """Draw the segments of one video over time, by class, with scores and activations.

    Args:
        path: picture file; its ending chooses the form (png, svg, pdf).
        result: what to draw.
        truth: true instances, drawn under the found ones.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    true = sorted(truth) if truth is not None else []
    rows = _rows(result, true)
    colours = {name: _PALETTE[result.vocabulary.id(name) % len(_PALETTE)] for name in rows}
    curves = result.activations if result.activations is not None and len(result.activations) > 1 else None
    heights = [0.62 * max(len(rows), 1), 1.9] if curves else [0.62 * max(len(rows), 1)]
    figure = Figure(figsize=(12, 1.35 + sum(heights)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]

    _bars(axes[0], result, true, rows, colours)
    if curves:
        _curves(axes[1], curves, result, rows, colours)
    axes[-1].set_xlabel("time (s)", color=_INK)
    axes[0].set_xlim(0, max(result.info.duration, 1e-3))
    name = Path(result.info.source).name
    count = f"{len(result)} segment{'' if len(result) == 1 else 's'}"
    _title(axes[0], result, f"{name}   {result.info.duration:.1f} s, {count}")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130, format=Path(path).suffix.lstrip(".") or "png")


def _title(axes: Axes, result: VideoSegments, text: str) -> None:
    """Set the title; say so in it where the video is unlike the training videos."""
    domain = result.info.domain
    if domain is not None:
        text += f", domain {domain:.3f}"
    axes.set_title(text, loc="left", color=_INK, fontweight="bold", pad=22 if result.info.out_of_domain else None)
    if result.info.out_of_domain:
        axes.text(0, 1.02, UNLIKE, transform=axes.transAxes, color=_ALARM, fontsize=9, va="bottom")


def _rows(result: VideoSegments, truth: list[Segment]) -> list[str]:
    """List the classes that appear, strongest first."""
    best: dict[str, float] = {}
    for s in [*result, *(Segment(t.start, t.end, t.label, 0.0) for t in truth)]:
        best[s.label] = max(best.get(s.label, 0.0), s.score)
    return sorted(best, key=lambda name: -best[name])


def _style(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_TRUTH)
    axes.tick_params(length=0, colors=_FAINT)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _bars(axes: Axes, result: VideoSegments, truth: list[Segment], rows: list[str], colours: dict[str, str]) -> None:
    _style(axes)
    top = max((s.score for s in result), default=1.0)
    for y, name in enumerate(rows):
        # Weak segments first, so that strong ones lie on top.
        for s in sorted((s for s in result if s.label == name), key=lambda s: s.score):
            strength = 0.25 + 0.75 * max(s.score, 0.0) / max(top, 1e-9)
            box: dict[str, Any] = {"facecolor": colours[name], "alpha": strength, "edgecolor": "white"}
            axes.broken_barh([(s.start, s.end - s.start)], (y - 0.34, 0.42), linewidth=0.6, **box)
            if s.end - s.start > 0.028 * result.info.duration and not _hidden(s, result):
                axes.text((s.start + s.end) / 2, y - 0.13, f"{s.score:.2f}", ha="center", va="center", fontsize=7.5,
                          color="white" if strength > 0.5 else _INK)  # fmt: skip
        spans = [(s.start, s.end - s.start) for s in truth if s.label == name]
        axes.broken_barh(spans, (y + 0.16, 0.16), facecolor=_TRUTH, edgecolor="none")
    axes.set_yticks(range(len(rows)), rows, color=_INK)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    if not rows:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no action found", transform=axes.transAxes, ha="center", va="center", color=_FAINT)
    if truth:
        from matplotlib.patches import Patch

        mark = Patch(facecolor=colours[rows[0]], label="found, darker = higher score")
        marks = [mark, Patch(facecolor=_TRUTH, label="true")]
        axes.legend(handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8)


def _hidden(s: Segment, result: VideoSegments) -> bool:
    """Return whether a stronger segment of the same class covers the position of the score."""
    middle = (s.start + s.end) / 2
    return any(o.label == s.label and o.score > s.score and o.start <= middle < o.end for o in result)


def _curves(axes: Axes, a: Scored, result: VideoSegments, rows: list[str], colours: dict[str, str]) -> None:
    _style(axes)
    t = a.timeline.centers(len(a))
    if isinstance(a, Boundaries):
        axes.plot(t, a.start, color=_INK, linewidth=1.3, label="start")
        axes.plot(t, a.end, color=_INK, linewidth=1.3, linestyle=":", label="end")
    elif isinstance(a, Pyramid):
        finest = t < a.duration  # its moments come first, one for each snippet
        for name in rows[: len(_PALETTE)]:
            score = a.score[finest, result.vocabulary.id(name)]
            axes.plot(t[finest], score, color=colours[name], linewidth=1.3, label=name)
    else:
        if a.attention is not None:
            axes.fill_between(t, 0, a.attention, color=_GRID, linewidth=0, label="attention")
        for name in rows[: len(_PALETTE)]:
            column = a.cas[:, result.vocabulary.id(name)]
            spread = float(np.ptp(column))
            if spread > 0:
                axes.plot(t, (column - column.min()) / spread, color=colours[name], linewidth=1.3, label=name)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 1])
    axes.set_ylabel("activation", color=_FAINT, fontsize=9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False, fontsize=8)
