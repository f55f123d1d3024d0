"""Landmarks: against MediaPipe's own on real videos, against exact joints of rendered people, and what they cost.

A part of bench_people. MediaPipe's results come from `people_mediapipe.py`, whose folder $TAL_MEDIAPIPE names
(default: /tmp/people); without them that comparison is left out, and says so.

* ``real``: both follow the person at 30 pictures a second with their own smoothing; mean distance in pixels of the
  points, over pictures in which both found somebody, of all points and of those that both limbs and trunk are made of.
* ``rendered``: share of joints within a tenth, and two tenths, of the trunk's length of where they exactly are
  (PCK@0.1, PCK@0.2), over pictures with a person; the first ten seconds of videos that are the tests' own.
* ``cost``: processor milliseconds a picture by stage, of all threads, and milliseconds that pass; on a loaded machine
  only the former mean something.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED

from tal_engine import open_video
from tal_engine.backends import Backend, open_backend
from tal_engine.demo.demo_set import script_of
from tal_engine.demo.render import image_points, render
from tal_engine.pose.detection import letterboxed
from tal_engine.pose.estimator import PoseEstimator
from tal_engine.pose.gates import LIMBS
from tal_engine.pose.region import Region
from tal_engine.pose.skeleton import JOINTS, J, canonical
from tal_engine.pose.tracking import PoseTracker
from tal_engine.pose.weights import VARIANTS, pose_graphs

FOLDER = Path(os.environ.get("TAL_MEDIAPIPE", "/tmp/people"))
VIDEOS = ("v_GGSY1Qvo990", "v_ZNVhz7ctTq0", "demo")
#: Rendered videos, and frames of each.
RENDERED, FRAMES = 6, 250
#: Pictures whose cost is measured.
TIMED = 60


def estimator(variant: str, threads: int = 1) -> PoseEstimator:
    """Load the graphs."""
    detector, landmarks = pose_graphs(variant)
    loaded: list[Backend] = [
        open_backend(g, n, "cpu", threads=threads) for g, n in ((detector, "detector"), (landmarks, "landmarks"))
    ]
    return PoseEstimator(*loaded)


def frames_of(name: str) -> np.ndarray:
    """Decode all frames of a shared video."""
    with open_video(SHARED / "videos" / f"{name}.mp4") as video:
        return np.stack([f.image() for f in video.frames])


def real(variant: str) -> dict[str, Any]:
    """Compare with MediaPipe on the shared videos."""
    if not (FOLDER / f"{VIDEOS[0]}-{variant}.npz").exists():
        return {"left_out": f"no results of MediaPipe in {FOLDER}: run people_mediapipe.py"}
    rows = {}
    for name in VIDEOS:
        theirs = np.load(FOLDER / f"{name}-{variant}.npz")["points"]
        graphs, tracker = estimator(variant), PoseTracker()
        ours = np.full_like(theirs, np.nan)
        for i, frame in enumerate(np.load(FOLDER / f"{name}.frames.npy", mmap_mode="r")):
            for person in tracker(graphs, np.ascontiguousarray(frame), i / 30):
                ours[i] = person.points
        both = np.isfinite(theirs[:, 0, 0]) & np.isfinite(ours[:, 0, 0])
        apart = np.linalg.norm(ours[both, :, :2] - theirs[both, :, :2], axis=2)
        row: dict[str, Any] = {
            "frames": len(theirs), "theirs_found": int(np.isfinite(theirs[:, 0, 0]).sum()),
            "ours_found": int(np.isfinite(ours[:, 0, 0]).sum()), "both": int(both.sum()),
        }  # fmt: skip
        if both.any():
            tall = np.linalg.norm(np.nanmax(theirs[both, :, :2], 1) - np.nanmin(theirs[both, :, :2], 1), axis=1)
            row |= {
                "pixels_mean": float(apart.mean()), "pixels_mean_limbs": float(apart[:, LIMBS].mean()),
                "pixels_median": float(np.median(apart)), "of_body_box_diagonal": float((apart.mean(1) / tall).mean()),
            }  # fmt: skip
        rows[name] = _rounded(row)
    return rows


def rendered(variant: str) -> dict[str, Any]:
    """Compare with exact joints."""
    graphs, hits, seen, total = estimator(variant), [], 0, 0
    for k in range(RENDERED):
        script = script_of("test", 0, k)
        truth, _ = canonical(image_points(script), None, "figure18", "+x+y+z")
        tracker = PoseTracker()
        for i, frame in zip(range(FRAMES), render(script), strict=False):
            people, total = tracker(graphs, frame, i / script.fps), total + 1
            if not people:
                continue
            seen += 1
            found, _ = canonical(people[0].points[None], None)
            trunk = np.linalg.norm(truth[i, J["neck"], :2] - truth[i, J["pelvis"], :2])
            hits.append(np.linalg.norm(found[0, 3:, :2] - truth[i, 3:, :2], axis=1) / trunk)
    off = np.stack(hits)
    return {
        "pictures": total, "person_found": round(seen / total, 4), "pck_0.1": round(float((off < 0.1).mean()), 4),
        "pck_0.2": round(float((off < 0.2).mean()), 4), "median_of_trunk": round(float(np.median(off)), 4),
        "pck_0.1_by_joint": dict(zip(JOINTS[3:], (off < 0.1).mean(0).round(3).tolist(), strict=True)),
    }  # fmt: skip


def cost(variant: str, threads: int) -> dict[str, Any]:
    """Measure milliseconds a picture by stage on the video of the lifter, 320 x 240."""
    graphs, frames = estimator(variant, threads), frames_of(VIDEOS[0])[:TIMED]
    found = graphs.detect(frames[0])[0]
    region = Region.around(found.points[0], found.points[1])
    square, crop = letterboxed(frames[0])[0], region.crop(frames[0])
    tracker = PoseTracker()
    stages = {
        "detector": lambda _: graphs.detector.run({"pictures": square[None]}),
        "detector_with_decoding": lambda i: graphs.detect(frames[i]),
        "crop": lambda i: region.crop(frames[i]),
        "landmarks": lambda _: graphs.landmarker.run({"pictures": crop[None]}),
        "landmarks_with_decoding": lambda i: graphs.locate(frames[i], [region]),
        "followed": lambda i: tracker(graphs, frames[i], i / 25),
    }
    rows = {}
    for name, run in stages.items():
        if name != "followed":
            run(0)
        wall, work = time.perf_counter(), time.process_time()
        for i in range(TIMED):
            run(i)
        wall, work = time.perf_counter() - wall, time.process_time() - work
        rows[name] = {"cpu_ms": round(1e3 * work / TIMED, 2), "ms": round(1e3 * wall / TIMED, 2)}
    return rows


def file_speed(variant: str) -> dict[str, Any]:
    """Measure how fast a file becomes pose features, decoding included, on whatever cores there are."""
    from tal_engine.inference.extraction import Extractor
    from tal_engine.pose.encoder import PoseFeatures, pose_encoder
    from tal_engine.pose.features import POSE_SNIPPETS

    spec, members = pose_encoder(variant)

    def load(graph: Any) -> Backend:
        return open_backend(members[graph.member], graph.member, "cpu", threads=1, spec=graph)

    extractor = Extractor(POSE_SNIPPETS, [PoseFeatures.opened(spec, POSE_SNIPPETS, load)])
    path = SHARED / "videos" / f"{VIDEOS[0]}.mp4"
    extractor(path)
    wall, work = time.perf_counter(), time.process_time()
    length = extractor(path).features.duration
    wall, work = time.perf_counter() - wall, time.process_time() - work
    return {
        "pictures_a_second": POSE_SNIPPETS.fps, "seconds_of_video": round(length, 2),
        "cpu_seconds": round(work, 2), "seconds": round(wall, 2), "real_time_of_one_core": round(length / work, 2),
    }  # fmt: skip


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}


def landmarks(plan: Path) -> dict[str, Any]:
    """All of it, for both networks; needs no plan."""
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    for variant in VARIANTS:
        found[variant] = {
            "real": real(variant),
            "rendered": rendered(variant),
            "cost": {f"{n} threads": cost(variant, n) for n in (1, 2)},
            "file": file_speed(variant),
        }
    return found


if __name__ == "__main__":
    if sys.argv[1:2] != ["frames"]:
        sys.exit("usage: people_landmarks.py frames FOLDER; the rest is a part of bench_people.py")
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    for video_name in VIDEOS:
        np.save(Path(sys.argv[2]) / f"{video_name}.frames.npy", frames_of(video_name))
