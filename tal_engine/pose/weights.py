"""The pose graphs that ship with the package: where they are, how they are packed, what they were made from.

They are BlazePose's detector and landmark networks of the npm package `@mediapipe/pose` (Google, Apache-2.0; see NOTICE
beside them), converted by `export.pose_weights`. They ship in the wheel rather than as an extra package: together they
are 10 MB, with them the wheel stays below 25 MB, and what works without a second install is what people try.
"""

from __future__ import annotations

import hashlib
import lzma
from functools import cache
from pathlib import Path

from ..errors import PlanError, PlanFault, require

#: Folder of the packed graphs.
FOLDER = Path(__file__).parents[1] / "assets" / "pose"
DETECTOR = "detector"
#: Landmark networks, by what follows the colon of ``--encoders pose:``.
VARIANTS = ("lite", "full")

#: What each file holds once it is unpacked; `export.pose_weights` prints these.
HASHES = {
    "detector": "d2820fe82b3baacc5dcdb5bd912417f9a0d3b7c911a95aae7c28d9b2f8e47394",
    "landmarks_lite": "80f72000d3e7e8b914a8144fb3b38eeee8084bb2837e7436428a358d4ed9a5e7",
    "landmarks_full": "d2e225a6eef19f5847911d4bec8e9a861995f1247fccaad835e5cd7b4df76365",
}
#: Float16 weights pack better with the bytes of even places before those of odd ones; not so the detector's, most of
#: whose weights are zeros.
_HALVED = ("landmarks_lite", "landmarks_full")
_FILTER = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0}


def packed(name: str, graph: bytes) -> bytes:
    """Pack a graph as it ships."""
    halved = name in _HALVED
    data = graph[::2] + graph[1::2] if halved else graph
    bits = {"lp": 0, "pb": 0} if halved else {"lp": 1, "pb": 1}
    return lzma.compress(data, format=lzma.FORMAT_XZ, filters=[{**_FILTER, **bits}])


def unpacked(name: str, data: bytes) -> bytes:
    """Undo `packed`."""
    graph = lzma.decompress(data)
    if name not in _HALVED:
        return graph
    middle, whole = (len(graph) + 1) // 2, bytearray(len(graph))
    whole[::2], whole[1::2] = graph[:middle], graph[middle:]
    return bytes(whole)


@cache
def pose_graphs(variant: str = "lite") -> tuple[bytes, bytes]:
    """Return the ONNX graphs of the detector and of a landmark network.

    Args:
        variant: "lite" or "full".

    Raises:
        UsageError: another variant.
        PlanError: a file of the installation is missing or damaged.

    >>> from tal_engine.pose.weights import pose_graphs
    >>> [len(graph) > 2_000_000 for graph in pose_graphs("lite")]
    [True, True]
    """
    require(variant in VARIANTS, "pose", variant, " or ".join(map(repr, VARIANTS)))
    return _read(DETECTOR), _read(f"landmarks_{variant}")


def path_of(name: str) -> Path:
    """Return where a packed graph lies."""
    return FOLDER / f"{name}.onnx.xz"


def _read(name: str) -> bytes:
    path = path_of(name)
    try:
        graph = unpacked(name, path.read_bytes())
    except (OSError, lzma.LZMAError, EOFError) as e:
        raise PlanError(PlanFault.UNREADABLE, f"{path}: cannot be read ({e}); install tal-engine again") from e
    if hashlib.sha256(graph).hexdigest() != HASHES[name]:
        raise PlanError(PlanFault.WRONG_HASH, f"{path}: is not what was installed, its hash is wrong")
    return graph
