"""``tal eval --online`` of videos or features: what streams of them are worth, by window and latency."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import Progress
from rich.table import Table as RichTable

from .._util.names import Finder
from ..annotations import Annotations, align_names
from ..annotations.tables import Table
from ..diagnostics.latency_curve import CurvePoint, latency_curve
from ..engine import TALEngine
from ..errors import UsageError
from ..features import load_features
from ..metrics import Evaluation, Protocol, evaluate_tables
from ..metrics.online import OnlineEvaluation, evaluate_online
from ..records import Features
from . import online
from .console import errors, stdout, warn
from .inputs import expand_sources

if TYPE_CHECKING:
    from ..diagnostics.latency_curve import Spread

#: Look-aheads that are measured where none are named, beside the window's own length.
LATENCIES = (2.0, 4.0, 8.0, 16.0, math.inf)
ALL = float("-inf")


def parse_seconds(text: str | None, what: str) -> tuple[float, ...] | None:
    """Parse seconds such as ``30,60,inf``; None stays.

    Raises:
        UsageError: not numbers of 0 or more.
    """
    if text is None:
        return None
    try:
        values = tuple(dict.fromkeys(float(v) for v in text.split(",")))
    except ValueError:
        values = ()
    if not values or not all(v >= 0 for v in values):
        raise UsageError(f"{what} is {text!r}, must be seconds as 30,60,inf")
    return values


@dataclass(frozen=True)
class Asked:
    """What a curve is of: windows and latencies in seconds, `inf` covers the video; None takes usual ones."""

    plan: Path | None
    device: str
    windows: tuple[float, ...] | None
    latencies: tuple[float, ...] | None
    rules: Protocol
    threads: int
    timeout: float = 0.0
    key: str | None = None
    beside: Path | None = None
    ray: str | None = None


def evaluate_curve(found: Annotations, source: Path, subset: str | None, asked: Asked, as_json: bool) -> None:
    """Stream all videos of a subset and print what each window and each latency gives."""
    subset, paths = _chosen(found, source, subset)
    truth = found.table(subset)
    ambiguous = {v.name: v.ambiguous for v in found.subset(subset).values() if v.ambiguous}
    engine = TALEngine.load(asked.plan, asked.device, timeout=asked.timeout, key=asked.key)
    if engine.plan.manifest.online is not None:
        if asked.ray is not None:
            raise UsageError(f"--ray {asked.ray}: spreads windows over a cluster, and {asked.plan} sees no windows")
        _measure_online(engine, truth, subset, paths, asked, as_json)
        return
    if asked.beside is not None:
        raise UsageError(f"--beside {asked.beside}: is shown beside a plan whose head is online, {asked.plan} is none")
    with _bar() as say:
        features = {name: _features(engine, path, say) for name, path in paths.items()}
        whole = {v: list(engine.localize(f, min_score=ALL, top_k=0)) for v, f in features.items()}
        points = latency_curve(
            engine, features, asked.windows or (engine.plan.manifest.stream.window, math.inf),
            asked.latencies or LATENCIES, min_score=ALL, top_k=0, progress=lambda n, of: say("streams", n, of),
            spread=_spread(asked),
        )  # fmt: skip
    offline = evaluate_tables(
        truth, Table.of_segments(whole, "segments"), asked.rules, ambiguous=ambiguous, threads=asked.threads
    )
    for warning in offline.warnings:
        warn(warning)
    scored = []
    for p in points:
        finals, decided = p.table(tuple(features))
        e = evaluate_online(truth, finals, decided, asked.rules, ambiguous=ambiguous, threads=asked.threads)
        scored.append((p, e))
    if as_json:
        typer.echo(json.dumps(_document(offline, subset, scored), allow_nan=False))
    else:
        _print(offline, subset, scored)


def _spread(asked: Asked) -> Spread | None:
    """Stream on a Ray cluster where one was asked for."""
    if asked.ray is None:
        return None
    from ..distributed.cluster import RayOptions
    from ..distributed.sweeping import spread_on

    return spread_on(RayOptions(address=asked.ray, gpus=RayOptions().gpus_for(asked.device)), asked.device)


def _measure_online(
    engine: TALEngine, truth: Table, subset: str, paths: Mapping[str, Path], asked: Asked, as_json: bool
) -> None:
    """Stream all videos through a plan whose head is online, and through another one beside it."""
    from .live_measures import measure, report

    if asked.windows is not None or asked.latencies is not None:
        raise UsageError(
            f"--windows and --latencies: plan {asked.plan} sees no windows, and waits as it was trained to"
        )
    with _bar() as say:
        features = {name: _features(engine, path, say) for name, path in paths.items()}
        rows = [measure("the plan", engine, features, truth, asked.rules, None)]
        if asked.beside is not None:
            other = TALEngine.load(asked.beside, asked.device, timeout=asked.timeout)
            ahead = engine.plan.manifest.stream.look_ahead
            rows.append(measure("beside, as it waits", other, features, truth, asked.rules, None))
            rows.append(measure("beside, at the plan's look-ahead", other, features, truth, asked.rules, ahead))
    report(rows, asked.rules, subset, as_json)


def _chosen(found: Annotations, source: Path, subset: str | None) -> tuple[str, dict[str, Path]]:
    """Choose the subset and the file of each of its videos; other files are left out with a note."""
    paths = expand_sources([source], features=True)
    find, owner = Finder(found.videos), dict[str, Path]()
    for path in paths:
        if (name := find(str(path))) is not None and owner.setdefault(name, path) != path:
            raise UsageError(f"{source}: two files are called {name!r}, {owner[name]} and {path}: a video has one")
    listed = Table.of((), source=str(source), videos=[str(p) for p in paths]).shortened()
    known, note = align_names(listed, tuple(found.videos))
    subset = subset or found.only_subset(known.videos)
    names = found.subset(subset)
    mine = {n: p for n, p in zip(known.videos, paths, strict=True) if n in names}
    if not mine:
        raise UsageError(f"{source}: none of its {len(paths)} files is a video of subset {subset}")
    if note:
        warn(note)
    if len(mine) < len(paths):
        warn(f"{len(paths) - len(mine)} of {len(paths)} files are no videos of subset {subset} and are left out")
    if len(mine) < len(names):
        warn(f"{len(names) - len(mine)} videos of subset {subset} have no file: all of their instances count as missed")
    return subset, mine


def _features(engine: TALEngine, path: Path, say: Callable[[str, float, float], None]) -> Features:
    if path.suffix == ".npz":
        return load_features(path)
    return engine.features(path, progress=lambda done, total: say(path.name, done, total))


@contextmanager
def _bar() -> Iterator[Callable[[str, float, float], None]]:
    """Show what is being worked on."""
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)


def _document(offline: Evaluation, subset: str, scored: list[tuple[CurvePoint, OnlineEvaluation]]) -> dict[str, object]:
    return {
        "protocol": asdict(offline.protocol),
        "subset": subset,
        "counts": asdict(offline.counts),
        "warnings": list(offline.warnings),
        "offline": _quality(offline),
        "curve": [
            {
                "window_s": _seconds(p.window_s, "covering"),
                "look_ahead_s": _seconds(p.look_ahead_s, "window"),
                "declared_latency_s": p.declared_latency_s,
                "worst_latency_s": p.worst_latency_s,
                "late_events": p.late_events,
                "finals": len(p.finals),
                **_quality(e.quality),
                **online.document(e),
            }
            for p, e in scored
        ],
    }


def _quality(e: Evaluation) -> Mapping[str, Any]:
    return {
        "map": {f"{t:g}": float(m) for t, m in zip(e.protocol.tious, e.mean_ap, strict=True)},
        "average_map": e.average,
    }


def _seconds(value: float, infinite: str) -> float | str:
    return infinite if math.isinf(value) else value


def _print(offline: Evaluation, subset: str, scored: list[tuple[CurvePoint, OnlineEvaluation]]) -> None:
    out, tious = stdout(), offline.protocol.tious
    shown = tious.index(0.5) if 0.5 in tious else 0
    title = f"protocol {offline.protocol.name}, subset {subset}: finals of streams, mAP in %"
    table = RichTable(title=title, title_justify="left")
    late = ("declared s", "longest s", "late")
    for column in ("window s", "latency s", f"mAP@{tious[shown]:g}", "mean mAP", "AEDT s", *late, "finals"):
        table.add_column(column, justify="right")
    for p, e in scored:
        delay = e.aedt[shown]
        table.add_row(
            str(_seconds(p.window_s, "covers")), str(_seconds(p.look_ahead_s, "window")),
            f"{100 * float(e.quality.mean_ap[shown]):.2f}", f"{100 * e.quality.average:.2f}",
            "-" if math.isnan(delay) else f"{delay:.2f}",
            f"{p.declared_latency_s:.2f}", f"{p.worst_latency_s:.2f}", str(p.late_events), str(len(p.finals)),
        )  # fmt: skip
    table.add_section()
    table.add_row(
        "the file", "", f"{100 * float(offline.mean_ap[shown]):.2f}", f"{100 * offline.average:.2f}",
        *[""] * 4, str(offline.counts.detections),
    )  # fmt: skip
    out.print(table)
    out.print(f"AEDT: from the true end of what is hit at tIoU {tious[shown]:g} to the decision")
