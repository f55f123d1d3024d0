"""What bench_fit.py fits on: features of videos with labels of every kind that the truth can give, from real sets.

Features are the data sets' own, or of encoders that ship; videos are held out by person where persons are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import SHARED
from numpy.typing import NDArray

from tal_engine._util.untrusted import read_csv
from tal_engine.annotations.labels import Kind, Labels, VideoLabels, read_labels
from tal_engine.annotations.points import Point
from tal_engine.features import load_features
from tal_engine.lab.data.dataset import open_dataset
from tal_engine.records import Features
from tal_engine.timeline import Timeline


@dataclass(frozen=True)
class World:
    """Features by video, labels at their strongest, and the group of each video."""

    name: str
    features: dict[str, Features]
    labels: Labels
    groups: dict[str, str]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of label that its truth can give."""
        return {"video": ("video",), "point": ("video", "point"), "segment": ("video", "point", "segment")}[
            self.labels.kind
        ]  # type: ignore[return-value]


def labels_of(name: str, videos: Sequence[VideoLabels]) -> Labels:
    """Labels of videos that were not read from one file."""
    classes = sorted({c for v in videos for c in v.labels})
    return Labels(Path(name), {v.name: v for v in videos}, tuple(classes))


def msrc12(persons: int, gestures: int) -> World:
    """Kinect skeletons of some persons and gestures: positions about the hip, and how they change, at 5 a second."""
    folder = SHARED / "motion" / "msrc12"
    rows = [r for _, r in read_csv(folder / "sequences.csv", "sequences", required=("sequence", "person"))]
    clicks: dict[str, list[Point]] = {}
    for _, r in read_csv(folder / "points.csv", "points", required=("sequence", "seconds", "class")):
        clicks.setdefault(str(r["sequence"]), []).append(Point(float(r["seconds"]), str(r["class"])))
    classes = sorted({p.label for of in clicks.values() for p in of})[:gestures]
    who = sorted({str(r["person"]) for r in rows})[:persons]
    videos, features, groups = [], {}, {}
    with np.load(folder / "skeleton_mm_15fps_delta.npz") as archive:
        for r in rows:
            name, points = str(r["sequence"]), sorted(clicks.get(str(r["sequence"]), []))
            if r["person"] not in who or not points or points[0].label not in classes:
                continue
            features[name] = skeleton_features(np.cumsum(archive[name].astype(np.int32), axis=0), 15.0)
            groups[name] = str(r["person"])
            videos.append(VideoLabels(name, points=tuple(points), duration=features[name].duration))
    return World("MSRC-12", features, labels_of("msrc12", videos), groups)


def skeleton_features(joints: NDArray[np.int32], fps: float, step: int = 3) -> Features:
    """Positions in metres about the first joint, and their speed, mean over `step` frames: [T, joints * 6]."""
    metres = (joints - joints[:, :1]) / 1000.0
    metres /= np.clip(np.linalg.norm(metres, axis=2).mean(), 0.1, None)
    speed = np.gradient(metres, axis=0) * fps if len(metres) > 1 else np.zeros_like(metres)
    x = np.concatenate([metres, speed / 3], axis=2).reshape(len(metres), -1)
    count = max(len(x) // step, 1)
    means = np.stack([x[i * step : (i + 1) * step].mean(0) for i in range(count)])
    return Features({"rgb": means.astype(np.float32)}, Timeline(0.0, step / fps, step / fps), len(joints) / fps)


def surgery(count: int) -> World:
    """VTS: sequences of open-surgery suturing with exact segments, one stream of kinematics."""
    data = open_dataset(SHARED / "surgery_vts" / "data.yaml")
    videos = data.subset("train")[:count]
    found = data.features(videos, ("rgb", "flow"))
    features = {
        n: replace(f, streams={"rgb": np.concatenate([f.streams["rgb"], f.streams["flow"]], axis=1)})
        for n, f in found.items()
    }
    labels = [VideoLabels(v.name, segments=v.instances, duration=features[v.name].duration) for v in videos]
    return World("VTS", features, labels_of("vts", labels), {v.name: v.name for v in videos})


def gym() -> World:
    """The 505 gym clips with their class alone; I3D features, both streams."""
    videos, features = [], {}
    time = Timeline(0.0, 0.64, 0.64)
    with np.load(SHARED / "features" / "gym_i3d_21classes.npz") as archive:
        for name in archive.files:
            x = archive[name]
            features[name] = Features({"rgb": x[:, :1024], "flow": x[:, 1024:]}, time, float(time.right(len(x))))
            videos.append(VideoLabels(name, told=(name.rpartition("_")[0],)))
    return World("gym clips", features, labels_of("gym", videos), {v.name: v.name for v in videos})


def procedural(folder: Path, features: Path, name: str, classes: int) -> World:
    """Procedural videos of `tal demo render` whose features lie in a folder; the most frequent classes of them."""
    read = read_labels(folder / "annotations.json")
    have = [v for v in read if (features / f"{v.name}.npz").exists()]
    often = sorted(read.classes, key=lambda c: (-sum(c in v.labels for v in have), c))[:classes]
    videos = [v for v in have if set(v.labels) <= set(often)]
    found = {v.name: load_features(features / f"{v.name}.npz") for v in videos}
    visual = {
        n: replace(f, streams={s: x for s, x in f.streams.items() if s != "clip"} or f.streams)
        for n, f in found.items()
    }
    return World(name, visual, labels_of(name, videos), {v.name: v.name for v in videos})
