"""Part of bench_limit: ways to less work, each by itself against what it replaces. Processor milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from limit_stages import _cut, _first, medians, null_decode

from tal_engine.engine import TALEngine
from tal_engine.options import SnippetOptions
from tal_engine.plan.archive import read_plan
from tal_engine.pose.plans import open_plan
from tal_engine.video.flow import DisFlow, with_flow
from tal_engine.video.picture import Picture
from tal_engine.video.pixels import Display

Work = dict[str, Callable[[], Any]]
OPTIONS = SnippetOptions(resize_of="yuv")


def decode(clip: Path, threads: int, skip: str = "") -> None:
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count = threads
        container.streams.video[0].thread_type = "AUTO" if threads != 1 else "NONE"
        if skip:
            context.options = {"skip_loop_filter": skip}
        for _ in container.decode(video=0):
            pass


def decoding(clip: Path) -> Work:
    return {"one thread": lambda: null_decode(clip), "as many as there are": lambda: decode(clip, 0),
            "one thread, no loop filter": lambda: decode(clip, 1, "all")}  # fmt: skip


def scaling(clip: Path) -> Work:
    """One frame to the crop that the encoder reads; twenty a round."""
    frame, whole, small = _first(clip), VideoReformatter(), VideoReformatter()
    high, wide = OPTIONS.fitted_size(frame.height, frame.width)
    picture = Picture(Display("clip"), frame)

    def times(run: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [run() for _ in range(20)]

    def usual() -> Any:
        rgb = whole.reformat(frame, frame.width, frame.height, "rgb24", threads=1).to_ndarray()
        return cv2.resize(rgb, (wide, high), interpolation=cv2.INTER_AREA)

    def swscale(how: str) -> Callable[[], Any]:
        scale = VideoReformatter() if how == "AREA" else small
        return lambda: scale.reformat(frame, wide, high, "rgb24", interpolation=how, threads=1).to_ndarray()

    return {
        "RGB, then OpenCV's area": times(usual), "libswscale in one pass, area": times(swscale("AREA")),
        "libswscale in one pass, fast bilinear": times(swscale("FAST_BILINEAR")),
        "the core in one pass (yuv)": times(lambda: picture.scaled(OPTIONS, whole=False)),
    }  # fmt: skip


def flow(clip: Path) -> Work:
    """All flow of a clip's snippets."""
    snippets = _cut(clip, open_plan("demo"))
    ultrafast = DisFlow(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return {"dis": lambda: list(with_flow(snippets, OPTIONS, DisFlow())),
            "dis_ultrafast": lambda: list(with_flow(snippets, OPTIONS, ultrafast))}  # fmt: skip


def encoders(clip: Path, int8: Path | None) -> Work:
    """The encoders on a clip's snippets, by precision and by snippets a call."""
    demo = open_plan("demo")
    flows = list(with_flow(_cut(clip, demo), demo.manifest.snippet))
    frames, fields = (np.concatenate(x) for x in ([b.frames for b in flows], [b.flow for b in flows]))

    def run(plan: Any, batch: int) -> Callable[[], Any]:
        engine = TALEngine(plan, "cpu", threads=1)
        engine.load_encoders()
        graphs = [(e.backend, e.spec.graph.inputs[0].name, frames if e.spec.reads == "frames" else fields)
                  for e in engine._stages.encoders]  # fmt: skip
        return lambda: [b.run({name: x[i : i + batch]}) for b, name, x in graphs for i in range(0, len(frames), batch)]

    found = {f"float32, {n} a call": run(demo, n) for n in (1, 2, 8)}
    return found if int8 is None else found | {"8 bits, 8 a call": run(read_plan(int8), 8)}


def ways(clips: Mapping[str, Path], rounds: int, int8: Path | None) -> dict[str, Any]:
    """Processor milliseconds: of a clip, for scaling of a frame."""
    first = next(iter(clips.values()))
    work: dict[str, tuple[Work, float]] = {}
    for name, clip in clips.items():
        work[f"decode {name}"] = decoding(clip), 1.0
        work[f"scale a frame of {name}"] = scaling(clip), 1 / 20
    work["flow"] = flow(first), 1.0
    work["encoders"] = encoders(first, int8), 1.0
    rows = {}
    for name, (runs, share) in work.items():
        rows[name] = {k: 1e3 * share * v for k, v in medians(runs, rounds).items()}
        print(name, rows[name], flush=True)
    return {"ms": rows}
