"""What code each figure measures: rooms (folders and files) of the clone by benchmark and part, and their digests.

A digest is over the text of a room's sources, so that a clone without history can tell a figure that is older than its
code. The commit is kept too: where git knows it, it names the files.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: Sources by their ending; pages, a plan, weights and schemas are sources of what runs them.
SOURCES = frozenset(
    (".py", ".cpp", ".hpp", ".h", ".c", ".js", ".css", ".html", ".plan", ".json", ".safetensors", ".sh", ".xz")
)

_T = "tal_engine"
CORE = ("csrc/src", "csrc/include", "csrc/bindings", f"{_T}/ops.py")
SCORING = (*CORE, f"{_T}/metrics", f"{_T}/annotations")
LOCALIZING = (*CORE, *(f"{_T}/{n}" for n in ("inference", "_util/concurrency.py", "options.py", "timeline.py")))
GRAPHS = tuple(f"{_T}/{n}" for n in ("backends", "plan", "_util/instructions.py"))
VIDEOS = tuple(f"{_T}/{n}" for n in ("video", "features"))
RUNTIME = (*LOCALIZING, *GRAPHS, *VIDEOS, f"{_T}/engine.py", f"{_T}/assets/demo.plan")
DRAWN = (f"{_T}/demo", "benchmarks/procedural.py")
LEARNING = (f"{_T}/lab",)
TRAINED = (*LEARNING, *LOCALIZING, *SCORING, "benchmarks/variants.py")
STREAMED = (*RUNTIME, f"{_T}/live", f"{_T}/streaming", f"{_T}/events.py")
PEOPLE = (f"{_T}/pose", f"{_T}/lab/people", "export/people_plan.py")
FOLLOWING = tuple(
    f"{_T}/pose/{n}.py"
    for n in ("detection", "estimator", "gates", "landmarks", "one_euro", "region", "tracking", "weights")
)
EXPORTED = ("export", *GRAPHS)
READERS = tuple(f"{_T}/{n}" for n in ("_util/untrusted.py", "_util/arrays.py", "_util/pickles.py", "plan/manifest.py"))

#: Benchmark -> part ("" is every other part) -> rooms.
MEASURED: dict[str, dict[str, tuple[str, ...]]] = {
    "first_light": {
        "": (*RUNTIME, *DRAWN, *SCORING, "benchmarks/first_light.py"),
        "accuracy": (*TRAINED, *RUNTIME, *DRAWN, "export", "benchmarks/first_light.py"),
        "motion": (*RUNTIME, *DRAWN, *SCORING, "benchmarks/motion_cameras.py"),
    },
    "bench_accuracy": {
        "": (*TRAINED, "benchmarks/bench_accuracy.py", "benchmarks/accuracy_simulator.py"),
        "gym": (*TRAINED, "benchmarks/accuracy_gym.py"),
        "speed": (*LEARNING, "benchmarks/accuracy_speed.py"),
        "stpn": (*RUNTIME, *LEARNING, "export", "benchmarks/accuracy_stpn.py"),
    },
    "bench_methods": {
        "": (*TRAINED, *(f"benchmarks/{n}.py" for n in ("bench_methods", "methods_rows", "methods_extras"))),
        "procedural": (*TRAINED, *DRAWN, *VIDEOS, "benchmarks/bench_methods.py", "benchmarks/methods_rows.py"),
        "cost": (*RUNTIME, *LEARNING, "export", "benchmarks/methods_cost.py"),
    },
    "bench_archive": {"": (*RUNTIME, f"{_T}/batch", "benchmarks/bench_archive.py")},
    "bench_archive_store": {
        "": (*RUNTIME, f"{_T}/batch", *(f"benchmarks/{n}.py" for n in ("archive_store", "faulty_store")))
    },
    "bench_archive_serve": {"": (f"{_T}/serve", f"{_T}/distributed", "benchmarks/archive_serve.py")},
    "bench_archive_ray": {"": (*RUNTIME, f"{_T}/batch", f"{_T}/distributed", "benchmarks/archive_ray.py")},
    "newcomer": {"": (*TRAINED, *RUNTIME, "export", "benchmarks/newcomer.py")},
    "release_check": {"": (_T, "export", "benchmarks/release_check.py")},
    "release_docs": {"": ("docs", "benchmarks/release_docs.py")},
    "fit_whole": {"": (*TRAINED, *VIDEOS, *DRAWN, "export", "benchmarks/fit_whole.py")},
    "bench_studio": {
        "": (
            *TRAINED,
            *(f"{_T}/studio/{n}.py" for n in ("questions", "marked", "beside", "findings", "answers", "order")),
        ),
        "planted": (*LEARNING, f"{_T}/studio", "benchmarks/studio_planted.py", "benchmarks/studio_annotator.py"),
        "kills": (f"{_T}/studio", f"{_T}/serve", "benchmarks/studio_kills.py"),
    },
    "bench_studio_page": {
        "": (f"{_T}/studio", f"{_T}/serve", "benchmarks/studio_page.py"),
        "page": (*TRAINED, f"{_T}/studio", f"{_T}/serve", "benchmarks/studio_page.py"),
        "motion": (*TRAINED, f"{_T}/studio", f"{_T}/pose", "benchmarks/studio_page.py", "benchmarks/studio_motion.py"),
    },
    "bench_fit": {"": (*TRAINED, "benchmarks/bench_fit.py", "benchmarks/fit_worlds.py")},
    "bench_mixed": {"": (*TRAINED, "benchmarks/bench_mixed.py", "benchmarks/fit_worlds.py")},
    "bench_calibration": {"": (*RUNTIME, *DRAWN, f"{_T}/metrics", "export", "benchmarks/bench_calibration.py")},
    "bench_ablation": {"": TRAINED},
    "bench_training_speed": {"": (*LEARNING, "benchmarks/bench_training_speed.py")},
    "loss_parity": {"": LEARNING},
    "bench_features": {"": (*VIDEOS, f"{_T}/lab/nn", "export", "benchmarks/bench_features.py")},
    "bench_export": {"": (*RUNTIME, *EXPORTED, f"{_T}/lab/nn", f"{_T}/lab/heads", "benchmarks/bench_export.py")},
    "bench_tensorrt": {"": (*EXPORTED, "benchmarks/bench_tensorrt.py")},
    "bench_stream": {"": (*STREAMED, "benchmarks/bench_stream.py")},
    "bench_serve": {
        "": (*STREAMED, f"{_T}/serve", f"{_T}/client", "benchmarks/bench_serve.py", "benchmarks/serve_load.py"),
        "fuzz": (f"{_T}/serve", "benchmarks/serve_fuzz.py"),
    },
    "encoders": {
        "": (f"{_T}/texts", f"{_T}/lab/nn", "export", "benchmarks/bench_encoders.py", "benchmarks/text_classes.py"),
        "names": (f"{_T}/lab/nn", "export", "benchmarks/encoder_names.py"),
        "speed": (f"{_T}/lab/nn", "export", "benchmarks/encoder_speed.py"),
        "precision": (f"{_T}/lab/nn", "export", "benchmarks/encoder_precision.py"),
        "requery": (f"{_T}/texts", "csrc", "benchmarks/text_requery.py"),
    },
    "bench_image": {"": (f"{_T}/serve", "examples/deploy", "pyproject.toml", "benchmarks/bench_image.py")},
    "bench_core": {"": (*CORE, "benchmarks/bench_core.py", "benchmarks/core_inputs.py")},
    "core_share": {"": (*CORE, "benchmarks/core_share.py", "benchmarks/core_growth.py")},
    "core_same_run": {"": (*CORE, "benchmarks/core_same_run.py", "benchmarks/core_inputs.py")},
    "bench_limit": {"": (*RUNTIME, "benchmarks/limit_stages.py", "benchmarks/limit_ways.py")},
    "bench_gold": {"": (*SCORING, "benchmarks/bench_gold.py", "benchmarks/gold_files.py")},
    "bench_people": {
        "": (*RUNTIME, f"{_T}/pose", "benchmarks/bench_people.py"),
        "skeletons": (*RUNTIME, *PEOPLE, *(f"benchmarks/people_{n}.py" for n in ("skeletons", "sets"))),
        "named": (*RUNTIME, *PEOPLE, *(f"benchmarks/people_{n}.py" for n in ("skeletons", "sets"))),
        "noise": (*RUNTIME, *PEOPLE, *DRAWN, "benchmarks/people_noise.py"),
        "landmarks": (*GRAPHS, *FOLLOWING, *DRAWN, "benchmarks/people_landmarks.py", "benchmarks/people_mediapipe.py"),
    },
    "pose_parity": {
        "": (
            *(f"export/{n}.py" for n in ("pose_weights", "tflite_file", "tflite_graph")), f"{_T}/assets/pose",
            "benchmarks/pose_parity.py",
        )
    },
    "bench_faults": {
        "": (f"{_T}/_util/files.py", f"{_T}/cli", f"{_T}/lab/training", "tests/faults", "benchmarks/bench_faults.py")
    },
    "pixels": {"": (*VIDEOS, f"{_T}/lab/nn")},
    "bench_former": {"": (*TRAINED, "benchmarks/bench_former.py", "benchmarks/segmental.py")},
    "bench_distill": {
        "": (*TRAINED, *RUNTIME, *DRAWN, "export", "benchmarks/bench_distill.py"),
        "vectors": (*RUNTIME, *DRAWN, *SCORING, "benchmarks/bench_distill.py"),
        "cost": (*RUNTIME, f"{_T}/lab/distilling", "benchmarks/bench_distill.py"),
    },
    "bench_online": {
        "": (
            *TRAINED, *STREAMED, *DRAWN, *SCORING, "export/online.py",
            *(f"benchmarks/{n}.py" for n in ("bench_online", "online_worlds", "online_real", "online_starts")),
        )
    },
    "bench_domain": {"": (*RUNTIME, *DRAWN, "export", "benchmarks/bench_domain.py")},
    "judge_formats": {"": (f"{_T}/annotations", "benchmarks/judge_formats.py")},
    "bench_formats": {"": (f"{_T}/annotations", "benchmarks/bench_formats.py")},
    "bench_files": {"": (f"{_T}/video", "benchmarks/bench_files.py", "benchmarks/odd_files.py")},
    "bench_memory": {"": (*RUNTIME, "benchmarks/bench_memory.py", "benchmarks/memory_worker.py")},
    "flow_versions": {"": (f"{_T}/video", f"{_T}/options.py", *DRAWN, "benchmarks/flow_versions.py")},
    "fuzz": {"": (*CORE, "tests/fuzz", *READERS)},
    "int8_instructions": {"": (*GRAPHS, "export", "benchmarks/int8_instructions.py")},
    "moved": {"": (*TRAINED, "benchmarks/bench_moved.py")},
    "house": {"": (_T, "export", "benchmarks/house.py")},
    "gpu_day": {"": (*RUNTIME, *LEARNING, "export", "benchmarks/gpu_day.py", "benchmarks/gpu_parts.py")},
}  # fmt: skip


def rooms_of(name: str, part: str | None) -> tuple[str, ...]:
    """Rooms of a benchmark's part, each once; () if nothing is known of the benchmark."""
    parts = MEASURED.get(name, {})
    return tuple(dict.fromkeys(parts.get(part or "", parts.get("", ()))))


def sources(room: Path) -> list[Path]:
    """The source files of a room, in the order of their names."""
    if room.is_file():
        return [room]
    return sorted(p for p in room.rglob("*") if p.suffix in SOURCES and p.is_file() and "__pycache__" not in p.parts)


@cache
def digest(root: Path, room: str) -> str | None:
    """Digest of names and texts of a room's files, whatever ends their lines; None if there is no such room."""
    if not (root / room).exists():
        return None
    total = hashlib.sha256()
    for path in sources(root / room):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return total.hexdigest()[:12]


def git(root: Path, *words: str) -> str | None:
    """What git says; None where there is no git, no history, or no such commit."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def code_record(name: str, part: str | None = None, root: Path = ROOT) -> dict[str, Any] | None:
    """What a result keeps of the code that it measured: digests by room, and the commit with whether it had changes."""
    rooms = rooms_of(name, part)
    if not rooms:
        return None
    changes = git(root, "status", "--porcelain", "--", *existing(root, rooms))
    return {
        "commit": git(root, "rev-parse", "HEAD"),
        "changed": None if changes is None else bool(changes),
        "rooms": {room: digest(root, room) for room in rooms},
    }


def existing(root: Path, rooms: Iterable[str]) -> list[str]:
    """Those that are there; git refuses paths that it never heard of."""
    return [room for room in rooms if (root / room).exists()]


def changed_rooms(record: dict[str, Any], root: Path = ROOT) -> list[str]:
    """Rooms of a record whose text is another one now."""
    return [room for room, then in record["rooms"].items() if digest(root, room) != then]


def changed_files(record: dict[str, Any], rooms: list[str], root: Path = ROOT) -> list[str] | None:
    """Files that differ from the record's commit, and new ones; None where git does not know it."""
    commit = record.get("commit")
    if not commit or git(root, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return None
    differ = git(root, "diff", "--name-only", commit, "--", *rooms)
    fresh = git(root, "ls-files", "--others", "--exclude-standard", "--", *rooms)
    return None if differ is None or fresh is None else sorted({*differ.split(), *fresh.split()})
