"""What docs/gpu.md says of pixels that a graph makes of stored frames, from the stored results of bench_pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import table


def section(document: Mapping[str, Any]) -> str:
    """A table: differences from the usual way, by clip and by how frames are scaled."""
    rows = [
        [clip, how, f"{r['mean']:.4f}", str(r["largest"]), *(str(n) for n in r["bytes_a_frame"].values())]
        for clip, hows in document["figures"].items()
        for how, r in hows.items()
        if "mean" in r
    ]
    head = ["clip", "frames", "mean difference of 255", "largest", "bytes as stored", "RGB, scaled", "RGB, whole"]
    return "\n".join([f"`{document['command']}`, on {document['machine']['cpu']}:", "", *table(head, rows)])
