"""Real surgery cut into pieces, so that labels of videos say something: VTS for methods that learn from labels.

Each of the 99 sequences of VTS has nearly all of its five actions. Its training sequences are cut into disjoint
pieces, each with the labels of the actions that lie in it for at least half a snippet; test sequences stay whole, with
their human truth. The kinematics are both the visual streams and, all 216 of them, the stream that texts are compared
with; the texts are hashed, so they say nothing of what an action looks like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED

from tal_engine._util.files import write_text

#: Snippets of a third of a second: ten seconds, in which two actions lie on average.
PIECE = 30
SECONDS = 1 / 3
_DESCRIPTION = """\
name: vts-pieces
annotations: annotations.json
subsets: {train: training, test: test}
labels: instances
features:
  - {path: features.npz, key: "{name}", streams: {rgb: [0, 108], flow: [108, 216], clip: [0, 216]}}
snippet: {fps: 30, window: 10, stride: 10}
protocol: wtal-seconds
text: {tower: hashed, dim: 216}
"""


def write_vts_pieces(output: Path) -> Path:
    """Write ``OUTPUT/data.yaml``, annotations and features.

    Returns:
        The description.

    Raises:
        FileNotFoundError: VTS is not beside the project (``shared/data/surgery_vts``).
    """
    source = SHARED / "surgery_vts"
    document = json.loads((source / "annotations.json").read_text())
    database, features = {}, {}
    with np.load(source / "features.npz") as arrays:
        for name, video in document["database"].items():
            for key, piece, rows in _pieces(name, video, arrays[name].astype(np.float32)):
                database[key], features[key] = piece, rows
    output.mkdir(parents=True, exist_ok=True)
    np.savez(output / "features.npz", **features)  # type: ignore[arg-type]
    write_text(output / "annotations.json", json.dumps({**document, "database": database}))
    write_text(output / "data.yaml", _DESCRIPTION)
    return output / "data.yaml"


def _pieces(name: str, video: dict[str, Any], rows: Any) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """The pieces of a training sequence that any action lies in; a test sequence as it is."""
    if video["subset"] == "test":
        yield name, video, rows
        return
    for i in range(0, len(rows), PIECE):
        part = rows[i : i + PIECE]
        begin, end = i * SECONDS, (i + len(part)) * SECONDS
        cut = [
            {"label": a["label"], "segment": [max(a["segment"][0], begin) - begin, min(a["segment"][1], end) - begin]}
            for a in video["annotations"]
        ]
        inside = [a for a in cut if a["segment"][1] - a["segment"][0] >= SECONDS / 2]
        if inside:
            yield f"{name}_{i:04d}", {"subset": "training", "duration": end - begin, "annotations": inside}, part
