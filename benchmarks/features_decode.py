"""Decoding: frames a second of our loop beside OpenCV's own, doing the same work and giving the same pictures.

    python benchmarks/features_decode.py [--rounds 9]

rgb      every frame as RGB.
fitted   and resized to a shorter side of 256, cropped to 224, in one piece of memory.
batches  and put into batches of 8 snippets of 16 frames; ours is `video.cut` at the clip's own rate, which shows each
         frame once.

Seconds are medians of interleaved rounds. A neighbour on the machine hits one run and not the next, so the ratio of
both loops is taken within each round, of the wall clock and of processor time, and the medians are kept beside them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import SHARED, machine
from numpy.typing import NDArray

from tal_engine.options import SnippetOptions
from tal_engine.video import cut, open_video
from tal_engine.video.snippet import fit

Picture = NDArray[np.uint8]
CLIPS = ("v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4")
SIDE, CROP, WINDOW, BATCH = 256, 224, 16, 8


def decode(rounds: int) -> dict[str, Any]:
    """Figures by clip; ratios above 1 say that ours is faster, `cpu_ratio` that it takes less processor time."""
    clips = {name: _clip(SHARED / "videos" / name, rounds) for name in CLIPS}
    return {"threads": {"opencv": cv2.getNumThreads()}, "clips": clips}


def _clip(path: Path, rounds: int) -> dict[str, Any]:
    with open_video(path) as video:
        options = SnippetOptions(fps=video.fps, window=WINDOW, stride=WINDOW, resize=SIDE, crop=CROP, flow="none")
        height, width, _ = next(video.frames).image().shape
    work: dict[str, tuple[Callable[[], Iterator[Any]], Callable[[], Iterator[Any]]]] = {
        "rgb": (lambda: _opencv(path), lambda: _ours(path)),
        "fitted": (lambda: map(_fitted, _opencv(path)), lambda: _ours_fitted(path, options)),
        "batches": (lambda: _batches(map(_fitted, _opencv(path))), lambda: _ours_cut(path, options)),
    }
    frames, apart = _compared(*work["fitted"])
    rows = {name: _raced(*loops, frames, rounds) for name, loops in work.items()}
    return {"frames": frames, "size": [width, height], "largest_difference": apart, **rows}


def _compared(a: Callable[[], Iterator[Picture]], b: Callable[[], Iterator[Picture]]) -> tuple[int, int]:
    """How many pictures both give, and by how many levels they differ at the most."""
    apart = [int(np.abs(x.astype(np.int16) - y).max()) for x, y in zip(a(), b(), strict=True)]
    return len(apart), max(apart)


def _raced(
    theirs: Callable[[], Iterator[Any]], ours: Callable[[], Iterator[Any]], frames: int, rounds: int
) -> dict[str, float]:
    """Frames a second of both, and the medians over rounds of their ratios."""
    taken: dict[str, list[tuple[float, float]]] = {"opencv": [], "ours": []}
    for name, loop in [("opencv", theirs), ("ours", ours)] * (rounds + 1):
        began = time.perf_counter(), time.process_time()
        deque(loop(), maxlen=0)
        taken[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    a, b = (np.array(values[1:]) for values in taken.values())
    fps = {name: round(frames / float(np.median(x[:, 0]))) for name, x in (("opencv", a), ("ours", b))}
    ratio, cpu = np.median(a / b, axis=0).round(3).tolist()
    return {**fps, "ratio": ratio, "cpu_ratio": cpu}


def _opencv(path: Path) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, image = capture.read()
        if not ok:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[misc]


def _fitted(image: Picture) -> Picture:
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=method)  # type: ignore[assignment]
    top, left = (image.shape[0] - CROP) // 2, (image.shape[1] - CROP) // 2
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def _batches(pictures: Iterable[Picture]) -> Iterator[Picture]:
    held: list[Picture] = []
    for picture in pictures:
        held.append(picture)
        if len(held) == BATCH * WINDOW:
            yield np.stack(held).reshape(BATCH, WINDOW, CROP, CROP, 3)
            held = []
    if held:
        held += [held[-1]] * (-len(held) % WINDOW)
        yield np.stack(held).reshape(-1, WINDOW, CROP, CROP, 3)


def _ours(path: Path) -> Iterator[Picture]:
    with open_video(path) as video:
        for frame in video.frames:
            yield frame.image()


def _ours_fitted(path: Path, options: SnippetOptions) -> Iterator[Picture]:
    return (np.ascontiguousarray(fit(image, options)) for image in _ours(path))


def _ours_cut(path: Path, options: SnippetOptions) -> Iterator[Picture]:
    with open_video(path) as video:
        for batch in cut(video, options, BATCH):
            yield batch.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    print(json.dumps({"machine": machine(), **decode(parser.parse_args().rounds)}))


if __name__ == "__main__":
    main()
