"""Measures plans on devices: stages, throughput, cold start, memory, accuracy. Prints nothing.

What is compared is measured in one run and in turns, so that a machine that warms up or is busy hits all alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._util.hardware import Machine, this_machine
from .._util.names import found_names
from ..engine import TALEngine
from ..errors import BackendError, FeatureError, TALError, require
from ..inference.given import Source
from ..metrics import evaluate, protocol
from ..plan.graph_contents import contents
from ..pose.plans import PEOPLE_PLAN
from ..records import Segment
from ..results import Localization
from .cold_start import cold_start, random_features

#: Form of `Bench.document`; fields may be added under the same name.
SCHEMA = "tal.bench/1"

#: What runs before anything counts.
WARM_UP_S = 0.2

#: In the order of the path.
STAGES = ("decode", "snippets", "flow", "encode", "head", "proposals", "nms", "total")

#: What is included, for those who compare with figures from elsewhere.
TRANSFERS = "included: every source starts, and its segments end, in the host's memory"


@dataclass(frozen=True)
class Contender:
    """A plan on a device."""

    plan: Path
    device: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{'the default plan' if self.plan == PEOPLE_PLAN else self.plan.stem} on {self.device}"


@dataclass(frozen=True)
class Workload:
    """What is run.

    sources: videos or feature files. synthetic: instead of them, random features of so many snippets. batch: sources
    whose heads run together (and so many synthetic ones). runs: passes over the sources. threads: CPU threads; 0 lets
    the runtime choose. truth: true instances by video, for the accuracy; scored under `rules`. timeout: seconds for
    each call of a graph; 0 sets no limit. key: public key that must have signed the plans.
    """

    sources: Sequence[Path] = ()
    synthetic: int = 0
    batch: int = 1
    runs: int = 10
    threads: int = 0
    truth: Mapping[str, Sequence[Segment]] | None = None
    rules: str = "activitynet"
    timeout: float = 0.0
    key: str | None = None

    def __post_init__(self) -> None:
        require(self.runs >= 1, "runs", self.runs, "at least 1")
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(self.synthetic >= 0, "synthetic", self.synthetic, "at least 1 snippet")
        given = ("files and synthetic features" if self.synthetic else "files") if self.sources else "missing"
        once = bool(self.sources) != bool(self.synthetic)
        require(once, "input", given, "either videos and feature files, or synthetic features")
        require(self.truth is None or bool(self.sources), "truth", "given", "left out of synthetic runs")


@dataclass
class Measured:
    """A contender's figures; times in milliseconds, each statistic over all sources of all runs."""

    name: str
    plan: str
    plan_sha256: str
    device: str
    #: Where each graph runs, by member.
    runs_on: dict[str, str]
    #: As the plan states it, and by the weights of each graph.
    precision: str
    weights: dict[str, str]
    cuda_graphs: bool
    batch: int
    #: Snippets of the shortest and of the longest source.
    snippets: tuple[int, int] = (0, 0)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    #: A pass over all sources, seconds.
    passes: dict[str, float] = field(default_factory=dict)
    throughput: dict[str, float] = field(default_factory=dict)
    cold_start: dict[str, dict[str, Any]] = field(default_factory=dict)
    accuracy: dict[str, Any] | None = None


@dataclass(frozen=True)
class Bench:
    """All that was measured, and where."""

    machine: Machine
    workload: dict[str, Any]
    rows: list[Measured]

    @property
    def document(self) -> dict[str, Any]:
        """For machines: every field by its name, with the schema's."""
        notes = {"transfers": TRANSFERS, "interleaved": len(self.rows) > 1, "warm_up_s": WARM_UP_S}
        return {"schema": SCHEMA, "date": time.strftime("%Y-%m-%d"), **notes, **asdict(self)}


def bench(contenders: Sequence[Contender], work: Workload, *, cold: bool = True) -> Bench:
    """Measure contenders on the same work, in turns.

    Args:
        contenders: each loads its plan; one that names a device does not fall back to another.
        work: what is run.
        cold: start fresh processes too.

    Raises:
        PlanError, BackendError: a contender does not run here.
        TALError: a source cannot be used.
    """
    options: dict[str, Any] = {"threads": work.threads, "timeout": work.timeout, "key": work.key}
    engines = [TALEngine.load(c.plan, c.device, strict=c.device != "auto", **options) for c in contenders]
    rows = [_described(c, e, work) for c, e in zip(contenders, engines, strict=True)]
    sources = [_sources(e, work) for e in engines]
    for engine, given in zip(engines, sources, strict=True):
        _warm_up(engine, given, work.batch)
    times: list[list[float]] = [[] for _ in engines]
    results: list[list[Localization]] = [[] for _ in engines]
    for turn in range(work.runs):
        for k in range(len(engines)):
            i = (turn + k) % len(engines)  # not always the same one first
            began = time.perf_counter()
            localizations = _pass(engines[i], sources[i], work.batch)
            times[i].append(time.perf_counter() - began)
            results[i] += localizations
    for row, engine, contender, taken, localizations in zip(rows, engines, contenders, times, results, strict=True):
        _fill(row, taken, localizations)
        if work.truth is not None:
            row.accuracy = _accuracy(engine, work)
        if cold:
            row.cold_start = _cold(contender, work)
    facts = {"sources": [str(s) for s in work.sources], **{k: getattr(work, k) for k in ("synthetic", "batch", "runs")}}
    return Bench(this_machine(), facts | {"threads": work.threads}, rows)


def statistics(values: Sequence[float], scale: float = 1.0) -> dict[str, float]:
    """Summarise values times `scale`: n, mean, min, max, and percentiles p50, p90, p95, p99 (interpolated linearly)."""
    scaled = np.asarray(values, np.float64) * scale
    percentiles = {f"p{q}": float(np.percentile(scaled, q)) for q in (50, 90, 95, 99)}
    ends = {"mean": float(scaled.mean()), "min": float(scaled.min()), "max": float(scaled.max())}
    return {"n": float(len(scaled)), **percentiles, **ends}


def _described(contender: Contender, engine: TALEngine, work: Workload) -> Measured:
    manifest = engine.plan.manifest
    weights = {g.member: contents(engine.plan.files[g.member]).precision for g in manifest.graphs}
    if any(s.suffix != ".npz" for s in work.sources):
        engine.load_encoders()
    graphs = any("CUDA graphs" in where for where in engine.runs_on.values())
    return Measured(
        contender.name, str(contender.plan), engine.plan.sha256, contender.device, engine.runs_on,
        manifest.precision, weights, graphs, work.batch,
    )  # fmt: skip


def _sources(engine: TALEngine, work: Workload) -> list[Source]:
    if work.sources:
        return list(work.sources)
    return [random_features(engine.plan.manifest.streams, work.synthetic, seed) for seed in range(work.batch)]


def _warm_up(engine: TALEngine, sources: Sequence[Source], batch: int) -> None:
    began = time.perf_counter()
    while time.perf_counter() - began < WARM_UP_S:
        _pass(engine, sources, batch)


def _pass(engine: TALEngine, sources: Sequence[Source], batch: int, **wanted: Any) -> list[Localization]:
    """Localize every source once; the first that fails stops the measurement."""
    localizations = []
    for _, result in engine.localize_batch(sources, batch=batch, **wanted, on_error="return"):
        if isinstance(result, TALError):
            raise result
        localizations.append(result)
    return localizations


def _fill(row: Measured, taken: Sequence[float], localizations: Sequence[Localization]) -> None:
    infos = [r.info for r in localizations]
    lengths = [i.snippets for i in infos]
    row.snippets = (min(lengths), max(lengths))
    for stage in STAGES:
        values = [i.seconds[stage] for i in infos if stage in i.seconds]
        if values:
            row.stages[stage] = statistics(values, 1e3)
    row.passes = statistics(taken)
    # One pass has the sources of all of them, so rates are those of the median pass.
    share = 1 / len(taken) / row.passes["p50"]
    row.throughput = {
        "times_real_time": share * sum(i.duration for i in infos),
        "snippets_per_s": share * sum(lengths),
        "videos_per_s": share * len(infos),
    }


def _accuracy(engine: TALEngine, work: Workload) -> dict[str, Any]:
    """mAP on the sources, every segment counted; videos are named as their files."""
    annotated = work.truth or {}
    names = [name or "" for name in found_names([str(s) for s in work.sources], annotated, "the input")]
    if "" in names:
        raise FeatureError(f"{work.sources[names.index('')]}: the truth has no such video")
    truth = {n: list(annotated[n]) for n in names}
    results = _pass(engine, list(work.sources), work.batch, min_score=-np.inf, top_k=0)
    score = evaluate(truth, {n: list(r) for n, r in zip(names, results, strict=True)}, protocol=protocol(work.rules))
    by_tiou = {f"{t:g}": float(m) for t, m in zip(score.protocol.tious, score.mean_ap, strict=True)}
    return {"protocol": work.rules, "videos": len(truth), "mean_ap": score.average, "by_tiou": by_tiou}


def _cold(contender: Contender, work: Workload) -> dict[str, dict[str, Any]]:
    source = str(work.sources[0].resolve()) if work.sources else None
    asked = {
        "plan": str(contender.plan.resolve()), "device": contender.device, "source": source,
        "snippets": work.synthetic, "threads": work.threads, "timeout": work.timeout, "key": work.key,
    }  # fmt: skip
    try:
        return cold_start(asked, cached="tensorrt" in contender.device)
    except RuntimeError as e:
        raise BackendError(f"{contender.name}: {e}") from e
