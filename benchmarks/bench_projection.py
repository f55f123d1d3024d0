"""What `tal fit` should make of wide features: heads on them as they are, and on some principal components.

    python benchmarks/bench_projection.py --work out/projection [--snippets 0 5 10 20] [--seeds 0 1 2]

Procedural videos of five exercises, rendered from other seeds than those of bench_fit.py, so that nothing is chosen on
what is reported there; features of `lite0:3`. A component for so many training snippets. Two folds over videos, last
weights; mean and deviation over seeds. What lies in the work folder is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bench_fit import measured, rows_for
from common import spread, store, stored, this_run
from fit_worlds import World, procedural

from tal_engine.demo.demo_set import write_video
from tal_engine.demo.render import render
from tal_engine.demo.script import Script, write_script
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.inference.extraction import Extractor, extract_all

NAME = "bench_projection"
#: The five most frequent exercises of bench_fit's videos, and how many videos show each.
ACTIONS, EACH = ("sit down", "kick", "squat", "jumping jack", "arm circle"), 4
#: Heads by kind of label.
HEADS = {"point": "lacp", "segment": "actionformer", "video": "cola"}


def scripts() -> list[Script]:
    """The first scripts that show no other exercises, so many of each, 40 to 70 s long."""
    count, found, number = dict.fromkeys(ACTIONS, 0), [], 0
    while min(count.values()) < EACH:
        script = write_script(f"c{number:04d}", [777, 5, number], duration=(40, 70), instances=(3, 8))
        shown = {label for *_, label in script.instances()}
        number += 1
        if shown and shown <= set(ACTIONS) and all(count[c] < EACH for c in shown):
            found.append(script)
            count.update({c: count[c] + 1 for c in shown})
    return found


def prepared(work: Path) -> World:
    """Videos, labels and features, those that are missing made."""
    made, (videos, features) = scripts(), (work / "videos", work / "lite03")
    entries = {
        s.name: {"subset": "train", "duration": s.duration, "fps": s.fps,
                 "annotations": [{"segment": [a, b], "label": c} for a, b, c in s.instances()]}
        for s in made
    }  # fmt: skip
    videos.mkdir(parents=True, exist_ok=True)
    (videos / "annotations.json").write_text(json.dumps({"version": "1", "taxonomy": [], "database": entries}))
    for s in made:
        if not (videos / f"{s.name}.mp4").exists():
            write_video(videos / f"{s.name}.mp4", render(s), s.fps)
    encoders = open_encoders("lite0:3", {})
    extractor = Extractor(encoders.snippet, encoders.open(tuple(encoders.specs), "cpu"))
    extract_all(sorted(videos.glob("*.mp4")), features, extractor, workers=1)
    return procedural(videos, features, "procedural, lite0:3", len(ACTIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/projection"), help="videos and features, kept")
    parser.add_argument("--snippets", nargs="+", type=int, default=[0, 5, 10, 20], help="a component; 0: as they are")
    parser.add_argument("--kinds", nargs="+", choices=HEADS, default=list(HEADS), help="what the head learns from")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of folds and training")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    world = prepared(args.work)
    for kind in args.kinds:
        for count in args.snippets:
            for seed in args.seeds:
                keep(world, kind, count, seed)
    print(json.dumps(stored(NAME)))


def keep(world: World, kind: Any, count: int, seed: int) -> None:
    """Measure one row of one seed, unless it is stored, and store it beside the others."""
    part = stored(NAME).get("figures", {}).get("choice", {"rows": {}})
    row = part["rows"].get(f"{kind}: {count}", {"runs": {}})
    if str(seed) in row["runs"]:
        return
    rule = replace(rows_for(kind, 0, [])[f"{HEADS[kind]} (chosen)"], per_component=count)
    row["runs"][str(seed)] = measured(world, kind, rule, 2, seed)
    print(kind, count, seed, row["runs"][str(seed)], flush=True)
    summary = {m: spread([r[m] for r in row["runs"].values()]) for m in ("mAP@0.1:0.7", "mAP@0.5", "cpu_s")}
    more = {"kind": kind, "head": rule.head, "per_component": count, "summary": summary}
    part["rows"][f"{kind}: {count}"] = row | more | this_run(NAME, "choice")
    part |= {"videos": len(world.labels), "classes": len(ACTIONS), "minutes": round(
        sum(f.duration for f in world.features.values()) / 60, 1)}  # fmt: skip
    store(NAME, part, "choice")


if __name__ == "__main__":
    main()
