"""Makes the pose graphs that ship with the package from the npm package they come from; run by hand, never imported.

    npm pack @mediapipe/pose@0.5.1675469404
    python -m tal_engine.export.pose_weights mediapipe-pose-0.5.1675469404.tgz

Checks the hash of the package and of every network in it, converts them (`tflite_file`, `tflite_graph`), packs them,
and says their hashes, which `pose.weights.HASHES` must hold. The same package gives the same bytes. How far the graphs
are from the originals: `benchmarks/pose_parity.py`.

The masks of the landmark networks are left out, with all that only they need.
"""

from __future__ import annotations

import argparse
import hashlib
import tarfile
from pathlib import Path

from .._util.files import whole_file
from ..errors import ExportError
from ..pose.weights import FOLDER, HASHES, packed, path_of
from .tflite_file import read_network
from .tflite_graph import picture_graph

PACKAGE = "@mediapipe/pose 0.5.1675469404"
PACKAGE_SHA256 = "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84"
#: By graph: the file of the package, its hash, how pictures are scaled, and the outputs by their index.
_LANDMARKS = {0: "landmarks", 1: "presence", 3: "heatmap", 4: "world"}
SOURCES: dict[str, tuple[str, str, float, float, dict[int, str]]] = {
    "detector": (
        "pose_solution_packed_assets.data", "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
        2 / 255, -1.0, {0: "boxes", 1: "scores"},
    ),
    "landmarks_lite": (
        "pose_landmark_lite.tflite", "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
        1 / 255, 0.0, _LANDMARKS,
    ),
    "landmarks_full": (
        "pose_landmark_full.tflite", "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        1 / 255, 0.0, _LANDMARKS,
    ),
}  # fmt: skip


def read_package(path: Path) -> dict[str, bytes]:
    """Read the networks of the npm package.

    Args:
        path: the ``.tgz`` of `npm pack`.

    Returns:
        TensorFlow Lite files by the name of the graph that is made of them.

    Raises:
        ExportError: the package or a network in it is another one.
    """
    _check(path.name, path.read_bytes(), PACKAGE_SHA256)
    found = {}
    with tarfile.open(path) as archive:
        for name, (file, digest, *_) in SOURCES.items():
            member = archive.extractfile(f"package/{file}")
            if member is None:
                raise ExportError(f"{path}: has no {file}")
            found[name] = member.read()
            _check(file, found[name], digest)
    return found


def converted(name: str, network: bytes) -> bytes:
    """Convert a network to the graph of that name.

    Raises:
        ExportError: it cannot be converted.
    """
    _, _, scale, offset, outputs = SOURCES[name]
    return picture_graph(read_network(network), name, scale, offset, outputs)


def _check(name: str, content: bytes, wanted: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise ExportError(f"{name}: sha256 is {found}, of {PACKAGE} it is {wanted}")


def main() -> None:
    """Convert, pack and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    package = parser.parse_args().package
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, network in read_package(package).items():
        graph = converted(name, network)
        with whole_file(path_of(name)) as temporary:
            temporary.write_bytes(packed(name, graph))
        digest = hashlib.sha256(graph).hexdigest()
        same = "" if HASHES.get(name) == digest else "   <- enter into pose.weights.HASHES"
        print(f'"{name}": "{digest}",  # {len(graph)} bytes, {path_of(name).stat().st_size} packed{same}')


if __name__ == "__main__":
    main()
