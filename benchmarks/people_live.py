"""People live and from files: how many streams two cores sustain, how fast a file is, what looking less often costs.

A part of bench_people. The clip is the lifter's, 320 x 240, made into 25 frames a second, over and over.

* ``file``: the whole way from the file to segments, on one core; processor seconds, so other work does not count.
* ``streams``: as many streams as asked for, paced as live, for some seconds; nothing may be dropped, and the end comes
  no later than a second after the last frame was due (`stream_load.paced`). Cores are those that the process used.
* ``rates``: mAP of the same skeletons where poses are taken 25, 12.5 (what the plan reads), 8.3 and 6.25 times a second
  and joined by lines: what it costs not to look at each frame. On validation streams of the figure, 25 frames a second.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED
from people_landmarks import VIDEOS
from stream_load import paced

from tal_engine import TALEngine, open_video
from tal_engine.demo.demo_set import write_video
from tal_engine.lab.people.actions import ACTIONS
from tal_engine.lab.people.streams import FPS, write_stream
from tal_engine.metrics import WTAL_TIOUS, evaluate
from tal_engine.pose.skeleton import Poses, canonical
from tal_engine.pose.windows import features_of

#: Streams, and seconds of each run.
STREAMS, SECONDS = (1, 3, 4), 14.0
#: Poses a second of the comparison, sessions, and how noisy their joints are from pose to pose, metres.
RATES, SESSIONS, FAST_M = (25.0, 12.5, 25 / 3, 6.25), 16, 0.02


def clip(folder: Path) -> Path:
    """Write the lifter's clip several times after itself, at 25 frames a second."""
    with open_video(SHARED / "videos" / f"{VIDEOS[0]}.mp4") as video:
        frames = [f.image() for f in video.frames]
    path = folder / "lifter.mp4"
    write_video(path, (f for _ in range(2) for f in frames), 25)
    return path


def file(engine: TALEngine, path: Path) -> dict[str, Any]:
    """Localize a file."""
    engine.localize(np.zeros((6, 240, 320, 3), np.uint8), fps=12.5)  # loads what is loaded late
    wall, work = time.perf_counter(), time.process_time()
    result = engine.localize(path)
    wall, work = time.perf_counter() - wall, time.process_time() - work
    return {
        "seconds_of_video": round(result.info.duration, 1), "cpu_seconds": round(work, 2), "seconds": round(wall, 2),
        "real_time_of_one_core": round(result.info.duration / work, 1),
        "stages": {k: round(v, 2) for k, v in result.info.seconds.items() if v >= 0.01},
    }  # fmt: skip


def rates(engine: TALEngine) -> dict[str, Any]:
    """Take poses more or less often."""
    found: dict[float, dict[str, Any]] = {}
    truth, streams = {}, []
    for i in range(SESSIONS):
        rng = np.random.default_rng([i, 991])
        classes = [str(c) for c in rng.choice(list(ACTIONS), size=6, replace=False)]
        stream = write_stream(f"s{i}", [i, 991], actions=8, classes=classes, own=1)
        joints, visible = canonical(stream.joints, layout="figure18")
        noisy = (joints + rng.normal(0, FAST_M, joints.shape)).astype(np.float32)
        truth[stream.name] = list(stream.instances)
        streams.append((stream, Poses(noisy, visible, (np.arange(len(joints)) + 0.5) / FPS)))
    for rate in RATES:
        rows = {}
        for stream, poses in streams:
            at = np.searchsorted(poses.times, np.arange(0, stream.duration, 1 / rate)).clip(0, len(poses) - 1)
            at = np.unique(at)
            seen = Poses(poses.joints[at], poses.visibility[at], poses.times[at])
            rows[stream.name] = list(
                engine.localize(features_of(seen, duration=stream.duration), min_score=-np.inf, top_k=0)
            )
        score = evaluate(truth, rows, engine.plan.vocabulary, tious=WTAL_TIOUS)
        found[rate] = {"map_50": round(100 * score.at(0.5), 1), "map_10_70": round(100 * score.average, 1)}
    return {f"{rate:.4g}": row for rate, row in found.items()}


def live(plan: Path) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = clip(Path(folder))
        engine = TALEngine.load(plan, "cpu", threads=1)
        found = {"file": file(engine, path), "streams": [paced(engine, [path] * n, SECONDS) for n in STREAMS]}
        return {**found, "rates": rates(engine), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
