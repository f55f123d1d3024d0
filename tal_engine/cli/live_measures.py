"""``tal eval --online`` of started events and of plans with an online head: what streams told, beside other plans."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import typer
from rich.table import Table as RichTable

from ..annotations.tables import Table
from ..diagnostics.online_run import OnlineRun, frame_scores, stream_all
from ..engine import TALEngine
from ..metrics import Protocol
from ..metrics.frames import evaluate_frames
from ..metrics.online import evaluate_online
from ..metrics.starts import evaluate_starts
from ..records import Features
from . import online
from .console import stdout

ALL = float("-inf")


@dataclass(frozen=True)
class Row:
    """What one plan's streams are worth; values are ready for JSON."""

    name: str
    values: dict[str, Any]


def measure(
    name: str,
    engine: TALEngine,
    features: Mapping[str, Features],
    truth: Table,
    rules: Protocol,
    look_ahead: float | None,
) -> Row:
    """Stream all videos twice: with everything that a plan finds, for mAP, and as it is used, for starts.

    Args:
        name: of the row.
        engine: of the plan.
        features: of the videos.
        truth: true instances.
        rules: of mAP.
        look_ahead: seconds, for a head that sees windows; None takes the plan's.
    """
    stream = engine.plan.manifest.stream
    how = None if look_ahead is None else replace(stream, look_ahead=look_ahead)
    every = stream_all(engine, features, how, min_score=ALL, top_k=0)
    used = stream_all(engine, features, how)
    told = used.starts()
    starts = evaluate_starts(truth, told.told, used.seconds, told.withdrawn)
    point = evaluate_starts(truth, every.starts().told, every.seconds)
    finals, moments = every.finals()
    quality = evaluate_online(truth, finals, moments, rules)
    values: dict[str, Any] = {
        "declared_latency_s": every.declared_latency_s,
        "declared_start_latency_s": every.declared_start_latency_s,
        "late_events": every.late_events + used.late_events,
        "map": {f"{t:g}": float(m) for t, m in zip(rules.tious, quality.quality.mean_ap, strict=True)},
        "average_map": quality.quality.average,
        **online.document(quality),
        "starts": {**online.starts_document(starts), "p_map": online.starts_document(point)["p_map"]},
        "finals": _finals(used, truth, rules),
        "frames": _frames(engine, features, truth),
    }
    return Row(name, values)


def _finals(used: OnlineRun, truth: Table, rules: Protocol) -> dict[str, Any]:
    """Return how many finals are told as the plan is used, and how many are of no instance at the least tIoU."""
    finals, moments = used.finals()
    found = evaluate_online(truth, finals, moments, rules)
    wrong = len(finals) - int(found.hits[0])
    hours = used.seconds / 3600
    return {
        "count": len(finals),
        "false_alarms": wrong,
        "false_alarms_per_hour": online.known(wrong / hours if hours else math.nan),
    }


def _frames(engine: TALEngine, features: Mapping[str, Features], truth: Table) -> dict[str, Any]:
    """Return calibrated AP of snippets by what was seen of the video."""
    moments = {n: f.timeline.centers(len(f)) for n, f in features.items()}
    places = {label: i for i, label in enumerate(engine.plan.manifest.vocabulary)}
    columns = [places.get(label, -1) for label in truth.labels]
    read = {n: frame_scores(engine, f) for n, f in features.items()}
    out = {}
    for seen in dict.fromkeys(k for scores in read.values() for k in scores):
        scores = {n: np.pad(s[seen], ((0, 0), (0, 1)))[:, columns] for n, s in read.items()}
        found = evaluate_frames(truth, scores, moments)
        out[seen] = {"ap": online.known(found.mean_ap), "calibrated_ap": online.known(found.mean_calibrated)}
    return out


def report(rows: list[Row], rules: Protocol, subset: str, as_json: bool) -> None:
    """Print what each row is worth."""
    if as_json:
        document = {"protocol": rules.name, "subset": subset, "streams": {r.name: r.values for r in rows}}
        typer.echo(json.dumps(document, allow_nan=False))
        return
    title = f"protocols {rules.name}, odas, oad-frames; subset {subset}"
    table = RichTable(title=title, title_justify="left")
    table.add_column("")
    for column in (
        "declared s",
        "late",
        "mean mAP",
        "p-mAP@1 s",
        "start p50",
        "p99",
        "false starts/h",
        "withdrawn",
        "cAP",
    ):
        table.add_column(column, justify="right")
    for r in rows:
        v, s = r.values, r.values["starts"]
        best = max((f["calibrated_ap"] or 0 for f in v["frames"].values()), default=None)
        table.add_row(
            r.name, f"{v['declared_latency_s']:.2f}", str(v["late_events"]), _percent(v["average_map"]),
            _percent(s["p_map"]["1"]), _seconds(s["delay_s"], "p50"), _seconds(s["delay_s"], "p99"),
            "-" if s["false_alarms_per_hour"] is None else f"{s['false_alarms_per_hour']:.1f}", str(s["withdrawn"]),
            _percent(best),
        )  # fmt: skip
    stdout().print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _seconds(delay: Mapping[str, float], name: str) -> str:
    return f"{delay[name]:.2f}" if name in delay else "-"
