"""By how much pixels differ that a graph makes of stored frames (`convert_on_device`) from those of the usual way.

    python benchmarks/bench_pixels.py [--snippets 24]

For each clip in shared/data/videos and each way that frames are scaled: mean and largest difference of the usual way's
uint8 values and the graph's, of 255, their mean with its sign, and processor seconds of both ways a snippet; the usual
way's are of conversion and resize, the graph's of ONNX Runtime on the CPU, which is there for the comparison and is not
what the graph is for. Bytes are of a frame as it goes to a device. Results: results/pixels.json.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, finish

from tal_engine.backends import RunOptions, Runtime
from tal_engine.features.pixel_conversion import conversion_graph
from tal_engine.options import I3D_SNIPPETS, SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.planes import cut_planes

#: How frames are scaled, by the encoders that ask for it; flow has no part in it.
WAYS = {
    "demonstration (112, area)": SnippetOptions(flow="none"),
    "I3D (256/224, bilinear)": SnippetOptions(
        resize=I3D_SNIPPETS.resize, crop=I3D_SNIPPETS.crop, interpolation=I3D_SNIPPETS.interpolation, flow="none"
    ),
    "as decoded": SnippetOptions(resize=0, crop=0, flow="none"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snippets", type=int, default=24, help="Of each clip, from its start.")
    args = parser.parse_args()
    clips = sorted((SHARED / "videos").glob("*.mp4"))
    finish(
        "pixels",
        {path.name: {name: compared(path, how, args.snippets) for name, how in WAYS.items()} for path in clips},
    )


def compared(path: Path, options: SnippetOptions, count: int) -> dict[str, Any]:
    """Differences over the first snippets of a clip."""
    total, signed, largest, values, usual_s, graph_s = 0.0, 0.0, 0, 0, 0.0, 0.0
    with open_video(path) as first, open_video(path) as second:
        found = cut_planes(second, options, 1)
        if found is None:
            return {"left out": "not stored as 8-bit 4:2:0 YUV that is shown as it is"}
        layout, stored = found
        backend = Runtime("cpu", RunOptions(threads=1)).open(conversion_graph(layout, options), "convert")
        began = time.thread_time()
        for usual in islice(cut(first, options, 1), count):
            usual_s += time.thread_time() - began
            planes = next(stored).frames[0]
            began = time.thread_time()
            mine = backend.run({"planes": planes})["frames"]
            graph_s += time.thread_time() - began
            apart = mine.astype(np.int16) - usual.frames[0]
            total, signed = total + float(np.abs(apart).sum()), signed + float(apart.sum())
            largest, values, size = (
                max(largest, int(np.abs(apart).max())),
                values + apart.size,
                usual.frames[0, 0].nbytes,
            )
            began = time.thread_time()
    done = values // (size * options.window)
    return {
        "width": layout.width, "height": layout.height, "matrix": layout.matrix, "full": layout.full, "snippets": done,
        "mean": round(total / values, 4), "largest": largest, "mean_signed": round(signed / values, 4),
        "graph_s_a_snippet": round(graph_s / done, 4), "usual_with_decoding_s_a_snippet": round(usual_s / done, 4),
        "bytes_a_frame": {
            "as stored": layout.size, "rgb, scaled": size, "rgb, whole": 3 * layout.width * layout.height,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main()
