"""What students with and without flow, and flow from motion vectors, gain and cost beside the demonstration plan.

    python benchmarks/bench_distill.py [--work DIR] [--parts student flow keep_frames ...] [--videos N] [--seeds 0 1 2]

student  `tal distill demo` on N procedural training videos, a student for each seed; each is measured on the 44
         held-out ones, its teacher beside it.
flow     the same with `--flow dis_ultrafast`.
keep_frames  the same with `--flow dis_ultrafast --keep-frames`.
teacher  the teacher on the 44, as they were rendered and decoded here.
vectors  the demonstration plan, which was trained with DIS, on the same 44 with the codec's motion vectors for flow.
cost     processor time of `localize` over that of decoding alone, side by side in one run, one thread: teacher, teacher
         with motion vectors, students; on a real clip and on a held-out video. For a student that is not in the work
         folder one stands that was not trained: weights cost nothing.

Nothing was chosen on the 44. The networks and their training are a first guess: comparisons on other videos were too
short to choose by. A run of a student that is in the work folder is kept, and a training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
from common import SHARED, spread, store, stored
from procedural import SPLITS, rendered

from tal_engine import TALEngine
from tal_engine._util.files import write_text
from tal_engine.annotations import read_annotations
from tal_engine.demo.demo_set import render_split
from tal_engine.engine import EMBEDDED_PLAN
from tal_engine.export.student_plan import make_student_plan
from tal_engine.lab import distill
from tal_engine.lab.distilling.measuring import EVERYTHING
from tal_engine.lab.distilling.options import DistillOptions, fitted_options, student_snippets
from tal_engine.lab.distilling.student import Student, shares_of
from tal_engine.metrics import WTAL_TIOUS, evaluate
from tal_engine.plan.archive import Plan, read_plan, with_members
from tal_engine.records import Segment

#: Students by the part that measures them: fields of `DistillOptions`.
STUDENTS: dict[str, dict[str, Any]] = {
    "student": {}, "flow": {"flow": "dis_ultrafast"}, "keep_frames": {"flow": "dis_ultrafast", "keep_frames": True},
}  # fmt: skip
#: Rounds of `cost`; each runs everything once.
ROUNDS = 5
#: Share of the training videos that `distill` itself holds out.
HELD_OUT = 0.05


def vectors_plan() -> Plan:
    """The demonstration plan, reading motion vectors where it was trained on DIS."""
    plan = read_plan(EMBEDDED_PLAN)
    snippet = replace(plan.manifest.snippet, flow="vectors")
    return with_members(plan.manifest.model_copy(update={"snippet": snippet}), plan.files)


def held_out_score(plan: Plan, args: argparse.Namespace) -> float:
    """Mean mAP@0.1:0.7 on the held-out procedural videos, percent; what was found of each is kept in `--work`."""
    annotations = read_annotations(rendered(args.data, ["test"]) / "annotations.json")
    truth = {v.name: list(v.instances) for v in annotations.subset("test").values()}
    engine, kept = TALEngine(plan, "cpu", threads=1), args.work / "found" / plan.sha256[:12]
    found = {}
    for name in truth:
        path = kept / f"{name}.json"
        if not path.exists():
            segments = engine.localize(args.data / "videos" / f"{name}.mp4", **EVERYTHING)
            write_text(path, json.dumps([astuple(s) for s in segments]))
        found[name] = [Segment(*values) for values in json.loads(path.read_text())]
    return round(100 * evaluate(truth, found, plan.vocabulary, tious=WTAL_TIOUS).average, 2)


def training_videos(folder: Path, work: Path, count: int) -> Path:
    """A folder with the first videos of the training split alone; the split is rendered as far as it is needed."""
    chosen = work / f"train_{count}"
    chosen.mkdir(parents=True, exist_ok=True)
    if len(list((folder / "videos").glob("train_*.mp4"))) < count:
        render_split(folder, "train", count, SPLITS["train"][1], workers=2)
    for path in sorted((folder / "videos").glob("train_*.mp4"))[:count]:
        link = chosen / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    return chosen


def students(args: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Students of several seeds on the held-out videos; the run of a seed that is in the work folder is kept."""
    data = training_videos(args.data, args.work, args.videos)
    runs = []
    for seed in args.seeds:
        kept = args.work / f"run_{kind}_{args.videos}_{seed}.json"
        if not kept.exists():
            write_text(kept, json.dumps(_one_student(args, kind, data, seed)))
        runs.append(json.loads(kept.read_text()))
        print(runs[-1], file=sys.stderr, flush=True)
    options = DistillOptions(**STUDENTS[kind])
    return {
        "held_out": SPLITS["test"][0], "training_videos": args.videos, "options": options.architecture(),
        "epochs": options.epochs, "student": spread([r["map_10_70"] for r in runs]), "runs": runs,
        "plan_mb": round(_plan_of(args, kind, args.seeds[0]).stat().st_size / 1e6, 2),
    }  # fmt: skip


def _plan_of(args: argparse.Namespace, kind: str, seed: int) -> Path:
    made: Path = args.work / f"student_{kind}_{args.videos}_{seed}.plan"
    return made


def _one_student(args: argparse.Namespace, kind: str, data: Path, seed: int) -> dict[str, Any]:
    """Train a student and score it."""
    output = _plan_of(args, kind, seed)
    options = {**STUDENTS[kind], "seed": seed, "threads": args.threads, "held_out": HELD_OUT}
    made = distill("demo", data, output, work=args.work / "kept", overwrite=True, **options)
    return {"seed": seed, "map_10_70": held_out_score(made.plan, args), **made.figures}


def teacher(args: argparse.Namespace) -> dict[str, Any]:
    """The demonstration plan on the held-out videos of this machine, scored as its students are."""
    return {"held_out": SPLITS["test"][0], "map_10_70": held_out_score(read_plan(EMBEDDED_PLAN), args)}


def vectors(args: argparse.Namespace) -> dict[str, Any]:
    """The same plan with motion vectors; with DIS it is what first_light measured of it on the same videos."""
    before = stored("first_light")["figures"]["embedded"]
    score = held_out_score(vectors_plan(), args)
    return {"held_out": SPLITS["test"][0], "vectors": score, "dis": round(before["map_10_70"], 2)}


def untrained(kind: str) -> Plan:
    """A student that learned nothing: it costs what one costs that did."""
    demo = read_plan(EMBEDDED_PLAN)
    options = fitted_options(demo.manifest.snippet, DistillOptions(**STUDENTS[kind]))
    shares = shares_of(demo.manifest, options)
    net = Student(options, {reads: sum(streams.values()) for reads, streams in shares.items()}).eval()
    made = {s for streams in shares.values() for s in streams}
    return make_student_plan(
        demo, [(part, shares[part.reads]) for part in net.parts], student_snippets(demo.manifest.snippet, options),
        name=kind, preprocess={"frames": {}, "flow": {}}, record={},
        kept=[s for s in demo.manifest.streams if s not in made],
    )  # fmt: skip


def decoded(path: Path) -> None:
    """Decode a file, and do nothing with its frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        for _ in container.decode(stream):
            pass


def cost(args: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds, medians of rounds in which everything runs once."""
    cv2.setNumThreads(1)
    plans = {"teacher": read_plan(EMBEDDED_PLAN), "teacher, motion vectors": vectors_plan()}
    for kind in STUDENTS:
        made = _plan_of(args, kind, args.seeds[0])
        plans[kind] = read_plan(made) if made.exists() else untrained(kind)
    engines = {name: TALEngine(plan, "cpu", threads=1) for name, plan in plans.items()}
    rows = {}
    clips: dict[str, Path] = {
        "real": SHARED / "videos" / "v_GGSY1Qvo990.mp4",
        "rendered": args.data / "videos" / "test_00000.mp4",
    }
    for path in (clips[c] for c in args.clips):
        work: dict[str, Callable[[], Any]] = {"decoding": partial(decoded, path)}
        work |= {name: partial(e.localize, path) for name, e in engines.items()}
        seconds = processor_seconds(work)
        frames = engines["teacher"].localize(path).info.frames
        ratios = {n: round(s / seconds["decoding"], 2) for n, s in seconds.items()}
        rows[path.stem] = {"frames": frames, "seconds": seconds, "of_decoding": ratios}
    return {"rounds": ROUNDS, "clips": rows}


def processor_seconds(work: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median processor time of each piece of work, all threads of the process; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS + 1):
        for name, run in work.items():
            began = time.process_time()
            run()
            taken[name].append(time.process_time() - began)
    return {name: round(statistics.median(values[1:]), 4) for name, values in taken.items()}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "teacher": teacher, **{kind: partial(students, kind=kind) for kind in STUDENTS}, "vectors": vectors, "cost": cost,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/distill"))
    parser.add_argument("--data", type=Path, default=Path("out/first_light/videos"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--videos", type=int, default=SPLITS["train"][0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", nargs="+", choices=("real", "rendered"), default=["real", "rendered"], help="cost")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        document = store("bench_distill", PARTS[part](args), part)
        print(part, document["figures"][part], file=sys.stderr, flush=True)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
