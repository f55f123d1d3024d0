"""The error report: one HTML file with its pictures inside, readable without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..._util.extras import need
from ..._util.files import write_text
from .html import html, new_figure, svg, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...metrics.error_analysis import Bucket, ErrorAnalysis

#: Of what a detection is.
COLOURS = {
    "right": "#059669",
    "double detection": "#2563eb",
    "wrong label": "#7c3aed",
    "localization": "#d97706",
    "confusion": "#e11d48",
    "background": "#9ca3af",
}


def write(path: str | Path, analysis: ErrorAnalysis) -> None:
    """Write the report.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need("matplotlib")
    write_text(path, page(analysis))


def page(a: ErrorAnalysis) -> str:
    """Render the report as HTML."""
    rules, counts = a.evaluation.protocol, a.evaluation.counts
    cuts = [[f"{c.times_truth}G", c.detections, c.right, *c.wrong.values()] for c in a.cuts]
    kinds = list(a.cuts[0].wrong)
    parts = [
        f"<h1>Errors at tIoU {a.tiou:g}</h1>",
        f"<p>{escape(a.source)}, protocol <b>{escape(rules.name)}</b>: mAP <b>{_percent(a.map)}</b>, normalised "
        f"{_percent(a.normalised_map)} (every class as frequent as the average one). {counts.videos} videos, "
        f"{counts.instances} instances, {counts.detections} detections.</p>",
        "<h2>What the detections are</h2>",
        "<p class=small>The best k times G detections of each class, G its number of instances.</p>",
        svg(_cuts(a)),
        table(["cut", "detections", "right", *kinds], cuts),
        "<h2>What a kind of mistake costs</h2>",
        "<p class=small>mAP points gained if those detections were not there.</p>",
        table(["kind", "mAP gain"], [[k, f"{100 * v:+.2f}"] for k, v in a.gain.items()]),
        "<h2>On which instances</h2>",
        "<p class=small>Share of instances that are never found, and normalised mAP on those alone.</p>",
        svg(_characteristics(a)),
    ]
    for name, buckets in a.characteristics.items():
        rows = [[b.name, b.instances, _percent(b.missed), _percent(b.normalised_map)] for b in buckets]
        parts.append(table([name, "instances", "missed", "normalised mAP"], rows))
        parts.append(_sensitivity(buckets))
    parts += ["<h2>Videos with the most instances</h2>", svg(_timelines(a))]
    body = "\n".join(parts)
    return html("Errors", body)


def _sensitivity(buckets: Sequence[Bucket]) -> str:
    """Report how much the normalised mAP depends on a characteristic (DETAD)."""
    values = [b.normalised_map for b in buckets if b.normalised_map == b.normalised_map]
    spread = 100 * (max(values) - min(values)) if values else 0.0
    return f"<p class=small>Sensitivity: {spread:.1f} points between the best and the worst group.</p>"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f} %"


def _cuts(a: ErrorAnalysis) -> Figure:
    figure = new_figure(9, 3.2)
    axes = figure.subplots()
    names = [f"{c.times_truth}G" for c in a.cuts]
    bottom = [0.0] * len(names)
    for kind, colour in COLOURS.items():
        share = [100 * (c.right if kind == "right" else c.wrong[kind]) / max(c.detections, 1) for c in a.cuts]
        axes.bar(names, share, 0.8, bottom, color=colour, label=kind)
        bottom = [b + s for b, s in zip(bottom, share, strict=True)]
    axes.set_ylabel("share of detections (%)")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _characteristics(a: ErrorAnalysis) -> Figure:
    figure = new_figure(9, 3)
    for axes, (name, buckets) in zip(
        figure.subplots(1, len(a.characteristics), squeeze=False)[0], a.characteristics.items(), strict=True
    ):
        places = range(len(buckets))
        missed = [100 * b.missed for b in buckets]
        value = [0.0 if b.normalised_map != b.normalised_map else 100 * b.normalised_map for b in buckets]
        axes.bar([p - 0.2 for p in places], missed, 0.4, color="#e11d48", label="missed")
        axes.bar([p + 0.2 for p in places], value, 0.4, color="#059669", label="normalised mAP")
        axes.set_xticks(list(places), [f"{b.name}\n({b.instances})" for b in buckets], fontsize=8)
        axes.set_title(name, fontsize=10)
        axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _timelines(a: ErrorAnalysis) -> Figure:
    figure = new_figure(9, 1.1 * max(len(a.timelines), 1) + 0.3)
    rows = figure.subplots(max(len(a.timelines), 1), 1, squeeze=False)[:, 0]
    for axes, (name, duration, truth, detections) in zip(rows, a.timelines, strict=False):
        top = max([abs(float(s)) for s in detections.score], default=1.0) or 1.0
        for s, e, score in zip(detections.start, detections.end, detections.score, strict=True):
            strength = 0.2 + 0.6 * max(float(score), 0.0) / top
            axes.broken_barh([(s, e - s)], (0.55, 0.4), facecolor="#2563eb", alpha=strength)
        spans = [(s, e - s) for s, e in zip(truth.start, truth.end, strict=True)]
        axes.broken_barh(spans, (0.05, 0.4), facecolor="#9ca3af")
        axes.set_xlim(0, duration)
        axes.set_ylim(0, 1)
        axes.set_yticks([0.25, 0.75], ["true", "found"], fontsize=8)
        axes.set_title(name, fontsize=9, loc="left")
    return figure
