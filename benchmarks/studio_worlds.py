"""Sets of procedural videos for bench_studio, one by seed: videos, their truth, and features of the small encoders.

    python benchmarks/studio_worlds.py DIR --seeds 100 101 200 201 202

writes ``DIR/SEED/videos`` (with annotations.json) and ``DIR/SEED/tiny``. Each seed draws its own five actions, bodies
and scenes. Seeds from 100 on are for choosing settings, those from 200 on for judging them: nothing is chosen on these.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from tal_engine.demo.demo_set import annotation, write_annotations, write_video
from tal_engine.demo.exercises import ACTIONS
from tal_engine.demo.render import render
from tal_engine.demo.script import Script, write_script
from tal_engine.features import save_features
from tal_engine.inference.extraction import Extractor
from tal_engine.lab.fitting.tools import open_encoders

COUNT, CLASSES, SECONDS = 20, 5, (30.0, 45.0)
ENCODERS = "tiny"


def scripts(seed: int) -> list[Script]:
    """The first scripts that show nothing but the actions of this seed."""
    rng = np.random.default_rng([seed, 23])
    wanted = {str(a) for a in rng.choice(sorted(ACTIONS), size=CLASSES, replace=False)}
    out: list[Script] = []
    number = 0
    while len(out) < COUNT:
        script = write_script(f"v{number:04d}", [seed, 92, number], duration=SECONDS)
        if {label for _, _, label in script.instances()} <= wanted:
            out.append(script)
        number += 1
    return out


def _made(job: tuple[str, int, int]) -> None:
    folder, seed, number = job
    cv2.setNumThreads(1)
    script = scripts(seed)[number]
    video, output = (Path(folder, kind, script.name) for kind in ("videos", ENCODERS))
    if output.with_suffix(".npz").exists():
        return
    write_video(video.with_suffix(".mp4"), render(script), script.fps)
    encoders = open_encoders(ENCODERS, {})
    extract = Extractor(encoders.snippet, encoders.open(tuple(encoders.specs), "cpu"))
    save_features(output.with_suffix(".npz"), extract(video.with_suffix(".mp4")).features)


def drawn(folder: Path, seed: int) -> Path:
    """Draw the set of a seed, what is missing of it; its folder."""
    mine = folder / str(seed)
    for kind in ("videos", ENCODERS):
        (mine / kind).mkdir(parents=True, exist_ok=True)
    jobs = [(str(mine), seed, n) for n in range(COUNT)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        list(pool.map(_made, jobs))
    truth = mine / "videos" / "annotations.json"
    write_annotations(truth, {s.name: annotation(s, "train", seed) for s in scripts(seed)})
    document = json.loads(truth.read_text())
    document["classes"] = sorted({a["label"] for v in document["database"].values() for a in v["annotations"]})
    truth.write_text(json.dumps(document, indent=1) + "\n")
    return mine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    given = parser.parse_args()
    for seed in given.seeds:
        print(drawn(given.folder, seed), flush=True)


if __name__ == "__main__":
    main()
