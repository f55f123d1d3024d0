"""Part "pass" of gpu_day: a test set of THUMOS14's size through PVLR's head, with proposals and NMS.

Lengths are those of the test videos where shared/data has their annotation; elsewhere drawn, with the same count, sum
and longest video. Features and weights are random.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from gpu_common import Day, finish_work
from gpu_heads import CLASSES, GRAPHS, exact, graphs_of, network, plan_of
from gpu_targets import LONGEST, SNIPPETS, VIDEOS

EVERYTHING: dict[str, Any] = {"min_score": -np.inf, "top_k": 0}
#: Threads that cut proposals while the card works on the next head.
WORKERS = 8


def whole_pass(day: Day) -> None:
    lengths, source = video_lengths()
    if day.rehearse:
        lengths = [max(1, n // 40) for n in lengths[:4]]
    day.keep("set", {"videos": len(lengths), "snippets": sum(lengths), "longest": max(lengths), "lengths": source})
    for precision in ("fp32", "bf16"):
        day.row(f"torch eager {precision}, head alone", lambda p=precision: _torch(day, lengths, p))
    made = day.row("graphs", lambda: _graphs(day), GRAPHS)
    for precision in ("fp32", "fp16", "bf16"):
        for workers in (1, WORKERS):
            name = f"engine {precision}, {workers} thread{'s' * (workers > 1)}"
            if made:
                day.row(name, lambda p=precision, w=workers: _engine(day, lengths, p, w), GRAPHS)
            else:
                day.skip(name, day.skipped.get("graphs", "no graphs"))


def video_lengths() -> tuple[list[int], str]:
    """Snippets of each test video, and where they are from."""
    try:
        from common import SHARED

        from tal_engine.annotations import read_annotations

        path = SHARED / "thumos14" / "actionformer.json"
        videos = [v for v in read_annotations(path) if v.subset.lower() == "test"]
        return [max(1, int(v.duration * 25 / 16)) for v in videos], "annotation"
    except Exception:  # no annotation here, or nothing to read it with
        return drawn_lengths(), "drawn"


def drawn_lengths() -> list[int]:
    """As many videos as the test set has, as long together, the longest as long."""
    drawn = np.random.default_rng(0).lognormal(0, 0.9, VIDEOS - 1)
    rest = np.minimum(np.maximum(drawn / drawn.sum() * (SNIPPETS - LONGEST), 8), LONGEST).astype(int)
    missing = SNIPPETS - LONGEST - int(rest.sum())
    rest += missing // len(rest)
    rest[: missing % len(rest)] += 1
    return [LONGEST, *rest.tolist()]


def _passes(day: Day, work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of passes after one that warms up: every length is new to the runtime once."""
    taken = []
    for _ in range(day.pick(4, 2)):
        began = time.perf_counter()
        work()
        finish_work(day.device)
        taken.append(time.perf_counter() - began)
    return {"first_s": round(taken[0], 4), "seconds": round(min(taken[1:]), 4), "passes": len(taken) - 1}


def _torch(day: Day, lengths: list[int], precision: str) -> dict[str, Any]:
    exact()
    net, _, _, widths = network("pvlr", day.rehearse)
    net = net.to(day.device)
    pool = {s: torch.rand(1, max(lengths), w, device=day.device) for s, w in widths.items()}

    def run() -> None:
        with torch.inference_mode(), torch.autocast(day.device, torch.bfloat16, enabled=precision == "bf16"):
            for n in lengths:
                net(**{s: x[:, :n] for s, x in pool.items()})

    return _passes(day, run)


def _graphs(day: Day) -> dict[str, str]:
    """The head in each precision, as a plan in the folder of the day."""
    from tal_engine.plan.archive import with_members, write_plan

    plan, found = plan_of(day, "pvlr"), {}
    for precision, graph in graphs_of(plan.files["head.onnx"], "head.onnx").items():
        if isinstance(graph, str):
            found[precision] = graph[:300]
            continue
        write_plan(_path(day, precision), with_members(plan.manifest, {"head.onnx": graph}))
        found[precision] = f"{len(graph) / 1e6:.1f} MB"
    return found


def _path(day: Day, precision: str) -> Any:
    return day.path.parents[1] / f"pass_{precision}.plan"


def _engine(day: Day, lengths: list[int], precision: str, workers: int) -> dict[str, Any]:
    """Features on the host to segments after NMS; mAP against random segments is counted apart."""
    from tal_engine import TALEngine
    from tal_engine.metrics import WTAL_TIOUS, evaluate
    from tal_engine.records import Segment
    from tal_engine.vocabulary import Vocabulary

    engine = TALEngine.load(_path(day, precision), day.device, strict=True)
    rng = np.random.default_rng(0)
    widths = engine.plan.manifest.streams
    pool = {s: np.abs(rng.normal(size=(max(lengths), w))).astype(np.float32) for s, w in widths.items()}
    found: dict[str, Any] = {}

    def one(i: int) -> None:
        found[f"v{i}"] = list(engine.localize({s: x[: lengths[i]] for s, x in pool.items()}, **EVERYTHING))

    with ThreadPoolExecutor(workers) as threads:
        taken = _passes(day, lambda: list(threads.map(one, range(len(lengths)))))
    truth = {
        name: [Segment(a, a + 4.0, CLASSES[i % len(CLASSES)], 1.0) for i, a in enumerate(rng.uniform(0, 99, 15))]
        for name in found
    }
    began = time.perf_counter()
    evaluate(truth, found, Vocabulary(CLASSES), tious=WTAL_TIOUS)
    scoring = time.perf_counter() - began
    segments = sum(map(len, found.values()))
    return {**taken, "map_s": round(scoring, 4), "segments": segments, "runs_on": engine.description}
