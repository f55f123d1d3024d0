"""How far the shipped pose graphs are from the networks that they were converted from, on pictures of people.

The judge is Google's own runtime, `ai-edge-litert`, which lives in an environment of its own:

    python benchmarks/pose_parity.py pictures /tmp/pose              # squares and graphs, with tal_engine's environment
    python benchmarks/pose_parity.py compare /tmp/pose PACKAGE.tgz   # with ai-edge-litert, onnxruntime and numpy
    python benchmarks/pose_parity.py store /tmp/pose                 # with tal_engine's environment again

Pictures: the shared real videos and rendered ones, as the detector and the landmark networks get them. Writes
benchmarks/results/pose_parity.json: for each output the range of its values over all pictures, the largest difference,
and both as a ratio.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path

import numpy as np

#: Of each video every so many frames.
EVERY = 20
#: By graph: file of the package, scale and offset of the pictures, outputs of the network by index.
NETWORKS = {
    "detector": ("pose_solution_packed_assets.data", 2 / 255, -1.0, {0: "boxes", 1: "scores"}),
    "landmarks_lite": (
        "pose_landmark_lite.tflite", 1 / 255, 0.0, {0: "landmarks", 1: "presence", 3: "heatmap", 4: "world"},
    ),
    "landmarks_full": (
        "pose_landmark_full.tflite", 1 / 255, 0.0, {0: "landmarks", 1: "presence", 3: "heatmap", 4: "world"},
    ),
}  # fmt: skip


def pictures(folder: Path) -> None:
    """Write the squares of frames, and the unpacked graphs."""
    from common import SHARED

    from tal_engine import open_video
    from tal_engine.backends import open_backend
    from tal_engine.demo.demo_set import script_of
    from tal_engine.demo.render import render
    from tal_engine.pose.detection import letterboxed
    from tal_engine.pose.estimator import PoseEstimator
    from tal_engine.pose.region import Region
    from tal_engine.pose.weights import pose_graphs

    frames = []
    for path in sorted((SHARED / "videos").glob("*.mp4")):
        with open_video(path) as video:
            frames += [f.image() for i, f in enumerate(video.frames) if i % EVERY == 0]
    for k in range(3):
        frames += [im for i, im in enumerate(render(script_of("test", 0, k))) if i % (3 * EVERY) == 0]
    detector, lite = pose_graphs("lite")
    estimator = PoseEstimator(open_backend(detector, "detector", "cpu"), open_backend(lite, "landmarks", "cpu"))
    squares = np.stack([letterboxed(im)[0] for im in frames])
    people = [
        Region.around(d.points[0], d.points[1]).crop(im) for im in frames for d in estimator.detect(im) if d.score > 0.5
    ]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pictures.npz", detector=squares, people=np.stack(people))
    for name, graph in zip(NETWORKS, (detector, lite, pose_graphs("full")[1]), strict=True):
        (folder / f"{name}.onnx").write_bytes(graph)


def compare(folder: Path, package: Path) -> None:
    """Run both on the pictures and write how far they are apart."""
    import ai_edge_litert
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    given = np.load(folder / "pictures.npz")
    document: dict[str, object] = {
        "package": package.name,
        "package_sha256": hashlib.sha256(package.read_bytes()).hexdigest(),
        "ai_edge_litert": getattr(ai_edge_litert, "__version__", "?"),
        "onnxruntime": onnxruntime.__version__,
    }
    with tarfile.open(package) as archive:
        for name, (file, scale, offset, outputs) in NETWORKS.items():
            x = given["detector" if name == "detector" else "people"]
            member = archive.extractfile(f"package/{file}")
            assert member is not None
            theirs = _litert(Interpreter(model_content=member.read(), num_threads=1), x, scale, offset)
            session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"))
            names = [o.name for o in session.get_outputs()]
            parts = [session.run(None, {"pictures": x[i : i + 8]}) for i in range(0, len(x), 8)]
            ours = dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True))
            document[name] = {"pictures": len(x)} | {
                out: _apart(ours[out].reshape(len(x), -1), theirs[i].reshape(len(x), -1)) for i, out in outputs.items()
            }
    (folder / "parity.json").write_text(json.dumps(document))


def _litert(network: object, pictures: np.ndarray, scale: float, offset: float) -> list[np.ndarray]:
    net = network  # of another environment, without types here
    net.allocate_tensors()
    where, rows = net.get_input_details()[0]["index"], []
    outputs = sorted(net.get_output_details(), key=lambda o: o["name"])
    for picture in pictures:
        net.set_tensor(where, picture[None].astype(np.float32) * np.float32(scale) + np.float32(offset))
        net.invoke()
        rows.append([net.get_tensor(o["index"])[0].copy() for o in outputs])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def _apart(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    span, worst = float(np.ptp(theirs)), float(np.abs(ours - theirs).max())
    return {"range": span, "largest_difference": worst, "ratio": worst / span}


def store(folder: Path) -> None:
    """Keep what `compare` found."""
    from common import finish

    finish("pose_parity", json.loads((folder / "parity.json").read_text()))


if __name__ == "__main__":
    if sys.argv[1] == "pictures":
        pictures(Path(sys.argv[2]))
    elif sys.argv[1] == "store":
        store(Path(sys.argv[2]))
    else:
        compare(Path(sys.argv[2]), Path(sys.argv[3]))
