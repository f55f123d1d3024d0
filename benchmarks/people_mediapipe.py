"""What MediaPipe itself finds in the shared videos; run with an environment of its own, as its wheels pin old packages.

    python -m venv /tmp/venv-mp && /tmp/venv-mp/bin/pip install mediapipe==0.10.14
    python benchmarks/people_landmarks.py frames /tmp/people           # with tal_engine: frames of the videos
    /tmp/venv-mp/bin/python benchmarks/people_mediapipe.py /tmp/people pose_landmark_lite.tflite

That wheel carries the same full landmark network (by its hash) and the same detector (another file, whose weights give
the same values); the lite network is put beside them from the npm package. Writes NAME-lite.npz and NAME-full.npz:
points [T, 33, 3] in pixels, NaN where nobody was found. MediaPipe counts 30 frames a second for its smoothing, whatever
they are.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np


def main(folder: Path, lite: Path) -> None:
    """Follow the person of each video with both networks."""
    import mediapipe

    beside = Path(mediapipe.__file__).parent / "modules" / "pose_landmark" / "pose_landmark_lite.tflite"
    if not beside.exists():
        shutil.copy(lite, beside)
    for path in sorted(folder.glob("*.frames.npy")):
        frames = np.load(path, mmap_mode="r")
        high, wide = frames.shape[1:3]
        for complexity, name in enumerate(("lite", "full")):
            with mediapipe.solutions.pose.Pose(model_complexity=complexity) as pose:
                rows = [_points(pose.process(np.ascontiguousarray(f)), high, wide) for f in frames]
            np.savez(folder / f"{path.name.removesuffix('.frames.npy')}-{name}.npz", points=np.stack(rows))


def _points(result: object, high: int, wide: int) -> np.ndarray:
    found = getattr(result, "pose_landmarks", None)
    if found is None:
        return np.full((33, 3), np.nan)
    return np.array([[p.x * wide, p.y * high, p.z * wide] for p in found.landmark])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
