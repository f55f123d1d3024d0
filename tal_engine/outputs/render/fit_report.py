"""The report of `tal fit`: one HTML page with its pictures inside, to show to whoever asked for the plan."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..._util.extras import need
from ..._util.files import write_text
from .fit_pictures import confusion, learning_curve, reliability, timeline
from .html import html, svg, table

Document = Mapping[str, Any]

_STYLE = """<style>
.lead { font-size: 1.1rem; } .figures { display: flex; gap: 2.5rem; margin: 1.2rem 0 1.6rem; flex-wrap: wrap; }
.figures div { min-width: 7rem; } .figures b { display: block; font-size: 1.9rem; line-height: 1.2; }
.figures span { color: #6b7280; font-size: .85rem; } h2 { margin-top: 2.2rem; }
.warn { background: #fef3c7; border-left: 4px solid #d97706; padding: .4rem .9rem; margin: .5rem 0; }
ol li { margin: .35rem 0; } .two { display: flex; gap: 2rem; flex-wrap: wrap; }
table { font-variant-numeric: tabular-nums; } td { border-bottom: 1px solid #f3f4f6; }
</style>"""

_KINDS = {"video": "labels of whole videos", "point": "one clicked moment of each action", "segment": "segments"}


def write(path: str | Path, document: Document) -> None:
    """Write the page.

    Args:
        path: the page.
        document: of a report, as `tal fit` writes it to ``report.json``.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need("matplotlib")
    write_text(path, page(document))


def page(d: Document) -> str:
    """Make the report as HTML text."""
    parts = [
        _STYLE,
        f"<h1>{escape(Path(d['output']).name)}</h1>",
        _lead(d),
        _headline(d),
        *_not_usable(d),
        *(f"<p class=warn>{escape(w)}</p>" for w in d["warnings"]),
        "<h2>What would help most</h2>",
        "<ol>" + "".join(f"<li>{escape(s)}</li>" for s in d["next_steps"]) + "</ol>",
        "<h2>By class</h2>",
        "<p class=small>AP on held-out videos; precision, recall and false alarms at the threshold that the plan has. "
        "The AP of a class ranks the detections of all folds together, the headline is the mean of what each fold has "
        "by itself: it is not the mean of the column, and mostly above it, as scores differ between folds.</p>",
        _classes(d),
        _spread(d),
        "<h2>Which class is taken for which</h2>",
        f"<p class=small>{_confusion_text(d)}</p>",
        svg(confusion(d["confusion"])),
        "<h2>Held-out videos beside their labels</h2>",
        "<p class=small>Grey: labels. Colour: what a head found that was not trained on the video; the stronger the "
        "surer.</p>",
        *(svg(timeline(t, [c["name"] for c in d["classes"]])) for t in d["timelines"]),
        *_curve(d),
        "<h2>Can the scores be believed?</h2>",
        _calibration_text(d),
        svg(reliability(d["scores"]["bins"])),
        *([svg(reliability(d["scores"]["bins_shown"]))] if d["scores"]["bins_shown"] else []),
        "<h2>How it was made</h2>",
        _made(d),
    ]
    return html(f"tal fit: {Path(d['output']).name}", "\n".join(parts))


def _lead(d: Document) -> str:
    names = ", ".join(f"<b>{escape(c['name'])}</b>" for c in d["classes"])
    background = f", {d['background']} of them without any action" if d["background"] else ""
    return (
        f"<p class=lead>Finds {names} in videos. Made of {d['videos']} videos ({_duration(d['hours'])}{background}) "
        f"with {_labels(d)}. Every figure is of videos that the measured head was not trained on: {d['folds']} "
        "folds over videos, each held out once, the last weights of each run.</p>"
    )


def _labels(d: Document) -> str:
    """Name the labels that there were; of a mixed set how many videos have which."""
    if not d["supply"]["mixed"]:
        return _KINDS[d["trained_on"]]
    return f"labels of several kinds ({escape(d['supply']['text'])}); the head reads {_KINDS[d['trained_on']]}"


def _headline(d: Document) -> str:
    main, scores = d["figures"][d["measure"]], d["scores"]
    alarms = sum(c["per_hour"] for c in d["classes"])
    boxes = [
        (_percent(main["mean"]), f"{d['measure']}, % (sd {100 * main['sd']:.1f} over {d['folds']} folds)"),
        (_percent(d["chance"]["chance"]), "the same by chance, %"),
        (_percent(scores["error"]), "calibration error, points"),
        (f"{alarms:.0f}", "false alarms an hour"),
    ]
    if d["segmental_f1"]:
        f1 = " / ".join(f"{100 * v:.0f}" for v in d["segmental_f1"].values())
        boxes.insert(1, (f1, f"segmental F1@{{{','.join(d['segmental_f1'])}}}, %"))
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what in boxes)
    return f"<div class=figures>{inner}</div><p class=small>{escape(d['measure'])}: {escape(d['meaning'])}.</p>"


def _not_usable(d: Document) -> list[str]:
    """Name classes of which nothing was found, where nobody can miss it."""
    names = ", ".join(f"<b>{escape(name)}</b>" for name in d["not_usable"])
    return [f"<p class=warn>Not usable yet: {names}. Nothing of it was found on held-out videos.</p>"] if names else []


def _classes(d: Document) -> str:
    unit = {"video": "videos with it", "point": "clicks", "segment": "segments"}[d["kind"]]
    rows = [
        [
            c["name"], c["videos"], c["labels"], _percent(c["ap"]), f"{c['score']:.2f}", _percent(c["precision"]),
            _percent(c["recall"]), f"{c['per_hour']:.1f}",
        ]
        for c in d["classes"]
    ]  # fmt: skip
    unit = "labels" if d["supply"]["mixed"] else unit
    head = ["class", "videos", unit, "AP, %", "threshold", "precision, %", "recall, %", "false alarms an hour"]
    return table(head, rows)


def _spread(d: Document) -> str:
    rows = []
    for name, f in d["figures"].items():
        folds = [f"{100 * v:.1f}" for v in f["values"]]
        rows.append([name, f"{_percent(f['mean'])} ± {100 * f['sd']:.1f}", ", ".join(folds)])
    return table(["figure, %", "mean ± sd", "of each fold"], rows) + _by_kind(d)


def _by_kind(d: Document) -> str:
    """Show what weaker and stronger labels say of the same detections, where videos have more than one kind."""
    if len(d["by_kind"]) < 2:
        return ""
    rows = [[f["measure"], _percent(f["mean"]), f["videos"]] for f in d["by_kind"].values()]
    text = "<p class=small>The same detections, by each kind of label, in the videos whose classes all have it.</p>"
    return text + table(["figure, %", "mean over folds", "videos with such labels"], rows)


def _confusion_text(d: Document) -> str:
    if d["kind"] == "video":
        return "Rows are labels of held-out videos, columns what was found in them above the thresholds."
    return "Rows are labels, columns what was found in their place above the thresholds; (nothing): a miss or an alarm."


def _curve(d: Document) -> list[str]:
    if not d["curve"]:
        return []
    return [
        "<h2>What more labels would bring</h2>",
        "<p class=small>AP by class with half of the training videos of each fold, and with all of them. A line that "
        "still rises says that more labels of this class help.</p>",
        svg(learning_curve(d["curve"])),
    ]


def _calibration_text(d: Document) -> str:
    scores = d["scores"]
    right = {
        "video": "the video really has the class",
        "point": "it holds a clicked moment of its class",
        "segment": "it overlaps a true segment by half or more",
    }[d["kind"]]
    return (
        f"<p>A score of 0.7 means: of ten such detections about seven are right, that is, {right}. On {d['videos']} "
        f"held-out videos ({scores['outcomes']} detections), by curves fitted on the other folds, scores are off by "
        f"{_percent(scores['error'])} points on average (expected calibration error, 10 bins; {escape(scores['how'])})."
        "</p>" + _luck(scores)
    )


def _luck(scores: Document) -> str:
    """Show errors beside what luck alone would make of them."""
    rows = [
        [what, e["outcomes"], _percent(e["found"]), _percent(e["by_chance"]), f"{e['p']:.2f}", _percent(e["corrected"])]
        for what, e in (("all", scores["whole"]), ("above the thresholds", scores["shown"]))
        if e["found"] is not None
    ]
    head = ["detections", "how many", "error, points", "by luck alone", "p", "corrected"]
    text = (
        "<p class=small>Of few detections the share that is right differs from the score by luck. By luck alone: the "
        "error of scores that are right on average, of as many; p: how often luck makes as much; corrected: root mean "
        "square error with the luck taken off.</p>"
    )
    return table(head, rows) + text


def _made(d: Document) -> str:
    rule, seconds = d["rule"], d["seconds"]
    stages: dict[str, float] = {}
    for name, s in seconds.items():
        stages[_stage(name)] = stages.get(_stage(name), 0.0) + s
    rows = [
        ["labels", f"{d['labels_file']} ({d['rows_left_out']} rows left out)"],
        ["encoders", d["encoders"]],
        ["head", f"{rule['head']}: {rule['why']}" if rule["why"] else rule["head"]],
        ["training", ", ".join(f"{k} {v}" for k, v in rule["train"].items())],
        ["seed, version", f"{d['seed']}, tal_engine {d['version']}"],
        *([name, f"{s:.1f} s"] for name, s in stages.items() if s >= 0.05),
        ["in all", f"{sum(seconds.values()):.1f} s"],
    ]
    notes = "".join(f"<p class=small>{escape(n)}</p>" for n in d["notes"])
    return table(["", ""], rows) + notes


def _stage(name: str) -> str:
    if name.startswith(("fold", "half")) and name != "folds":
        return "held-out folds" if name.startswith("fold") else "learning curve"
    return {"features": "features", "all": "training on all videos"}.get(name, name)


def _duration(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
