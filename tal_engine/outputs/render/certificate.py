"""The certificate of a stream as one HTML page with its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._util.extras import need
from ..._util.files import write_text
from .html import html, new_figure, svg, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is drawn of a run: name of the curve, its title.
_CURVES = {
    "rss_mib": "memory of the process, MiB",
    "state_kib": "what the stream keeps, KiB",
    "lateness_s": "longest lateness, s",
}


def write(path: str | Path, plan: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Write the page.

    Args:
        path: the page.
        plan: what the plan is called.
        runs: what `Certificate.to_dict` gives.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need("matplotlib")
    parts = [f"<h1>Stream of {escape(plan)}</h1>"]
    for run in runs:
        broken = run["broken"]
        verdict = "; ".join(map(escape, broken)) if broken else "every promise held"
        parts += [f"<h2>{run['hours']:.3g} hours of {run['what']}: {verdict}</h2>", _figures(run), svg(_curves(run))]
    write_text(path, html("Certificate", "\n".join(parts)))


def _figures(run: Mapping[str, Any]) -> str:
    slope, late = run["slope"], run["lateness_s"]
    rows = [
        ["finals", run["finals"]],
        ["declared latency", f"{run['declared_latency_s']:.2f} s"],
        *([f"lateness, {name}", f"{seconds:.2f} s"] for name, seconds in late.items()),
        ["finals later than declared", run["late_events"]],
        *_starts(run),
        ["slope of memory", f"{slope['mib_per_hour']:+.4f} +- {slope['standard_error']:.4f} MiB an hour"],
        ["slope that so short a run cannot tell from 0", f"{slope['noise']:.4f} MiB an hour"],
        ["not analysed", f"{run['unanalysed_s']:.0f} s"],
        ["frames left out, as their time did not go on", run["frames_refused"]],
        ["speed", f"{run['times_real_time']:.0f} x real time"],
    ]
    return table(["", ""], rows)


def _starts(run: Mapping[str, Any]) -> list[list[Any]]:
    """Return the rows of started events, where the plan promises anything of them."""
    if run.get("declared_start_latency_s") is None:
        return []
    return [
        ["starts", run["starts"]],
        ["declared latency of starts", f"{run['declared_start_latency_s']:.2f} s"],
        *([f"lateness of starts, {name}", f"{seconds:.2f} s"] for name, seconds in run["start_lateness_s"].items()),
        ["starts later than declared", run["late_starts"]],
    ]


def _curves(run: Mapping[str, Any]) -> Figure:
    figure = new_figure(9, 6)
    curve = run["curve"]
    for axes, (name, title) in zip(figure.subplots(len(_CURVES), 1, sharex=True), _CURVES.items(), strict=True):
        late = name == "lateness_s"  # 0 where nothing became final: there is nothing to draw
        axes.plot(curve["hours"], [v or nan if late else v for v in curve[name]], color="#2563eb", linewidth=1.2)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_ylim(0, 1.15 * max(*curve[name], run["declared_latency_s"] if late else 0.0))
        if late:
            axes.axhline(run["declared_latency_s"], color="#e11d48", linewidth=1, label="declared")
            axes.legend(frameon=False, fontsize=8)
            axes.set_xlabel("hours of the stream")
    return figure
