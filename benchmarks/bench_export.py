"""What export gains and costs: runtimes and precisions of the PVLR head, accuracy at each, a whole test pass.

    python benchmarks/bench_export.py [--videos DIR] [--parts head accuracy cold pass] [--rounds N]

head      PVLR at its published width (49.9 M parameters in training), two threads: ONNX Runtime in fp32 and int8
          against torch eager, all in turn.
accuracy  the plan `demo` on 44 held-out procedural videos in fp32, fp16, bf16 (emulated) and int8, which is
          calibrated on training videos' features.
cold      a fresh process loads the plan `demo` and localizes features.
pass      THUMOS14's test videos by their real lengths: random features and weights, head, proposals, NMS and mAP.

Latency on a card is gpu_day.py's part "heads".
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, store
from export_head import STREAMS, calibrated, published_head, random_streams
from procedural import encoded

from tal_engine import TALEngine
from tal_engine.annotations import read_annotations
from tal_engine.backends import open_backend
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.export.calibration import Calibration
from tal_engine.export.eager import EagerBackend
from tal_engine.export.variant import make_variant, runnable
from tal_engine.features import save_features
from tal_engine.metrics import WTAL_TIOUS, evaluate
from tal_engine.plan.archive import read_plan, with_members

THREADS = 2
SIZES = ((1, 320), (8, 320), (1, 3000), (8, 3000))
EVERYTHING: dict[str, Any] = {"min_score": -np.inf, "top_k": 0}
#: Paper 002, Table 12: seconds for this test set on an RTX 3090, feature extraction left out.
PUBLISHED_S = (7.20, 7.82)
#: Passes over the test set for each precision.
PASSES = 3


def head(rounds: int) -> dict[str, Any]:
    """Medians of runtimes in turn; ratios against torch eager and against fp32."""
    torch.set_num_threads(THREADS)
    net, plan = published_head()
    graphs = {"fp32": plan.files["head.onnx"], "int8": calibrated(plan)}
    work = {"torch eager": EagerBackend(net)}
    work |= {f"onnxruntime {k}": open_backend(g, "head.onnx", "cpu", threads=THREADS) for k, g in graphs.items()}
    rows = {}
    for batch, length in SIZES:
        feeds = random_streams(batch, length)
        count = max(3, rounds * 320 // (batch * length))
        taken, least = in_turn({n: lambda b=b, x=feeds: b.run(x) for n, b in work.items()}, count)
        rows[f"B={batch} T={length}"] = {
            "rounds": count,
            "ms": {n: round(1e3 * t, 2) for n, t in taken.items()},
            "least_ms": {n: round(1e3 * t, 2) for n, t in least.items()},
            **ratios(taken),
            "of_least": ratios(least),
            "load": load(),
        }
        print(rows, file=sys.stderr, flush=True)
    sizes = {k: round(len(g) / 1e6, 1) for k, g in graphs.items()}
    return {"threads": THREADS, "graph_mb": sizes, "rows": rows}


def in_turn(work: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median and least seconds: on a machine that does other work too, the least is nearer to what it can do."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for i in range(rounds + 1):
        for name, run in work.items():
            began = time.perf_counter()
            run()
            if i:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    return {n: statistics.median(t) for n, t in taken.items()}, {n: min(t) for n, t in taken.items()}


def ratios(taken: dict[str, float]) -> dict[str, float]:
    return {
        "fp32_against_eager": round(taken["torch eager"] / taken["onnxruntime fp32"], 2),
        "int8_against_fp32": round(taken["onnxruntime fp32"] / taken["onnxruntime int8"], 2),
    }


def accuracy(videos: Path) -> dict[str, Any]:
    """mAP in percent of the head of the plan `demo` on stored features, by precision."""
    data = encoded(videos)
    plan = read_plan(EMBEDDED_PLAN)
    # The encoders' own figures are in tests: features are given here, so that only the head changes.
    alone = with_members(plan.manifest.model_copy(update={"encoders": []}), {"head.onnx": plan.files["head.onnx"]})
    with tempfile.TemporaryDirectory() as folder:
        chosen = data.subset("train")[::6]
        for v in chosen:
            save_features(Path(folder) / f"{v.name}.npz", data.features([v], STREAMS)[v.name])
        calibration = Calibration(sorted(Path(folder).glob("*.npz")))
        made = {p: make_variant(alone, p, calibration if p == "int8" else None) for p in ("fp16", "bf16", "int8")}
    test = data.subset("test")
    features, truth = data.features(test, STREAMS), {v.name: list(v.instances) for v in test}
    rows = {}
    for name, found in {"fp32": alone, **made}.items():
        engine = TALEngine(runnable(found), "cpu", threads=THREADS)
        results = {v: list(engine.localize(features[v].streams, **EVERYTHING)) for v in truth}
        score = evaluate(truth, results, plan.vocabulary, tious=WTAL_TIOUS)
        gate = found.manifest.parity["head"]
        rows[name] = {"map_50": round(100 * score.at(0.5), 2), "map_10_70": round(100 * score.average, 2), "gate": gate}
    return {"videos": len(test), "calibrated_on": len(chosen), "rows": rows}


_COLD = """
import time; began = time.perf_counter()
import numpy as np
from tal_engine import TALEngine
engine = TALEngine.load("demo", "cpu", threads=2)
loaded = time.perf_counter()
engine.localize({n: np.ones((100, d), np.float32) for n, d in engine.plan.manifest.streams.items()})
print(loaded - began, time.perf_counter() - began)
"""


def cold(rounds: int) -> dict[str, Any]:
    """Seconds from the first import to a loaded plan, and to the first result; each in a fresh process."""
    runs = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", _COLD], capture_output=True, text=True, check=True)
        runs.append([float(x) for x in done.stdout.split()])
    loaded, first = np.median(runs, axis=0).tolist()
    least = np.min(runs, axis=0).tolist()
    return {"rounds": rounds, "loaded_s": round(loaded, 3), "first_result_s": round(first, 3),
            "least_s": [round(x, 3) for x in least], "load": load()}  # fmt: skip


def whole_pass() -> dict[str, Any]:
    """Seconds for all test videos, median of passes of each precision in turn, and for scoring them."""
    _, plan = published_head()
    int8 = with_members(plan.manifest, {"head.onnx": calibrated(plan)})
    engines = {n: TALEngine(p, "cpu", threads=THREADS) for n, p in {"fp32": plan, "int8": int8}.items()}
    videos = {
        v.name: v for v in read_annotations(SHARED / "thumos14" / "actionformer.json") if v.subset.lower() == "test"
    }
    lengths = {name: max(1, int(v.duration * 25 / 16)) for name, v in videos.items()}
    pool = {n: x[0] for n, x in random_streams(1, max(lengths.values())).items()}
    truth = {name: list(v.instances) for name, v in videos.items()}
    found: dict[str, dict[str, Any]] = {n: {} for n in engines}
    # A whole pass of one plan, then of the other: video by video in turns, each would find the cache full of the
    # other's weights.
    passes: dict[str, list[float]] = {n: [] for n in engines}
    for _ in range(PASSES):
        for kind, engine in engines.items():
            began = time.perf_counter()
            for name, length in lengths.items():
                found[kind][name] = list(engine.localize({n: x[:length] for n, x in pool.items()}, **EVERYTHING))
            passes[kind].append(time.perf_counter() - began)
    taken = {kind: statistics.median(each) for kind, each in passes.items()}
    scoring = {}
    for kind, results in found.items():
        began = time.perf_counter()
        evaluate(truth, results, plan.vocabulary, tious=WTAL_TIOUS)
        scoring[kind] = time.perf_counter() - began
    segments = {kind: sum(map(len, r.values())) for kind, r in found.items()}
    return {
        "videos": len(videos), "snippets": sum(lengths.values()), "longest": max(lengths.values()), "threads": THREADS,
        "seconds": {k: round(taken[k] + scoring[k], 2) for k in engines}, "passes": PASSES,
        "of_it_map": {k: round(s, 2) for k, s in scoring.items()},
        "segments": segments, "published_rtx3090_s": PUBLISHED_S, "load": load(),
    }  # fmt: skip


def load() -> list[float]:
    """What else the machine did: its load averages."""
    return [round(x, 1) for x in os.getloadavg()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=Path("out/first_light/videos"))
    parser.add_argument("--rounds", type=int, default=20)
    run = {
        "head": lambda a: head(a.rounds), "accuracy": lambda a: accuracy(a.videos), "cold": lambda a: cold(a.rounds),
        "pass": lambda _: whole_pass(),
    }  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=run, default=list(run))
    args = parser.parse_args()
    document = {}
    for part in args.parts:
        document = store("bench_export", run[part](args), part)
        print(part, document["figures"][part], file=sys.stderr, flush=True)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
