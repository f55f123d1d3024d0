"""The flow of several versions of OpenCV on the same pictures: which are the same, and how far apart others are.

Each version is installed into a folder of its own (PyPI is needed) and found before the installed one. Pictures are
pairs of successive frames of drawn videos, as encoders see them and whole. The plan `demo` localizes the videos with
each version: its segments at its operating point are counted, and those that the newest version does not have (of one
class, tIoU of at least 0.5).

    python benchmarks/flow_versions.py
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import finish

from tal_engine.demo.demo_set import render_split
from tal_engine.options import SnippetOptions
from tal_engine.video import open_video
from tal_engine.video.flow_rules import flow_rules
from tal_engine.video.snippet import fit

#: With what else each needs; the installed NumPy otherwise.
VERSIONS: dict[str, tuple[str, ...]] = {"4.9.0.80": ("numpy==1.26.4",)} | dict.fromkeys(
    ("4.10.0.84", "4.11.0.86", "4.12.0.88", "4.13.0.92", "4.14.0.94", "5.0.0.93"), ()
)
Segment = tuple[float, float, str]
Found = dict[str, list[Segment]]
VIDEOS, EVERY, FRAMES = 5, 8, 400

#: Runs with a version: pairs of pictures to flow, by method, and videos to segments.
INSIDE = """
import json, sys, cv2, numpy as np
assert cv2.__version__ == sys.argv[4].rpartition(".")[0], cv2.__version__
pairs, out = np.load(sys.argv[1]), {}
for name in pairs.files:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    out["dis " + name] = np.stack([dis.calc(a, b, None) for a, b in pairs[name]])
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()
    out["tvl1 " + name] = np.stack([tvl1.calc(a, b, None) for a, b in pairs[name][:2]])
np.savez(sys.argv[2], **out)
from pathlib import Path
from tal_engine import TALEngine
engine = TALEngine.load("demo", "cpu", threads=1)
videos = sorted(Path(sys.argv[3]).glob("*.mp4"))
found = {v.name: [(s.start, s.end, s.label) for s in engine.localize(v)] for v in videos}
Path(sys.argv[2]).with_suffix(".json").write_text(json.dumps(found))
"""


def pictures(video: Path) -> dict[str, Any]:
    """Pairs [N, 2, H, W] of grey pictures, cropped for encoders and whole."""
    options = SnippetOptions()
    with open_video(video) as source:
        kept = [f.image() for i, f in enumerate(source.frames) if i < FRAMES and i % EVERY < 2]
    kept = kept[: len(kept) // 2 * 2]
    grey = [cv2.cvtColor(fit(p, options), cv2.COLOR_RGB2GRAY) for p in kept]
    whole = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in kept[:8]]
    found = {video.stem: np.stack(grey), f"{video.stem} whole": np.stack(whole)}
    return {name: a.reshape(-1, 2, *a.shape[1:]) for name, a in found.items()}


def flow_of(version: str, others: tuple[str, ...], folder: Path) -> tuple[dict[str, Any], Found]:
    """What a version of OpenCV makes of the pairs, and what the plan `demo` finds with it."""
    place, out = folder / version, folder / f"{version}.npz"
    packages = [f"opencv-contrib-python-headless=={version}", *others]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", place, *packages], check=True
    )  # fmt: skip
    words = [folder / "pairs.npz", out, folder / "videos", version]
    subprocess.run([sys.executable, "-c", INSIDE, *words], check=True, env=os.environ | {"PYTHONPATH": str(place)})
    with np.load(out) as file:
        return {name: file[name] for name in file.files}, json.loads(out.with_suffix(".json").read_text())


def unmatched(found: Found, newest: Found) -> int:
    """Segments that have none of the same class in the other result that they overlap enough; each is taken once."""
    missing = 0
    for video, segments in found.items():
        free = list(newest[video])
        for s in segments:
            near = [o for o in free if o[2] == s[2] and overlap(s, o) >= 0.5]
            if near:
                free.remove(max(near, key=lambda o: overlap(s, o)))
            else:
                missing += 1
    return missing


def overlap(a: Segment, b: Segment) -> float:
    """Temporal intersection over union."""
    both = min(a[1], b[1]) - max(a[0], b[0])
    return max(both, 0.0) / (max(a[1], b[1]) - min(a[0], b[0]))


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        render_split(folder, "test", VIDEOS, seed=5, workers=1)
        given = [pictures(v) for v in sorted((folder / "videos").glob("*.mp4"))[:3]]
        np.savez(folder / "pairs.npz", **{name: a for part in given for name, a in part.items()})
        made_by = {v: flow_of(v, others, folder) for v, others in VERSIONS.items()}
    newest, wanted = made_by[list(VERSIONS)[-1]]
    figures: dict[str, Any] = {}
    for version, (flow, found) in made_by.items():
        figures[version] = {"segments": sum(map(len, found.values())), "segments_unmatched": unmatched(found, wanted)}
        for method in ("dis", "tvl1"):
            names = sorted(n for n in flow if n.startswith(f"{method} "))
            away = [float(np.abs(flow[n] - newest[n]).mean()) for n in names]
            figures[version][method] = {
                "rules": flow_rules(method, version),
                "sha256": hashlib.sha256(b"".join(flow[n].tobytes() for n in names)).hexdigest(),
                "mean_from_newest": [min(away), max(away)],
                "largest": max(float(np.abs(flow[n] - newest[n]).max()) for n in names),
            }
    finish("flow_versions", {"videos": VIDEOS, "versions": figures})


if __name__ == "__main__":
    main()
