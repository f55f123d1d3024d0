"""First light: how well, how fast and in how much memory a video becomes segments.

    python benchmarks/first_light.py [--work DIR] [--parts embedded accuracy ...]

embedded  the plan `demo` on 44 held-out procedural videos (another seed, other bodies and scenes).
accuracy  PVLR from video-level labels on 140 procedural videos, three training seeds, last
          checkpoint, on 44 held-out ones (other seeds, bodies, scenes); beside it the same head
          without distillation and with a deterministic embedding.
motion    the plan `demo` and the three seeds on real motion capture, from four sets of six cameras
          (motion_cameras.py).
videos    the plan `demo` on real videos: no accuracy, they show other actions.
speed     seconds of video a second, by stage, one process, all cores.
memory    peak resident memory of an hour against ten minutes, each in a fresh process.
demo      `make demo` on a clean clone in an empty folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import motion_cameras
import numpy as np
from common import RESULTS, SHARED, spread, store
from long_video import long_video
from motion_cameras import EVERYTHING, scores
from procedural import encoders_of_all_streams, rendered

from tal_engine import TALEngine
from tal_engine.annotations import read_annotations
from tal_engine.metrics import WTAL_TIOUS, evaluate

SEEDS = (0, 1, 2)
VARIANTS: dict[str, dict[str, Any]] = {
    "pvlr": {},
    "without distillation": {"kd_weight": 0.0},
    "deterministic embedding": {"samples": 0},
}


# -- accuracy ----------------------------------------------------------------------------------


def accuracy(work: Path) -> dict[str, Any]:
    from tal_engine.lab.data.dataset import open_dataset

    data = open_dataset(rendered(work / "videos"), encoders_of_all_streams())
    for role in ("train", "test"):  # once, before the processes ask for them
        data.features(data.subset(role), ("rgb", "flow", "clip"))
    jobs = [(work, variant, seed) for variant in VARIANTS for seed in SEEDS]
    found: dict[str, list[dict[str, Any]]] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for (_, variant, seed), result in zip(jobs, pool.map(_trained, jobs), strict=True):
            found.setdefault(variant, []).append(result)
            print(f"{variant}, seed {seed}: {result}", file=sys.stderr, flush=True)
    keys = ("map_50", "map_10_70")
    rows = {v: {**{k: spread([r[k] for r in runs]) for k in keys}, "seeds": runs} for v, runs in found.items()}
    videos = data.subset("test")
    instances = sum(len(v.instances) for v in videos)
    return {"protocol": "activitynet", "videos": len(videos), "instances": instances, "rows": rows}


def _trained(job: tuple[Path, str, int]) -> dict[str, Any]:
    """One training run on one core, exported and run as users run it."""
    import torch

    from tal_engine.export import bundle
    from tal_engine.lab.data.dataset import open_dataset
    from tal_engine.lab.methods import load_method
    from tal_engine.lab.training import checkpoint
    from tal_engine.lab.training.recipe import demo_config, demo_options
    from tal_engine.lab.training.runs import train_head

    torch.set_num_threads(1)
    work, variant, seed = job
    method, encoders = load_method("pvlr"), encoders_of_all_streams()
    name = f"{variant.replace(' ', '_')}_{seed}"
    config, options = replace(demo_config(method), **VARIANTS[variant]), replace(demo_options(), seed=seed)
    data = open_dataset(rendered(work / "videos"), encoders)
    began = time.process_time()
    train_head(method, config, options, data, work / "checkpoints" / name, text=encoders.text)
    taken = time.process_time() - began
    plan = work / "plans" / f"{name}.plan"
    bundle.export(checkpoint.load(work / "checkpoints" / name), encoders, plan, name=variant)
    engine = TALEngine.load(plan, "cpu", threads=1)
    videos = data.subset("test")
    features = data.features(videos, method.inference_streams(config))
    results = {v.name: list(engine.localize(features[v.name].streams, **EVERYTHING)) for v in videos}
    truth = {v.name: list(v.instances) for v in videos}
    result = scores(evaluate(truth, results, data.vocabulary, tious=WTAL_TIOUS))
    return result | {"training_cpu_seconds": round(taken, 1)}


def embedded(work: Path) -> dict[str, Any]:
    """The plan `demo`, as it is, on the held-out videos."""
    annotations = read_annotations(rendered(work / "videos") / "annotations.json")
    truth = {v.name: list(v.instances) for v in annotations.subset("test").values()}
    engine = TALEngine.load("demo", "cpu")
    found = {v: list(engine.localize(work / "videos" / "videos" / f"{v}.mp4", **EVERYTHING)) for v in truth}
    e = evaluate(truth, found, engine.plan.vocabulary, tious=WTAL_TIOUS)
    by_class = {c: round(100 * a, 1) for c, a in e.class_ap(0.5).items()}
    return {"videos": len(truth), "instances": sum(map(len, truth.values())), "plan_sha256": engine.plan.sha256,
            **scores(e), "ap_50_by_class": by_class}  # fmt: skip


# -- real motion -------------------------------------------------------------------------------


def motion(work: Path) -> dict[str, Any]:
    """The plan `demo`, and those of the training seeds that `accuracy` left."""
    plans = {"embedded": None, **{f"seed {s}": work / "plans" / f"pvlr_{s}.plan" for s in SEEDS}}
    return motion_cameras.motion(work, plans)


# -- real videos, speed, memory ----------------------------------------------------------------


def videos(work: Path) -> dict[str, Any]:
    engine = TALEngine.load("demo", "cpu")
    rows = {}
    for path in sorted((SHARED / "videos").glob("*.mp4")):
        result = engine.localize(path)
        result.plot(work / "plots" / f"{path.stem}.png")
        info = result.info
        rows[path.name] = {
            "duration": round(info.duration, 2),
            "fps": round(info.fps or 0, 3),
            "segments": len(result),
            "seconds": {k: round(v, 3) for k, v in info.seconds.items()},
        }
    return rows


def speed(work: Path) -> dict[str, Any]:
    engine = TALEngine.load("demo", "cpu")
    paths = sorted((rendered(work / "videos") / "videos").glob("test_*.mp4"))[:10]
    engine.localize(paths[0])
    ratios, stages, seconds = [], {}, 0.0
    for path in paths:
        info = engine.localize(path).info
        ratios.append(info.duration / info.seconds["total"])
        seconds += info.duration
        for k, v in info.seconds.items():
            stages[k] = stages.get(k, 0.0) + v
    return {
        "what": "320x240, 25 fps, end to end, decode and encode overlap in two threads",
        "times_real_time": {"median": round(float(np.median(ratios)), 1), "slowest": round(min(ratios), 1)},
        "stage_ms_per_second_of_video": {k: round(1e3 * v / seconds, 3) for k, v in stages.items()},
    }


def _long_video(work: Path, minutes: int) -> Path:
    """Test videos, one after the other."""
    sources = sorted((rendered(work / "videos") / "videos").glob("test_*.mp4"))
    return long_video(sources, work / f"long_{minutes}.mp4", minutes)


def memory(work: Path) -> dict[str, Any]:
    rows = {}
    for minutes in (10, 60):
        code = f"import benchmarks_first_light as b; b.peak({str(_long_video(work, minutes))!r})"
        code = code.replace("benchmarks_first_light", "first_light")
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        rows[f"{minutes} minutes"] = eval(done.stdout.splitlines()[-1])  # our own dict of numbers
    ten, hour = (r["peak_mib"] for r in rows.values())
    return rows | {"hour_over_ten_minutes": round(hour / ten, 3)}


def peak(path: str) -> None:
    """Localize and print this process's peak memory; run in a fresh process."""
    result = TALEngine.load("demo", "cpu").localize(path)
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        {
            "peak_mib": round(usage, 1),
            "duration": round(result.info.duration, 1),
            "seconds": round(result.info.seconds["total"], 1),
            "times_real_time": round(result.info.duration / result.info.seconds["total"], 1),
        }
    )


def demo(work: Path) -> dict[str, Any]:
    """`make demo` in a fresh clone, pip's download cache as it is."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", str(root), folder + "/clone"], check=True)
        began = time.time()
        done = subprocess.run(["make", "demo"], cwd=folder + "/clone", capture_output=True, text=True, check=True)
        taken = time.time() - began
        shutil.copy(Path(folder) / "clone" / "out" / "timeline.png", RESULTS / "timeline.png")
    return {"seconds": round(taken, 1), "last_lines": done.stdout.splitlines()[-3:]}


PARTS = {
    "embedded": embedded, "accuracy": accuracy, "motion": motion, "videos": videos, "memory": memory, "speed": speed,
    "demo": demo,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/first_light"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        figures = PARTS[part](args.work)
        print(part, figures, file=sys.stderr, flush=True)
        document = store("first_light", figures, part)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
