"""Writes procedural videos to disk: mp4 files and an ActivityNet-style annotation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import cv2

from .._util.files import whole_file, write_text
from .._util.opening import local_url
from ..errors import UsageError
from .exercises import ACTIONS
from .programs import programs
from .render import HEIGHT, WIDTH, render
from .scene import Image
from .script import Script, trimmed_script, write_script

#: Each split has its own seeds, so bodies, scenes and performances never repeat between them.
SPLITS = ("train", "validation", "test", "clips")

#: Random programs that the `clips` split shows: the classes that encoders are pre-trained on.
PROGRAM_COUNT = 64
_CLIP_S = 2.56


def script_of(split: str, seed: int, index: int) -> Script:
    """Write the script of video `index` of a split."""
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}, must be one of {', '.join(SPLITS)}")
    key = [seed, SPLITS.index(split), index]
    name = f"{split}_{index:05d}"
    if split != "clips":
        return write_script(name, key)
    number = index % PROGRAM_COUNT
    motion = programs(PROGRAM_COUNT)[number].motion(f"program {number:02d}")
    return trimmed_script(name, motion, key, _CLIP_S)


def write_video(path: Path, frames: Iterable[Image], fps: float, height: int = HEIGHT, width: int = WIDTH) -> None:
    """Encode frames to an H.264 mp4, whole or not at all."""
    with whole_file(path) as temporary, av.open(local_url(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "26", "threads": "1"}
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def annotation(script: Script, split: str, seed: int) -> dict[str, Any]:
    """Create the ActivityNet database entry of a video."""
    instances = [{"segment": [start, end], "label": label} for start, end, label in script.instances()]
    if split == "clips":
        instances = [{"segment": [0.0, script.duration], "label": script.performances[0].motion.name}]
    return {
        "subset": split,
        "duration": script.duration,
        "fps": script.fps,
        "resolution": f"{WIDTH}x{HEIGHT}",
        "seed": seed,
        "annotations": instances,
    }


def write_annotations(path: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Write an ActivityNet-style file; entries of other splits that are in it already stay."""
    database = {}
    if path.exists():
        database = json.loads(path.read_text(encoding="utf-8"))["database"]
        replaced = {e["subset"] for e in entries.values()}
        database = {k: v for k, v in database.items() if v["subset"] not in replaced}
    database = dict(sorted({**database, **entries}.items()))
    document = {"version": "tal_engine demo 1", "classes": list(ACTIONS), "database": database}
    write_text(path, json.dumps(document, indent=1) + "\n")


def _render_one(job: tuple[str, int, int, str]) -> tuple[str, dict[str, Any]]:
    split, seed, index, folder = job
    cv2.setNumThreads(1)
    script = script_of(split, seed, index)
    write_video(Path(folder) / "videos" / f"{script.name}.mp4", render(script), script.fps)
    return script.name, annotation(script, split, seed)


def render_split(
    folder: str | Path,
    split: str,
    count: int,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render `count` videos of a split to ``folder/videos`` and annotate them.

    Args:
        folder: where to; ``annotations.json`` is merged with the splits that are there.
        split: "train", "validation", "test", or "clips" (trimmed, for pre-training).
        count: number of videos.
        seed: the same seed gives the same annotation bytes.
        workers: processes.
        progress: called with (videos done, count).

    Returns:
        Path of the annotation file.
    """
    if count < 1:
        raise UsageError(f"count is {count}, must be at least 1")
    script_of(split, seed, 0)
    folder = Path(folder)
    jobs = [(split, seed, i, str(folder)) for i in range(count)]
    entries: dict[str, dict[str, Any]] = {}
    for name, entry in _results(jobs, workers):
        entries[name] = entry
        if progress is not None:
            progress(len(entries), count)
    path = folder / "annotations.json"
    write_annotations(path, entries)
    return path


def _results(jobs: list[tuple[str, int, int, str]], workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if workers <= 1:
        yield from map(_render_one, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(_render_one, jobs, chunksize=1)
        except BaseException:  # Ctrl-C or SIGTERM: what has not begun is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
