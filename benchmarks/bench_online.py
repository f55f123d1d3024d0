"""Online students: how soon and how well they tell, beside their teacher and today's stream, and what they cost.

    python benchmarks/bench_online.py --part procedural [--work DIR] [--train 35] [--seeds 0 1 2] [--dry]

procedural  the embedded plan teaches; 35 training videos (those that it was trained on itself, with their classes),
            thresholds on 12 validation videos, all figures on the 44 held-out ones. The teacher's stream beside it at
            its own look-ahead of 8 s and at the student's.
cost        processor time of a stream-second of features: the student's head, and the teacher's on windows.
certify     stream-hours of features through a student, eight a run: late events, memory. Each call adds a run.

Students of the training seeds are kept in --work; features too. Nothing is chosen on the held-out videos.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import interleaved, spread, store
from online_real import skeletons, surgery
from online_starts import by_threshold, measured_by_points, point_ap
from online_worlds import World, overlapping, procedural

from tal_engine import Segment, TALEngine
from tal_engine.annotations.tables import Table
from tal_engine.cli.live_measures import measure
from tal_engine.diagnostics.soak_test import certify, feature_steps
from tal_engine.lab.distilling.targets import thinned
from tal_engine.lab.online.student import OnlineStudentOptions, teach
from tal_engine.lab.online.training import OnlineTraining
from tal_engine.metrics import WTAL_TIOUS, evaluate, protocol
from tal_engine.options import timeline_of
from tal_engine.plan.archive import Plan, read_plan, write_plan

RULES = protocol("activitynet").with_tious(WTAL_TIOUS)
LOOK_AHEAD = 1.0
#: Certified with many starts and finals, where thresholds for few false alarms would leave little to look at.
LEAST_SCORE = 0.5


def student_of(world: World, seed: int, work: Path) -> tuple[Plan, float]:
    """The student of a seed and the processor time of its training; one that is there is not trained again."""
    path = work / "students" / f"{world.name}_{seed}.plan"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        began = time.process_time()
        training = OnlineTraining(seed=seed, epochs=world.epochs)
        how = OnlineStudentOptions(look_ahead=LOOK_AHEAD, overlap=world.overlap, training=training)
        made = teach(world.teacher, world.taught, world.held_out, how, None, f"{len(world.held_out)} videos")
        write_plan(path, made.plan(f"{world.name}-online"))
        (path.with_suffix(".json")).write_text(json.dumps(time.process_time() - began))
    return read_plan(path), float(json.loads(path.with_suffix(".json").read_text()))


def measured(world: World, name: str, plan: Plan, work: Path, look_ahead: float | None = None) -> dict[str, Any]:
    """What a plan's streams are worth; kept, so that a run that was stopped goes on."""
    key = f"{world.name}_{name}_{plan.sha256[:8]}_{len(world.measured)}.json"
    path = work / "measured" / key
    if not path.exists():
        engine = TALEngine(plan, "cpu", threads=1)
        if world.points:
            values = measured_by_points(world, engine, look_ahead)
        else:
            truth = Table.of_segments(world.truth, "truth", tuple(plan.manifest.vocabulary))
            values = measure(name, engine, world.measured, truth, RULES, look_ahead).values
        if name == "student 0":
            values["by_threshold"] = by_threshold(world, engine)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    found: dict[str, Any] = json.loads(path.read_text())
    print(name, brief(found), flush=True)
    return found


def quality(world: World, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the students of all seeds, the teacher's stream, and the teacher of whole videos."""
    teacher = TALEngine(world.teacher, "cpu", threads=1)
    seeds = []
    for seed in args.seeds:
        plan, taken = student_of(world, seed, args.work)
        row = measured(world, f"student {seed}", plan, args.work)
        seeds.append(
            {"seed": seed, **row, "fitted": plan.manifest.provenance["fitted"], "training_cpu_s": round(taken, 1)}
        )
    heard = {n: thinned(f, world.overlap) for n, f in world.measured.items()}
    plain = replace(world, measured=heard, overlap=1)
    beside = {
        "windows, 8 s": measured(plain, "windows, 8 s", world.teacher, args.work),
        "windows, 1 s": measured(plain, "windows, 1 s", world.teacher, args.work, LOOK_AHEAD),
    }
    whole = {v: list(teacher.localize(f, min_score=float("-inf"), top_k=0)) for v, f in heard.items()}
    key, offline = offline_of(world, whole)
    return {
        "taught": len(world.taught), "fitted_on": len(world.held_out), "videos": len(world.measured),
        "instances": sum(map(len, (world.points or world.truth).values())), "hours": round(world.seconds / 3600, 3),
        "measure": key, "finals": spread([100 * s[key] for s in seeds]), "students": seeds, "beside": beside,
        "teacher_whole": 100 * offline, "step_s": timeline_of(plan.manifest.snippet).step,
    }  # fmt: skip


def offline_of(world: World, whole: Mapping[str, Sequence[Segment]]) -> tuple[str, float]:
    """The measure of finals that the truth allows, and what a teacher that sees whole videos has of it."""
    names = tuple(world.teacher.manifest.vocabulary)
    if world.points:
        return "point_map", point_ap(world, Table.of_segments(whole, "teacher", names), names)
    return "average_map", evaluate(world.truth, whole, world.teacher.manifest.vocabulary, protocol=RULES).average


def brief(row: dict[str, Any]) -> dict[str, Any]:
    starts = row["starts"]
    return {
        "finals": round(100 * row.get("average_map", row.get("point_map")), 2),
        "declared": round(row["declared_latency_s"], 2),
        "late": row["late_events"],
        "start delay": starts["delay_s"], "recall": starts["recall"], "FA/h": starts["false_alarms_per_hour"],
        "p-mAP@1": starts["p_map"]["1"], "frames": row.get("frames"), "told": row.get("finals"),
    }  # fmt: skip


def cost(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of processor time a stream-second, interleaved, medians of rounds."""
    world = procedural(args.work, args.train)
    name, features = next(iter(world.measured.items()))
    engines = {
        "student": TALEngine(student_of(world, args.seeds[0], args.work)[0], "cpu", threads=1),
        "windows": TALEngine(world.teacher, "cpu", threads=1),
    }
    taken: dict[str, list[float]] = {n: [] for n in engines}

    def run(which: str) -> None:
        began = time.process_time()
        stream = engines[which].open_stream(name)
        for i in range(len(features)):
            stream.push_features({n: x[i] for n, x in features.streams.items()})
        taken[which].append(time.process_time() - began)

    interleaved({n: lambda n=n: run(n) for n in engines}, args.rounds)
    each = {n: 1e3 * float(np.median(v[1:])) / features.duration for n, v in taken.items()}
    return {
        "ms_a_stream_second": each,
        "seconds": features.duration,
        "student_over_windows": each["student"] / each["windows"],
    }


def certified(args: argparse.Namespace) -> dict[str, Any]:
    """The promises over hours of features; a run more than the work folder has, of other features each."""
    folder = args.work / "certified"
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.json")))
    world = procedural(args.work, args.train)
    engine = TALEngine(student_of(world, args.seeds[0], args.work)[0], "cpu", threads=1)
    rows = list(world.measured.values())[number].streams
    stream = engine.open_stream("certify", provisional=True, min_score=LEAST_SCORE)
    found = certify(stream, "features", feature_steps(stream, rows, number), args.hours).to_dict()
    found.pop("curve")
    (folder / f"{number}.json").write_text(json.dumps(found))
    return {"runs": [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))], "min_score": LEAST_SCORE}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "procedural": lambda a: quality(procedural(a.work, a.train), a),
    "overlapping": lambda a: quality(overlapping(a.work, a.train), a),
    "skeletons": lambda a: quality(skeletons(a.work), a),
    "surgery": lambda a: quality(surgery(a.work), a),
    "cost": cost,
    "certify": certified,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", type=Path, default=Path("/tmp/online"), help="Folder of features and students.")
    parser.add_argument("--train", type=int, default=35, help="procedural: videos to learn from.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--dry", action="store_true", help="Print the figures and store nothing.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for part in args.part:
        figures = PARTS[part](args)
        print(json.dumps({part: figures})[:4000])
        if not args.dry:
            store("bench_online", figures, part)


if __name__ == "__main__":
    main()
