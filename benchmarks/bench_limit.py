"""How far `localize` is from the least that it could take: processor seconds by stage, beside each stage's limit.

    python benchmarks/bench_limit.py [--part stages ways accuracy] [--work DIR] [--int8 PLAN] [--seconds N] [--rounds N]

stages    a clip as it is (320x240) and re-encoded at 1080p and 4K, through the plan `demo`, the same with frames
          scaled as stored and DIS without refinement (`tal plan build --resize-of yuv --flow dis_ultrafast`), and that
          in 8 bits (--int8, a plan that was built from it). The limit of a stage: decode, FFmpeg alone in one thread;
          convert, libswscale from the stored frame to the encoder's size; flow, DIS at its fastest preset; encode, the
          graphs' products and sums at the rate of a large matrix product here. Draws docs/images/speed.png.
ways      each way to less work by itself, against what it replaces.
accuracy  mAP of the plans on the held-out procedural videos that lie in --work (first_light.py makes them).

Processor time, one thread for graphs; medians of rounds in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import limit_stages
import limit_ways
from common import SHARED, store, stored
from motion_cameras import EVERYTHING, scores

from tal_engine.annotations import read_annotations
from tal_engine.engine import TALEngine
from tal_engine.metrics import WTAL_TIOUS, evaluate
from tal_engine.plan.archive import Plan, read_plan, with_snippet
from tal_engine.pose.plans import open_plan

CLIP = SHARED / "videos" / "v_GGSY1Qvo990.mp4"
SIZES = {"320x240": 0, "1080p": 1080, "4K": 2160}


def clip_of(work: Path, height: int, seconds: float) -> Path:
    """The clip at a height, re-encoded once; 0: as it is."""
    if not height:
        return CLIP
    made = work / f"clip_{height}_{seconds:g}.mp4"
    if not made.exists():
        words = ["ffmpeg", "-v", "error", "-y", "-t", str(seconds), "-i", str(CLIP), "-vf", f"scale=-2:{height}"]
        words += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-threads", "2", str(made)]
        subprocess.run(words, check=True)
    return made


def plans(int8: Path | None) -> dict[str, Plan]:
    demo = open_plan("demo")
    fast = with_snippet(demo, resize_of="yuv", flow="dis_ultrafast")
    found = {"demo": demo, "yuv, ultrafast": fast}
    return found if int8 is None else found | {"yuv, ultrafast, int8": read_plan(int8)}


def stages(args: argparse.Namespace) -> dict[str, Any]:
    found = plans(args.int8)
    clips = {name: clip_of(args.work, SIZES[name], args.seconds) for name in args.clips}
    before = stored("bench_limit").get("figures", {}).get("stages", {}).get("clips", {})
    figures: dict[str, Any] = {"gflops": limit_stages.peak(), "clips": before}
    for name, clip in clips.items():
        figures["clips"][name] = limit_stages.measured(clip, found, args.rounds, figures["gflops"])
        print(name, json.dumps(figures["clips"][name]), flush=True)
        store("bench_limit", figures, "stages")  # the next one may take long
    limit_stages.draw(figures)
    return figures


def accuracy(args: argparse.Namespace) -> dict[str, Any]:
    """The plans on the same videos; says how many of the 44 there were."""
    annotations = read_annotations(args.work / "videos" / "annotations.json").subset("test")
    truth = {n: list(v.instances) for n, v in annotations.items() if _video(args.work, n).exists()}
    before = stored("bench_limit").get("figures", {}).get("accuracy", {})
    rows = before.get("plans", {}) if before.get("videos") == len(truth) else {}
    found = {"yuv": with_snippet(open_plan("demo"), resize_of="yuv")} | plans(args.int8)
    for name, plan in found.items():
        if args.plans and name not in args.plans:
            continue
        engine = TALEngine(plan, "cpu", threads=1)
        segments = {v: list(engine.localize(_video(args.work, v), **EVERYTHING)) for v in truth}
        rows[name] = scores(evaluate(truth, segments, engine.plan.vocabulary, tious=WTAL_TIOUS))
        print(name, rows[name], flush=True)
    return {"videos": len(truth), "instances": sum(map(len, truth.values())), "plans": rows}


def _video(work: Path, name: str) -> Path:
    return work / "videos" / "videos" / f"{name}.mp4"


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "stages": stages,
    "ways": lambda a: limit_ways.ways({n: clip_of(a.work, h, a.seconds) for n, h in SIZES.items()}, a.rounds, a.int8),
    "accuracy": accuracy,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", type=Path, default=Path("/tmp/fl"))
    parser.add_argument("--int8", type=Path, help="An 8-bit plan of the fast one.")
    parser.add_argument("--plans", nargs="+", help="accuracy: these, beside those stored of as many videos.")
    parser.add_argument("--seconds", type=float, default=4.0, help="Of the clips that are re-encoded.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clips", nargs="+", choices=SIZES, default=list(SIZES), help="stages: these, beside those stored."
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for part in args.part:
        load = round(os.getloadavg()[0], 1)
        store("bench_limit", {**PARTS[part](args), "load_before": load}, part)


if __name__ == "__main__":
    main()
